import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isError } from '@lethe/std';
import { OPTIM } from './errors.ts';
import { constantRate, cosineDecay, linearDecay } from './schedules.ts';

const near = (a: number, b: number): void => assert.ok(Math.abs(a - b) < 1e-12, `${a} and ${b}`);

test('schedules start at their rate, or rise to it, and end at their floor', () => {
  assert.equal(constantRate(0.3)(1_000), 0.3);
  const linear = linearDecay(2, 10, 4);
  [0.5, 1, 1.5, 2, 2].forEach((rate, step) => {
    near(linear(step), rate);
  });
  near(linear(7), 1);
  assert.equal(linear(10), 0);
  const cosine = cosineDecay(2, 12, { warmup: 2, floor: 0.2 });
  near(cosine(1), 2);
  near(cosine(7), 1.1);
  near(cosine(12), 0.2);
  near(cosine(50), 0.2);
});

test('a schedule without steps or with a rate that is none is refused', () => {
  for (const make of [
    () => linearDecay(1, 0),
    () => cosineDecay(1, 2.5),
    () => constantRate(Number.NaN),
    () => constantRate(0),
  ]) {
    assert.throws(make, (error) => isError(error, OPTIM.BAD_HYPERPARAMETER));
  }
});
