import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isError, seededRandom } from '@lethe/std';
import { PRIVACY } from '../errors.ts';
import { PrivacyRandomness } from '../randomness.ts';
import {
  BandedMechanism,
  bandedRounds,
  bandedStrategy,
  inverseCoefficients,
  prefixSumError,
} from './banded.ts';
import { GaussianStream } from './gaussian.ts';
import { noiseGrid, roundToGrid } from './grid.ts';

const stream = (name: string): GaussianStream =>
  new GaussianStream(new PrivacyRandomness('research', seededRandom('banded.test', name)));
const DIMENSION = 40;
const random = seededRandom('banded sums');
const randomSum = (size: number): Float64Array[] => [
  Float64Array.from({ length: DIMENSION }, () => (size * (2 * random.uniform() - 1)) / Math.sqrt(DIMENSION)),
];

test('one band is DP-SGD, bit for bit', () => {
  const banded = new BandedMechanism(bandedStrategy(1), 1.5, 1.1, DIMENSION);
  const grid = noiseGrid(1.5, 1.1, DIMENSION);
  assert.deepEqual(banded.grid, grid);
  const [a, b] = [stream('one'), stream('one')];
  for (let step = 0; step < 5; step++) {
    const sum = randomSum(3);
    const [noise, same] = [new Float32Array(DIMENSION), new Float32Array(DIMENSION)];
    a.fill(step, banded.grid, [noise]);
    b.fill(step, grid, [same]);
    const expected = sum[0]!.slice();
    roundToGrid(expected, grid);
    expected.forEach((value, i) => {
      expected[i] = value + same[i]!;
    });
    assert.deepEqual(banded.release(sum, [noise])[0], expected);
  }
  assert.deepEqual(bandedRounds(bandedStrategy(1), 0.01, 1.1, 300), {
    samplingProbability: 0.01,
    noiseMultiplier: 1.1,
    steps: 300,
  });
});

/** C of a run, dense. */
const matrix = (bands: number, steps: number): number[][] =>
  Array.from({ length: steps }, (_, t) =>
    Array.from({ length: steps }, (_, s) => bandedStrategy(bands).coefficients[t - s] ?? 0),
  );

test('sensitivity of the strategy: over all patterns with participations `bands` steps apart it is sqrt(participations)', () => {
  for (const [bands, steps] of [
    [1, 6],
    [3, 10],
    [4, 11],
  ] as const) {
    const c = matrix(bands, steps);
    for (let pattern = 1; pattern < 2 ** steps; pattern++) {
      const taken = [...Array(steps).keys()].filter((t) => (pattern >> t) & 1);
      if (taken.some((t, i) => i > 0 && t - taken[i - 1]! < bands)) continue;
      // C is not negative, so contributions of one direction are the worst.
      const moved = Math.hypot(...c.map((row) => taken.reduce((sum, s) => sum + row[s]!, 0)));
      assert.ok(moved <= Math.sqrt(taken.length) * (1 + 1e-12), `pattern ${pattern.toString(2)}`);
    }
    // Closer participations would pass the bound, so the patterns matter.
    if (bands > 1) {
      const close = Math.hypot(...c.map((row) => row[0]! + row[1]!));
      assert.ok(close > Math.SQRT2 * 1.1);
    }
  }
});

test('sensitivity of the run: what a unit moves of all that meets noise is at most the bound that the noise is made for', () => {
  const [bands, steps, bound] = [4, 12, 1.5];
  const { coefficients } = bandedStrategy(bands);
  let largest = 0;
  for (let trial = 0; trial < 60; trial++) {
    const [a, b] = [1, 2].map(() => new BandedMechanism(bandedStrategy(bands), bound, 1.1, DIMENSION));
    const first = random.below(bands);
    const noise = [new Float32Array(DIMENSION)];
    const [xs, ys] = [[] as Float64Array[], [] as Float64Array[]];
    let squared = 0;
    for (let step = 0; step < steps; step++) {
      const sum = randomSum(100);
      const other = sum[0]!.slice();
      if (step === first) {
        const change = randomSum(1)[0]!;
        const scale = bound / Math.hypot(...change);
        other.forEach((value, i) => {
          other[i] = value + scale * change[i]!;
        });
      }
      xs.unshift(a!.release(sum, noise)[0]!);
      ys.unshift(b!.release([other], noise)[0]!);
      // Without noise, C x is what was rounded: C s.
      for (let i = 0; i < DIMENSION; i++) {
        let moved = 0;
        coefficients.forEach((c, j) => {
          moved += c * ((xs[j]?.[i] ?? 0) - (ys[j]?.[i] ?? 0));
        });
        squared += moved ** 2;
      }
    }
    largest = Math.max(largest, Math.sqrt(squared));
    assert.ok(Math.sqrt(squared) <= a!.grid.roundedBound * (1 + 1e-9));
  }
  assert.ok(largest > bound * 0.999, 'the bound is reached');
});

