import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isError, seededRandom } from '@lethe/std';
import fc from 'fast-check';
import { emptyCodebook } from './codebook.ts';
import { HASHING } from './errors.ts';
import { createFeatureMap } from './features.ts';
import { codesOf, encodeFeatures, type HashFunction, scoresOf } from './function.ts';

const D = 24;
const K = 16;
const madeUp = (seed: number): HashFunction => {
  const random = seededRandom('scores', seed);
  return {
    features: createFeatureMap({ seed: 'scores', inputWidth: 8, featureDim: D }).spec,
    codebook: emptyCodebook(K),
    lambda: 1,
    version: 1,
    weights: Float64Array.from({ length: D * K }, () => random.uniform() - 0.5),
  };
};

/** One score, written down: the order of its additions is that of the features. */
function score(fn: HashFunction, features: Uint8Array, row: number, k: number): number {
  let u = 0;
  for (let i = 0; i < D; i++) u += features[row * D + i]! * fn.weights[i * K + k]!;
  return u;
}

test('scores are the plain sums to the last bit, row by row; codes are their signs, by the kernel too', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 20 }), fc.nat(1_000), (rows, seed) => {
      const fn = madeUp(seed);
      const features = seededRandom('features', seed)
        .bytes(rows * D)
        .map((byte) => (byte < 128 ? 0 : byte - 128));
      const scores = scoresOf(fn, features);
      assert.deepEqual(
        scores,
        Float64Array.from({ length: rows * K }, (_, at) => score(fn, features, Math.floor(at / K), at % K)),
      );
      const codes = codesOf(scores);
      assert.equal(codes.length, (rows * K) / 8);
      for (const [at, u] of scores.entries()) assert.equal((codes[at >> 3]! >> (at & 7)) & 1, u > 0 ? 1 : 0);
      assert.deepEqual(encodeFeatures(fn, features), codes);
    }),
  );
});

test('a score of 0 is no bit, and a row that is not whole is refused', () => {
  assert.deepEqual([...codesOf(Float64Array.of(1, 0, -0, -1, 5e-324, 0, 0, 2))], [0b1001_0001]);
  for (const work of [scoresOf, encodeFeatures]) {
    assert.throws(
      () => work(madeUp(1), new Uint8Array(D + 1)),
      (error) => isError(error, HASHING.SHAPE_MISMATCH),
    );
  }
});
