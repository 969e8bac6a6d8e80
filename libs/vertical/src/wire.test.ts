import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isError, seededRandom } from '@lethe/std';
import fc from 'fast-check';
import { codeBytes, packCodes, unpackCodes } from './code-wire.ts';
import { VERTICAL } from './errors.ts';
import { decodeGradients, encodeGradients, type GradientFormat, gradientRowBytes } from './gradient-wire.ts';
import { orthogonalTargets } from './orthogonal-targets.ts';

test('codes: least significant bit first, ceil(d / 8) bytes a row', () => {
  assert.deepEqual([...packCodes(Float32Array.of(1, -1, -1, -1, -1, -1, -1, -1, 1, 1), 10)], [1, 3]);
  assert.deepEqual([...packCodes(Float32Array.of(-1, 1, 1, -1), 2)], [2, 1]);
});

test('codes: packing and unpacking are inverse, and what no party can have sent is refused', () => {
  const cases = fc.tuple(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 0, max: 9 }), fc.nat());
  fc.assert(
    fc.property(cases, ([codeBits, rows, seed]) => {
      const random = seededRandom(seed);
      const codes = Float32Array.from({ length: rows * codeBits }, () => (random.below(2) ? 1 : -1));
      const packed = packCodes(codes, codeBits);
      assert.equal(packed.length, rows * codeBytes(codeBits));
      assert.deepEqual(unpackCodes(packed, rows, codeBits), codes);
    }),
  );
  const refused = (error: unknown) => isError(error, VERTICAL.BAD_CODES);
  assert.throws(() => unpackCodes(Uint8Array.of(0), 2, 8), refused);
  assert.throws(() => unpackCodes(Uint8Array.of(0b1000), 1, 3), refused);
});

test('gradients: each format keeps what it promises', () => {
  const random = seededRandom('gradients');
  const [rows, codeBits] = [7, 16];
  const gradients = Float32Array.from({ length: rows * codeBits }, () => random.uniform() - 0.5);
  const decoded = (format: GradientFormat) => {
    const bytes = encodeGradients(gradients, codeBits, format);
    assert.equal(bytes.length, rows * gradientRowBytes(codeBits, format));
    return decodeGradients(bytes, rows, codeBits, format);
  };
  assert.deepEqual(decoded('float32'), gradients);
  assert.ok(decoded('int8').every((value, i) => Math.abs(value - gradients[i]!) <= 0.5 / 127 / 2 + 1e-6));
  const signs = decoded('sign');
  for (let row = 0; row < rows; row++) {
    const own = gradients.subarray(row * codeBits, (row + 1) * codeBits);
    const mean = own.reduce((sum, value) => sum + Math.abs(value), 0) / codeBits;
    for (const [i, value] of own.entries()) {
      const got = signs[row * codeBits + i]!;
      assert.ok(Math.sign(got) === Math.sign(value) && Math.abs(Math.abs(got) / mean - 1) < 2 ** -10);
    }
  }
});

test('gradients: zeros survive, a wrong length and what is not finite are refused', () => {
  const refused = (error: unknown) => isError(error, VERTICAL.BAD_GRADIENTS);
  for (const format of ['sign', 'int8', 'float32'] as const) {
    assert.ok(
      decodeGradients(encodeGradients(new Float32Array(8), 8, format), 1, 8, format).every((v) => v === 0),
    );
    assert.throws(() => encodeGradients(Float32Array.of(Number.NaN), 1, format), refused);
    assert.throws(() => decodeGradients(new Uint8Array(3), 2, 8, format), refused);
  }
  assert.throws(
    () => decodeGradients(Uint8Array.of(0, 0x7c, 0xff), 1, 8, 'sign'),
    refused,
    'an infinite scale',
  );
  const huge = decodeGradients(encodeGradients(Float32Array.of(1e20, -1e20), 2, 'sign'), 1, 2, 'sign');
  assert.deepEqual([...huge], [65_504, -65_504], 'a scale beyond half precision is clipped, not infinite');
});

test('targets: any two classes differ in exactly half of the bits, and a job redraws them', () => {
  for (const [classes, codeBits] of [
    [10, 16],
    [2, 4],
    [31, 32],
  ] as const) {
    const targets = orthogonalTargets(classes, codeBits, seededRandom('job a'));
    for (let a = 0; a < classes; a++) {
      for (let b = 0; b < classes; b++) {
        let product = 0;
        for (let i = 0; i < codeBits; i++) product += targets[a * codeBits + i]! * targets[b * codeBits + i]!;
        assert.equal(product, a === b ? codeBits : 0);
      }
    }
  }
  assert.notDeepEqual(
    orthogonalTargets(10, 16, seededRandom('job a')),
    orthogonalTargets(10, 16, seededRandom('job b')),
  );
  for (const [classes, codeBits] of [
    [10, 12],
    [16, 16],
    [1, 8],
  ] as const) {
    assert.throws(
      () => orthogonalTargets(classes, codeBits, seededRandom('job')),
      (error: unknown) => isError(error, VERTICAL.BAD_NETWORK),
    );
  }
});
