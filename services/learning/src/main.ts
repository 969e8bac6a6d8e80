/** The learning service as a process of its own. */
import { runMain } from '@lethe/service';
import { hostedLearning } from './hosted.ts';

await runMain('lethe-learning', [hostedLearning]);
