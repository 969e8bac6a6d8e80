/** Several modalities, several labels, no pairs: equal items, equal bits. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { equalBytes, hex, isError, seededRandom, shuffle } from '@lethe/std';
import { allocateClasses, emptyCodebook } from './codebook.ts';
import type { CrossModalItems, CrossModalStatistics } from './cross-modal.ts';
import {
  createCrossModalHead,
  crossModalDigest,
  crossModalStatisticsDigest,
  mergeCrossModal,
} from './cross-modal.ts';
import { HASHING } from './errors.ts';
import { createFeatureMap } from './features.ts';
import { quantiseEmbeddings } from './quantise.ts';
import { relabelItems, statisticsDigest, targetsOfClasses } from './statistics.ts';

const head = createCrossModalHead({
  seed: 'test',
  codeBits: 16,
  modalities: {
    image: { inputWidth: 20, featureDim: 32, lambda: 1_000 },
    text: { inputWidth: 12, featureDim: 24, lambda: 500 },
  },
});
const WIDTHS: Readonly<Record<string, number>> = { image: 20, text: 12 };
const codebook = allocateClasses(emptyCodebook(16), ['a', 'b', 'c', 'd', 'e']);

interface Item {
  readonly modality: string;
  readonly input: Uint8Array;
  readonly labels: readonly number[];
}

/** Unpaired: twice as many pictures as texts; one to three classes each. */
function makeItems(count: number, seed: string): Item[] {
  const random = seededRandom('cross-modal test', seed);
  return Array.from({ length: count }, (_, i) => {
    const modality = i % 3 === 0 ? 'text' : 'image';
    const classes = shuffle([0, 1, 2, 3, 4], random).slice(0, 1 + random.below(3));
    return { modality, input: random.bytes(WIDTHS[modality]!), labels: classes };
  });
}

const batch = (items: readonly Item[]): CrossModalItems =>
  Object.fromEntries(
    Object.entries(Object.groupBy(items, (item) => item.modality)).map(([modality, group]) => [
      modality,
      {
        inputs: Uint8Array.from(group!.flatMap((item) => [...item.input])),
        labels: group!.map((item) => item.labels),
      },
    ]),
  );
const sumsOf = (items: readonly Item[]) => head.add(head.empty, codebook, batch(items));
const digests = (sums: CrossModalStatistics) =>
  `${hex(crossModalStatisticsDigest(sums))} ${hex(crossModalDigest(head.fit(sums, codebook, 1)))}`;

const items = makeItems(600, 'items');
const reference = digests(sumsOf(items));

test('increment equals retrain, in any order, sharding and choice of modality first', () => {
  for (let round = 0; round < 5; round++) {
    const random = seededRandom('order', round);
    const mixed = shuffle([...items], random);
    const cut = random.below(601);
    assert.equal(
      digests(head.add(sumsOf(mixed.slice(0, cut)), codebook, batch(mixed.slice(cut)))),
      reference,
    );
    assert.equal(digests(mergeCrossModal(sumsOf(mixed.slice(cut)), sumsOf(mixed.slice(0, cut)))), reference);
  }
  const of = (modality: string) => items.filter((item) => item.modality === modality);
  assert.equal(digests(head.add(sumsOf(of('text')), codebook, batch(of('image')))), reference);
});

test('unlearned equals never seen, in one modality or in both', () => {
  const extra = makeItems(9, 'extra');
  const all = sumsOf([...items, ...extra]);
  assert.notEqual(digests(all), reference);
  assert.equal(digests(head.subtract(all, codebook, batch(extra))), reference);
  const texts = extra.filter((item) => item.modality === 'text');
  const pictures = extra.filter((item) => item.modality === 'image');
  const withoutTexts = head.subtract(all, codebook, batch(texts));
  assert.equal(digests(withoutTexts), digests(sumsOf([...items, ...pictures])));
  assert.equal(
    hex(crossModalDigest(head.fit(withoutTexts, codebook, 1))).length,
    64,
    'a modality with items left is solved',
  );
});

test('the erasure of a text leaves the head of pictures as it was, by digest', () => {
  const text = items.filter((item) => item.modality === 'text').slice(0, 1);
  const before = head.fit(sumsOf(items), codebook, 1);
  const after = head.fit(head.subtract(sumsOf(items), codebook, batch(text)), codebook, 2);
  assert.ok(
    equalBytes(
      Buffer.from(before.heads.image!.weights.buffer),
      Buffer.from(after.heads.image!.weights.buffer),
    ),
  );
  assert.notDeepEqual(before.heads.text!.weights, after.heads.text!.weights);
});

