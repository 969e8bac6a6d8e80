import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isError, seededRandom } from '@lethe/std';
import { HASHING } from '../errors.ts';
import { averagePrecisions } from '../metrics.ts';
import { DEFAULT_QUERY_CODES } from '../query-codes.ts';
import { cosinePrecisions, ridgeEmbedding } from './embedding-baseline.ts';
import { seedInterval } from './intervals.ts';
import { analyticMethod, randomProjectionMethod } from './methods.ts';
import type { EvaluationSet, LifelongMethod, LifelongPlan } from './protocol.ts';
import { itemsOf, runProtocol } from './protocol.ts';
import { meanOf, rankingQuality } from './relevance.ts';

const CLASSES = ['a', 'b', 'c', 'd', 'e', 'f'];
const WIDTHS = { image: 24, text: 16 };

/** 240 groups with one or two of six classes; three pictures and one text each, around the centres of their classes. */
function makeSet(): EvaluationSet {
  const random = seededRandom('evaluation test');
  const labels = Array.from({ length: 240 }, (_, g) => (g % 4 === 0 ? [g % 6, (g + 1) % 6] : [g % 6]));
  const modality = (width: number, views: number) => {
    const centres = CLASSES.map(() => random.bytes(width));
    const rows = labels.flatMap((of) =>
      Array.from({ length: views }, () =>
        Array.from({ length: width }, (_, i) => {
          const mean = of.reduce((sum, c) => sum + centres[c]![i]!, 0) / of.length;
          return Math.max(0, Math.min(255, Math.round(mean + random.below(301) - 150)));
        }),
      ),
    );
    return { inputs: Uint8Array.from(rows.flat()), width, views };
  };
  return {
    classes: CLASSES,
    labels,
    modalities: { image: modality(WIDTHS.image, 3), text: modality(WIDTHS.text, 1) },
  };
}

const set = makeSet();
const arrival = (group: number) => Math.min(...set.labels[group]!.map((label) => label >> 1));
const groups = Array.from({ length: 240 }, (_, g) => g);
const heldOut = groups.filter((g) => g % 5 === 0);
const plan: LifelongPlan = {
  tasks: [0, 1, 2].map((t) => ({
    classes: [2 * t, 2 * t + 1],
    items: groups.filter((g) => g % 5 !== 0 && arrival(g) === t),
  })),
  heldOut,
  arrivals: heldOut.map(arrival),
};
const OPTIONS = {
  seed: 'test',
  codeBits: 32,
  modalities: {
    image: { inputWidth: WIDTHS.image, featureDim: 128, lambda: 1_000 },
    text: { inputWidth: WIDTHS.text, featureDim: 128, lambda: 1_000 },
  },
};
const ACROSS = [
  ['image', 'text'],
  ['text', 'image'],
] as const;

test('with one label an item the figures are those of the plain metric', () => {
  const random = seededRandom('relevance');
  const make = (n: number) => ({
    codes: random.bytes(n * 3),
    labels: Array.from({ length: n }, () => random.below(4)),
  });
  const [queries, items] = [make(20), make(150)];
  const plain = (s: ReturnType<typeof make>) => ({ codes: s.codes, labels: Int32Array.from(s.labels) });
  const lists = (s: ReturnType<typeof make>) => ({ codes: s.codes, labels: s.labels.map((l) => [l]) });
  assert.deepEqual(
    rankingQuality(lists(queries), lists(items), 24).averagePrecision,
    averagePrecisions(plain(queries), plain(items), 24),
  );
});

test('gain: two shared labels count twice, ties share their ranks, nothing shared is no figure', () => {
  const items = { codes: Uint8Array.of(0, 1, 1, 255), labels: [[1, 2], [1], [3], [1, 2, 4]] };
  const queries = { codes: Uint8Array.of(0, 0), labels: [[1, 2, 2], [9]] };
  const { averagePrecision, gain } = rankingQuality(queries, items, 8);
  const discount = (rank: number) => 1 / Math.log2(1 + rank);
  const got = 2 * discount(1) + 0.5 * (discount(2) + discount(3)) + 2 * discount(4);
  const ideal = 2 * discount(1) + 2 * discount(2) + discount(3);
  assert.ok(Math.abs(gain[0]! - got / ideal) < 1e-12);
  assert.ok(Number.isNaN(averagePrecision[1]!) && Number.isNaN(gain[1]!));
  assert.equal(meanOf(averagePrecision), averagePrecision[0]);
  assert.throws(
    () => rankingQuality({ ...queries, codes: new Uint8Array(3) }, items, 8),
    (e) => isError(e, HASHING.SHAPE_MISMATCH),
  );
});

test('query codes by version: each item is met by the code for the version that stored it', () => {
  const labels = [[1], [2]];
  const items = { codes: Uint8Array.of(0b0001, 0b0111), labels };
  const queries = { codes: Uint8Array.of(0), labels: [[1]] };
  const rank = (codes: readonly Uint8Array[], versions: Uint8Array) =>
    rankingQuality(queries, items, 8, { codes, versions }).averagePrecision[0];
  assert.equal(rank([queries.codes], Uint8Array.of(0, 0)), 1);
  // The code for item 0 is four bits from it, that for item 1 three; then both three; then one and three.
  assert.equal(rank([Uint8Array.of(0b11111), queries.codes], Uint8Array.of(0, 1)), 0.5);
  assert.equal(rank([Uint8Array.of(0b1111), queries.codes], Uint8Array.of(0, 1)), 0.75);
  assert.equal(rank([Uint8Array.of(0b1111), queries.codes], Uint8Array.of(1, 1)), 1);
  for (const versions of [Uint8Array.of(0), Uint8Array.of(0, 1)]) {
    assert.throws(
      () => rank([queries.codes], versions),
      (e) => isError(e, HASHING.SHAPE_MISMATCH),
    );
  }
});

