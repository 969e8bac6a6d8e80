import { STATISTICS } from './errors.ts';
import { normalQuantile } from './normal.ts';

/**
 * The area under the ROC curve as the Mann-Whitney statistic, and its variance without assumptions on the scores.
 *
 * DeLong, DeLong and Clarke-Pearson (1988): with psi(x, y) = 1, 1/2, 0 for x above, at, below y, each positive has the
 * component V10(x) = mean over y of psi, each negative V01(y) = mean over x of psi; AUC is the mean of either, its variance
 * S10/m + S01/n with their sample variances. Two areas that share their negatives covary through V01 only.
 */
export interface DelongAuc {
  readonly auc: number;
  readonly variance: number;
  readonly positives: number;
  readonly negatives: number;
  /** V01 in the order of the negatives given: what `delongCovariance` needs. */
  readonly negativeComponents: Float64Array;
}

function sorted(scores: ArrayLike<number>, arm: string): Float64Array {
  const out = Float64Array.from(scores);
  if (out.length < 2)
    throw STATISTICS.TOO_FEW_SCORES(`${arm} has ${out.length} scores, at least 2 are needed`);
  if (!out.every(Number.isFinite)) throw STATISTICS.NOT_A_NUMBER(`a score of ${arm} is not finite`);
  return out.sort();
}

/** How many values lie below `x`, plus half of those equal to it. */
function rankAmong(values: Float64Array, x: number): number {
  const bound = (isBefore: (value: number) => boolean): number => {
    let low = 0;
    let high = values.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (isBefore(values[middle]!)) low = middle + 1;
      else high = middle;
    }
    return low;
  };
  const below = bound((value) => value < x);
  const upTo = bound((value) => value <= x);
  return (below + upTo) / 2;
}

function mean(values: Float64Array): number {
  let sum = 0;
  for (const value of values) sum += value;
  return sum / values.length;
}

/** Sample covariance (divisor n - 1) of two lists of the same length. */
function covariance(a: Float64Array, b: Float64Array): number {
  const [meanA, meanB] = [mean(a), mean(b)];
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i]! - meanA) * (b[i]! - meanB);
  return sum / (a.length - 1);
}

/**
 * AUC of `positives` against `negatives`, ties counted half, with DeLong's variance. O((m + n) log(m + n)).
 *
 * @throws LETHE-1401 for fewer than two scores in an arm, LETHE-1402 for a score that is not finite
 */
export function delongAuc(positives: ArrayLike<number>, negatives: ArrayLike<number>): DelongAuc {
  const up = sorted(positives, 'the positives');
  const down = sorted(negatives, 'the negatives');
  const positiveComponents = up.map((x) => rankAmong(down, x) / down.length);
  const negativeComponents = Float64Array.from(negatives, (y) => 1 - rankAmong(up, y) / up.length);
  return {
    auc: mean(positiveComponents),
    variance:
      covariance(positiveComponents, positiveComponents) / up.length +
      covariance(negativeComponents, negativeComponents) / down.length,
    positives: up.length,
    negatives: down.length,
    negativeComponents,
  };
}

/** Covariance of two areas whose negatives are the same list in the same order and whose positives are distinct units. */
export function delongCovariance(a: DelongAuc, b: DelongAuc): number {
  return covariance(a.negativeComponents, b.negativeComponents) / a.negatives;
}

/** Two-sided normal interval at `level`, cut to [0, 1]. */
export function delongInterval(area: DelongAuc, level: number): readonly [number, number] {
  const reach = normalQuantile((1 + level) / 2) * Math.sqrt(area.variance);
  return [Math.max(0, area.auc - reach), Math.min(1, area.auc + reach)];
}

/**
 * Standard error of the AUC when both arms follow one distribution: sqrt((m + n + 1) / (12 m n)) (Mann and Whitney 1947).
 * Without a correction for ties, which would only make it smaller.
 */
export const nullAucSe = (positives: number, negatives: number): number =>
  Math.sqrt((positives + negatives + 1) / (12 * positives * negatives));
