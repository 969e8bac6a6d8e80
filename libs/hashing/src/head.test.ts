/** The guarantee of the analytic head: equal items, equal bits, however they came and went. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hex, isError, seededRandom, sha256, shuffle } from '@lethe/std';
import { allocateClasses, emptyCodebook } from './codebook.ts';
import { HASHING } from './errors.ts';
import { createFeatureMap } from './features.ts';
import {
  decodeHashFunction,
  encodeFeatures,
  encodeHashFunction,
  fitHashFunction,
  functionFingerprint,
  weightsDigest,
} from './function.ts';
import { solveWeights } from './solve.ts';
import type { HeadStatistics, LabelledFeatures } from './statistics.ts';
import {
  addItems,
  decodeStatistics,
  emptyStatistics,
  encodeStatistics,
  mergeStatistics,
  statisticsDigest,
  subtractItems,
  targetsOf,
} from './statistics.ts';

const D = 32;
const K = 16;
const WIDTH = 20;
const map = createFeatureMap({ seed: 'test', inputWidth: WIDTH, featureDim: D });
const codebook = allocateClasses(emptyCodebook(K), ['a', 'b', 'c', 'd', 'e']);
const empty = emptyStatistics(D, K);

interface Item {
  readonly input: Uint8Array;
  readonly label: number;
}

function makeItems(count: number, seed: string): Item[] {
  const random = seededRandom('head test', seed);
  return Array.from({ length: count }, () => ({ input: random.bytes(WIDTH), label: random.below(5) }));
}

function batch(items: readonly Item[]): LabelledFeatures {
  const features = map.apply(Uint8Array.from(items.flatMap((item) => [...item.input])));
  return {
    features,
    targets: targetsOf(
      codebook,
      Int32Array.from(items, (item) => item.label),
    ),
  };
}

const sumsOf = (items: readonly Item[]) => addItems(empty, batch(items));
const fit = (statistics: HeadStatistics) =>
  fitHashFunction(statistics, { features: map.spec, codebook, lambda: 1_000, version: 1 });
/** Digests of the sums and of the weights. */
const digests = (statistics: HeadStatistics) =>
  `${hex(statisticsDigest(statistics))} ${hex(weightsDigest(fit(statistics)))}`;

// 700 items are two full blocks and a part of one.
const items = makeItems(700, 'items');
const reference = digests(sumsOf(items));

test('the sums are the integers that the definition gives', () => {
  const { features, targets } = batch(items);
  const sums = sumsOf(items);
  for (let i = 0; i < D; i++) {
    for (let j = 0; j < D; j++) {
      let sum = 0n;
      if (j <= i) {
        for (let t = 0; t < 700; t++) sum += BigInt(features[t * D + i]! * features[t * D + j]!);
      }
      assert.equal(BigInt(sums.gram[i * D + j]!), sum, `gram ${i} ${j}`);
    }
    for (let k = 0; k < K; k++) {
      const sum = targets.reduce((total, target, t) => total + features[t * D + i]! * target[k]!, 0);
      assert.equal(sums.cross[i * K + k], sum, `cross ${i} ${k}`);
    }
  }
});

test('saturated features keep the packed halves apart', () => {
  const features = new Uint8Array(256 * D).fill(127);
  const target = new Int8Array(K).fill(-1);
  const sums = addItems(empty, { features, targets: Array.from({ length: 256 }, () => target) });
  for (let i = 0; i < D; i++) for (let j = 0; j <= i; j++) assert.equal(sums.gram[i * D + j], 256 * 127 ** 2);
  assert.ok(sums.cross.every((value) => value === -256 * 127));
});

test('neither order nor sharding nor arrival in parts shows in the weights', () => {
  for (let round = 0; round < 5; round++) {
    const random = seededRandom('order', round);
    const shuffled = shuffle([...items], random);
    assert.equal(digests(sumsOf(shuffled)), reference);
    const cut = random.below(701);
    assert.equal(
      digests(mergeStatistics(sumsOf(shuffled.slice(cut)), sumsOf(shuffled.slice(0, cut)))),
      reference,
    );
    assert.equal(digests(addItems(sumsOf(shuffled.slice(0, cut)), batch(shuffled.slice(cut)))), reference);
  }
  let oneByOne = empty;
  for (const item of items) oneByOne = addItems(oneByOne, batch([item]));
  assert.equal(digests(oneByOne), reference);
});

test('unlearned equals never seen', () => {
  const extra = makeItems(9, 'extra');
  const all = sumsOf([...items.slice(0, 300), ...extra, ...items.slice(300)]);
  assert.notEqual(digests(all), reference);
  assert.equal(digests(subtractItems(all, batch(shuffle([...extra], seededRandom('x'))))), reference);
  assert.equal(digests(subtractItems(sumsOf(items), batch(items))), digests(empty));
});

test('one changed record, in one byte or in its label, shows', () => {
  const first = items[0]!;
  const input = first.input.slice();
  input[7]! ^= 0x80;
  assert.notEqual(digests(sumsOf([{ ...first, input }, ...items.slice(1)])), reference);
  assert.notEqual(
    digests(sumsOf([{ ...first, label: (first.label + 1) % 5 }, ...items.slice(1)])),
    reference,
  );
  assert.notEqual(digests(sumsOf(items.slice(1))), reference);
});

