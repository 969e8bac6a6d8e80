import { clopperPearson } from './binomial.ts';

export interface RocPoint {
  /** Units with score >= threshold are called members. +Infinity for the first point. */
  readonly threshold: number;
  readonly fpr: number;
  readonly tpr: number;
}

/** The ROC curve, one point per distinct score, from (0, 0) to (1, 1). */
export function rocPoints(positives: ArrayLike<number>, negatives: ArrayLike<number>): RocPoint[] {
  const up = Float64Array.from(positives).sort().reverse();
  const down = Float64Array.from(negatives).sort().reverse();
  const points: RocPoint[] = [{ threshold: Number.POSITIVE_INFINITY, fpr: 0, tpr: 0 }];
  let i = 0;
  let j = 0;
  while (i < up.length || j < down.length) {
    const threshold = Math.max(up[i] ?? Number.NEGATIVE_INFINITY, down[j] ?? Number.NEGATIVE_INFINITY);
    while (i < up.length && up[i]! >= threshold) i++;
    while (j < down.length && down[j]! >= threshold) j++;
    points.push({ threshold, fpr: j / down.length, tpr: i / up.length });
  }
  return points;
}

export interface TprAtFpr {
  readonly threshold: number;
  readonly tpr: number;
  readonly tprInterval: readonly [number, number];
  /** At most the target. */
  readonly achievedFpr: number;
  /** Two-sided Clopper-Pearson, like `tprInterval`. */
  readonly fprInterval: readonly [number, number];
}

/** Fewest controls with which a false-positive rate can be stated: none above it has probability <= alpha. */
export const controlsToResolve = (fprTarget: number, alpha = 0.05): number =>
  Math.ceil(Math.log(alpha) / Math.log1p(-fprTarget));

/**
 * Largest true-positive rate over thresholds whose false-positive rate is at most the target.
 *
 * @returns null when there are fewer than `controlsToResolve` negatives (59, 299 and 2995 for 5 %, 1 % and 0.1 %): the
 *   rate is not resolvable, and a figure for it would be an artefact of the sample
 */
export function tprAtFpr(
  positives: ArrayLike<number>,
  negatives: ArrayLike<number>,
  fprTarget: number,
  level = 0.95,
): TprAtFpr | null {
  if (negatives.length < controlsToResolve(fprTarget)) return null;
  const best = rocPoints(positives, negatives)
    .filter((point) => point.fpr <= fprTarget)
    .at(-1)!;
  const interval = (rate: number, count: number) => clopperPearson(Math.round(rate * count), count, level);
  return {
    threshold: best.threshold,
    tpr: best.tpr,
    tprInterval: interval(best.tpr, positives.length),
    achievedFpr: best.fpr,
    fprInterval: interval(best.fpr, negatives.length),
  };
}
