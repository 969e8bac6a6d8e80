/**
 * What the accountants price, as data: runs of the Poisson-subsampled Gaussian, checked once, and the branches that one step of a run consists of.
 */
import { PRIVACY } from '../errors.ts';
import { binomialTailUpper } from './binomial.ts';

/**
 * Which data sets are neighbours. `add-remove`: one subject more or less. `replace-one`: one subject's records exchanged, the number of subjects is public.
 * For Poisson sampling replace-one is not the other relation at half the noise.
 */
export type PrivacyRelation = 'add-remove' | 'replace-one';

/** Steps of the Poisson-subsampled Gaussian with equal parameters. */
export interface SampledGaussianRun {
  /** Each subject joins each step independently with this probability, in [0, 1]. */
  readonly samplingProbability: number;
  /** Standard deviation of the noise divided by the clip norm; see `noiseMultiplierAfterRounding`. */
  readonly noiseMultiplier: number;
  readonly steps: number;
  /**
   * Truncated Poisson sampling: of a draw of more than `cap` subjects, `cap` are kept, uniformly and without replacement.
   * Needs `population`, an upper bound on the number of subjects in either data set.
   */
  readonly cap?: number;
  readonly population?: number;
}

/**
 * One way a step can go, and its probability, which does not depend on the subject whose privacy is priced: the subject joins with probability q and then moves the
 * sum by at most one unit, whose noise has standard deviation sigma.
 */
export interface Branch {
  readonly weight: number;
  readonly q: number;
  readonly sigma: number;
}

/** A run as accountants take it: `steps` times a mixture of branches. Weights sum to 1. */
export interface BranchedRun {
  readonly branches: readonly Branch[];
  readonly steps: number;
}

const STEPS_MAX = 1e9;
const POPULATION_MAX = 2 ** 40;

/** @throws LETHE-3301 names the field and its value */
export function checkRun(run: SampledGaussianRun): void {
  const { samplingProbability: q, noiseMultiplier, steps, cap, population } = run;
  requireField(q >= 0 && q <= 1, 'samplingProbability', q, 'in [0, 1]');
  requireField(
    noiseMultiplier >= 0 && noiseMultiplier < 1e9,
    'noiseMultiplier',
    noiseMultiplier,
    'in [0, 10^9)',
  );
  requireField(
    Number.isInteger(steps) && steps >= 0 && steps <= STEPS_MAX,
    'steps',
    steps,
    'an integer in 0..10^9',
  );
  if (cap === undefined) return;
  requireField(Number.isInteger(cap) && cap >= 1, 'cap', cap, 'a positive integer');
  requireField(
    population !== undefined &&
      Number.isInteger(population) &&
      population >= 1 &&
      population <= POPULATION_MAX,
    'population',
    population,
    'a positive integer beside a cap: an upper bound on the number of subjects',
  );
}

/** @throws LETHE-3301 */
export function checkDelta(delta: number): void {
  requireField(delta > 0 && delta < 1, 'delta', delta, 'in (0, 1)');
}

export function requireField(holds: boolean, field: string, value: unknown, expected: string): void {
  if (holds) return;
  throw PRIVACY.INVALID_MECHANISM(`${field} is ${String(value)}; it has to be ${expected}`, {
    details: { field },
  });
}

/**
 * The runs that cost anything, as mixtures of branches; runs without sampling (q = 1) become one Gaussian step of noise (sum steps / sigma^2)^(-1/2),
 * which has the same loss. Null where there is no noise, so that no epsilon is finite.
 *
 * Truncation (the sampler of arXiv 2508.15089; the argument is written out because it is ours). Fix the draws of all other subjects in a step; they do not depend on
 * the subject whose privacy is priced. If fewer than `cap` others are drawn, nothing is ever dropped and the step is the plain one: branch one.
 * If `cap` or more are drawn, the subject, once drawn, takes the place of one other subject with some probability: the sum moves by at most 2 clip norms with probability at most q:
 * branch two, q and sigma / 2. The hockey-stick divergence is jointly convex, so the mixture of the branches' pairs, weighted by the probability of each, dominates the step, for
 * both relations; it grows with the weight of branch two, and P[Bin(others, q) >= cap] grows with the number of others, so the population may be an upper bound.
 */
export function branchedRuns(runs: readonly SampledGaussianRun[]): readonly BranchedRun[] | null {
  const branched: BranchedRun[] = [];
  let precision = 0;
  for (const run of runs) {
    const { samplingProbability: q, noiseMultiplier: sigma, steps } = run;
    if (q === 0 || steps === 0) continue;
    if (sigma === 0) return null;
    const overflow = overflowProbability(run);
    if (overflow > 0) {
      branched.push({
        steps,
        branches: [
          { weight: 1 - overflow, q, sigma },
          { weight: overflow, q, sigma: sigma / 2 },
        ],
      });
    } else if (q === 1) precision += steps / (sigma * sigma);
    else branched.push({ steps, branches: [{ weight: 1, q, sigma }] });
  }
  if (precision > 0)
    branched.push({ steps: 1, branches: [{ weight: 1, q: 1, sigma: 1 / Math.sqrt(precision) }] });
  return branched;
}

/** Upper bound on the probability that a step of the run has to drop somebody because of the others. */
export function overflowProbability({ samplingProbability, cap, population }: SampledGaussianRun): number {
  if (cap === undefined || population === undefined || cap >= population) return 0;
  return binomialTailUpper(population - 1, samplingProbability, cap);
}

/**
 * The noise multiplier that remains when the sensitivity is a little above the clip norm: rounding of the clipped sum to a grid, or of its norms.
 * @param noiseStandardDeviation of the noise, in the unit of the sum
 * @param clipNorm bound on one subject's contribution
 * @param excess what rounding can add to it, in the same unit (grid g in D dimensions: g sqrt(D))
 */
export function noiseMultiplierAfterRounding(
  noiseStandardDeviation: number,
  clipNorm: number,
  excess: number,
): number {
  requireField(clipNorm > 0 && Number.isFinite(clipNorm), 'clipNorm', clipNorm, 'positive and finite');
  requireField(excess >= 0 && Number.isFinite(excess), 'excess', excess, 'finite and not negative');
  requireField(
    noiseStandardDeviation >= 0 && Number.isFinite(noiseStandardDeviation),
    'noiseStandardDeviation',
    noiseStandardDeviation,
    'finite and not negative',
  );
  // Three roundings of half a unit each: never more noise than there is.
  return (noiseStandardDeviation / (clipNorm + excess)) * (1 - 4 * Number.EPSILON);
}
