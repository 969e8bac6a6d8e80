/**
 * What plans cost. One plan, or many on the same data set together, at a stated delta and relation: what is priced is the mechanism that the plan
 * describes, so a plan made under one relation has a price under the other, too.
 *
 * Quoting: where the independent accountant answers, it must agree with the main one or nothing is quoted; where its guard refuses, the larger of the main
 * bound and RDP is quoted and the missing second opinion is said.
 */
import { calibrateNoise } from './accountants/calibrate.ts';
import { ACCOUNTANT_VERSION, privacyLossOfRuns } from './accountants/epsilon.ts';
import { rdpEpsilon } from './accountants/rdp.ts';
import type { PrivacyRelation, SampledGaussianRun } from './accountants/runs.ts';
import { PRIVACY } from './errors.ts';
import { samplerCharge } from './noise/rounded-normal.ts';
import { type DpPlan, type DpPlanFields, dpPlan, type NeighboringRelation } from './plan.ts';

export interface PlanCost {
  /** What may be quoted: an upper bound, rounded up to 6 digits. */
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

const RELATIONS: Readonly<Record<NeighboringRelation, PrivacyRelation>> = {
  'add-or-remove-one': 'add-remove',
  'replace-one': 'replace-one',
};

/** The whole plan at its own delta and relation. @throws LETHE-3307 no accountant prices it, LETHE-3308 they disagree */
export const planCost = (plan: DpPlan): PlanCost =>
  composedCost([{ plan, steps: plan.steps }], plan.delta, plan.relation);

/**
 * Everything together, in any order. Later plans may have been chosen after a look at what earlier ones released; different plans are therefore priced by
 * RDP, whose orders add up as a filter at no extra cost (Feldman and Zrnic, arXiv 2008.11193v4, theorem 3.1), and the other accountants are used
 * for one mechanism alone, however often it was planned. @param parts of one data set and one unit; none costs nothing
 * @throws LETHE-3307, LETHE-3308
 */
export function composedCost(
  parts: readonly PlanPart[],
  delta: number,
  relation: NeighboringRelation,
): PlanCost {
  const runs = merged(parts.filter(({ steps }) => steps > 0));
  const [only, ...others] = runs;
  const shared = { delta, accountant: ACCOUNTANT_VERSION };
  if (!only) return { ...shared, epsilonUpper: 0, epsilonIndependent: 0, epsilonRdp: 0 };
  // The sampler is a little off the noise that is priced, which takes a little of epsilon and of delta.
  const charge = samplerCharge(parts.reduce((sum, part) => sum + noiseValuesMax(part), 0));
  const rest = (delta - charge.delta) / (1 + charge.epsilon);
  const charged = (epsilon: number): number => roundUp(epsilon + charge.epsilon);
  if (others.length > 0) {
    const epsilonRdp = charged(rdpEpsilon(runs, RELATIONS[relation], rest).epsilonUpper);
    return { ...shared, epsilonUpper: finite(epsilonRdp), epsilonIndependent: null, epsilonRdp };
  }
  const loss = privacyLossOfRuns([only], RELATIONS[relation], rest);
  return {
    ...shared,
    epsilonUpper: finite(charged(loss.quoted)),
    epsilonIndependent: loss.agreement === 'agreed' ? loss.epsilonIndependent : null,
    epsilonRdp: charged(loss.epsilonRdp),
  };
}

const roundUp = (epsilon: number): number => Math.ceil(epsilon * 1e6) / 1e6;

function finite(epsilon: number): number {
  if (Number.isFinite(epsilon)) return epsilon;
  throw PRIVACY.PLAN_REFUSED('noise.multiplier is too small: no accountant gives a finite bound', {
    details: { field: 'noise.multiplier' },
  });
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

/** A part as accountants take it. */
function runOf({ plan, steps }: PlanPart): SampledGaussianRun {
  const { sampling } = plan;
  const run = {
    samplingProbability: sampling.probability,
    noiseMultiplier: effectiveNoiseMultiplier(plan),
    steps,
  };
  return sampling.kind === 'poisson' ? run : { ...run, cap: sampling.cap, population: sampling.population };
}

/** Equal mechanisms added up, so that a composition of like plans is priced as one. */
function merged(parts: readonly PlanPart[]): SampledGaussianRun[] {
  const byKey = new Map<string, SampledGaussianRun>();
  for (const run of parts.map(runOf)) {
    const { samplingProbability, noiseMultiplier, cap, population } = run;
    const key = [samplingProbability, noiseMultiplier, cap, population].join('/');
    byKey.set(key, { ...run, steps: (byKey.get(key)?.steps ?? 0) + run.steps });
  }
  return [...byKey.values()];
}

/**
 * Noise values that a part may have drawn, whatever its model: the grid of the noise (`noiseGrid`) takes no more than 2^34 / multiplier^2 dimensions, because its
 * spacing is at least 2^-19 of the standard deviation and spacing x sqrt(dimensions) at most a quarter of the bound. One more for an adaptive count.
 */
const noiseValuesMax = ({ plan, steps }: PlanPart): number =>
  steps * (1 + 2 ** 34 / plan.noise.multiplier ** 2);

/** Added to the calibrated noise, relative, where the sampler's charge alone has passed the target. */
const FINE = 1e-4;
/** Where quoting asks for more noise than the calibration: first step and width of the last bracket, relative. */
const RAISE = 1.05;
const PRECISION = 1e-3;
const NOISE_MULTIPLIER_MAX = 1e4;

/**
 * A plan that meets a target: about the smallest noise that does. The plan returned has itself been priced, so rounding can never overspend. Takes up to
 * seconds: run it on a thread of its own.
 * @param fields a plan but for the multiplier @throws LETHE-3302 no noise reaches the target; LETHE-3301, LETHE-3307, LETHE-3308
 */
export function calibratedPlan(
  fields: Omit<DpPlanFields, 'noise'> & { readonly noise: Omit<DpPlanFields['noise'], 'multiplier'> },
  epsilonTarget: number,
): { readonly plan: DpPlan; readonly cost: PlanCost } {
  const at = (multiplier: number): { readonly plan: DpPlan; readonly cost: PlanCost } => {
    const plan = dpPlan({ ...fields, noise: { ...fields.noise, multiplier } });
    return { plan, cost: planCost(plan) };
  };
  // Every other field is refused before the search.
  const draft = dpPlan({ ...fields, noise: { ...fields.noise, multiplier: 1 } });
  const { noiseMultiplier: _, ...run } = runOf({ plan: draft, steps: draft.steps });
  const { noiseMultiplier: effective } = calibrateNoise({
    ...run,
    epsilon: epsilonTarget,
    delta: draft.delta,
    relation: RELATIONS[draft.relation],
  });
  let best = at(roundUp(multiplierOf(draft, effective)));
  if (best.cost.epsilonUpper <= epsilonTarget) return best;
  let below = best.plan.noise.multiplier;
  while (best.cost.epsilonUpper > epsilonTarget) {
    below = best.plan.noise.multiplier;
    if (below > NOISE_MULTIPLIER_MAX) {
      throw PRIVACY.EPSILON_OUT_OF_REACH(
        `no noise multiplier up to ${NOISE_MULTIPLIER_MAX} reaches epsilon ${epsilonTarget}`,
      );
    }
    const isClose = best.cost.epsilonUpper <= epsilonTarget * (1 + FINE);
    best = at(roundUp(below * (isClose ? 1 + FINE : RAISE)));
  }
  while (best.plan.noise.multiplier / below > 1 + PRECISION) {
    const middle = at(roundUp((below + best.plan.noise.multiplier) / 2));
    if (middle.cost.epsilonUpper <= epsilonTarget) best = middle;
    else below = middle.plan.noise.multiplier;
  }
  return best;
}

/** The plan's own multiplier for an effective one. @throws LETHE-3302 the count of adaptive clipping alone passes it */
function multiplierOf({ clipping }: DpPlan, effective: number): number {
  if (clipping.kind !== 'adaptive') return effective;
  const rest = effective ** -2 - (2 * clipping.countNoise) ** -2;
  if (rest > 0) return rest ** -0.5;
  throw PRIVACY.EPSILON_OUT_OF_REACH('the count of adaptive clipping alone costs more: raise countNoise', {
    details: { field: 'clipping.countNoise' },
  });
}
