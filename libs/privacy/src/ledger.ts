/**
 * The arithmetic of the privacy ledger: blocks of steps are reserved, and thereby charged, before they run. A crash leaves a reserved block
 * charged whether or not it ran, so it can only over-charge; the run then releases fewer steps than planned, never more than paid for.
 * Pure: the owner appends what these functions return to its event stream before it acts on it.
 */
import { epsilonUpper } from './accountants/epsilon.ts';
import { PRIVACY } from './errors.ts';
import { type MechanismSpec, mechanismHash } from './mechanism.ts';

/** One charge, as it stands in the stream: which mechanism, which steps. */
export interface StepReservation {
  readonly mechanismHash: string;
  /** First step of the block, counted from 0 over all charged steps. */
  readonly firstStep: number;
  readonly steps: number;
}

export interface PrivacyLedger {
  readonly spec: MechanismSpec;
  readonly stepsCharged: number;
}

export const openLedger = (spec: MechanismSpec): PrivacyLedger => Object.freeze({ spec, stepsCharged: 0 });

/**
 * The next block: as many steps as asked for and still in the plan.
 * @throws LETHE-3304 every planned step is charged
 */
export function reserveSteps(ledger: PrivacyLedger, stepsWanted: number): StepReservation {
  if (!(Number.isInteger(stepsWanted) && stepsWanted >= 1)) {
    throw PRIVACY.INVALID_MECHANISM(`a block of ${stepsWanted} steps cannot be reserved`, {
      details: { field: 'steps' },
    });
  }
  const steps = Math.min(stepsWanted, ledger.spec.steps - ledger.stepsCharged);
  if (steps === 0) {
    throw PRIVACY.BUDGET_EXHAUSTED(`all ${ledger.spec.steps} planned steps are charged`, {
      details: { stepsCharged: ledger.stepsCharged },
    });
  }
  return { mechanismHash: mechanismHash(ledger.spec), firstStep: ledger.stepsCharged, steps };
}

/**
 * Folds a reservation that was read back. A reservation that begins where the ledger stands counts; one that begins earlier was overtaken by
 * another writer and changes nothing: its writer must not run.
 * @throws LETHE-3306 another mechanism, a gap, or more steps than planned: the stream is not this ledger's
 */
export function chargeReservation(ledger: PrivacyLedger, reservation: StepReservation): PrivacyLedger {
  if (reservation.mechanismHash !== mechanismHash(ledger.spec)) {
    throw PRIVACY.LEDGER_MISMATCH('the reservation names another mechanism');
  }
  if (reservation.firstStep < ledger.stepsCharged) return ledger;
  const stepsCharged = reservation.firstStep + reservation.steps;
  if (
    reservation.firstStep > ledger.stepsCharged ||
    stepsCharged > ledger.spec.steps ||
    reservation.steps < 1
  ) {
    throw PRIVACY.LEDGER_MISMATCH('the reservation leaves a gap or passes the planned number of steps', {
      details: {
        firstStep: reservation.firstStep,
        steps: reservation.steps,
        stepsCharged: ledger.stepsCharged,
      },
    });
  }
  return Object.freeze({ spec: ledger.spec, stepsCharged });
}

/** What has been spent so far: an upper bound at the spec's delta; 0 before the first charge. */
export function epsilonSpent(ledger: PrivacyLedger): number {
  return ledger.stepsCharged === 0
    ? 0
    : epsilonUpper({ ...ledger.spec, steps: ledger.stepsCharged }, ledger.spec.delta);
}
