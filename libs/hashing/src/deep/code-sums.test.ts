/** What is kept of old codes: exact, in any order, and as if an item that left had never come. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hex, isError, seededRandom, shuffle } from '@lethe/std';
import fc from 'fast-check';
import { HASHING } from '../errors.ts';
import {
  addCodes,
  classCounts,
  codeSumsDigest,
  decodeCodeSums,
  emptyCodeSums,
  encodeCodeSums,
  type LabelledCodeRows,
  lifelongSums,
  mergeCodeSums,
  subtractCodes,
  widenClasses,
} from './code-sums.ts';

const K = 16;
const C = 6;
const empty = emptyCodeSums(K, C);
const digest = (sums: Parameters<typeof codeSumsDigest>[0]): string => hex(codeSumsDigest(sums));

function rowsOf(seed: number, count: number): LabelledCodeRows {
  const random = seededRandom('sums', seed);
  const codes = Int8Array.from({ length: count * K }, () => (random.below(2) === 0 ? 1 : -1));
  const labels = Array.from({ length: count }, () => {
    const set = Array.from({ length: C }, (_, c) => c).filter(() => random.below(2) === 0);
    return set.length > 0 ? set : [random.below(C)];
  });
  return { codes, labels };
}

const chosen = ({ codes, labels }: LabelledCodeRows, items: readonly number[]): LabelledCodeRows => ({
  codes: Int8Array.from(items.flatMap((i) => [...codes.subarray(i * K, (i + 1) * K)])),
  labels: items.map((i) => labels[i]!),
});

test('taken out is never seen, bit for bit, in any order and any sharding', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 1e6 }), fc.integer({ min: 1, max: 40 }), (seed, count) => {
      const rows = rowsOf(seed, count);
      const random = seededRandom('split', seed);
      const order = shuffle(
        Array.from({ length: count }, (_, i) => i),
        random,
      );
      const leaving = order.slice(0, random.below(count + 1));
      const staying = order.slice(leaving.length);
      const all = addCodes(empty, rows);
      const never = addCodes(
        empty,
        chosen(
          rows,
          staying.toSorted((a, b) => a - b),
        ),
      );
      assert.equal(digest(subtractCodes(all, chosen(rows, leaving))), digest(never));
      const shards = [leaving, staying].map((part) => addCodes(empty, chosen(rows, part)));
      assert.equal(digest(mergeCodeSums(shards[0]!, shards[1]!)), digest(all));
    }),
    { numRuns: 60 },
  );
});

test('the sums are G, P and Q of the explicit matrices', () => {
  const rows = rowsOf(1, 50);
  const { g, p, q, items } = lifelongSums(addCodes(empty, rows));
  assert.equal(items, 50);
  const y = (i: number, c: number): number =>
    rows.labels[i]!.includes(c) ? 1 / Math.sqrt(rows.labels[i]!.length) : 0;
  const sum = (term: (i: number) => number): number =>
    rows.labels.reduce((total, _, i) => total + term(i), 0);
  const code = (i: number, k: number): number => rows.codes[i * K + k]!;
  for (let k = 0; k < K; k++) {
    for (let l = 0; l < K; l++)
      assert.equal(
        g[k * K + l],
        sum((i) => code(i, k) * code(i, l)),
      );
    for (let c = 0; c < C; c++) assert.ok(Math.abs(p[c * K + k]! - sum((i) => y(i, c) * code(i, k))) < 1e-9);
  }
  for (let c = 0; c < C; c++) {
    for (let d = 0; d < C; d++) assert.ok(Math.abs(q[c * C + d]! - sum((i) => y(i, c) * y(i, d))) < 1e-9);
  }
});

test('a declared class more changes no sum; a class count is the number of its items', () => {
  const rows = rowsOf(2, 30);
  const wide = widenClasses(addCodes(empty, rows), C + 2);
  assert.equal(digest(wide), digest(addCodes(emptyCodeSums(K, C + 2), rows)));
  const counts = classCounts(wide);
  for (let c = 0; c < C + 2; c++)
    assert.equal(counts[c], rows.labels.filter((set) => set.includes(c)).length);
  assert.throws(
    () => widenClasses(wide, C),
    (e) => isError(e, HASHING.OPTION_INVALID),
  );
});

test('bytes come back as they went; altered, cut and foreign bytes are refused', () => {
  const bytes = encodeCodeSums(addCodes(empty, rowsOf(3, 20)));
  assert.deepEqual(encodeCodeSums(decodeCodeSums(bytes)), bytes);
  // A Buffer from the pool, at whatever offset.
  assert.deepEqual(
    encodeCodeSums(decodeCodeSums(Buffer.concat([Buffer.alloc(3), bytes]).subarray(3))),
    bytes,
  );
  const half = bytes.slice();
  new DataView(half.buffer).setFloat64(4 + 16, 19, true);
  for (const bad of [
    bytes.slice(0, -8),
    bytes.slice(0, 20),
    half,
    Uint8Array.from(bytes, (byte, i) => (i === 0 ? 0 : byte)),
  ]) {
    assert.throws(
      () => decodeCodeSums(bad),
      (e) => isError(e, HASHING.BYTES_MALFORMED),
    );
  }
});

test('no class, a class twice, an unknown class, a code of another length and an item that never came are refused', () => {
  const codes = new Int8Array(K).fill(1);
  for (const set of [[], [1, 1], [C], [-1], [0.5]]) {
    assert.throws(
      () => addCodes(empty, { codes, labels: [set] }),
      (e) => isError(e, HASHING.LABELS_INVALID),
    );
  }
  for (const wrong of [new Int8Array(K), new Int8Array(K - 1).fill(1)]) {
    assert.throws(
      () => addCodes(empty, { codes: wrong, labels: [[0]] }),
      (e) => isError(e, HASHING.CODE_LENGTH_WRONG),
    );
  }
  const one = addCodes(empty, { codes, labels: [[0]] });
  for (const foreign of [
    { codes, labels: [[1]] },
    { codes: codes.map((bit) => -bit), labels: [[0]] },
  ]) {
    assert.throws(
      () => subtractCodes(one, foreign),
      (e) => isError(e, HASHING.STATISTICS_UNDERFLOW),
    );
  }
});
