/** Unified Functional Hashing: a candidate is known by its behaviour on fixed inputs, not by how it is written. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hex, isError, seededRandom, shuffle } from '@lethe/std';
import { allocateClasses, emptyCodebook } from '../codebook.ts';
import { HASHING } from '../errors.ts';
import { createFeatureMap } from '../features.ts';
import type { HashFunction } from '../function.ts';
import { encodeFeatures, functionFingerprint } from '../function.ts';
import { behaviourDigest, canonicalInputs } from './fingerprint.ts';

const WIDTH = 12;
const map = createFeatureMap({ seed: 'fingerprint', inputWidth: WIDTH, featureDim: 32 });
const random = seededRandom('weights');
const fn: HashFunction = {
  features: map.spec,
  codebook: allocateClasses(emptyCodebook(16), ['a', 'b']),
  lambda: 1,
  version: 1,
  weights: Float64Array.from({ length: 32 * 16 }, () => random.uniform() - 0.5),
};
const encode = (f: HashFunction) => (inputs: Uint8Array) => encodeFeatures(f, map.apply(inputs));
const digest = (f: HashFunction) => hex(behaviourDigest(encode(f), WIDTH, 16));

test('hidden units in another order are the same behaviour, though other bytes', () => {
  const order = shuffle(
    Array.from({ length: 32 }, (_, i) => i),
    seededRandom('order'),
  );
  const weights = new Float64Array(fn.weights.length);
  order.forEach((from, to) => {
    weights.set(fn.weights.subarray(from * 16, (from + 1) * 16), to * 16);
  });
  const reordered = { ...fn, weights };
  const encodeReordered = (inputs: Uint8Array) => {
    const features = map.apply(inputs);
    return encodeFeatures(
      reordered,
      features.map((_, at) => features[at - (at % 32) + order[at % 32]!]!),
    );
  };
  assert.equal(hex(behaviourDigest(encodeReordered, WIDTH, 16)), digest(fn));
  assert.notEqual(
    hex(functionFingerprint(reordered)),
    hex(functionFingerprint(fn)),
    'the fingerprint binds the bytes',
  );
});

test('one flipped weight bit changes the digest exactly if it flips a canonical code bit, and the fingerprint always', () => {
  const codes = hex(encode(fn)(canonicalInputs(WIDTH)));
  let flips = 0;
  let silent = 0;
  for (let bit = 0; bit < 64; bit++) {
    const weights = fn.weights.slice();
    const bits = new BigUint64Array(weights.buffer);
    bits[5 * 16 + 3]! ^= 1n << BigInt(bit);
    const flipped = { ...fn, weights };
    const same = hex(encode(flipped)(canonicalInputs(WIDTH))) === codes;
    assert.equal(digest(flipped) === digest(fn), same, `bit ${bit}`);
    assert.notEqual(hex(functionFingerprint(flipped)), hex(functionFingerprint(fn)), `bit ${bit}`);
    if (same) silent++;
    else flips++;
  }
  assert.ok(flips >= 3 && silent >= 10, `${flips} flip a code, ${silent} do not`);
});

test('codes of another length are refused', () => {
  assert.throws(
    () => behaviourDigest(encode(fn), WIDTH, 32),
    (e) => isError(e, HASHING.CODE_LENGTH_WRONG),
  );
});