test('features and weights are the same bits on every machine', () => {
  // Recorded on x64. A difference here means that codes and digests of existing deployments no longer hold.
  const { features } = batch(items);
  assert.equal(hex(sha256(features)), 'b5465e8f5ba312ea6904f0d0dc930750c97caf0fdb6d20a4223cb2a69078e170');
  assert.equal(
    hex(weightsDigest(fit(sumsOf(items)))),
    '5e44b20ffebdc23738bb8a6e7d5a87787a869a7e8041436b9e111f8298501675',
  );
  // A function of release 0.1 comes back from its bytes with the rows that it was learned with, and is updated on those.
  const serial = allocateClasses(emptyCodebook(K, 'serial'), codebook.classes);
  const labels = Int32Array.from(items, (item) => item.label);
  const sums = addItems(empty, { features, targets: targetsOf(serial, labels) });
  const old = fitHashFunction(sums, { features: map.spec, codebook: serial, lambda: 1_000, version: 1 });
  assert.equal(hex(weightsDigest(old)), '5421d8e788f426bb616cb41ab4db73832d47d3ffe71e5967101a5a7122d7127f');
  assert.equal(
    hex(sha256(encodeHashFunction(old))),
    '7a9be8d14dcf416f6f0aa8d4e159412b3d11c6f7455cad139f29e03e2864da55',
  );
  assert.deepEqual(decodeHashFunction(encodeHashFunction(old)).codebook, serial);
});

test('features stay in range and end in the bias', () => {
  const features = map.apply(
    Uint8Array.from({ length: 3 * WIDTH }, (_, i) => [0, 255, i % 2 ? 255 : 0][Math.floor(i / WIDTH)]!),
  );
  for (let row = 0; row < 3; row++) assert.equal(features[row * D + D - 1], 127);
  assert.ok(features.every((value) => value <= 127));
  assert.throws(
    () => map.apply(new Uint8Array(WIDTH + 1)),
    (e) => isError(e, HASHING.SHAPE_MISMATCH),
  );
  for (const featureDim of [30, 0, 4_100]) {
    assert.throws(
      () => createFeatureMap({ ...map.spec, featureDim }),
      (e) => isError(e, HASHING.OPTION_INVALID),
    );
  }
});

test('the weights solve the ridge equations', () => {
  const sums = sumsOf(items);
  const lambda = 1_000;
  const w = solveWeights(sums, lambda);
  const gram = (i: number, j: number) => sums.gram[Math.max(i, j) * D + Math.min(i, j)]!;
  for (let i = 0; i < D; i++) {
    for (let k = 0; k < K; k++) {
      let left = lambda * w[i * K + k]!;
      for (let j = 0; j < D; j++) left += gram(i, j) * w[j * K + k]!;
      const right = sums.cross[i * K + k]!;
      assert.ok(Math.abs(left - right) <= 1e-6 * (1 + Math.abs(right)), `${i} ${k}: ${left} ${right}`);
    }
  }
});

test('what cannot have been in the sums does not come out of them, and other shapes do not go in', () => {
  const one = sumsOf(items.slice(0, 1));
  assert.throws(
    () => subtractItems(one, batch(items.slice(0, 2))),
    (e) => isError(e, HASHING.STATISTICS_UNDERFLOW),
  );
  assert.throws(
    () => subtractItems(one, batch(items.slice(1, 2))),
    (e) => isError(e, HASHING.STATISTICS_UNDERFLOW),
  );
  assert.throws(
    () => addItems(empty, { ...batch(items), targets: [] }),
    (e) => isError(e, HASHING.SHAPE_MISMATCH),
  );
  assert.throws(
    () => mergeStatistics(empty, emptyStatistics(D, 8)),
    (e) => isError(e, HASHING.SHAPE_MISMATCH),
  );
  assert.throws(
    () => targetsOf(codebook, Int32Array.of(-1)),
    (e) => isError(e, HASHING.CLASS_UNKNOWN),
  );
});

test('nothing is left of no items, the bias comes out with its item, and targets are +1 and -1', () => {
  const underflow = (e: unknown) => isError(e, HASHING.STATISTICS_UNDERFLOW);
  const { features, targets } = batch(items.slice(0, 1));
  const one = addItems(empty, { features, targets });
  const all = subtractItems(one, { features, targets });
  assert.equal(hex(statisticsDigest(all)), hex(statisticsDigest(empty)));
  // The same record with another target: every diagonal agrees, the cross sums do not.
  const turned = targets.map((target) => target.map((bit) => -bit));
  assert.throws(() => subtractItems(one, { features, targets: turned }), underflow);
  const fewer = features.slice();
  fewer[fewer.findIndex((f) => f > 1)]!--;
  assert.throws(() => subtractItems(one, { features: fewer, targets }), underflow);
  const unbiased = features.slice();
  unbiased[D - 1] = 126;
  assert.throws(() => subtractItems(sumsOf(items.slice(0, 50)), { features: unbiased, targets }), underflow);
  for (const bit of [0, 2, 100]) {
    assert.throws(
      () => addItems(empty, { features, targets: [new Int8Array(K).fill(bit)] }),
      (e) => isError(e, HASHING.SHAPE_MISMATCH),
    );
  }
});

