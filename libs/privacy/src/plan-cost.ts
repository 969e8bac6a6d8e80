/**
 * What plans cost. One plan, or many on the same data set together, at a stated delta and relation: what is priced is the mechanism that the plan
 * describes, so a plan made under one relation has a price under the other, too.
 *
 * Quoting: where the independent accountant answers, it must agree with the main one or nothing is quoted; where its guard refuses, the larger of the main
 * bound and RDP is quoted and the missing second opinion is said.
 */
import { ACCOUNTANT_VERSION, calibrateNoiseMultiplier, epsilonUpper } from './accountants/epsilon.ts';
import { RDP_ORDERS, rdpOfStep } from './accountants/rdp.ts';
import { PRIVACY } from './errors.ts';
import { type DpPlan, type DpPlanFields, dpPlan, type NeighboringRelation, planHash } from './plan.ts';

export interface PlanCost {
  /** What may be quoted: an upper bound, rounded up to 4 digits. */
  readonly epsilonUpper: number;
  /** Of the independent accountant; null where its guard refuses and no second opinion was possible. */
  readonly epsilonIndependent: number | null;
  readonly epsilonRdp: number;
  readonly delta: number;
  readonly accountant: string;
}

/** So many steps of a plan. */
export interface PlanPart {
  readonly plan: DpPlan;
  readonly steps: number;
}

/** Runs of one Poisson-subsampled Gaussian: what the accountants know. */
interface Executions {
  readonly samplingProbability: number;
  readonly noiseMultiplier: number;
  readonly steps: number;
}

/** The whole plan at its own delta and relation. @throws LETHE-3307 no accountant prices it, LETHE-3308 they disagree */
export const planCost = (plan: DpPlan): PlanCost =>
  composedCost([{ plan, steps: plan.steps }], plan.delta, plan.relation);

/** Share of delta that truncation may take. */
const TRUNCATION_SHARE = 0.1;

/**
 * Everything together, in any order. Later plans may have been chosen after a look at what earlier ones released; different plans are therefore priced by
 * RDP, whose orders add up as a filter at no extra cost (Feldman and Zrnic, arXiv 2008.11193v4, theorem 3.1), and the main accountant is used
 * for one mechanism alone, however often it was planned. @param parts of one data set and one unit; none costs nothing
 * @throws LETHE-3307, LETHE-3308
 */
export function composedCost(
  parts: readonly PlanPart[],
  delta: number,
  relation: NeighboringRelation,
): PlanCost {
  const executions = merged(parts.filter(({ steps }) => steps > 0));
  const nothing = {
    epsilonUpper: 0,
    epsilonIndependent: 0,
    epsilonRdp: 0,
    delta,
    accountant: ACCOUNTANT_VERSION,
  };
  if (executions.length === 0) return nothing;
  const distance = parts.reduce((sum, part) => sum + truncationDistance(part), 0);
  if (distance === 0) return quoted(executions, delta, delta, relation, parts);
  // Draws differ from Poisson draws with probability `distance` at most, on both neighbours: (1 + e^eps) x distance of delta, which eps itself must cover.
  const cost = quoted(executions, delta * (1 - TRUNCATION_SHARE), delta, relation, parts);
  if ((1 + Math.exp(cost.epsilonUpper)) * distance <= TRUNCATION_SHARE * delta) return cost;
  throw PRIVACY.PLAN_REFUSED(
    `sampling.cap truncates too often: ${distance.toExponential(1)} of the draws, and (1 + e^epsilon) times that has to be at most ${TRUNCATION_SHARE} delta; raise the cap`,
    { details: { field: 'sampling.cap' } },
  );
}

/**
 * The noise multiplier that one step amounts to. Adaptive clipping releases two Gaussians on the same draw, the sum (multiplier z) and the count
 * (sensitivity 1/2, standard deviation b), which together are one of multiplier (z^-2 + (2b)^-2)^-1/2: Andrew et al., theorem 1.
 */
export function effectiveNoiseMultiplier({ clipping, noise }: DpPlan): number {
  return clipping.kind === 'adaptive'
    ? (noise.multiplier ** -2 + (2 * clipping.countNoise) ** -2) ** -0.5
    : noise.multiplier;
}

/** Equal executions added up, so that a composition of like plans is priced as one. */
function merged(parts: readonly PlanPart[]): Executions[] {
  const byKey = new Map<string, Executions>();
  for (const { plan, steps } of parts) {
    const samplingProbability = plan.sampling.probability;
    const noiseMultiplier = effectiveNoiseMultiplier(plan);
    const key = `${samplingProbability}/${noiseMultiplier}`;
    const before = byKey.get(key)?.steps ?? 0;
    byKey.set(key, { samplingProbability, noiseMultiplier, steps: before + steps });
  }
  return [...byKey.values()];
}

/**
 * Upper bound on the probability that any of the steps draws more than `cap` units of at most `population`: union over steps of the Chernoff bound
 * exp(-n KL(cap'/n || q)) on P[X >= cap'], cap' = cap + 1. It grows with n, so that it holds for both neighbours where `population` counts the larger.
 */
function truncationDistance({ plan: { sampling }, steps }: PlanPart): number {
  if (sampling.kind === 'poisson' || sampling.cap >= sampling.population) return 0;
  const { probability: q, cap, population: n } = sampling;
  const a = (cap + 1) / n;
  const divergence = a * Math.log(a / q) + (a === 1 ? 0 : (1 - a) * Math.log((1 - a) / (1 - q)));
  return Math.min(1, steps * Math.exp(-n * divergence));
}

