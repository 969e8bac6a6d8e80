import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isError, seededRandom } from '@lethe/std';
import { PRIVACY } from '../errors.ts';
import { PrivacyRandomness } from '../randomness.ts';
import { GaussianStream } from './gaussian.ts';
import { noiseGrid, roundToGrid } from './grid.ts';

const stream = (): GaussianStream =>
  new GaussianStream(new PrivacyRandomness('research', seededRandom('grid.test')));

test('grid: a power of two, 2^-18 to 2^-19 of the deviation, which pays for the rounding', () => {
  for (const bound of [1e-6, 0.1, 1, 3.7, 1e6]) {
    for (const multiplier of [0.2, 1, 1.1, 20]) {
      for (const dimension of [1, 50, 670_000, 1e7]) {
        const { spacing, roundedBound, standardDeviation } = noiseGrid(bound, multiplier, dimension);
        assert.ok(Number.isInteger(Math.log2(spacing)));
        assert.equal(standardDeviation, multiplier * roundedBound);
        assert.ok(roundedBound >= bound + spacing * Math.sqrt(dimension) * (1 - 1e-15));
        const cells = standardDeviation / spacing;
        assert.ok(cells >= 2 ** 18 && cells <= 2 ** 19, `${cells} cells`);
      }
    }
  }
  // A model of 670,000 parameters at noise multiplier 1 pays 0.3 % more noise.
  assert.ok(noiseGrid(1, 1, 670_000).standardDeviation < 1.0032);
});

test('sensitivity: rounding moves two sums apart by at most spacing x sqrt(dimension), and by that much in the worst case', () => {
  const random = seededRandom('rounding');
  const dimension = 400;
  const grid = noiseGrid(1, 1, dimension);
  let widest = 0;
  for (let trial = 0; trial < 500; trial++) {
    const worst = trial % 2 === 0;
    const a = Float64Array.from({ length: dimension }, () =>
      worst ? (random.below(100) + 0.4999) * grid.spacing : 4 * random.uniform(),
    );
    const b = a.map((value) => value + (worst ? 0.0002 * grid.spacing : (random.uniform() - 0.5) / 12));
    const distance = (): number => Math.hypot(...a.map((value, i) => value - b[i]!));
    const before = distance();
    roundToGrid(a, grid);
    roundToGrid(b, grid);
    assert.ok(distance() <= before + grid.roundedBound - 1 + 1e-12);
    widest = Math.max(widest, distance() - before);
    for (const value of a) assert.ok(Number.isInteger(value / grid.spacing));
  }
  assert.ok(widest > 0.99 * (grid.roundedBound - 1));
});

test('output: rounded sum + noise is the same grid whatever the sum, also when float32 adds it', () => {
  const grid = noiseGrid(1, 1.3, 1000);
  const noise = new Float32Array(1000);
  stream().fill(0, grid, [noise]);
  const random = seededRandom('sums');
  const sum = Float32Array.from({ length: 1000 }, () => 20 * (random.uniform() - 0.5));
  roundToGrid(sum, grid);
  sum.forEach((value, i) => {
    const exact = value + noise[i]!;
    assert.equal(Math.abs(((2 * exact) / grid.spacing) % 2), 1, 'an odd multiple of half the spacing');
    // Float32 rounds the exact grid value, a function of it alone.
    assert.equal(Math.fround(value + noise[i]!), Math.fround(exact));
  });
});

test('noise of a step is made once and in order; steps may be left out, never repeated', () => {
  const noise = stream();
  const grid = noiseGrid(1, 1, 10);
  const out = new Float32Array(10);
  const refused = (error: unknown): boolean => isError(error, PRIVACY.NOISE_REUSED);
  noise.fill(0, grid, [out]);
  const first = out.slice();
  assert.throws(() => noise.fill(0, grid, [out]), refused);
  assert.deepEqual(out, first, 'a refusal writes nothing');
  noise.fill(5, grid, [out]);
  assert.throws(() => noise.fill(4, grid, [out]), refused);
  assert.equal(noise.nextStep, 6);
});

test('values that give no grid are refused', () => {
  const refused = (error: unknown): boolean => isError(error, PRIVACY.INVALID_MECHANISM);
  for (const [bound, multiplier, dimension] of [
    [0, 1, 1],
    [1, 0, 1],
    [1, Number.NaN, 1],
    [Number.POSITIVE_INFINITY, 1, 1],
    [1, 1, 0],
    [1e-40, 1, 1],
    [1e30, 1, 1],
    [1, 1, 1e11],
    [1, 20, 1e8],
  ] as const)
    assert.throws(
      () => noiseGrid(bound, multiplier, dimension),
      refused,
      `${bound} ${multiplier} ${dimension}`,
    );
});
