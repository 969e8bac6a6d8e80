/** The federation service as a process of its own. */
import { readConfig, runHost } from '@lethe/service';
import { hostedFederation } from './hosted.ts';

await runHost(readConfig(process.env), 'lethe-federation', [hostedFederation]);
