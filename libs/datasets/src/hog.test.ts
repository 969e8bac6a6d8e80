import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hex, isError, seededRandom, sha256 } from '@lethe/std';
import { DATASETS } from './errors.ts';
import { fixedFeatures } from './features.ts';
import { HOG_WIDTH, hog } from './hog.ts';
import { loadMnist, mnistSpec } from './mnist.ts';
import { parseSpec } from './spec.ts';
import { byteMatrix, floatMatrix } from './vector.ts';

const SIDE = 28;
const picture = (value: (y: number, x: number) => number): Float32Array =>
  Float32Array.from({ length: SIDE * SIDE }, (_, i) => value(Math.floor(i / SIDE), i % SIDE));
const close = (a: ArrayLike<number>, b: ArrayLike<number>, bound: number): void => {
  assert.equal(a.length, b.length);
  for (let i = 0; i < a.length; i++) assert.ok(Math.abs(a[i]! - b[i]!) <= bound, `${i}: ${a[i]} and ${b[i]}`);
};
const random = seededRandom('hog', 'test');
const DIGEST = 'df8fc35bb1c1cd158d673be209f7f3349730aa6144a88a9657843bc162b642f9';
const CONTENT = 'ca152619a2dde2b5bd21cb98d44566037bccd39072272b9fbda06165a77e98db';
const noise = () => Float32Array.from({ length: SIDE * SIDE }, () => random.below(256));

/** The definition read word by word: every cell asks every pixel for its share. */
function reference(pixels: ArrayLike<number>, h: number, w: number): number[] {
  const at = (y: number, x: number) =>
    pixels[Math.max(0, Math.min(h - 1, y)) * w + Math.max(0, Math.min(w - 1, x))]!;
  const share = (distance: number) => Math.max(0, 1 - Math.abs(distance));
  const values: number[] = [];
  for (let orientation = 0; orientation < 9; orientation++) {
    for (let row = 0; row < 11; row++) {
      for (let column = 0; column < 11; column++) {
        let sum = 0;
        for (let y = 0; y < h; y++) {
          for (let x = 0; x < w; x++) {
            const [dx, dy] = [at(y, x + 1) - at(y, x - 1), at(y + 1, x) - at(y - 1, x)];
            const degrees = (Math.atan2(dy, dx) * 180) / Math.PI;
            const away = Math.abs(((degrees - 40 * orientation + 540 + 360) % 360) - 180) / 40;
            // Distances to the centre of the cell, in cells of h / 11 by w / 11 pixels.
            const down = ((y + 0.5) * 11) / h - (row + 0.5);
            const right = ((x + 0.5) * 11) / w - (column + 0.5);
            sum += Math.hypot(dx, dy) * share(away) * share(down) * share(right);
          }
        }
        values.push(Math.sqrt(sum));
      }
    }
  }
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const length = Math.hypot(...values.map((value) => value - mean));
  return values.map((value) => (value - mean) / length);
}

test('it is what the definition says, for square and other pictures', () => {
  const square = noise();
  close(hog(square, 28, 28), reference(square, 28, 28), 1e-6);
  const wide = Float32Array.from({ length: 12 * 20 }, () => random.below(9));
  close(hog(wide, 12, 20), reference(wide, 12, 20), 1e-6);
});

test('by hand: a ramp of 11 x 11 pixels, where every cell is one pixel', () => {
  const described = hog(
    Float32Array.from({ length: 121 }, (_, i) => i % 11),
    11,
    11,
  );
  // All gradients point to the right, which is orientation 0: 2 inside, 1 in the first and last of the 11 columns.
  const mean = (99 * Math.SQRT2 + 22) / 1089;
  const length = Math.sqrt(99 * 2 + 22 - 1089 * mean ** 2);
  const expected = Array.from({ length: 1089 }, (_, i) => {
    const root = i >= 121 ? 0 : i % 11 === 0 || i % 11 === 10 ? 1 : Math.SQRT2;
    return (root - mean) / length;
  });
  close(described, expected, 1e-6);
});

test('brightness and contrast do not matter, direction does', () => {
  const original = noise();
  const described = hog(original, SIDE, SIDE);
  assert.ok(Math.abs(Math.hypot(...described) - 1) < 1e-6);
  close(
    hog(
      original.map((value) => 40 + value / 255),
      SIDE,
      SIDE,
    ),
    described,
    1e-4,
  );
  const negative = hog(
    original.map((value) => 255 - value),
    SIDE,
    SIDE,
  );
  assert.ok(Math.hypot(...negative.map((value, i) => value - described[i]!)) > 0.1);
});

test('a picture that stands on its head has its cells and directions turned over', () => {
  const original = noise();
  const headfirst = picture((y, x) => original[(SIDE - 1 - y) * SIDE + x]!);
  const described = hog(original, SIDE, SIDE);
  const expected = described.map((_, i) => {
    const [orientation, row, column] = [Math.floor(i / 121), Math.floor((i % 121) / 11), i % 11];
    return described[(((9 - orientation) % 9) * 11 + 10 - row) * 11 + column]!;
  });
  close(hog(headfirst, SIDE, SIDE), expected, 1e-6);
});

test('a picture of one grey gives zeros, and does not touch its neighbours', () => {
  const original = noise();
  const both = hog(Float32Array.of(...picture(() => 7), ...original), SIDE, SIDE);
  assert.ok(both.subarray(0, HOG_WIDTH).every((value) => value === 0));
  assert.deepEqual(both.subarray(HOG_WIDTH), hog(original, SIDE, SIDE));
});

test('fixed features of a dataset: bytes and floats give the same, the digest names constants and shape', () => {
  const features = fixedFeatures('hog', mnistSpec);
  const rows = loadMnist().test.slice(0, 20);
  const described = features.apply(byteMatrix(mnistSpec, rows));
  assert.equal(described.length, 20 * features.width);
  close(features.apply(floatMatrix(mnistSpec, rows)), described, 1e-6);
  // What is computed may not change under the name: a change needs another format, and so another digest.
  assert.equal(hex(features.digest), DIGEST);
  const coarse = described.map((value) => Math.round(value * 1e4));
  assert.equal(hex(sha256(new Uint8Array(coarse.buffer))), CONTENT);
});

test('what is no picture is refused', () => {
  const refused = (error: unknown) => isError(error, DATASETS.FEATURES_UNFIT);
  const field = mnistSpec.fields[0]!;
  const numeric = { kind: 'numeric', name: 'age', min: 0, max: 9 } as const;
  assert.throws(() => fixedFeatures('sift', mnistSpec), refused);
  assert.throws(() => fixedFeatures('', mnistSpec), refused);
  for (const fields of [
    [numeric],
    [field, numeric],
    [{ ...field, shape: [784] }],
    [{ ...field, shape: [10, 28] }],
  ]) {
    assert.throws(() => fixedFeatures('hog', parseSpec({ ...mnistSpec, fields })), refused);
  }
});
