/** The federation service as a process of its own. */
import { runMain } from '@lethe/service';
import { hostedFederation } from './hosted.ts';

await runMain('lethe-federation', [hostedFederation]);
