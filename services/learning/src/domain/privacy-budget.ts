/**
 * What private runs on one dataset hold of its privacy, as the fold of `privacy-budget/{dataset}`. A run reserves its whole plan before it is accepted,
 * so of two runs that start at once and would both fit only the first is accepted; a run that ends short of its plan settles for what it has
 * charged. A crash between any two facts leaves more reserved than spent, never less.
 */
import { EVENT, type events } from '@lethe/contracts';
import { defineAggregate } from '@lethe/events';
import { type DpPlan, type PrivacyUnit, parsePlan } from '@lethe/privacy';

export interface Reservation {
  readonly run: string;
  /** Canonical JSON. */
  readonly plan: Uint8Array;
  readonly planHash: string;
  readonly attempt: number;
  /** When it was made. */
  readonly reservedMs: number;
  /** Steps that it has settled for; absent while the whole plan counts. */
  readonly settledSteps?: number;
}

export interface DatasetPrivacy {
  readonly limit?: events.PrivacyBudgetSet;
  /** One for each run, in the order in which they first reserved. */
  readonly reservations: readonly Reservation[];
}

export const privacyBudget = defineAggregate({
  type: 'privacy-budget',
  events: [EVENT.privacyBudgetSet, EVENT.privacyReserved, EVENT.privacySettled],
  initial: (): DatasetPrivacy => ({ reservations: [] }),
  fold: (privacy, event): DatasetPrivacy => {
    switch (event.type) {
      case 'privacy.budget.set':
        return { ...privacy, limit: event.data };
      case 'privacy.reserved': {
        const { run, plan, planHash, attempt } = event.data;
        const made: Reservation = { run, plan, planHash, attempt, reservedMs: event.timeMs };
        const at = privacy.reservations.findIndex((reservation) => reservation.run === run);
        return {
          ...privacy,
          reservations: at < 0 ? [...privacy.reservations, made] : privacy.reservations.with(at, made),
        };
      }
      case 'privacy.settled': {
        // Charges of an attempt only grow, so of two settlements the larger one is true.
        const { run, attempt, planHash, stepsCharged } = event.data;
        const reservations = privacy.reservations.map((reservation) =>
          reservation.run === run && reservation.attempt === attempt && reservation.planHash === planHash
            ? { ...reservation, settledSteps: Math.max(reservation.settledSteps ?? 0, stepsCharged) }
            : reservation,
        );
        return { ...privacy, reservations };
      }
    }
  },
});

export type PrivacyBudgetEvent = (typeof privacyBudget.events)[number];

export const reservationOf = ({ reservations }: DatasetPrivacy, run: string): Reservation | undefined =>
  reservations.find((reservation) => reservation.run === run);

/** A reservation as accountants price it. */
export interface Held {
  readonly run: string;
  readonly plan: DpPlan;
  readonly steps: number;
}

/** What counts against a budget of this unit. @param without a run that is about to be reserved again */
export const heldOf = ({ reservations }: DatasetPrivacy, unit: PrivacyUnit, without = ''): Held[] =>
  reservations
    .filter(({ run }) => run !== without)
    .map(({ run, plan, settledSteps }) => {
      const parsed = parsePlan(plan);
      return { run, plan: parsed, steps: settledSteps ?? parsed.steps };
    })
    .filter(({ plan }) => plan.unit === unit);
