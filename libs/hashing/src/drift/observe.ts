import { codesOf, type HashFunction, scoresOf } from '../function.ts';
import type { DriftItems } from './profile.ts';

/**
 * Codes and margins of items by a function of the analytic tier, in one pass: code = [Wᵀ f > 0] as `encodeFeatures` gives it, margin = mean over the bits of |(Wᵀ f)_k|.
 * @param features [n, D]  @throws LETHE-3403
 */
export function observeItems(fn: HashFunction, features: Uint8Array): DriftItems {
  const { codeBits } = fn.codebook;
  const scores = scoresOf(fn, features);
  const margins = Float64Array.from({ length: scores.length / codeBits }, (_, row) => {
    let sum = 0;
    for (let k = 0; k < codeBits; k++) sum += Math.abs(scores[row * codeBits + k]!);
    return sum / codeBits;
  });
  return { codes: codesOf(scores), margins };
}
