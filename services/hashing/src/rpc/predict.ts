import type { hashing } from '@lethe/contracts';
import { voteLabel } from '@lethe/hashing';
import type { Partially } from '@lethe/rpc';
import { excludedOf, type HashingContext, servingOf } from '../context.ts';
import { HASHING_SERVICE } from '../errors.ts';
import { searchByRecord } from '../fan-out.ts';
import { checkNeighbours } from './search.ts';

/** Odd, so that two classes rarely tie; on the digits 11 to 101 voters are within 0.003 of each other (`hashing.bench.ts`). */
const VOTERS = 25;
const PAYLOADS_MAX = 1_000;
/** Payloads between two breaths: a search of the whole index each. */
const STEP = 32;

/**
 * Labels by vote of the nearest neighbours, in the order of the payloads.
 * @throws LETHE-4207 a number out of range, or a dataset of several labels per record: a vote gives one
 */
export async function predict(
  context: HashingContext,
  { name, payloads, k, modality: asked }: hashing.PredictRequest,
): Promise<Partially<hashing.PredictResponse>> {
  const { learned } = await servingOf(context, name);
  const invalid = (why: string, field: string) =>
    HASHING_SERVICE.REQUEST_INVALID(why, { details: { field } });
  if (learned.spec.label.multiple)
    throw invalid('records of this dataset have several labels: search and weigh them instead', 'name');
  const voters = checkNeighbours(k || VOTERS);
  if (payloads.length < 1 || payloads.length > PAYLOADS_MAX)
    throw invalid(`there must be 1 to ${PAYLOADS_MAX} payloads`, 'payloads');
  const rows = payloads.map((payload) => learned.decode(payload));
  const numbers = rows.map((row) => learned.modalityOf(row, asked));
  const labels: number[] = [];
  const release = learned.hold();
  try {
    for (let at = 0; at < rows.length; at += STEP) {
      const excluded = excludedOf(context, name);
      for (let i = at; i < Math.min(at + STEP, rows.length); i++) {
        const [modality, row] = [numbers[i]!, rows[i]!];
        const code = learned.encode(modality, [row]);
        const found = searchByRecord(learned, { modality, row, code }, voters, excluded);
        const votes = found.map(({ item, distance }) => ({ label: item.labels[0] ?? 0, distance }));
        labels.push(voteLabel(votes).label);
      }
      await new Promise((done) => setImmediate(done));
    }
  } finally {
    release();
  }
  return { labels };
}
