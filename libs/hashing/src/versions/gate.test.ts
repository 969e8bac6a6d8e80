/** The gate on real digits: what a fixed codebook promises passes, what it does not is held. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isError, seededRandom } from '@lethe/std';
import { HASHING } from '../errors.ts';
import type { HashFunction } from '../function.ts';
import { lowerBoundOfMean } from './bootstrap.ts';
import type { ProbeVersion } from './compatibility.ts';
import { averageCompatibility, compatibilityMatrix } from './compatibility.ts';
import { CODE_BITS, digits } from './digits.fixture.ts';
import { DEFAULT_GATE, decidePromotion } from './gate.ts';

const data = digits(256, 'gate');
const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);
const queries = range(0, 1_000);
const gallery = range(1_000, 2_000);
const queryLabels = data.encode(data.fit(range(2_000, 2_100), 1), queries).labels;
const probe = (fn: HashFunction): ProbeVersion => ({
  version: fn.version,
  queryCodes: data.encode(fn, queries).codes,
  gallery: data.encode(fn, gallery),
});
const matrixOf = (fns: readonly HashFunction[]) =>
  compatibilityMatrix(queryLabels, fns.map(probe), CODE_BITS);
// Six versions, each from more digits than the one before; every class has its row from the beginning.
const history = [150, 300, 600, 1_200, 2_400, 6_000].map((items, i) =>
  data.fit(range(2_000, 2_000 + items), i + 1),
);
const matrix = matrixOf(history);

test('versions on a fixed codebook: average compatibility of at least 0.9, and every update is promoted', () => {
  assert.ok(averageCompatibility(matrix) >= 0.9, `${averageCompatibility(matrix)}`);
  for (let t = 1; t < history.length; t++) {
    const report = decidePromotion(matrix, t + 1, range(1, t + 1), { ...DEFAULT_GATE, resamples: 500 });
    assert.equal(report.promote, true, report.reasons.join(' '));
    assert.equal(report.comparisons.length, t + 1, 'every live version, and home');
    assert.ok(report.comparisons.every(({ lowerBound, difference }) => lowerBound < difference));
  }
});

test('a randomly re-initialised function is held, for its queries do not find the stored codes', () => {
  const last = history.at(-1)!;
  const random = seededRandom('re-initialised');
  const weights = last.weights.map(() => random.uniform() - 0.5);
  const held = decidePromotion(matrixOf([last, { ...last, version: 7, weights }]), 7, [6]);
  assert.equal(held.promote, false);
  assert.deepEqual(
    held.comparisons.map(({ kind, passed }) => [kind, passed]),
    [
      ['stored', false],
      ['home', false],
    ],
  );
  assert.equal(held.reasons.length, 2);
});

test('as good at home but with other bits: held because of the stored codes alone', () => {
  const last = history.at(-1)!;
  // Half of the bits negated: what a retraining with a new geometry is, exactly as good on its own codes.
  const weights = last.weights.map((w, i) => (i % 2 === 0 ? -w : w));
  const report = decidePromotion(matrixOf([last, { ...last, version: 7, weights }]), 7, [6]);
  const [stored, home] = report.comparisons;
  assert.equal(stored!.passed, false);
  assert.deepEqual([home!.difference, home!.passed], [0, true]);
  assert.equal(report.averageCompatibility, 0);
  assert.match(
    report.reasons.join(),
    /^On codes of version 6 mAP differs by -0\.\d+, lower bound -0\.\d+ below -0\.005\.$/,
  );
});

test('a class that a live version did not know does not count against its gallery', () => {
  const known = (item: number) => data.labels[item]! < 8;
  const old = data.fit(range(2_000, 6_000).filter(known), 1);
  const next = data.fit(range(2_000, 8_000), 2);
  const probes = [{ ...probe(old), gallery: data.encode(old, gallery.filter(known)) }, probe(next)];
  const report = decidePromotion(compatibilityMatrix(queryLabels, probes, CODE_BITS), 2, [1]);
  const knownQueries = queries.filter(known).length;
  assert.deepEqual(
    report.comparisons.map((comparison) => comparison.queries),
    [knownQueries, knownQueries],
  );
});

test('reports are a function of matrix and options; first versions pass; what cannot be compared is refused', () => {
  assert.deepEqual(decidePromotion(matrix, 6, [5, 1]), decidePromotion(matrix, 6, [1, 5, 5]));
  const reseeded = decidePromotion(matrix, 6, [1, 5], { ...DEFAULT_GATE, seed: 'another' });
  assert.notDeepEqual(reseeded.comparisons, decidePromotion(matrix, 6, [1, 5]).comparisons);
  const first = decidePromotion(matrix, 1, []);
  assert.equal(first.promote, true);
  assert.ok(Number.isNaN(first.averageCompatibility));
  const invalid = (e: unknown) => isError(e, HASHING.PROBE_INVALID);
  assert.throws(() => decidePromotion(matrix, 9, [1]), invalid);
  assert.throws(() => decidePromotion(matrix, 2, [1, 2]), invalid);
  assert.throws(() => decidePromotion(matrix, 2, [1], { ...DEFAULT_GATE, queriesMin: 1_001 }), invalid);
  assert.throws(() => compatibilityMatrix(queryLabels, [], CODE_BITS), invalid);
  const two = probe(history[0]!);
  assert.throws(() => compatibilityMatrix(queryLabels, [two, two], CODE_BITS), invalid);
  assert.throws(
    () => compatibilityMatrix(queryLabels, [{ ...two, queryCodes: two.queryCodes.subarray(8) }], CODE_BITS),
    invalid,
  );
  for (const wrong of [{ confidenceLevel: 0.4 }, { epsilon: -1 }, { epsilon: 1e9 }]) {
    assert.throws(
      () => decidePromotion(matrix, 2, [1], { ...DEFAULT_GATE, ...wrong }),
      (e) => isError(e, HASHING.OPTION_INVALID),
    );
  }
});

/** The comparison of a live version with itself and a candidate's APs, by a matrix of two. */
const gateOf = (live: Float64Array, candidate: Float64Array, epsilon: number, seed = '') =>
  decidePromotion(
    {
      versions: [1, 2],
      precisions: [
        [live, live],
        [candidate, candidate],
      ],
      values: [
        [0, 0],
        [0, 0],
      ],
    },
    2,
    [1],
    { ...DEFAULT_GATE, epsilon, resamples: 200, seed },
  );