test('items may be stored that were not learned from', async () => {
  const fitted = new Set<number>();
  const encoded = new Set<number>();
  const spy: LifelongMethod = {
    ...analyticMethod('lifelong', OPTIONS, { names: CLASSES, tasks: 3 }),
    fit: ({ items }) => {
      for (const group of items.text!.groups) fitted.add(group);
    },
    encodeNew: (_, { labels, groups: of }) => {
      for (const group of of) encoded.add(group);
      return new Uint8Array(labels.length * 4);
    },
    query: (modality, inputs) => new Uint8Array((inputs.length / set.modalities[modality]!.width) * 4),
  };
  const tasks = plan.tasks.map(({ classes, items }) => ({
    classes,
    items: items.filter((_, at) => at % 2 === 0),
    stored: items.filter((_, at) => at % 2 === 1),
  }));
  await runProtocol(set, { ...plan, tasks }, spy, ACROSS);
  assert.equal(fitted.size + encoded.size, 192);
  assert.ok([...fitted].every((group) => !encoded.has(group)));
});

test('the plan keeps groups whole, and what a method is given has no query in it', async () => {
  const seen = new Set<number>();
  const spy: LifelongMethod = {
    ...analyticMethod('lifelong', OPTIONS, { names: CLASSES, tasks: 3 }),
    fit: ({ items }) => {
      for (const { groups: of } of Object.values(items)) for (const group of of) seen.add(group);
    },
    encodeNew: (_, { labels }) => new Uint8Array(labels.length * 4),
    query: (modality, inputs) => new Uint8Array((inputs.length / set.modalities[modality]!.width) * 4),
  };
  await runProtocol(set, plan, spy, ACROSS);
  assert.equal(seen.size, 192);
  assert.ok(heldOut.every((group) => !seen.has(group)));
  assert.equal(itemsOf(set, 'image', [7]).inputs.length, 3 * 24);
});

test('old codes kept is as good as re-encoding, ahead of a stale function and of random projections', async () => {
  const run = async (method: LifelongMethod) => (await runProtocol(set, plan, method, ACROSS)).directions;
  const by = (policy: 'lifelong' | 'full' | 'stale') =>
    run(analyticMethod(policy, OPTIONS, { names: CLASSES, tasks: 3 }));
  const [kept, full, stale] = [await by('lifelong'), await by('full'), await by('stale')];
  const chance = await run(randomProjectionMethod(WIDTHS, { codeBits: 32, seed: 'x' }));
  for (const d of [0, 1]) {
    assert.ok(kept[d]!.overall > 0.7, `${kept[d]!.overall}`);
    assert.ok(kept[d]!.overall >= 0.97 * full[d]!.overall);
    assert.ok(kept[d]!.newClasses > stale[d]!.newClasses + 0.08);
    assert.ok(chance[d]!.overall < 0.5);
    assert.equal(chance[d]!.forgetting, 0, 'what never changes forgets nothing');
  }
  const byVersion = await run(
    analyticMethod('lifelong', OPTIONS, { names: CLASSES, tasks: 3, queryCodes: DEFAULT_QUERY_CODES }),
  );
  for (const d of [0, 1]) {
    // Here nothing much is forgotten and query codes by version only cost, which is why they are no default.
    assert.ok(byVersion[d]!.overall < kept[d]!.overall);
    assert.ok(byVersion[d]!.overall >= 0.93 * full[d]!.overall);
  }
  // Before the first increment there is nothing that could have been re-encoded.
  assert.deepEqual(kept[0]!.scores[0], full[0]!.scores[0]);
  assert.notDeepEqual(kept[0]!.scores[2], full[0]!.scores[2]);
});

test('a run is a function of its set, plan and options', async () => {
  const run = () =>
    runProtocol(set, plan, analyticMethod('lifelong', OPTIONS, { names: CLASSES, tasks: 3 }), ACROSS);
  assert.deepEqual(await run(), await run());
});

test('the baseline finds a linear map, and cosine ranks by it', () => {
  const random = seededRandom('ridge');
  const inputs = random.bytes(80 * 5);
  const targets = new Float64Array(80 * 8);
  for (let row = 0; row < 80; row++) {
    for (let k = 0; k < 8; k++) targets[row * 8 + k] = inputs[row * 5 + (k % 5)]! - 100 * (k & 1);
  }
  const map = ridgeEmbedding(inputs, targets, { inputWidth: 5, width: 8, lambda: 1e-3 });
  const got = map(inputs.subarray(0, 5));
  const expected = targets.subarray(0, 8);
  const length = Math.hypot(...expected);
  got.forEach((value, k) => {
    assert.ok(Math.abs(value - expected[k]! / length) < 1e-5);
  });
  const set2 = { values: Float64Array.of(1, 0, 0.6, 0.8, 0, 1), width: 2, labels: [[1], [2], [1, 3]] };
  assert.deepEqual(
    [...cosinePrecisions({ ...set2, values: Float64Array.of(1, 0), labels: [[1]] }, set2)],
    [(1 + 2 / 3) / 2],
  );
});

test('the interval is that of Student for few seeds', () => {
  const { mean, low, high } = seedInterval([1, 2, 3, 4, 5]);
  assert.equal(mean, 3);
  assert.ok(Math.abs(high - low - 2 * 2.776 * Math.sqrt(2.5 / 5)) < 1e-9);
});
