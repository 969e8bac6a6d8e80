/**
 * Lower confidence bound of a mean of paired differences by the studentised bootstrap (bootstrap-t; Efron and Tibshirani 1993, chapter 12.5).
 *
 * Chosen over the percentile method because differences of average precision are skewed and have many zeros: one-sided, the percentile method misses its
 * level by an error of order 1/sqrt(n), the studentised one by 1/n (Hall 1988). `bootstrap.sim.ts` measures the coverage of both.
 * Resampling needs something to resample: where fewer than 30 queries differ at all (both versions rank nearly everything perfectly), most draws hold hardly any of them, and
 * the studentised quantile is worth nothing. There the bound is that of the share of queries that are worse, each as bad as can be (Clopper and Pearson 1934): crude, and it holds
 * for every n.
 *
 * The resampling unit is a query; queries of one person have to be thinned to one, or the bound is too narrow. The gallery is fixed: the bound speaks about other
 * queries against this gallery.
 */
import type { RandomSource } from '@lethe/std';
import { upperRateBound } from '../drift/binomial.ts';

/** Below so many differences that are not 0 the bound counts instead of resampling. */
const DIFFERENT_MIN = 30;

/** Mean and standard error (population variance) of the values drawn. */
function moments(values: Float64Array, pick: (i: number) => number): { mean: number; error: number } {
  let sum = 0;
  let squares = 0;
  for (let i = 0; i < values.length; i++) {
    const value = values[pick(i)]!;
    sum += value;
    squares += value * value;
  }
  const mean = sum / values.length;
  return { mean, error: Math.sqrt(Math.max(0, squares / values.length - mean * mean) / values.length) };
}

/**
 * @param differences [n], finite, in [-1, 1]  @param level confidence in (0.5, 1), one-sided
 * @returns the bound; the mean itself if all differences are equal: no spread, nothing to resample (a harm rarer than 1 in n is not seen)
 */
export function lowerBoundOfMean(
  differences: Float64Array,
  level: number,
  resamples: number,
  random: RandomSource,
): number {
  const { mean, error } = moments(differences, (i) => i);
  if (error < 1e-15) return mean;
  const [worse, better] = [
    differences.filter((value) => value < 0),
    differences.filter((value) => value > 0),
  ];
  if (worse.length + better.length < DIFFERENT_MIN)
    return -upperRateBound(differences.length, worse.length, 1 - level);
  const ratios = new Float64Array(resamples);
  for (let r = 0; r < resamples; r++) {
    const drawn = moments(differences, () => random.below(differences.length));
    // A resample without spread has no t; it is put on the side that lowers the bound.
    ratios[r] = drawn.error < 1e-15 ? Number.POSITIVE_INFINITY : (drawn.mean - mean) / drawn.error;
  }
  ratios.sort();
  const quantile = ratios[Math.min(resamples - 1, Math.ceil(level * resamples) - 1)]!;
  // Differences of AP lie in [-1, 1]; without a usable quantile that is all there is to say.
  return Math.max(-1, mean - quantile * error);
}
