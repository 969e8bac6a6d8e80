/** Two estimates that are jointly normal with known variances. */
export interface RatioInput {
  readonly numerator: number;
  readonly denominator: number;
  readonly numeratorVariance: number;
  readonly denominatorVariance: number;
  readonly covariance: number;
}

/** Var(numerator - ratio * denominator) */
export const contrastVariance = (x: RatioInput, ratio: number): number =>
  x.numeratorVariance - 2 * ratio * x.covariance + ratio * ratio * x.denominatorVariance;

/**
 * Upper confidence limit of numerator / denominator by Fieller's theorem (1954): the largest ratio r that the test of
 * "numerator - r * denominator = 0" does not reject from above, that is the larger root of
 * (numerator - r * denominator)^2 = z^2 Var(numerator - r * denominator).
 *
 * Fieller rather than a bootstrap, because a verifier must recompute the limit to the last printed digit without a random
 * stream; and rather than the delta method, whose symmetric limit ignores that a noisy denominator stretches the ratio
 * upwards. "limit <= r" is then exactly the one-sided test against a true ratio of r, so a true ratio at the bound passes
 * with probability 1 - level.
 *
 * @param z one-sided normal quantile, e.g. 1.645 for 95 %
 * @returns null when the denominator is not positive by more than z of its standard errors: no upper limit exists
 */
export function fiellerUpper(x: RatioInput, z: number): number | null {
  const a = x.denominator ** 2 - z * z * x.denominatorVariance;
  if (a <= 0 || x.denominator <= 0) return null;
  const b = x.numerator * x.denominator - z * z * x.covariance;
  const c = x.numerator ** 2 - z * z * x.numeratorVariance;
  // Non-negative in exact arithmetic whenever a > 0: the estimate itself lies between the roots.
  return (b + Math.sqrt(Math.max(0, b * b - a * c))) / a;
}
