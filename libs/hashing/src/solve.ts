import { HASHING } from './errors.ts';
import { solveRidge } from './kernel/kernel.ts';
import type { HeadStatistics } from './statistics.ts';

/**
 * Ridge regression onto the codebook: W = (gram + lambda I)⁻¹ cross, by Cholesky in float64 in a fixed order. Equal statistics
 * give bit-equal weights; that is what makes "updated" equal "retrained" and "erased" equal "never seen" by digest.
 *
 * The order, which codes of existing deployments hang on: entry (i, j) of the factor, with j0 = j rounded down to a multiple of 4,
 * is gram[i, j] less the sum over t < j0 in rising order, less each product for t = j0..j-1, divided by the diagonal. Both
 * substitutions subtract sums of four products at a time in rising order of rows, then the rest one by one. The kernel runs
 * several entries at once and never reorders the terms of one; `kernel.test.ts` holds it to plain loops, bit for bit.
 * @returns W [D, K] row-major  @throws LETHE-3409 not positive definite  @throws LETHE-3410 lambda is not positive
 */
export function solveWeights(statistics: HeadStatistics, lambda: number): Float64Array {
  if (!(lambda > 0 && Number.isFinite(lambda)))
    throw HASHING.OPTION_INVALID('lambda is not a positive number');
  const { featureDim: dim, codeBits } = statistics;
  const weights = solveRidge(statistics, lambda, { dim, codeBits });
  if (typeof weights !== 'number') return weights;
  throw HASHING.NOT_POSITIVE_DEFINITE('the Gram matrix cannot be factored', { details: { row: weights } });
}