test('a class that an old item gains is as if it always had it; its stored code is untouched', () => {
  const gains = items.filter((item) => !item.labels.includes(4)).slice(0, 40);
  const now = gains.map((item) => ({ ...item, labels: [...item.labels, 4] }));
  const stored = head.encode(head.fit(sumsOf(items), codebook, 1), gains[0]!.modality, gains[0]!.input);
  const copy = stored.slice();
  const sums = head.add(head.subtract(sumsOf(items), codebook, batch(gains)), codebook, batch(now));
  const rest = items.filter((item) => !gains.includes(item));
  assert.equal(digests(sums), digests(sumsOf([...rest, ...now])));
  assert.notEqual(digests(sums), reference);
  const pictures = gains.filter((item) => item.modality === 'image');
  const features = createFeatureMap({ seed: 'test/image', inputWidth: 20, featureDim: 32 }).apply(
    Uint8Array.from(pictures.flatMap((item) => [...item.input])),
  );
  const image = relabelItems(sumsOf(items).image!, {
    features,
    before: targetsOfClasses(
      codebook,
      pictures.map((item) => item.labels),
    ),
    after: targetsOfClasses(
      codebook,
      pictures.map((item) => [4, ...item.labels]),
    ),
  });
  assert.deepEqual(statisticsDigest(image), statisticsDigest(sums.image!));
  head.encode(head.fit(sums, codebook, 2), gains[0]!.modality, gains[0]!.input);
  assert.deepEqual(stored, copy);
});

test('what is not declared or has the wrong shape is refused', () => {
  const sums = sumsOf(items);
  const refused = (change: () => unknown, maker: (typeof HASHING)[keyof typeof HASHING]) =>
    assert.throws(change, (e) => isError(e, maker));
  const one = (labels: readonly number[], width = 20) => ({
    image: { inputs: new Uint8Array(width), labels: [labels] },
  });
  refused(() => head.add(sums, codebook, one([5])), HASHING.CLASS_UNKNOWN);
  refused(() => head.add(sums, codebook, one([Number.NaN])), HASHING.CLASS_UNKNOWN);
  refused(() => head.add(sums, codebook, one([])), HASHING.CLASS_UNKNOWN);
  refused(() => head.add(sums, codebook, one([0], 19)), HASHING.SHAPE_MISMATCH);
  refused(() => head.add(sums, codebook, one([0], 40)), HASHING.SHAPE_MISMATCH);
  refused(
    () => head.add(sums, codebook, { sound: { inputs: new Uint8Array(20), labels: [[0]] } }),
    HASHING.MODALITY_UNKNOWN,
  );
  refused(() => mergeCrossModal(sums, { image: sums.image! }), HASHING.MODALITY_UNKNOWN);
  refused(() => createCrossModalHead({ ...head.options, modalities: {} }), HASHING.OPTION_INVALID);
});

test('embeddings become bytes by their direction alone; what is no direction is refused', () => {
  const v = Float32Array.of(3, -4, 0, 0);
  // 32 * sqrt(4) = 64 steps for the length 1.
  assert.deepEqual([...quantiseEmbeddings(v, 4)], [128 + 38, 128 - 51, 128, 128]);
  assert.deepEqual(
    quantiseEmbeddings(
      v.map((x) => x * 7),
      4,
    ),
    quantiseEmbeddings(v, 4),
  );
  assert.deepEqual(
    [...quantiseEmbeddings(Float64Array.of(1, ...new Array(63).fill(0)), 64)].slice(0, 2),
    [255, 128],
  );
  for (const bad of [
    [Number.NaN, 1],
    [Number.POSITIVE_INFINITY, 1],
    [0, 0],
    [1e-160, 7e-161],
    [1e200, 0],
  ]) {
    assert.throws(
      () => quantiseEmbeddings(Float64Array.from([1, 1, ...bad]), 2),
      (e) => isError(e, HASHING.ENCODER_OUTPUT_INVALID),
    );
  }
  assert.throws(
    () => quantiseEmbeddings(v, 3),
    (e) => isError(e, HASHING.SHAPE_MISMATCH),
  );
});
