import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isError, secureRandom, seededRandom } from '@lethe/std';
import { PRIVACY } from './errors.ts';
import { chargeReservation, epsilonSpent, openLedger, reserveSteps } from './ledger.ts';
import { dyadicProbability, mechanismHash, mechanismSpec } from './mechanism.ts';
import { PrivacyRandomness } from './randomness.ts';

const fields = { samplingProbability: 0.25, noiseMultiplier: 2.9155, l2ClipNorm: 1, steps: 60, delta: 1e-5 };

test('the mechanism is frozen, and every field is in its hash', () => {
  const spec = mechanismSpec(fields);
  assert.ok(Object.isFrozen(spec));
  assert.equal(mechanismHash(spec), mechanismHash(mechanismSpec({ ...fields })));
  for (const [field, value] of Object.entries(fields)) {
    const other = mechanismSpec({ ...fields, [field]: field === 'steps' ? 61 : value / 2 });
    assert.notEqual(mechanismHash(other), mechanismHash(spec), field);
  }
});

test('bad fields are refused by name', () => {
  const bad = {
    samplingProbability: [0, 1.5, Number.NaN, 2 ** -54, -0.5],
    noiseMultiplier: [0, -1, Infinity, Number.NaN],
    l2ClipNorm: [0, Infinity],
    steps: [0, 1.5, -1],
    delta: [0, 1, Number.NaN],
  };
  for (const [field, values] of Object.entries(bad)) {
    for (const value of values) {
      assert.throws(
        () => mechanismSpec({ ...fields, [field]: value }),
        (error: unknown) => isError(error, PRIVACY.INVALID_MECHANISM) && error.details.field === field,
        `${field} = ${value}`,
      );
    }
  }
  assert.equal(dyadicProbability(0.1) <= 0.1, true);
  assert.doesNotThrow(() => mechanismSpec({ ...fields, samplingProbability: dyadicProbability(1 / 3) }));
});

test('a production run refuses a seeded source; a research run records it', () => {
  assert.throws(
    () => new PrivacyRandomness('production', seededRandom('x')),
    (error: unknown) => isError(error, PRIVACY.SEEDED_SOURCE),
  );
  assert.equal(new PrivacyRandomness('research', seededRandom('x')).sourceKind, 'seeded');
  assert.equal(new PrivacyRandomness('production', secureRandom()).sourceKind, 'secure');
});

test('the ledger charges before the steps, never twice, and never more than the plan', () => {
  const spec = mechanismSpec(fields);
  let ledger = openLedger(spec);
  assert.equal(epsilonSpent(ledger), 0);
  const first = reserveSteps(ledger, 25);
  ledger = chargeReservation(ledger, first);
  // A redelivery, or a writer that lost the race for the same steps, changes nothing.
  assert.equal(chargeReservation(ledger, first), ledger);
  // The process dies here: its 25 steps stay charged and the next block begins after them.
  const second = reserveSteps(ledger, 25);
  assert.deepEqual([second.firstStep, second.steps], [25, 25]);
  ledger = chargeReservation(ledger, second);
  const half = epsilonSpent(ledger);
  const last = reserveSteps(ledger, 25);
  assert.equal(last.steps, 10);
  ledger = chargeReservation(ledger, last);
  assert.ok(half < epsilonSpent(ledger) && epsilonSpent(ledger) <= 3);
  assert.throws(
    () => reserveSteps(ledger, 1),
    (error: unknown) => isError(error, PRIVACY.BUDGET_EXHAUSTED),
  );
});

test('a reservation that is not this ledger’s is refused', () => {
  const ledger = openLedger(mechanismSpec(fields));
  const refused = (error: unknown) => isError(error, PRIVACY.LEDGER_MISMATCH);
  const good = reserveSteps(ledger, 10);
  assert.throws(() => chargeReservation(ledger, { ...good, mechanismHash: '00' }), refused);
  assert.throws(() => chargeReservation(ledger, { ...good, firstStep: 5 }), refused);
  assert.throws(() => chargeReservation(ledger, { ...good, steps: 61 }), refused);
});