function quoted(
  executions: readonly Executions[],
  accountedDelta: number,
  delta: number,
  relation: NeighboringRelation,
  parts: readonly PlanPart[],
): PlanCost {
  const { epsilonMain, epsilonIndependent, epsilonRdp } = priced(executions, accountedDelta, relation);
  const bound = epsilonIndependent === null ? Math.max(epsilonMain, epsilonRdp) : epsilonMain;
  if (!Number.isFinite(bound)) {
    throw PRIVACY.PLAN_REFUSED('noise.multiplier is too small: no accountant gives a finite bound', {
      details: { field: 'noise.multiplier' },
    });
  }
  if (epsilonIndependent !== null && Math.abs(epsilonMain - epsilonIndependent) > tolerance(epsilonMain)) {
    throw PRIVACY.ACCOUNTANTS_DISAGREE(
      `epsilon is ${epsilonMain} by one accountant and ${epsilonIndependent} by the other`,
      {
        details: { planHash: parts.map(({ plan }) => planHash(plan)).join(' ') },
      },
    );
  }
  return {
    epsilonUpper: roundUp(bound),
    epsilonIndependent,
    epsilonRdp,
    delta,
    accountant: ACCOUNTANT_VERSION,
  };
}

const roundUp = (epsilon: number): number => Math.ceil(epsilon * 1e4) / 1e4;

/** The main bound may be above the truth by what its grid gives away, and is rounded up to 4 digits. */
const tolerance = (epsilon: number): number => Math.max(3e-4, 1e-3 * epsilon);

/** The one place that asks the accountants. */
function priced(
  executions: readonly Executions[],
  delta: number,
  relation: NeighboringRelation,
): { epsilonMain: number; epsilonIndependent: number | null; epsilonRdp: number } {
  if (relation !== 'add-or-remove-one') {
    throw PRIVACY.PLAN_REFUSED(
      'relation is replace-one; it has to be add-or-remove-one: no accountant here prices the other',
      {
        details: { field: 'relation' },
      },
    );
  }
  const epsilonRdp = roundUp(rdpComposed(executions, delta));
  const [only, ...others] = executions;
  const epsilonMain =
    others.length > 0
      ? epsilonRdp
      : epsilonUpper(
          { ...only!, kind: 'poisson-subsampled-gaussian', unit: 'subject', neighboringRelation: relation },
          delta,
        );
  return { epsilonMain, epsilonIndependent: null, epsilonRdp };
}

function rdpComposed(executions: readonly Executions[], delta: number): number {
  let best = Infinity;
  for (const alpha of RDP_ORDERS) {
    const rdp = executions.reduce(
      (sum, { samplingProbability, noiseMultiplier, steps }) =>
        sum + steps * rdpOfStep(samplingProbability, noiseMultiplier, alpha),
      0,
    );
    best = Math.min(best, rdp + Math.log1p(-1 / alpha) - Math.log(delta * alpha) / (alpha - 1));
  }
  return Math.max(0, best);
}

/** Width of the last bracket, relative, where the quoting rule asks for more noise than the main accountant. */
const PRECISION = 1e-3;
const RAISE = 1.1;
const NOISE_MULTIPLIER_MAX = 1e4;

/**
 * A plan that meets a target: the smallest noise that the main accountant finds, raised where the quoting rule asks for more. The plan returned has itself
 * been priced, so rounding can never overspend. Takes up to seconds: run it on a thread of its own.
 * @param fields a plan but for the multiplier @throws LETHE-3302 no noise reaches the target; LETHE-3301, LETHE-3307, LETHE-3308
 */
export function calibratedPlan(
  fields: Omit<DpPlanFields, 'noise'> & { readonly noise: Omit<DpPlanFields['noise'], 'multiplier'> },
  epsilonTarget: number,
): { readonly plan: DpPlan; readonly cost: PlanCost } {
  const withMultiplier = (multiplier: number): DpPlan =>
    dpPlan({ ...fields, noise: { ...fields.noise, multiplier } });
  // Every other field is refused before the search.
  const { sampling, steps, delta, clipping } = withMultiplier(1);
  const share = sampling.kind === 'poisson' ? 1 : 1 - TRUNCATION_SHARE;
  const effective = calibrateNoiseMultiplier(
    { samplingProbability: sampling.probability, steps, delta: share * delta },
    epsilonTarget,
  );
  let multiplier = effective;
  if (clipping.kind === 'adaptive') {
    const rest = effective ** -2 - (2 * clipping.countNoise) ** -2;
    if (rest <= 0) {
      throw PRIVACY.EPSILON_OUT_OF_REACH(
        'the count of adaptive clipping alone costs more: raise countNoise',
        {
          details: { field: 'clipping.countNoise' },
        },
      );
    }
    multiplier = roundUp(rest ** -0.5);
  }
  const at = (candidate: number) => {
    const plan = withMultiplier(candidate);
    return { plan, cost: planCost(plan) };
  };
  let best = at(multiplier);
  if (best.cost.epsilonUpper <= epsilonTarget) return best;
  let below = multiplier;
  for (; best.cost.epsilonUpper > epsilonTarget; multiplier = roundUp(multiplier * RAISE)) {
    below = best.plan.noise.multiplier;
    if (multiplier > NOISE_MULTIPLIER_MAX) {
      throw PRIVACY.EPSILON_OUT_OF_REACH(
        `no noise multiplier up to ${NOISE_MULTIPLIER_MAX} reaches ${epsilonTarget}`,
      );
    }
    best = at(multiplier);
  }
  while (best.plan.noise.multiplier / below > 1 + PRECISION) {
    const middle = at(roundUp((below + best.plan.noise.multiplier) / 2));
    if (middle.cost.epsilonUpper <= epsilonTarget) best = middle;
    else below = middle.plan.noise.multiplier;
  }
  return best;
}
