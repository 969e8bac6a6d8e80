import { STATISTICS } from './errors.ts';

/**
 * The standard normal distribution with full relative precision in the tails, where p-values live.
 *
 * erfc is 1 minus the series e^{-x^2} sum 2^k x^{2k+1} / (2k+1)!! (all terms positive, no cancellation, Abramowitz and
 * Stegun 7.1.6) below 2, and above it the continued fraction 7.1.14, evaluated by Lentz's method. Relative error stays
 * below 1e-13 (checked against 50-digit values in the test); underflows to 0 beyond 38 standard deviations.
 */

const TWO_OVER_SQRT_PI = 2 / Math.sqrt(Math.PI);

function erfSeries(x: number): number {
  let term = x;
  let sum = x;
  for (let k = 1; term > sum * 1e-17; k++) {
    term *= (2 * x * x) / (2 * k + 1);
    sum += term;
  }
  return TWO_OVER_SQRT_PI * Math.exp(-x * x) * sum;
}

/** For x >= 2: e^{-x^2} / sqrt(pi) / (x + (1/2)/(x + (2/2)/(x + (3/2)/(x + ...)))) */
function erfcFraction(x: number): number {
  let value = x;
  let c = x;
  let d = 0;
  for (let k = 1; k < 500; k++) {
    d = 1 / (x + (k / 2) * d);
    c = x + k / 2 / c;
    const factor = c * d;
    value *= factor;
    if (Math.abs(factor - 1) < 1e-16) break;
  }
  return Math.exp(-x * x) / (value * Math.sqrt(Math.PI));
}

function erfc(x: number): number {
  if (x < 0) return 2 - erfc(-x);
  if (x === 0) return 1;
  return x < 2 ? 1 - erfSeries(x) : erfcFraction(x);
}

/** P[Z <= z] */
export const normalCdf = (z: number): number => erfc(-z / Math.SQRT2) / 2;

/** P[Z > z], precise where the cdf is 1. */
export const normalSf = (z: number): number => erfc(z / Math.SQRT2) / 2;

/**
 * z with P[Z <= z] = p: a rational start (Abramowitz and Stegun 26.2.23, error below 4.5e-4) and three Halley steps
 * in the lower tail, where the cdf keeps its relative precision.
 *
 * @param p in (0, 1)   @throws LETHE-1402
 */
export function normalQuantile(p: number): number {
  if (!(p > 0 && p < 1)) throw STATISTICS.NOT_A_NUMBER(`${p} is not a probability within (0, 1)`);
  if (p > 0.5) return -normalQuantile(1 - p);
  const t = Math.sqrt(-2 * Math.log(p));
  let z =
    (2.515517 + 0.802853 * t + 0.010328 * t * t) / (1 + 1.432788 * t + 0.189269 * t * t + 0.001308 * t ** 3) -
    t;
  for (let step = 0; step < 3; step++) {
    const density = Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI);
    const newton = (normalCdf(z) - p) / density;
    z -= newton / (1 + (z * newton) / 2);
  }
  return z;
}
