/**
 * Lower confidence bound of a mean of paired differences that allows for what no query has shown (Gaffke, Three test statistics for a nonparametric one-sided hypothesis on the mean
 * of a nonnegative variable, 2005).
 *
 *     bound = quantile (1 - level) of  w_0 * (-1) + sum over queries of w_i * d_i,       (w_0, …, w_n) uniform on the simplex
 *
 * That is the Bayesian bootstrap (Rubin 1981) with one query more, which lost everything. A harm of one query in 100 is absent from more than a third of all samples of 100; no
 * resampling of these can know of it, and bounds by plain or studentised resampling promoted such versions in 10 to 40 cases of 100. Here n equal differences of 0 give
 * -(1 - (1 - level)^(1/n)), the share of queries that may stay unseen, and differences of 0 and -1 the bound of Clopper and Pearson (1934), exactly; with many queries
 * it is the normal one. That the level holds for every distribution on [-1, 1] and every n is Gaffke's conjecture: no counterexample is known (Phan, Thomas
 * and Learned-Miller, ICML 2021), no proof either. `bootstrap.sim.ts` measures the coverage where resampling fails.
 *
 * The sampling unit is a query; queries of one person have to be thinned to one, or the bound is too narrow. The gallery is fixed: the bound speaks about other
 * queries against this gallery.
 */
import { type RandomSource, uniforms } from '@lethe/std';

/** Differences of AP lie in [-1, 1]. */
const WORST = -1;

/**
 * @param differences [n], finite, in [-1, 1]  @param level confidence in (0.5, 1), one-sided
 * @param resamples weights drawn; the level is kept in expectation over them from 1 / (1 - level) on
 * @returns the bound; -1 without a difference
 */
export function lowerBoundOfMean(
  differences: Float64Array,
  level: number,
  resamples: number,
  random: RandomSource,
): number {
  const means = Float64Array.from({ length: resamples }, () => {
    // Exponential weights; the first is that of the query that nobody has asked.
    const drawn = uniforms(random, differences.length + 1);
    let weights = 0;
    let sum = 0;
    for (let i = 0; i < drawn.length; i++) {
      const weight = -Math.log1p(-drawn[i]!);
      weights += weight;
      sum += weight * (i === 0 ? WORST : differences[i - 1]!);
    }
    return sum / weights;
  }).sort();
  return means[Math.floor((1 - level) * (resamples + 1)) - 1] ?? WORST;
}
