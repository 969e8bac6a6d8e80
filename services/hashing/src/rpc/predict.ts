import type { hashing } from '@lethe/contracts';
import { voteLabel } from '@lethe/hashing';
import type { Partially } from '@lethe/rpc';
import { type HashingContext, masksOf, servingOf } from '../context.ts';
import { HASHING_SERVICE } from '../errors.ts';
import { checkModality, checkNeighbours } from './search.ts';

/** Odd, so that two classes rarely tie; on the digits 11 to 101 voters are within 0.003 of each other (`hashing.bench.ts`). */
const VOTERS = 25;
const PAYLOADS_MAX = 1_000;
/** Payloads between two breaths: a search of the whole index each. */
const STEP = 32;

/** Labels by vote of the nearest neighbours, in the order of the payloads. */
export async function predict(
  context: HashingContext,
  { name, payloads, k, modality }: hashing.PredictRequest,
): Promise<Partially<hashing.PredictResponse>> {
  const serving = await servingOf(context, name);
  checkModality(modality);
  const voters = checkNeighbours(k || VOTERS);
  if (payloads.length < 1 || payloads.length > PAYLOADS_MAX) {
    throw HASHING_SERVICE.REQUEST_INVALID(`there must be 1 to ${PAYLOADS_MAX} payloads`, {
      details: { field: 'payloads' },
    });
  }
  const rows = payloads.map((payload) => serving.decode(payload));
  const codeBytes = serving.state.fn.codebook.codeBits / 8;
  const labels: number[] = [];
  for (let at = 0; at < rows.length; at += STEP) {
    const step = rows.slice(at, at + STEP);
    const codes = serving.encode(step);
    const masks = masksOf(context, name);
    for (let i = 0; i < step.length; i++) {
      const found = serving.search(codes.subarray(i * codeBytes, (i + 1) * codeBytes), voters, masks);
      labels.push(voteLabel(found.map(({ item, distance }) => ({ label: item.label, distance }))).label);
    }
    await new Promise((done) => setImmediate(done));
  }
  return { labels };
}
