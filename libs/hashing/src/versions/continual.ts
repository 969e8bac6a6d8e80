/**
 * What a learner keeps, loses and gains over tasks, from one matrix of scores.
 *
 * R[t][k] is the score (here: tie-aware mAP, higher is better) on task k after step t; both are counted from 0 here and from 1 in the papers. Step t
 * learns task t. A cell that was not measured is NaN; a figure that would need it is refused, not guessed.
 *
 *     Lopez-Paz and Ranzato 2017 (GEM, arXiv 1706.08840, section 2)      ACC, BWT, FWT
 *     Chaudhry et al. 2018 (arXiv 1801.10112, section 3.2)                forgetting
 */
import { HASHING } from '../errors.ts';

export type ScoreMatrix = readonly (readonly number[])[];

/** T = number of steps. @throws LETHE-3441 not T rows of one width of at least T columns */
function stepsOf(scores: ScoreMatrix, least: number): number {
  const steps = scores.length;
  const tasks = scores[0]?.length ?? 0;
  if (steps < least || tasks < steps || scores.some((row) => row.length !== tasks)) {
    throw HASHING.SCORES_INCOMPLETE('the score matrix lacks steps or tasks', {
      details: { steps, tasks, least },
    });
  }
  return steps;
}

function score(scores: ScoreMatrix, step: number, task: number): number {
  const value = scores[step]![task]!;
  if (!Number.isFinite(value)) {
    throw HASHING.SCORES_INCOMPLETE('a score that the figure needs was not measured', {
      details: { step, task },
    });
  }
  return value;
}

function mean(count: number, at: (i: number) => number): number {
  let sum = 0;
  for (let i = 0; i < count; i++) sum += at(i);
  return sum / count;
}

/** A_T = mean over k <= T of R[T][k]: the score after the last step over all tasks so far. @throws LETHE-3441 */
export function averageScore(scores: ScoreMatrix): number {
  const last = stepsOf(scores, 1) - 1;
  return mean(last + 1, (task) => score(scores, last, task));
}

/**
 * Forgetting F = mean over k < T of (max over t < T of R[t][k]) - R[T][k], at least -1 and at most 1; smaller is better. Chaudhry et al. let the
 * maximum run over every earlier step, those before the task was learned included; so does this.
 * @throws LETHE-3441 fewer than two steps
 */
export function forgetting(scores: ScoreMatrix): number {
  const last = stepsOf(scores, 2) - 1;
  return mean(last, (task) => {
    let best = Number.NEGATIVE_INFINITY;
    for (let step = 0; step < last; step++) best = Math.max(best, score(scores, step, task));
    return best - score(scores, last, task);
  });
}

/** BWT = mean over k < T of R[T][k] - R[k][k]: what later steps did to earlier tasks; below 0 they were forgotten. @throws LETHE-3441 */
export function backwardTransfer(scores: ScoreMatrix): number {
  const last = stepsOf(scores, 2) - 1;
  return mean(last, (task) => score(scores, last, task) - score(scores, task, task));
}

/**
 * FWT = mean over k >= 2 of R[k-1][k] - r[k]: what earlier steps did for a task before it was learned.
 * @param baseline r[k]: score on task k of a function that learned nothing (random weights), measured on the same items
 * @throws LETHE-3441
 */
export function forwardTransfer(scores: ScoreMatrix, baseline: readonly number[]): number {
  const last = stepsOf(scores, 2) - 1;
  if (baseline.length < last + 1) throw HASHING.SCORES_INCOMPLETE('the baseline lacks a task');
  return mean(last, (i) => score(scores, i, i + 1) - score([baseline], 0, i + 1));
}
