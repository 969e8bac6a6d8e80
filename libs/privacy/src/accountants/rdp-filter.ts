/**
 * A privacy budget for runs that are chosen as one goes: each may depend on what the earlier ones released.
 *
 * Feldman and Zrnic, "Individual Privacy Accounting via a Renyi Filter", arXiv 2008.11193v4, theorem 3.1: if the Renyi divergences of ONE order, fixed beforehand, never add up
 * to more than a budget, then the whole adaptive sequence has that divergence. The order is therefore chosen when the filter is made; taking at every
 * moment the order that happens to look best is what the theorem does not cover. What is known beforehand is priced more tightly by `pldEpsilon`.
 */
import { PRIVACY } from '../errors.ts';
import { epsilonOfRdp, RDP_ORDERS, rdpEpsilon, rdpOfRun } from './rdp.ts';
import { checkDelta, type PrivacyRelation, requireField, type SampledGaussianRun } from './runs.ts';

export class RdpFilter {
  readonly order: number;
  readonly relation: PrivacyRelation;
  readonly delta: number;
  /** Divergence of `order` that may be spent in all. */
  readonly budget: number;
  #spent = 0;

  /**
   * @param likely what will probably run: the order is the one that proves most about it. A sequence that turns out otherwise only fits less.
   * @throws LETHE-3301 bad parameters, LETHE-3302 no order can prove the target
   */
  constructor(
    target: { readonly epsilon: number; readonly delta: number },
    relation: PrivacyRelation,
    likely: readonly SampledGaussianRun[],
  ) {
    checkDelta(target.delta);
    requireField(
      target.epsilon > 0 && Number.isFinite(target.epsilon),
      'epsilon',
      target.epsilon,
      'positive and finite',
    );
    const { order } = rdpEpsilon(likely, relation, target.delta);
    this.order = Number.isNaN(order) ? RDP_ORDERS[0]! : order;
    this.relation = relation;
    this.delta = target.delta;
    this.budget = budgetOf(this.order, target.epsilon, target.delta);
    if (!(this.budget > 0)) {
      throw PRIVACY.EPSILON_OUT_OF_REACH(`order ${this.order} cannot prove epsilon ${target.epsilon}`);
    }
  }

  /** Whether a run may still start. */
  fits(run: SampledGaussianRun): boolean {
    return this.#spent + rdpOfRun(run, this.order, this.relation) <= this.budget;
  }

  /** How many more steps of a kind may be run. */
  stepsLeft(step: Omit<SampledGaussianRun, 'steps'>): number {
    const one = rdpOfRun({ ...step, steps: 1 }, this.order, this.relation);
    return one === 0 ? Infinity : Math.max(0, Math.floor((this.budget - this.#spent) / one));
  }

  /** Charges a run, before it starts. @throws LETHE-3304 it does not fit; nothing is charged */
  charge(run: SampledGaussianRun): void {
    if (!this.fits(run)) {
      throw PRIVACY.BUDGET_EXHAUSTED(`the run would pass the privacy filter of order ${this.order}`, {
        details: { epsilonSpent: this.epsilonSpent },
      });
    }
    // Rounded up, so that many small charges never add up to less than they are.
    this.#spent = (this.#spent + rdpOfRun(run, this.order, this.relation)) * (1 + Number.EPSILON);
  }

  /** What has been spent, as an epsilon at the filter's delta. */
  get epsilonSpent(): number {
    return this.#spent === 0 ? 0 : epsilonOfRdp(this.#spent, this.order, this.delta);
  }
}

/** The largest divergence of an order whose conversion does not pass epsilon; the conversion is epsilon = rdp + constant above its zero. */
function budgetOf(order: number, epsilon: number, delta: number): number {
  return (
    (epsilon - Math.log1p(-1 / order) + Math.log(delta * order) / (order - 1)) * (1 - 4 * Number.EPSILON)
  );
}

/**
 * Orders of `adaptiveEpsilon`: few, because each takes its share of delta; dense where sampled mechanisms lose an order at once. Two to four plans of epsilon 2 to 30 together cost
 * 1.05 to 1.2 times what the best of all `RDP_ORDERS` would say after the fact, of which log(8) in place of 0 in log(1 / delta) is the most.
 */
const ADAPTIVE_ORDERS = [2, 3, 4, 6, 8, 12, 20, 40] as const;

/**
 * Price of runs of which later ones were chosen after a look at what earlier ones released: the smallest epsilon of `ADAPTIVE_ORDERS`, each at its even share of delta.
 *
 * Whoever runs only what keeps this price at or below an epsilon e that was fixed beforehand is (e, delta)-private. Each order is a filter of its own, whose orders and
 * budget are fixed by e and delta. However the sequence ends, one of the orders at least has never been passed (its sum only grows); let A_k be the outcomes of which k is the first such order.
 * The sequence that stops where order k would be passed is (e, delta / K)-private by theorem 3.1 and gives the outcomes of A_k with the same probabilities, so
 * P(O) = sum_k P(O and A_k) <= sum_k (e^e Q(O and A_k) + delta / K) = e^e Q(O) + delta. Without the split of delta the minimum over orders would not be covered.
 * @throws LETHE-3301
 */
export function adaptiveEpsilon(
  runs: readonly SampledGaussianRun[],
  relation: PrivacyRelation,
  delta: number,
): number {
  checkDelta(delta);
  const share = delta / ADAPTIVE_ORDERS.length;
  const proven = ADAPTIVE_ORDERS.map((order) => {
    const total = runs.reduce((sum, run) => sum + rdpOfRun(run, order, relation), 0);
    // Roundings of the sum, far fewer than 2^20 of them.
    return epsilonOfRdp(total * (1 + 2 ** 20 * Number.EPSILON), order, share);
  });
  return Math.min(...proven);
}