test('a Gram matrix that no items can have is refused, not turned into NaN', () => {
  const sums = sumsOf(items);
  const gram = sums.gram.slice();
  gram[0] = -1e6;
  assert.throws(
    () => solveWeights({ ...sums, gram }, 1),
    (e) => isError(e, HASHING.NOT_POSITIVE_DEFINITE),
  );
  assert.throws(
    () => solveWeights(sums, 0),
    (e) => isError(e, HASHING.OPTION_INVALID),
  );
});

test('statistics come back from their bytes, and from no others', () => {
  const bytes = encodeStatistics(sumsOf(items));
  assert.equal(digests(decodeStatistics(Buffer.from(bytes))), reference);
  const refused = (change: (copy: Uint8Array) => Uint8Array | undefined) => {
    const copy = bytes.slice();
    assert.throws(
      () => decodeStatistics(change(copy) ?? copy),
      (e) => isError(e, HASHING.BYTES_MALFORMED),
    );
  };
  refused((copy) => copy.subarray(0, -8));
  refused((copy) => copy.subarray(0, 10));
  refused((copy) => void copy.fill(0, 0, 1));
  refused((copy) => void copy.fill(1, 12, 13));
  refused((copy) => void copy.fill(0xff, 40, 48));
});

test('a hash function comes back from its bytes, and from no others', () => {
  const fn = fit(sumsOf(items));
  const bytes = encodeHashFunction(fn);
  assert.deepEqual(decodeHashFunction(Buffer.from(bytes)), fn);
  const text = new TextDecoder('latin1').decode(bytes);
  const altered = [
    bytes.subarray(0, -1),
    Buffer.concat([bytes, Buffer.alloc(8)]),
    Buffer.from(text.replace('"codeBits":16', '"codeBits":32'), 'latin1'),
    Buffer.from(text.replace('{', '{ '), 'latin1'),
    Buffer.from('not a function'),
    new Uint8Array(0),
  ];
  for (const other of altered)
    assert.throws(
      () => decodeHashFunction(other),
      (e) => isError(e, HASHING.BYTES_MALFORMED),
    );
  // Before the first fit a function has version 0 and no weights.
  const unfitted = { ...fn, version: 0, weights: new Float64Array(D * K) };
  assert.deepEqual(decodeHashFunction(encodeHashFunction(unfitted)), unfitted);
});

test('numbers that no fit makes are no hash function', () => {
  const fn = fit(sumsOf(items));
  const withWeight = (value: number) => ({ weights: fn.weights.map((w, i) => (i === 7 ? value : w)) });
  const impossible = [
    withWeight(Number.NaN),
    withWeight(Number.POSITIVE_INFINITY),
    { lambda: 0 },
    { lambda: -5 },
    { lambda: null as unknown as number },
    { lambda: '1' as unknown as number },
    { version: -1 },
    { version: 1.5 },
    { version: 2 ** 32 },
    { version: 'one' as unknown as number },
  ];
  for (const change of impossible)
    assert.throws(
      () => decodeHashFunction(encodeHashFunction({ ...fn, ...change })),
      (e) => isError(e, HASHING.BYTES_MALFORMED),
      JSON.stringify(Object.keys(change)),
    );
});

test('the fingerprint follows the weights and the projection, not the version number', () => {
  const fn = fit(sumsOf(items));
  const print = hex(functionFingerprint(fn));
  assert.equal(hex(functionFingerprint({ ...fn, version: 2 })), print);
  const weights = fn.weights.slice();
  weights[3]! *= 1 + Number.EPSILON;
  assert.notEqual(hex(functionFingerprint({ ...fn, weights })), print);
  assert.notEqual(hex(functionFingerprint({ ...fn, features: { ...fn.features, seed: 'other' } })), print);
});

test('codes of what was learned are nearer to their own class than to any other', () => {
  const random = seededRandom('clusters');
  const centres = Array.from({ length: 5 }, () => random.bytes(WIDTH));
  const noisy = Array.from({ length: 500 }, (_, i) => ({
    label: i % 5,
    input: centres[i % 5]!.map((value) => Math.min(255, value + random.below(8))),
  }));
  const fn = fit(sumsOf(noisy));
  const codes = encodeFeatures(fn, batch(noisy).features);
  for (let i = 0; i < 500; i++) {
    const target = targetsOf(codebook, Int32Array.of(i % 5))[0]!;
    const wrong = target.filter(
      (value, k) => (codes[(i * K + k) >> 3]! >> (k & 7)) % 2 !== (value > 0 ? 1 : 0),
    );
    assert.ok(wrong.length < K / 4, `item ${i} is ${wrong.length} bits from its class`);
  }
});
