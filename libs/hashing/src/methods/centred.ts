/**
 * Sign thresholds that follow the data, frozen per version: code = [u > tau], u = Wᵀ f, tau_k = mean of u_k over the items in the sums.
 *
 * Source: the dynamic sign of CSCE-Net, b = sign(u - tau(x)) with a threshold that depends on the content, of which we read the abstract. Different
 * here: tau depends on the bit and the version, not on the item, because a threshold that moves within a version ends the invariance of its
 * codes. And it costs no state: the mean of u is linear in the features, the last feature is the constant 127, so the last row of the Gram
 * matrix is 127 times the sum of features and
 *
 *     tau = Wᵀ gram[D-1] / (127 n)
 *
 * is a function of sums that an erasure already corrects exactly. Subtracted from the bias row of W it leaves an ordinary hash function.
 */
import { HASHING } from '../errors.ts';
import { FEATURE_MAX } from '../features.ts';
import type { HashFunction } from '../function.ts';
import type { HeadStatistics } from '../statistics.ts';

/** Mean of u over the items of the sums, in fixed order of addition. @returns tau [K]  @throws LETHE-3403  @throws LETHE-3410 no item */
export function meanScores(fn: HashFunction, statistics: HeadStatistics): Float64Array {
  const { featureDim: dim, codeBits, items, gram } = statistics;
  if (fn.weights.length !== dim * codeBits) {
    throw HASHING.SHAPE_MISMATCH('the statistics belong to another hash function');
  }
  if (items === 0) throw HASHING.OPTION_INVALID('there is no mean over no items');
  const tau = new Float64Array(codeBits);
  for (let i = 0; i < dim; i++) {
    const sum = gram[(dim - 1) * dim + i]! / FEATURE_MAX;
    for (let k = 0; k < codeBits; k++) tau[k]! += sum * fn.weights[i * codeBits + k]!;
  }
  return tau.map((value) => value / items);
}

/**
 * The same version with its thresholds at the mean scores. Fit it from the same sums, or two parties get different functions.
 * @throws LETHE-3403  @throws LETHE-3410 no item
 */
export function centreThresholds(fn: HashFunction, statistics: HeadStatistics): HashFunction {
  const tau = meanScores(fn, statistics);
  const weights = fn.weights.slice();
  const bias = weights.length - tau.length;
  for (const [k, value] of tau.entries()) weights[bias + k]! -= value / FEATURE_MAX;
  return { ...fn, weights };
}
