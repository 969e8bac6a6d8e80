/**
 * node services/learning/src/replay-main.ts PLAN [PLAN …] RECORDS
 *
 * RECORDS: JSON, [{ "recordId": "…", "payload": base64 }]. PLAN: the bytes of `Replay.plan`, one file per shard. Prints, a line each, the
 * digest of the shard that it has trained from nothing. Reads these files and nothing else.
 */
import { readFileSync } from 'node:fs';
import { fromBase64 } from '@lethe/std';
import { type ReplayPlan, replayShard } from './replay.ts';

const planFiles = process.argv.slice(2);
const recordsFile = planFiles.pop();
if (!recordsFile || planFiles.length === 0) {
  process.stderr.write('usage: replay-main.ts PLAN [PLAN …] RECORDS\n');
  process.exit(2);
}
const listed = JSON.parse(readFileSync(recordsFile, 'utf8')) as { recordId: string; payload: string }[];
const records = listed.map(({ recordId, payload }) => ({ recordId, payload: fromBase64(payload) }));
for (const planFile of planFiles) {
  const plan = JSON.parse(readFileSync(planFile, 'utf8')) as ReplayPlan;
  process.stdout.write(`${await replayShard(plan, records)}\n`);
}