test('harm that is rarer than the probe queries are many: promoted in at most 5 of 100 cases', () => {
  const random = seededRandom('rare harm');
  // 1 % of the queries lose 0.9, 1.8 times the default epsilon; 6 % lose 0.9, 1.08 times 0.05.
  for (const [share, epsilon] of [
    [0.01, DEFAULT_GATE.epsilon],
    [0.06, 0.05],
  ] as const) {
    const promoted = Array.from({ length: 200 }, (_, trial) => {
      const live = new Float64Array(100).fill(0.95);
      const candidate = live.map(
        (value) => value - (random.uniform() < share ? 0.9 : 0) + (random.uniform() - 0.5) / 100,
      );
      return gateOf(live, candidate, epsilon, String(trial)).promote;
    }).filter(Boolean).length;
    // At a true 5 % more than 18 of 200 have a probability below 0.01.
    assert.ok(promoted <= 18, `${promoted} of 200 at ${epsilon}`);
  }
});

test('queries of a class that the candidate no longer stores count as lost', () => {
  const live = new Float64Array(250).fill(0.9);
  const candidate = live.map((value, q) => (q < 240 ? value : Number.NaN));
  const report = gateOf(live, candidate, 0.05);
  assert.equal(report.promote, false);
  assert.deepEqual(
    report.comparisons.map(({ queries, candidateMap }) => [queries, candidateMap.toFixed(3)]),
    [
      [250, '0.864'],
      [250, '0.864'],
    ],
  );
  for (const wrong of [live.slice(1), live.map((v, q) => (q === 3 ? Number.POSITIVE_INFINITY : v))]) {
    assert.throws(
      () => gateOf(live, wrong, 0.05),
      (e) => isError(e, HASHING.PROBE_INVALID),
    );
  }
});

test('the bound: Clopper-Pearson of what was lost whole, the normal one of many small differences', () => {
  const random = () => seededRandom('bound');
  const bound = (values: Float64Array, level = 0.95) => lowerBoundOfMean(values, level, 3_000, random());
  const values = new Float64Array(500);
  // 1 - 0.05^(1/500) may stay unseen; 3 lost in 500 at 95 %: 0.01542 by the beta quantile.
  assert.ok(Math.abs(bound(values) + 0.00597) < 8e-4, `${bound(values)}`);
  values.fill(-1, 0, 3);
  assert.ok(Math.abs(bound(values) + 0.01542) < 1e-3, `${bound(values)}`);
  assert.ok(bound(values, 0.99) < bound(values, 0.95) && bound(values, 0.95) < bound(values, 0.9));
  const even = Float64Array.from({ length: 1_000 }, (_, i) => (i % 2 === 0 ? 0.3 : -0.3));
  assert.ok(Math.abs(bound(even) + (1.645 * 0.3) / Math.sqrt(1_000)) < 2e-3, `${bound(even)}`);
  assert.equal(bound(new Float64Array(0)), -1);
});
