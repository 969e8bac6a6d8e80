/** The erasure service as a process of its own. */
import { readConfig, runHost } from '@lethe/service';
import { hostedErasure } from './hosted.ts';

await runHost(readConfig(process.env), 'lethe-erasure', [hostedErasure]);
