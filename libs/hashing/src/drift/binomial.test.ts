import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isError } from '@lethe/std';
import { HASHING } from '../errors.ts';
import { lowerTail, upperRateBound, upperTail, upperThreshold } from './binomial.ts';
import { chiSquaredTail, chiSquaredThreshold } from './novelty.ts';

/** P[Bin(n, a / b) >= x] by exact integers. */
function exactTail(n: number, a: bigint, b: bigint, x: number): number {
  let choose = 1n;
  let sum = 0n;
  for (let k = 0; k <= n; k++) {
    if (k >= x) sum += choose * a ** BigInt(k) * (b - a) ** BigInt(n - k);
    choose = (choose * BigInt(n - k)) / BigInt(k + 1);
  }
  // 60 digits before the division, so that tails of 1e-30 keep their precision.
  return Number((sum * 10n ** 60n) / b ** BigInt(n)) / 1e60;
}
const close = (value: number, expected: number, relative = 1e-10) =>
  assert.ok(Math.abs(value - expected) <= relative * expected, `${value} against ${expected}`);

test('tails keep their relative precision far out', () => {
  for (const [n, a, b, x] of [
    [400, 1n, 100n, 20],
    [400, 1n, 2n, 290],
    [400, 1n, 2n, 150],
    [256, 1n, 50n, 3],
  ] as const) {
    close(upperTail(n, Number(a) / Number(b), x), exactTail(n, a, b, x));
    close(lowerTail(n, 1 - Number(a) / Number(b), n - x), exactTail(n, a, b, x));
  }
  assert.deepEqual(
    [upperTail(10, 0.3, 0), upperTail(10, 0, 1), upperTail(10, 1, 10), upperTail(10, 0.5, 11)],
    [1, 0, 1, 0],
  );
});

test('the bound of the rate and the threshold are where the tail crosses the level', () => {
  for (const successes of [0, 3, 500, 9_990]) {
    const bound = upperRateBound(10_000, successes, 1e-7);
    close(lowerTail(10_000, bound, successes), 1e-7, 1e-4);
    const threshold = upperThreshold(4_096, bound, 1e-8);
    if (threshold <= 4_096) assert.ok(upperTail(4_096, bound, threshold) <= 1e-8);
    assert.ok(upperTail(4_096, bound, threshold - 1) > 1e-8);
  }
  assert.equal(upperRateBound(100, 100, 0.01), 1);
});

test('chi-squared: check values of the tables, odd degrees on the careful side', () => {
  close(chiSquaredTail(18.307, 10), 0.05, 1e-4);
  close(chiSquaredThreshold(0.001, 36), 67.985, 1e-4);
  assert.equal(chiSquaredTail(30, 35), chiSquaredTail(30, 36));
});

test('what is no count, rate or level is refused', () => {
  for (const call of [
    () => upperTail(0, 0.5, 0),
    () => upperTail(2 ** 18, 0.5, 1),
    () => upperTail(10, Number.NaN, 1),
    () => upperRateBound(10, 1, 0.6),
  ]) {
    assert.throws(call, (e) => isError(e, HASHING.OPTION_INVALID));
  }
});
