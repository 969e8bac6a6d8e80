/** The kernel against plain loops: exact integers, and float64 bits in the order that `solve.ts` states. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '@lethe/std';
import { addProducts, encodeRows, projectionTable, projectRows, solveRidge } from './kernel.ts';

/** Half of the features rest at 0, as behind a ReLU. */
function randomFeatures(n: number, dim: number, seed: string): Uint8Array {
  const random = seededRandom('kernel test', seed);
  return random.bytes(n * dim).map((value) => (value >= 128 ? value - 128 : 0));
}

function randomTargets(n: number, codeBits: number): Int8Array {
  const bytes = seededRandom('kernel targets', n).bytes(n * codeBits);
  return Int8Array.from(bytes, (value) => (value & 1 ? 1 : -1));
}

function plainProducts(features: Uint8Array, targets: Int8Array, dim: number, codeBits: number) {
  const gram = new Float64Array(dim * dim);
  const cross = new Float64Array(dim * codeBits);
  for (let t = 0; t * codeBits < targets.length; t++) {
    for (let i = 0; i < dim; i++) {
      const f = features[t * dim + i]!;
      for (let j = 0; j <= i; j++) gram[i * dim + j]! += f * features[t * dim + j]!;
      for (let k = 0; k < codeBits; k++) cross[i * codeBits + k]! += f * targets[t * codeBits + k]!;
    }
  }
  return { gram, cross };
}

/** The order of every sum as `solve.ts` states it, nothing else. */
function plainSolve(gram: Float64Array, cross: Float64Array, lambda: number, dim: number, codeBits: number) {
  const m = gram.slice();
  for (let i = 0; i < dim; i++) m[i * dim + i]! += lambda;
  for (let j = 0; j < dim; j++) {
    const start = j - (j % 4);
    for (let i = j; i < dim; i++) {
      let sum = 0;
      for (let t = 0; t < start; t++) sum += m[i * dim + t]! * m[j * dim + t]!;
      let value = m[i * dim + j]! - sum;
      for (let t = start; t < j; t++) value -= m[i * dim + t]! * m[j * dim + t]!;
      m[i * dim + j] = i === j ? Math.sqrt(value) : value / m[j * dim + j]!;
    }
  }
  const w = cross.slice();
  const row = (i: number, from: number, to: number, entry: (by: number) => number) => {
    for (let k = 0; k < codeBits; k++) {
      const term = (by: number) => entry(by) * w[by * codeBits + k]!;
      let value = w[i * codeBits + k]!;
      let by = from;
      for (; by + 4 <= to; by += 4) value -= term(by) + term(by + 1) + term(by + 2) + term(by + 3);
      for (; by < to; by++) value -= term(by);
      w[i * codeBits + k] = value / m[i * dim + i]!;
    }
  };
  for (let i = 0; i < dim; i++) row(i, 0, i, (by) => m[i * dim + by]!);
  for (let i = dim - 1; i >= 0; i--) row(i, i + 1, dim, (by) => m[by * dim + i]!);
  return w;
}

for (const [dim, codeBits, n] of [
  [8, 8, 1],
  [12, 16, 700],
  [36, 64, 513],
  [100, 24, 512],
] as const) {
  test(`D ${dim}, K ${codeBits}, ${n} items: sums, weights and codes have the bits of plain loops`, () => {
    const features = randomFeatures(n, dim, `${dim}`);
    const targets = randomTargets(n, codeBits);
    const expected = plainProducts(features, targets, dim, codeBits);
    const sums = { gram: new Float64Array(dim * dim), cross: new Float64Array(dim * codeBits) };
    assert.ok(addProducts(sums, features, targets, { dim, codeBits, sign: 1 }));
    assert.deepEqual(sums, expected);
    const weights = plainSolve(sums.gram, sums.cross, 1_000, dim, codeBits);
    assert.deepEqual(solveRidge(sums, 1_000, { dim, codeBits }), weights);
    const codes = new Uint8Array((n * codeBits) / 8);
    for (let t = 0; t < n; t++) {
      for (let k = 0; k < codeBits; k++) {
        let u = 0;
        for (let i = 0; i < dim; i++) u += features[t * dim + i]! * weights[i * codeBits + k]!;
        if (u > 0) codes[(t * codeBits + k) >> 3]! |= 1 << (k & 7);
      }
    }
    assert.deepEqual(encodeRows(features, weights, { dim, codeBits }), codes);
    assert.ok(addProducts(sums, features, targets, { dim, codeBits, sign: -1 }));
    assert.ok([...sums.gram, ...sums.cross].every((value) => value === 0));
  });
}

test('a feature above 127 adds nothing', () => {
  const sums = { gram: new Float64Array(64), cross: new Float64Array(64) };
  const features = new Uint8Array(600 * 8);
  features[599 * 8 + 7] = 128;
  assert.equal(
    addProducts(sums, features, new Int8Array(600 * 8).fill(1), { dim: 8, codeBits: 8, sign: 1 }),
    false,
  );
  assert.ok(sums.gram.every((value) => value === 0));
});

test('the projection is its definition, saturated inputs included', () => {
  const random = seededRandom('projection');
  const [width, units, n] = [70, 35, 37];
  const draw = () => Uint16Array.from({ length: units * 16 }, () => random.below(width + 1));
  const [plus, minus] = [draw(), draw()];
  const thresholds = Int32Array.from({ length: units }, () => random.below(363) - 181);
  const inputs = random.bytes(n * width).map((value) => (value > 200 ? 255 : value < 50 ? 0 : value));
  const got = projectRows(inputs, width, projectionTable(plus, minus, thresholds), {
    scale: 8_690,
    constant: 128,
    bias: 127,
  });
  for (let row = 0; row < n; row++) {
    const x = (column: number) => (column === width ? 128 : inputs[row * width + column]!);
    for (let unit = 0; unit < units; unit++) {
      let z = -thresholds[unit]!;
      for (let p = unit * 16; p < unit * 16 + 16; p++) z += x(plus[p]!) - x(minus[p]!);
      assert.equal(got[row * (units + 1) + unit], z > 0 ? Math.min(127, (z * 8_690) >>> 16) : 0);
    }
    assert.equal(got[row * (units + 1) + units], 127);
  }
});
