/** The audit service as a process of its own. */
import { runMain } from '@lethe/service';
import { hostedAudit } from './hosted.ts';

await runMain('lethe-audit', [hostedAudit]);
