/** The hashing service as a process of its own. */
import { readConfig, runHost } from '@lethe/service';
import { hostedHashing } from './hosted.ts';

await runHost(readConfig(process.env), 'lethe-hashing', [hostedHashing]);
