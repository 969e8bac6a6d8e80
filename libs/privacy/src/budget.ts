/**
 * Budget and odometer of a data set. Subject-level guarantees are the same for everyone in the data set, so the charge of a run is a charge to each of
 * its subjects, and the data set's reading is every subject's upper bound; a subject of several data sets has spent at most the composition of their readings.
 * Pure: the owner keeps the entries, this module prices them.
 */
import { PRIVACY } from './errors.ts';
import type { NeighboringRelation, PrivacyUnit } from './plan.ts';
import { composedCost, type PlanCost, type PlanPart } from './plan-cost.ts';

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
  const require = (holds: boolean, field: keyof PrivacyBudget, expected: string): void => {
    if (holds) return;
    throw PRIVACY.INVALID_MECHANISM(
      `${field} of a budget is ${String(fields[field])}; it has to be ${expected}`,
      {
        details: { field },
      },
    );
  };
  require(epsilon > 0 && Number.isFinite(epsilon), 'epsilon', 'positive and finite');
  require(delta > 0 && delta < 1, 'delta', 'in (0, 1)');
  require(unit === 'subject' || unit === 'record', 'unit', 'subject or record');
  require(relation === 'add-or-remove-one', 'relation', 'add-or-remove-one');
  return Object.freeze({ epsilon, delta, unit, relation });
}

/**
 * The odometer: an upper bound on epsilon at `delta` for everything spent, infinity where delta itself is used up.
 * @throws LETHE-3307, LETHE-3308
 */
export function spentEpsilon(spending: Spending, delta: number, relation: NeighboringRelation): PlanCost {
  const used = spending.opaque.reduce((sum, entry) => sum + entry.delta, 0);
  const added = spending.opaque.reduce((sum, entry) => sum + entry.epsilon, 0);
  if (spending.parts.length === 0 && used <= delta) {
    return {
      ...composedCost([], delta, relation),
      epsilonUpper: added,
      epsilonRdp: added,
      epsilonIndependent: null,
    };
  }
  if (used >= delta)
    return { ...composedCost([], delta, relation), epsilonUpper: Infinity, epsilonIndependent: null };
  const cost = composedCost(spending.parts, delta - used, relation);
  return spending.opaque.length === 0
    ? cost
    : { ...cost, delta, epsilonUpper: cost.epsilonUpper + added, epsilonIndependent: null };
}

/**
 * Prices a plan together with what is spent. @returns the reading after it @throws LETHE-3309 with the numbers: it does not fit; LETHE-3307, LETHE-3308
 */
export function requireWithinBudget(budget: PrivacyBudget, spending: Spending, wanted: PlanPart): PlanCost {
  const { unit } = wanted.plan;
  if (unit !== budget.unit) {
    throw PRIVACY.PLAN_REFUSED(
      `unit is ${unit}; it has to be ${budget.unit}, the unit of the data set's budget: one is no bound on the other`,
      { details: { field: 'unit' } },
    );
  }
  const before = spentEpsilon(spending, budget.delta, budget.relation).epsilonUpper;
  const after = spentEpsilon(
    { ...spending, parts: [...spending.parts, wanted] },
    budget.delta,
    budget.relation,
  );
  if (after.epsilonUpper <= budget.epsilon) return after;
  throw PRIVACY.BUDGET_EXCEEDED(
    `epsilon ${before} of ${budget.epsilon} is spent at delta ${budget.delta}; with this plan it would be ${after.epsilonUpper}`,
    {
      details: {
        epsilonSpent: before,
        epsilonBudget: budget.epsilon,
        epsilonAfter: after.epsilonUpper,
        delta: budget.delta,
      },
    },
  );
}
