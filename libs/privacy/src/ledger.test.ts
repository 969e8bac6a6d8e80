import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isError } from '@lethe/std';
import { PRIVACY } from './errors.ts';
import {
  chargeDigest,
  chargeReservation,
  epsilonSpent,
  type LedgerCharge,
  openLedger,
  reserveSteps,
  verifyLedger,
} from './ledger.ts';
import { dpPlan } from './plan.ts';

const RUN = 'tenants/acme/trainingRuns/r';
const plan = dpPlan({
  unit: 'subject',
  relation: 'add-or-remove-one',
  sampling: { kind: 'poisson', probability: 0.25 },
  steps: 60,
  expectedUnits: 100,
  clipping: { kind: 'flat', l2ClipNorm: 1 },
  noise: { multiplier: 2.9155, generator: 'aes-256-ctr/grid-ziggurat/1', mode: 'production' },
  mechanism: 'dp-sgd',
  delta: 1e-5,
  accountant: 'rdp+pld/1',
});

/** Charges of blocks of 15 steps, until the plan is used up. */
function charges(of = plan, owner = RUN): LedgerCharge[] {
  const out: LedgerCharge[] = [];
  let ledger = openLedger(of, owner);
  while (ledger.stepsCharged < of.steps) {
    const charge = reserveSteps(ledger, 15);
    out.push(charge);
    ledger = chargeReservation(ledger, charge);
  }
  return out;
}

const refused = (error: unknown): boolean => isError(error, PRIVACY.LEDGER_MISMATCH);
const head = charges().at(-1)!.digest;

test('the ledger charges before the steps, never twice, and never more than the plan', () => {
  let ledger = openLedger(plan, RUN);
  assert.equal(epsilonSpent(ledger), 0);
  const first = reserveSteps(ledger, 25);
  ledger = chargeReservation(ledger, first);
  assert.throws(() => chargeReservation(ledger, first), refused, 'a charge counts once');
  // The process dies here: its 25 steps stay charged and the next block begins after them.
  const second = reserveSteps(ledger, 25);
  assert.deepEqual(
    [second.block, second.firstStep, second.steps, second.previous],
    [1, 25, 25, first.digest],
  );
  ledger = chargeReservation(ledger, second);
  const half = epsilonSpent(ledger);
  const last = reserveSteps(ledger, 25);
  assert.equal(last.steps, 10);
  ledger = chargeReservation(ledger, last);
  assert.ok(half < epsilonSpent(ledger));
  assert.throws(
    () => reserveSteps(ledger, 1),
    (error: unknown) => isError(error, PRIVACY.BUDGET_EXHAUSTED),
  );
});

test('a chain verifies, and one that was changed in any way does not', () => {
  const chain = charges();
  assert.equal(chain.length, 4);
  assert.equal(verifyLedger(plan, RUN, chain, head).stepsCharged, 60);
  const verify = (changed: readonly LedgerCharge[]) => () => verifyLedger(plan, RUN, changed, head);
  for (let i = 0; i < chain.length; i++) {
    assert.throws(verify(chain.toSpliced(i, 1)), refused, `charge ${i} dropped`);
    assert.throws(verify(chain.toSpliced(i, 0, chain[i]!)), refused, `charge ${i} repeated`);
    assert.throws(verify([...chain, chain[i]!]), refused, `charge ${i} repeated at the end`);
    for (const field of ['block', 'firstStep', 'steps'] as const) {
      const altered = { ...chain[i]!, [field]: chain[i]![field] + 1 };
      assert.throws(verify(chain.with(i, altered)), refused, `${field} of charge ${i} altered`);
      const resealed = { ...altered, digest: chargeDigest(altered) };
      assert.throws(
        verify(chain.with(i, resealed)),
        refused,
        `${field} of charge ${i} altered and sealed again`,
      );
    }
    for (let j = 0; j < i; j++) {
      assert.throws(verify(chain.with(i, chain[j]!).with(j, chain[i]!)), refused, `${i} and ${j} exchanged`);
    }
  }
  assert.equal(
    verifyLedger(plan, RUN, chain.slice(0, 3)).stepsCharged,
    45,
    'without the head the end is open',
  );
});

test('a whole chain of fewer steps, of another run or of another plan is not this one', () => {
  const shorter = charges(dpPlan({ ...plan, steps: 45 }));
  assert.throws(() => verifyLedger(plan, RUN, shorter), refused);
  assert.throws(() => verifyLedger(plan, RUN, charges(plan, 'tenants/acme/trainingRuns/other')), refused);
  const honest = charges().slice(0, 3);
  assert.throws(() => verifyLedger(plan, RUN, honest, head), refused);
});

test('the digests of a ledger stay what they are: libs/certificate recomputes them from its own code', () => {
  const noise = { ...plan.noise, multiplier: 3 };
  assert.equal(
    charges(dpPlan({ ...plan, noise })).at(-1)?.digest,
    '56d3ab5f02c89d5627c578ae0567edd1e940eca4c52ca7a41f8a26acf1a5d751',
  );
});
