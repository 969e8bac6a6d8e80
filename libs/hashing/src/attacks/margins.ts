/** Margins: how near an item is to having another code. Adversarial inputs stop where the code flips, so theirs are small. */
import { type HashFunction, scoresOf } from '../function.ts';

/** Smallest |u[k]| over the bits, per item. @param features [n, D]  @returns [n]  @throws LETHE-3403 */
export function codeMargins(fn: HashFunction, features: Uint8Array): Float64Array {
  const { codeBits } = fn.codebook;
  const scores = scoresOf(fn, features);
  return Float64Array.from({ length: scores.length / codeBits }, (_, row) =>
    scores
      .subarray(row * codeBits, (row + 1) * codeBits)
      .reduce((least, value) => Math.min(least, Math.abs(value)), Number.POSITIVE_INFINITY),
  );
}
