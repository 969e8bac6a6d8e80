/**
 * What plans cost. One plan, or many on the same data set together, at a stated delta and relation: what is priced is the mechanism that the plan
 * describes, so a plan made under one relation has a price under the other, too.
 *
 * Quoting: where the independent accountant answers, it must agree with the main one or nothing is quoted; where its guard refuses, the larger of the main
 * bound and RDP is quoted and the missing second opinion is said.
 */
import { calibrateNoise, quotedNoise } from './accountants/calibrate.ts';
import { ACCOUNTANT_VERSION, privacyLossOfRuns } from './accountants/epsilon.ts';
import { adaptiveEpsilon } from './accountants/rdp-filter.ts';
import {
  checkDelta,
  type PrivacyRelation,
  requireField,
  type SampledGaussianRun,
} from './accountants/runs.ts';
import { PRIVACY } from './errors.ts';
import { samplerCharge } from './noise/rounded-normal.ts';
import { type DpPlan, type DpPlanFields, dpPlan, type NeighboringRelation } from './plan.ts';

export interface PlanCost {
  /** What may be quoted: an upper bound, rounded up to 6 digits; infinite where none up to 50 is known. */
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

/** The sampler's charge is proven up to this epsilon; nothing above it is quoted. */
const EPSILON_MAX = 50;

/**
 * The whole plan at its own delta and relation.
 * @throws LETHE-3307 no accountant prices it, or only above epsilon 50; LETHE-3308 they disagree
 */
export function planCost(plan: DpPlan): PlanCost {
  const cost = composedCost([{ plan, steps: plan.steps }], plan.delta, plan.relation);
  if (Number.isFinite(cost.epsilonUpper)) return cost;
  throw PRIVACY.PLAN_REFUSED(
    `noise.multiplier is too small: no bound up to epsilon ${EPSILON_MAX}, above which nothing is quoted`,
    { details: { field: 'noise.multiplier' } },
  );
}

/**
 * What is released by all the parts together. Epsilon is infinite where nothing up to 50 is proven.
 *
 * One part is a mechanism with a number of steps that its plan fixed before anything was looked at: it is priced by the privacy loss distribution. Of several
 * parts, whether there is a later one, which, and how often the same plan again, may have been chosen after a look at what earlier ones released; everything is then priced by
 * `adaptiveCost`, the first plan and repetitions of it too. A reading is the promise of whoever meant to stop there; what holds for whoever goes on until a
 * limit refuses is said at `requireWithinBudget`. @param parts of one data set and one unit; none costs nothing
 * @throws LETHE-3301 a number of steps that is not one of the plan, LETHE-3308
 */
export function composedCost(
  parts: readonly PlanPart[],
  delta: number,
  relation: NeighboringRelation,
): PlanCost {
  parts.forEach(checkPart);
  checkDelta(delta);
  const released = parts.filter(({ steps }) => steps > 0);
  const [only, ...others] = released;
  const shared = { delta, accountant: ACCOUNTANT_VERSION };
  if (!only) return { ...shared, epsilonUpper: 0, epsilonIndependent: 0, epsilonRdp: 0 };
  if (others.length > 0) return adaptiveCost(released, delta, relation);
  const { rest, charged } = afterSampler(released, delta);
  if (!(rest > 0)) return unknownCost(delta);
  const loss = privacyLossOfRuns([runOf(only)], RELATIONS[relation], rest);
  const epsilonUpper = charged(loss.quoted);
  if (epsilonUpper === Infinity) return unknownCost(delta);
  return {
    ...shared,
    epsilonUpper,
    epsilonIndependent: loss.agreement === 'agreed' ? loss.epsilonIndependent : null,
    epsilonRdp: charged(loss.epsilonRdp),
  };
}

/**
 * The price by orders that were fixed beforehand (`adaptiveEpsilon`), of whatever number of parts: who keeps it below a number is free to choose every next part by
 * all that was released so far. @throws LETHE-3301
 */
export function adaptiveCost(
  parts: readonly PlanPart[],
  delta: number,
  relation: NeighboringRelation,
): PlanCost {
  parts.forEach(checkPart);
  const { rest, charged } = afterSampler(parts, delta);
  if (!(rest > 0)) return unknownCost(delta);
  const epsilonRdp = charged(adaptiveEpsilon(merged(parts), RELATIONS[relation], rest));
  return { ...unknownCost(delta), epsilonUpper: epsilonRdp, epsilonRdp };
}

const unknownCost = (delta: number): PlanCost => ({
  epsilonUpper: Infinity,
  epsilonIndependent: null,
  epsilonRdp: Infinity,
  delta,
  accountant: ACCOUNTANT_VERSION,
});

function checkPart({ plan, steps }: PlanPart): void {
  const isOfPlan = Number.isInteger(steps) && steps >= 0 && steps <= plan.steps;
  requireField(isOfPlan, 'steps', steps, `an integer in 0..${plan.steps}, the steps of the plan`);
}

/** The sampler is a little off the noise that is priced, which takes a little of epsilon and of delta; above `EPSILON_MAX` it is not known how much. */
function afterSampler(parts: readonly PlanPart[], delta: number) {
  const charge = samplerCharge(parts.reduce((sum, part) => sum + noiseValuesMax(part), 0));
  return {
    rest: (delta - charge.delta) / (1 + charge.epsilon),
    charged: (epsilon: number): number =>
      epsilon <= EPSILON_MAX ? roundUp(epsilon + charge.epsilon) : Infinity,
  };
}

const roundUp = (epsilon: number): number => Math.ceil(epsilon * 1e6) / 1e6;

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

/** Equal mechanisms added up, so that each is priced once. */
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

/**
 * A plan that meets a target: about the smallest noise that does. The plan returned has itself been priced, so rounding can never overspend. Takes up to
 * seconds: run it on a thread of its own.
 * @param fields a plan but for the multiplier @throws LETHE-3302 no noise reaches the target; LETHE-3301, LETHE-3307, LETHE-3308
 */
export function calibratedPlan(
  fields: Omit<DpPlanFields, 'noise'> & { readonly noise: Omit<DpPlanFields['noise'], 'multiplier'> },
  epsilonTarget: number,
): { readonly plan: DpPlan; readonly cost: PlanCost } {
  // Every other field is refused before the search.
  const draft = dpPlan({ ...fields, noise: { ...fields.noise, multiplier: 1 } });
  const { noiseMultiplier: _, ...run } = runOf({ plan: draft, steps: draft.steps });
  const { noiseMultiplier: effective } = calibrateNoise({
    ...run,
    epsilon: epsilonTarget,
    delta: draft.delta,
    relation: RELATIONS[draft.relation],
  });
  return quotedNoise(roundUp(multiplierOf(draft, effective)), epsilonTarget, (multiplier) => {
    const plan = dpPlan({ ...fields, noise: { ...fields.noise, multiplier } });
    const cost = composedCost([{ plan, steps: plan.steps }], plan.delta, plan.relation);
    return { epsilon: cost.epsilonUpper, value: { plan, cost } };
  });
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