test('the sums come through: released minus true is the noise under C^-1 and at most half a cell of rounding', () => {
  const [bands, steps] = [5, 30];
  const mechanism = new BandedMechanism(bandedStrategy(bands), 1, 1, DIMENSION);
  const inverse = inverseCoefficients(mechanism.strategy, steps);
  const source = stream('through');
  const noises: Float32Array[] = [];
  const reach = inverse.reduce((sum, w) => sum + Math.abs(w), 0);
  for (let step = 0; step < steps; step++) {
    const [sum, noise] = [randomSum(50), new Float32Array(DIMENSION)];
    source.fill(step, mechanism.grid, [noise]);
    noises.push(noise);
    const [x] = mechanism.release(sum, [noise]);
    x!.forEach((value, i) => {
      const correlated = noises.reduce((total, z, t) => total + inverse[step - t]! * z[i]!, 0);
      assert.ok(Math.abs(value - sum[0]![i]! - correlated) <= (reach * mechanism.grid.spacing) / 2 + 1e-9);
    });
  }
});

test('prefix sums: the error is that of the factorization, falls with the bands, and is below that of DP-SGD', () => {
  // A C^-1 by its definition.
  const [bands, steps] = [3, 20];
  const inverse = inverseCoefficients(bandedStrategy(bands), steps);
  let squared = 0;
  for (let t = 0; t < steps; t++) {
    for (let s = 0; s <= t; s++) squared += inverse.slice(0, t - s + 1).reduce((sum, w) => sum + w) ** 2;
  }
  assert.ok(Math.abs(prefixSumError(bandedStrategy(bands), steps) - Math.sqrt(squared / steps)) < 1e-12);
  const errors = [1, 2, 4, 8, 16, 32].map((b) => prefixSumError(bandedStrategy(b), 1024));
  assert.ok(Math.abs(errors[0]! - Math.sqrt(1025 / 2)) < 1e-9, 'DP-SGD: sqrt((T + 1) / 2)');
  for (const [i, error] of errors.slice(1).entries()) assert.ok(error < errors[i]! * 0.85, `${errors}`);

  // And measured: the prefix sums of 64 steps of 400 x 40 values.
  const measured = (b: number): number => {
    let total = 0;
    for (let run = 0; run < 4; run++) {
      const mechanism = new BandedMechanism(bandedStrategy(b), 1, 1, 4000);
      const source = stream(`prefix ${b} ${run}`);
      const prefix = new Float64Array(4000);
      for (let step = 0; step < 64; step++) {
        const noise = new Float32Array(4000);
        source.fill(step, mechanism.grid, [noise]);
        const [x] = mechanism.release([new Float64Array(4000)], [noise]);
        x!.forEach((value, i) => {
          prefix[i]! += value;
        });
        total += prefix.reduce((sum, value) => sum + value ** 2, 0) / mechanism.grid.standardDeviation ** 2;
      }
    }
    return Math.sqrt(total / (4 * 64 * 4000));
  };
  for (const b of [1, 8]) {
    const expected = prefixSumError(bandedStrategy(b), 64);
    assert.ok(Math.abs(measured(b) / expected - 1) < 0.03, `${b} bands: ${measured(b)}, not ${expected}`);
  }
});

test('refusals: bands out of range, a sum that is not finite', () => {
  for (const bands of [0, 1.5, 65]) {
    assert.throws(
      () => bandedStrategy(bands),
      (error: unknown) => isError(error, PRIVACY.INVALID_MECHANISM),
    );
  }
  const mechanism = new BandedMechanism(bandedStrategy(2), 1, 1, 1);
  assert.throws(
    () => mechanism.release([Float64Array.of(Number.NaN)], [Float32Array.of(0.5)]),
    (error: unknown) => isError(error, PRIVACY.SENSITIVITY_UNKNOWN),
  );
});
