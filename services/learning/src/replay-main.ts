/**
 * node services/learning/src/replay-main.ts PLAN RECORDS
 *
 * PLAN: the bytes of `Replay.plan`. RECORDS: JSON, [{ "recordId": "…", "payload": base64 }]. Prints the digest of the shard that it has
 * trained from nothing. Reads two files and nothing else.
 */
import { readFileSync } from 'node:fs';
import { fromBase64 } from '@lethe/std';
import { type ReplayPlan, replayShard } from './replay.ts';

const [planFile, recordsFile] = process.argv.slice(2);
if (!planFile || !recordsFile) {
  process.stderr.write('usage: replay-main.ts PLAN RECORDS\n');
  process.exit(2);
}
const plan = JSON.parse(readFileSync(planFile, 'utf8')) as ReplayPlan;
const records = JSON.parse(readFileSync(recordsFile, 'utf8')) as { recordId: string; payload: string }[];
const digest = await replayShard(
  plan,
  records.map(({ recordId, payload }) => ({ recordId, payload: fromBase64(payload) })),
);
process.stdout.write(`${digest}\n`);
