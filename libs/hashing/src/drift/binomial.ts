/**
 * Binomial tails and one-sided bounds with relative precision where alarms live (1e-6 and far below).
 *
 * A tail is the sum of its terms, starting at the largest: with log-factorials from one table the relative error of a term stays below 1e-11 for
 * n up to 2^17, and the terms fall geometrically, so hundreds of them suffice. Nothing here is an approximation by a normal law, which at these
 * levels and at rates of a percent is wrong by orders of magnitude.
 */
import { HASHING } from '../errors.ts';

/** Trials at most: reference windows and windows are far smaller, and the table of log-factorials has so many entries. */
const TRIALS_MAX = 2 ** 17;

let logFactorials = new Float64Array(1);

/** ln n! for n = 0..trials; every entry is the sum of the logarithms before it, compensated (Kahan). */
function logFactorialsTo(trials: number): Float64Array {
  if (!Number.isInteger(trials) || trials < 1 || trials > TRIALS_MAX) {
    throw HASHING.OPTION_INVALID(`the number of trials is not an integer in 1..${TRIALS_MAX}`, {
      details: { trials },
    });
  }
  if (logFactorials.length <= trials) {
    const table = new Float64Array(trials + 1);
    let lost = 0;
    for (let n = 1; n <= trials; n++) {
      const add = Math.log(n) - lost;
      table[n] = table[n - 1]! + add;
      lost = table[n]! - table[n - 1]! - add;
    }
    logFactorials = table;
  }
  return logFactorials;
}

/** P[Bin(trials, rate) >= count]. @param rate in [0, 1]  @throws LETHE-3410 */
export function upperTail(trials: number, rate: number, count: number): number {
  const table = logFactorialsTo(trials);
  if (!(rate >= 0 && rate <= 1)) throw HASHING.OPTION_INVALID('a rate is not in [0, 1]');
  if (count <= 0) return 1;
  if (count > trials || rate === 0) return 0;
  if (rate === 1) return 1;
  // Below the mean the tail is the large side: its complement has the precision.
  if (count <= trials * rate) return 1 - lowerTail(trials, rate, count - 1);
  const odds = rate / (1 - rate);
  let term = Math.exp(
    table[trials]! -
      table[count]! -
      table[trials - count]! +
      count * Math.log(rate) +
      (trials - count) * Math.log1p(-rate),
  );
  let sum = term;
  for (let x = count; x < trials && term > sum * 1e-17; x++) {
    term *= ((trials - x) / (x + 1)) * odds;
    sum += term;
  }
  return Math.min(1, sum);
}

/** P[Bin(trials, rate) <= count]. @param rate in [0, 1]  @throws LETHE-3410 */
export function lowerTail(trials: number, rate: number, count: number): number {
  return upperTail(trials, 1 - rate, trials - count);
}

/**
 * One-sided upper Clopper-Pearson bound (1934): the largest rate at which so few successes are no rarer than `level`. The true rate lies above it
 * with a probability of at most `level`. The lower bound is 1 minus this one for the failures.
 * @param level in (0, 0.5)  @throws LETHE-3410
 */
export function upperRateBound(trials: number, successes: number, level: number): number {
  if (!(level > 0 && level < 0.5)) throw HASHING.OPTION_INVALID('a level is not in (0, 0.5)');
  if (successes >= trials) return 1;
  let low = successes / trials;
  let high = 1;
  // Widths below 1e-12 change no count of at most 2^17; the upper end is the safe one.
  while (high - low > 1e-12) {
    const middle = (low + high) / 2;
    if (lowerTail(trials, middle, successes) > level) low = middle;
    else high = middle;
  }
  return high;
}

/** Least count in 0..trials + 1 whose upper tail is at most `level`: alarm at it or above. @throws LETHE-3410 */
export function upperThreshold(trials: number, rate: number, level: number): number {
  let low = 0;
  let high = trials + 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (upperTail(trials, rate, middle) <= level) high = middle;
    else low = middle + 1;
  }
  return low;
}
