/** Margins: how near an item is to having another code. Adversarial inputs stop where the code flips, so theirs are small. */
import { HASHING } from '../errors.ts';
import type { HashFunction } from '../function.ts';

/** Smallest |u[k]| over the bits, per item. @param features [n, D]  @returns [n]  @throws LETHE-3403 */
export function codeMargins(
  { weights, codebook, features: spec }: HashFunction,
  features: Uint8Array,
): Float64Array {
  const { featureDim } = spec;
  const { codeBits } = codebook;
  if (features.length % featureDim !== 0) throw HASHING.SHAPE_MISMATCH('the features are not whole rows');
  return Float64Array.from({ length: features.length / featureDim }, (_, row) => {
    const u = new Float64Array(codeBits);
    for (let i = 0; i < featureDim; i++) {
      const f = features[row * featureDim + i]!;
      if (f !== 0) for (let k = 0; k < codeBits; k++) u[k]! += f * weights[i * codeBits + k]!;
    }
    return u.reduce((least, value) => Math.min(least, Math.abs(value)), Number.POSITIVE_INFINITY);
  });
}
