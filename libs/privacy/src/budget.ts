/**
 * Budget and odometer of a data set. Subject-level guarantees are the same for everyone in the data set, so the charge of a run is a charge to each of
 * its subjects, and the data set's reading is every subject's upper bound; a subject of several data sets has spent at most the composition of their readings.
 * Pure: the owner keeps the entries, this module prices them.
 */
import { requireField } from './accountants/runs.ts';
import { PRIVACY } from './errors.ts';
import type { NeighboringRelation, PrivacyUnit } from './plan.ts';
import { adaptiveCost, composedCost, type PlanCost, type PlanPart } from './plan-cost.ts';

/** What may be spent on a data set in all its life. */
export interface PrivacyBudget {
  readonly epsilon: number;
  readonly delta: number;
  readonly unit: PrivacyUnit;
  readonly relation: NeighboringRelation;
}

/** A guarantee of which only (epsilon, delta) is known: from a history before plans. It is added on top, both numbers. */
export interface OpaqueGuarantee {
  readonly epsilon: number;
  readonly delta: number;
}

export interface Spending {
  readonly parts: readonly PlanPart[];
  readonly opaque: readonly OpaqueGuarantee[];
}

/** @throws LETHE-3301 names the field */
export function privacyBudget(fields: PrivacyBudget): PrivacyBudget {
  const { epsilon, delta, unit, relation } = fields;
  const isPlain = (value: number): boolean => value > 0 && Number.isFinite(value);
  requireField(isPlain(epsilon), 'epsilon', epsilon, 'positive and finite');
  requireField(delta > 0 && delta < 1, 'delta', delta, 'in (0, 1)');
  requireField(unit === 'subject' || unit === 'record', 'unit', unit, 'subject or record');
  requireField(relation === 'add-or-remove-one', 'relation', relation, 'add-or-remove-one');
  return Object.freeze({ epsilon, delta, unit, relation });
}

/**
 * The odometer: an upper bound on epsilon at `delta` for everything spent, infinity where delta itself is used up or nothing up to 50 is proven.
 * @throws LETHE-3301 an entry of no meaning, LETHE-3308
 */
export function spentEpsilon(spending: Spending, delta: number, relation: NeighboringRelation): PlanCost {
  return withOpaque(spending, delta, relation, composedCost);
}

type Price = typeof composedCost;

/** Guarantees of which only the numbers are known are added to the price of the rest, at the rest of delta. */
function withOpaque({ parts, opaque }: Spending, delta: number, relation: NeighboringRelation, price: Price) {
  for (const entry of opaque) {
    const { epsilon } = entry;
    requireField(epsilon >= 0 && Number.isFinite(epsilon), 'opaque.epsilon', epsilon, 'finite, 0 or more');
    requireField(entry.delta >= 0 && entry.delta < 1, 'opaque.delta', entry.delta, 'in [0, 1)');
  }
  if (opaque.length === 0) return price(parts, delta, relation);
  const used = opaque.reduce((sum, entry) => sum + entry.delta, 0);
  const added = opaque.reduce((sum, entry) => sum + entry.epsilon, 0);
  const nothing = composedCost([], delta, relation);
  if (parts.length === 0 && used <= delta)
    return { ...nothing, epsilonUpper: added, epsilonRdp: added, epsilonIndependent: null };
  if (used >= delta)
    return { ...nothing, epsilonUpper: Infinity, epsilonRdp: Infinity, epsilonIndependent: null };
  const cost = price(parts, delta - used, relation);
  return {
    ...cost,
    delta,
    epsilonUpper: cost.epsilonUpper + added,
    epsilonRdp: cost.epsilonRdp + added,
    epsilonIndependent: null,
  };
}

/**
 * Admission of a plan, or refusal. Everything that is ever released under the budget together is (epsilon, delta)-private, though each plan may have been chosen after
 * a look at what the earlier ones released, stopped short of its steps or not be run at all:
 *
 * - the first plan, with nothing held beside it, may be priced by the privacy loss distribution: nothing has been looked at, so plan and steps are public;
 * - any further plan needs that all of them by orders fixed beforehand (`adaptiveCost`) keep to epsilon, and so does each held plan by itself, at all its planned steps.
 *
 * So the two prices are never mixed by what was seen: whether the first plan, whole, passes epsilon by orders is public before it starts. If it does, nothing else is ever
 * admitted and its own price holds, which stopping it short only lowers; if not, everything is within the filter of orders. Admitting by whichever price looks better at
 * the moment could cost delta twice. A budget that is raised later counts as raised from the start: the larger epsilon is what is promised.
 * @returns the reading after it @throws LETHE-3309 with the numbers: it does not fit; LETHE-3301, LETHE-3307, LETHE-3308
 */
export function requireWithinBudget(budget: PrivacyBudget, spending: Spending, wanted: PlanPart): PlanCost {
  const { unit } = wanted.plan;
  if (unit !== budget.unit) {
    throw PRIVACY.PLAN_REFUSED(
      `unit is ${unit}; it has to be ${budget.unit}, the unit of the data set's budget: one is no bound on the other`,
      { details: { field: 'unit' } },
    );
  }
  const { epsilon, delta, relation } = budget;
  const priced = (parts: readonly PlanPart[], price: Price): PlanCost =>
    withOpaque({ ...spending, parts }, delta, relation, price);
  const held = spending.parts.filter(({ steps }) => steps > 0);
  const after = priced([...spending.parts, wanted], composedCost);
  const whole =
    wanted.steps === 0
      ? []
      : held.map(({ plan }) => priced([{ plan, steps: plan.steps }], adaptiveCost).epsilonUpper);
  const epsilonAfter = Math.max(after.epsilonUpper, ...whole);
  if (epsilonAfter <= epsilon) return after;
  const epsilonSpent = priced(spending.parts, composedCost).epsilonUpper;
  throw PRIVACY.BUDGET_EXCEEDED(
    `epsilon ${epsilonSpent} of ${epsilon} is spent at delta ${delta}; with this plan it would be ${epsilonAfter}`,
    { details: { epsilonSpent, epsilonBudget: epsilon, epsilonAfter, delta } },
  );
}
