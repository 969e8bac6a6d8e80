import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isError, seededRandom } from '@lethe/std';
import { allocateClasses, classCode, emptyCodebook, packCode } from './codebook.ts';
import { createCrossModalHead } from './cross-modal.ts';
import { HASHING } from './errors.ts';
import type { HashFunction } from './function.ts';
import { encodeFeatures } from './function.ts';
import { distance } from './hamming.ts';
import { learnedShares, queryCodes } from './query-codes.ts';

const K = 32;
const codebook = allocateClasses(emptyCodebook(K), ['a', 'b', 'c']);
const [A, B, C] = [0, 1, 2].map((c) => classCode(codebook, c)) as [Int8Array, Int8Array, Int8Array];
const d = (a: Uint8Array, b: Uint8Array): number => distance(a, 0, b, 0, K / 8);

/** A function whose scores of query i, feature i at 1, are sum over c of evidence[i][c] h_c, and noise outside the rows of classes. */
function planted(evidence: readonly (readonly number[])[]): { fn: HashFunction; features: Uint8Array } {
  const noise = classCode(allocateClasses(codebook, ['d', 'e', 'f', 'g']), 6);
  const weights = evidence.flatMap(([a, b, c]) =>
    Array.from({ length: K }, (_, k) => a! * A[k]! + b! * B[k]! + c! * C[k]! + 0.01 * noise[k]!),
  );
  const dim = evidence.length;
  const features = new Uint8Array(dim * dim);
  for (let i = 0; i < dim; i++) features[i * dim + i] = 1;
  return {
    fn: {
      features: { seed: 'planted', inputWidth: 1, featureDim: dim },
      codebook,
      lambda: 1,
      version: 2,
      weights: Float64Array.from(weights),
    },
    features,
  };
}
const at = (codes: Uint8Array, i: number) => codes.subarray((i * K) / 8, ((i + 1) * K) / 8);

test('shares: what was learned by a version, of what is alive; a class without items is suppressed nowhere', () => {
  assert.deepEqual(
    learnedShares([
      [2, 0, 0],
      [1, 4, 0],
      [1, 4, 0],
    ]),
    [
      [0.5, 0, 1],
      [0.75, 0.5, 1],
      [1, 1, 1],
    ],
  );
  assert.deepEqual(learnedShares([]), []);
});

test('planted drift: evidence for a class that came later does not lead away from what a version stored', () => {
  // Of class a, and today's function takes it for c rather than b; of c itself; of nothing.
  const { fn, features } = planted([
    [0.45, 0.15, 0.5],
    [0.1, 0.05, 0.9],
    [0.02, -0.3, 0.03],
  ]);
  const plain = encodeFeatures(fn, features);
  const [old, now] = queryCodes(
    fn,
    features,
    [
      [1, 1, 0.02],
      [1, 1, 1],
    ],
    { threshold: 0.05, left: [0.25, 0.5] },
  ) as [Uint8Array, Uint8Array];
  const stored = packCode(A);
  assert.equal(d(at(old, 0), stored), 0);
  assert.ok(d(at(plain, 0), stored) >= 8 && d(at(now, 0), stored) >= 8, 'the newest code is not near');
  // The query of the new class keeps its distance from old items, instead of taking the code of whatever is left.
  assert.deepEqual(at(old, 1), packCode(C));
  assert.deepEqual(at(old, 1), at(now, 1));
  // Without evidence the code is that of the function.
  assert.deepEqual(at(old, 2), at(plain, 2));
});

test('where no class is absent a version gets the code of the newest one, and an item that is fitted exactly gets its class', () => {
  const random = seededRandom('query codes');
  const evidence = Array.from({ length: 39 }, () => [0, 1, 2].map(() => random.below(1_000) / 1_000 - 0.2));
  const { fn, features } = planted([...evidence, [0, 1, 0]]);
  const [half, all, most] = queryCodes(fn, features, [
    [0.5, 0.5, 0.5],
    [1, 1, 1],
    [0.9, 0.9, 0.9],
  ]) as [Uint8Array, Uint8Array, Uint8Array];
  assert.deepEqual(half, all);
  assert.deepEqual(most, all);
  assert.deepEqual(at(all, 39), packCode(B));
  assert.deepEqual(at(encodeFeatures(fn, features), 39), packCode(B));
});

test('an erased item has no part: function and shares without it give the codes of a history that never had it', () => {
  const head = createCrossModalHead({
    seed: 'erase',
    codeBits: K,
    modalities: { image: { inputWidth: 8, featureDim: 32, lambda: 100 } },
  });
  const random = seededRandom('items');
  const inputs = random.bytes(60 * 8);
  const labels = Array.from({ length: 60 }, (_, i) => [i % 3]);
  const part = (from: number, to: number) => ({
    image: { inputs: inputs.subarray(8 * from, 8 * to), labels: labels.slice(from, to) },
  });
  const all = head.add(head.empty, codebook, part(0, 60));
  const erased = head.subtract(all, codebook, part(0, 7));
  const never = head.add(head.empty, codebook, part(7, 60));
  const counts = [labels.slice(7, 30), labels.slice(30)].map((of) =>
    [0, 1, 2].map((c) => of.filter(([l]) => l === c).length),
  );
  const ask = (sums: typeof all) =>
    head.queryCodes(head.fit(sums, codebook, 2), 'image', inputs, learnedShares(counts));
  assert.deepEqual(ask(erased), ask(never));
  assert.notDeepEqual(ask(all), ask(never));
});

test('shares of another codebook and options outside their ranges are refused', () => {
  const { fn, features } = planted([[1, 0, 0]]);
  assert.throws(
    () => queryCodes(fn, features, [[1, 1]]),
    (e) => isError(e, HASHING.SHAPE_MISMATCH),
  );
  for (const share of [-0.1, 1.1, Number.NaN]) {
    assert.throws(
      () => queryCodes(fn, features, [[1, share, 1]]),
      (e) => isError(e, HASHING.OPTION_INVALID),
    );
  }
  for (const options of [
    { threshold: 1, left: [0, 1] },
    { threshold: Number.NaN, left: [0, 1] },
    { threshold: 0, left: [0.5, 0.5] },
    { threshold: 0, left: [0.5, 1.1] },
  ] as const) {
    assert.throws(
      () => queryCodes(fn, features, [[1, 1, 1]], options),
      (e) => isError(e, HASHING.OPTION_INVALID),
    );
  }
});
