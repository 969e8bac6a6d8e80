import { HASHING } from '../errors.ts';
import type { HashFunction } from '../function.ts';
import type { DriftItems } from './profile.ts';

/**
 * Codes and margins of items by a function of the analytic tier, in one pass: code = [Wᵀ f > 0] as `encodeFeatures` gives it, margin = mean over the bits of |(Wᵀ f)_k|.
 * @param features [n, D]  @throws LETHE-3403
 */
export function observeItems(fn: HashFunction, features: Uint8Array): DriftItems {
  const { featureDim } = fn.features;
  const { codeBits } = fn.codebook;
  if (features.length % featureDim !== 0) throw HASHING.SHAPE_MISMATCH('the features are not whole rows');
  const rows = features.length / featureDim;
  const codes = new Uint8Array((rows * codeBits) / 8);
  const u = new Float64Array(codeBits);
  const margins = Float64Array.from({ length: rows }, (_, row) => {
    u.fill(0);
    for (let i = 0; i < featureDim; i++) {
      const f = features[row * featureDim + i]!;
      if (f !== 0) for (let k = 0; k < codeBits; k++) u[k]! += f * fn.weights[i * codeBits + k]!;
    }
    let sum = 0;
    for (let k = 0; k < codeBits; k++) {
      sum += Math.abs(u[k]!);
      if (u[k]! > 0) codes[(row * codeBits + k) >> 3]! |= 1 << (k & 7);
    }
    return sum / codeBits;
  });
  return { codes, margins };
}
