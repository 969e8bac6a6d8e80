/** The hashing service as a process of its own. */
import { runMain } from '@lethe/service';
import { hostedHashing } from './hosted.ts';

await runMain('lethe-hashing', [hostedHashing]);
