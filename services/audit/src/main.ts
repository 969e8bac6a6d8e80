/** The audit service as a process of its own. */
import { readConfig, runHost } from '@lethe/service';
import { hostedAudit } from './hosted.ts';

await runHost(readConfig(process.env), 'lethe-audit', [hostedAudit]);
