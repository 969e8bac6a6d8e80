import { pldEpsilon } from './pld.ts';
import { checkDelta, type PrivacyRelation, requireField, type SampledGaussianRun } from './runs.ts';

/** log of what delta is multiplied with for k subjects: sum of e^(j epsilon), j = 0..k-1. */
const logFactor = (epsilon: number, k: number): number =>
  epsilon < 1e-12
    ? Math.log(k) + k * epsilon
    : k * epsilon > 30
      ? k * epsilon - Math.log(Math.expm1(epsilon))
      : Math.log(Math.expm1(k * epsilon) / Math.expm1(epsilon));

/**
 * Upper bound on epsilon for k subjects at once, at the same `delta`: the smaller of two bounds.
 * (1) k times (epsilon, delta)-privacy of one subject is (k epsilon, delta sum_j e^(j epsilon)).
 * (2) Add-remove without a cap: the group as one subject that is drawn with probability 1 - (1 - q)^k and then moves the sum by at most k clip norms (joint convexity over how many
 *     of the group are drawn, and every shift of at most k is dominated by one of k).
 * @param subjects k, a positive integer @throws LETHE-3301 bad parameters
 */
export function groupEpsilon(
  runs: readonly SampledGaussianRun[],
  relation: PrivacyRelation,
  delta: number,
  subjects: number,
): number {
  requireField(
    Number.isInteger(subjects) && subjects >= 1 && subjects <= 1e6,
    'subjects',
    subjects,
    'an integer in 1..10^6',
  );
  checkDelta(delta);
  const alone = pldEpsilon(runs, relation, delta).epsilon;
  if (subjects === 1) return alone;
  let bound = Infinity;
  // A smaller delta for one subject has a larger epsilon, and that a larger factor: what fits is found by iteration and then checked.
  let logDelta = Math.log(delta) - logFactor(alone, subjects);
  for (let i = 0; i < 12 && logDelta > -200; i++) {
    const epsilon = pldEpsilon(runs, relation, Math.exp(logDelta)).epsilon;
    if (logDelta + logFactor(epsilon, subjects) <= Math.log(delta)) {
      bound = subjects * epsilon;
      break;
    }
    logDelta = Math.log(delta) - logFactor(epsilon * 1.0001 + 1e-6, subjects);
  }
  if (relation === 'add-remove' && runs.every(({ cap }) => cap === undefined)) {
    const asOne = runs.map((run) => ({
      ...run,
      samplingProbability: -Math.expm1(subjects * Math.log1p(-run.samplingProbability)),
      noiseMultiplier: run.noiseMultiplier / subjects,
    }));
    bound = Math.min(bound, pldEpsilon(asOne, relation, delta).epsilon);
  }
  return bound;
}
