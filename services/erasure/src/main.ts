/** The erasure service as a process of its own. */
import { runMain } from '@lethe/service';
import { hostedErasure } from './hosted.ts';

await runMain('lethe-erasure', [hostedErasure]);
