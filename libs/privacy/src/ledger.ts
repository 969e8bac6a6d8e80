/**
 * The arithmetic of the privacy ledger: blocks of steps are reserved, and thereby charged, before they run. A crash leaves a reserved block
 * charged whether or not it ran, so it can only over-charge; the run then releases fewer steps than planned, never more than paid for.
 *
 * Charges are chained: each carries the digest of the one before it, and the first that of the ledger's own identity (owner and plan). Whoever holds the plan,
 * the owner's name and the last digest finds any charge that was dropped, repeated, altered, exchanged or brought in from another ledger.
 * Pure: the owner appends what these functions return to its event stream before it acts on it.
 */
import { canonicalJson, hex, sha256 } from '@lethe/std';
import { PRIVACY } from './errors.ts';
import { type DpPlan, planHash } from './plan.ts';
import { composedCost } from './plan-cost.ts';

/** One charge, as it stands in the stream. */
export interface LedgerCharge {
  readonly planHash: string;
  /** Number of the block, from 0. */
  readonly block: number;
  /** First step of the block, counted from 0 over all charged steps. */
  readonly firstStep: number;
  readonly steps: number;
  /** Digest of the charge before it; `ledgerGenesis` for the first. */
  readonly previous: string;
  /** `chargeDigest` of the members above. */
  readonly digest: string;
}

export interface PrivacyLedger {
  readonly plan: DpPlan;
  readonly planHash: string;
  /** Digest of the last charge; `ledgerGenesis` before the first. */
  readonly head: string;
  readonly blocks: number;
  readonly stepsCharged: number;
}

/** @param owner resource name of the run whose ledger it is */
export const ledgerGenesis = (owner: string, hash: string): string =>
  hex(sha256('lethe/privacy/ledger/v1\0', canonicalJson({ owner, planHash: hash })));

/** SHA-256 of a domain tag and the canonical form of everything but the digest itself, hex. */
export const chargeDigest = ({
  planHash,
  block,
  firstStep,
  steps,
  previous,
}: Omit<LedgerCharge, 'digest'>): string =>
  hex(sha256('lethe/privacy/charge/v1\0', canonicalJson({ block, firstStep, planHash, previous, steps })));

export function openLedger(plan: DpPlan, owner: string): PrivacyLedger {
  const hash = planHash(plan);
  return Object.freeze({
    plan,
    planHash: hash,
    head: ledgerGenesis(owner, hash),
    blocks: 0,
    stepsCharged: 0,
  });
}

/**
 * The next block: as many steps as asked for and still in the plan.
 * @throws LETHE-3304 every planned step is charged
 */
export function reserveSteps(ledger: PrivacyLedger, stepsWanted: number): LedgerCharge {
  if (!(Number.isInteger(stepsWanted) && stepsWanted >= 1)) {
    throw PRIVACY.INVALID_MECHANISM(`a block of ${stepsWanted} steps cannot be reserved`, {
      details: { field: 'steps' },
    });
  }
  const steps = Math.min(stepsWanted, ledger.plan.steps - ledger.stepsCharged);
  if (steps === 0) {
    throw PRIVACY.BUDGET_EXHAUSTED(`all ${ledger.plan.steps} planned steps are charged`, {
      details: { stepsCharged: ledger.stepsCharged },
    });
  }
  const charge = {
    planHash: ledger.planHash,
    block: ledger.blocks,
    firstStep: ledger.stepsCharged,
    steps,
    previous: ledger.head,
  };
  return Object.freeze({ ...charge, digest: chargeDigest(charge) });
}

/**
 * Folds a charge that was read back. It has to continue the chain exactly.
 * @throws LETHE-3306 another plan, another chain, a gap, an overlap, or more steps than planned
 */
export function chargeReservation(ledger: PrivacyLedger, charge: LedgerCharge): PrivacyLedger {
  const refuse = (what: string): never => {
    throw PRIVACY.LEDGER_MISMATCH(`charge ${charge.block} ${what}`, {
      details: {
        block: charge.block,
        firstStep: charge.firstStep,
        steps: charge.steps,
        stepsCharged: ledger.stepsCharged,
      },
    });
  };
  if (charge.planHash !== ledger.planHash) refuse('names another plan');
  if (charge.digest !== chargeDigest(charge)) refuse('is not what its digest says');
  if (charge.previous !== ledger.head) refuse('does not follow the charge before it');
  if (charge.block !== ledger.blocks || charge.firstStep !== ledger.stepsCharged)
    refuse('does not begin where the ledger stands');
  const stepsCharged = charge.firstStep + charge.steps;
  if (!(Number.isInteger(charge.steps) && charge.steps >= 1 && stepsCharged <= ledger.plan.steps))
    refuse('passes the planned number of steps');
  return Object.freeze({ ...ledger, head: charge.digest, blocks: ledger.blocks + 1, stepsCharged });
}

/**
 * A ledger from all its charges, in order. @param head the last digest as somebody else keeps it; without one, charges dropped from the end are not seen
 * @throws LETHE-3306 names the first charge that does not fit
 */
export function verifyLedger(
  plan: DpPlan,
  owner: string,
  charges: readonly LedgerCharge[],
  head?: string,
): PrivacyLedger {
  const ledger = charges.reduce(chargeReservation, openLedger(plan, owner));
  if (head !== undefined && head !== ledger.head) {
    throw PRIVACY.LEDGER_MISMATCH(
      'the chain does not end at the digest on record: charges are missing at its end',
      {
        details: { blocks: ledger.blocks, stepsCharged: ledger.stepsCharged },
      },
    );
  }
  return ledger;
}

/** What has been spent so far: an upper bound at the plan's delta and relation; 0 before the first charge. */
export const epsilonSpent = ({ plan, stepsCharged }: PrivacyLedger): number =>
  composedCost([{ plan, steps: stepsCharged }], plan.delta, plan.relation).epsilonUpper;
