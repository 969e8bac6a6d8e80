/** log(n!) - (n + 1/2) log n + n - log sqrt(2 pi): Stirling's series above 15, the factorial itself below. */
function stirlingError(n: number): number {
  if (n >= 16) {
    const s = 1 / (n * n);
    return (1 / 12 - s * (1 / 360 - s * (1 / 1260 - s * (1 / 1680 - s / 1188)))) / n;
  }
  let logFactorial = 0;
  for (let k = 2; k <= n; k++) logFactorial += Math.log(k);
  return n === 0 ? 0 : logFactorial - (n + 0.5) * Math.log(n) + n - 0.5 * Math.log(2 * Math.PI);
}

/** x log(x / mean) + mean - x, without cancellation where x is near the mean. */
function deviance(x: number, mean: number): number {
  const t = (x - mean) / mean;
  if (Math.abs(t) > 0.1) return x * Math.log(x / mean) + mean - x;
  // mean ((1 + t) log(1 + t) - t) = mean sum_{k >= 2} (-1)^k t^k / (k (k - 1))
  let sum = 0;
  for (let k = 18; k >= 2; k--) sum = 1 / (k * (k - 1)) - t * sum;
  return mean * t * t * sum;
}

/**
 * Upper bound on P[Binomial(n, p) >= k], tight to 1e-9 relative.
 *
 * The probability of k by the saddle-point form (Loader 2000, "Fast and accurate computation of binomial probabilities"), the rest by the ratio of neighbours, whose remainder
 * is bounded by a geometric series.
 */
export function binomialTailUpper(n: number, p: number, k: number): number {
  if (k <= 0) return 1;
  if (k > n || p === 0) return 0;
  if (p === 1) return 1;
  const mean = n * p;
  if (k <= mean) return 1;
  const odds = p / (1 - p);
  const logFirst =
    k === n
      ? n * Math.log(p)
      : stirlingError(n) -
        stirlingError(k) -
        stirlingError(n - k) -
        deviance(k, mean) -
        deviance(n - k, n - mean) +
        0.5 * Math.log(n / (2 * Math.PI * k * (n - k)));
  let sum = 0;
  let term = 1;
  for (let i = k; term > 0; i++) {
    sum += term;
    const ratio = ((n - i) / (i + 1)) * odds;
    term *= ratio;
    // Ratios fall with i: what is left is at most a geometric series.
    if (ratio < 1 && term / (1 - ratio) < 1e-12 * sum) {
      sum += term / (1 - ratio);
      break;
    }
  }
  return Math.min(1, Math.exp(logFirst) * sum * (1 + 1e-9));
}
