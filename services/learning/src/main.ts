/** The learning service as a process of its own. */
import { readConfig, runHost } from '@lethe/service';
import { hostedLearning } from './hosted.ts';

await runHost(readConfig(process.env), 'lethe-learning', [hostedLearning]);
