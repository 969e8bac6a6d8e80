import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isError, secureRandom, seededRandom } from '@lethe/std';
import { PRIVACY } from './errors.ts';
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
