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
/** How long labels are made in one turn; others wait for as long, and for the search that is under way. */
const TURN_MS = 15;

/**
 * Labels by vote of the nearest neighbours, in the order of the payloads.
 * @throws LETHE-4207 a number out of range, or a dataset of several labels per record: a vote gives one
 * @throws LETHE-4218 every item is in quarantine, erased or contained: nobody has a vote
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
    let endMs = performance.now() + TURN_MS;
    for (const [i, row] of rows.entries()) {
      if (performance.now() > endMs) {
        await context.turns.next();
        endMs = performance.now() + TURN_MS;
      }
      const modality = numbers[i]!;
      const code = learned.encode(modality, [row]);
      const found = searchByRecord(learned, { modality, row, code }, voters, excludedOf(context, name));
      if (found.length === 0) {
        throw HASHING_SERVICE.NOBODY_ANSWERS('no item of the function may answer', {
          details: { function: name },
        });
      }
      const votes = found.map(({ item, distance }) => ({ label: item.labels[0] ?? 0, distance }));
      labels.push(voteLabel(votes).label);
    }
  } finally {
    release();
  }
  return { labels };
}
