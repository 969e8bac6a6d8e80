import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compareBytes, hex, isError, seededRandom } from '@lethe/std';
import fc from 'fast-check';
import { HASHING } from '../errors.ts';
import { CodeTable } from '../search/table.ts';
import type { VersionedNeighbour } from './fan-out.ts';
import { mergeFanOut, nullDistances, tailProbabilities } from './fan-out.ts';

const invalid = (e: unknown) => isError(e, HASHING.FAN_OUT_INVALID);

test('null distances count the unrelated pairs alone; the tail rises strictly to 1 with the stated resolution', () => {
  const queries = { codes: Uint8Array.of(0x00, 0xff), labels: Int32Array.of(1, 2) };
  const gallery = { codes: Uint8Array.of(0x00, 0x01, 0xff), labels: Int32Array.of(1, 2, 2) };
  const found = nullDistances(queries, gallery, 8);
  // Query 1 against the two items of class 2 (distances 1 and 8), query 2 against the item of class 1 (8).
  assert.deepEqual([...found.counts], [0, 1, 0, 0, 0, 0, 0, 0, 2]);
  const p = tailProbabilities(found);
  assert.equal(p.at(-1), 1);
  assert.equal(p[0], 1 / 9 / 4);
  assert.equal(p[1], (1 + 2 / 9) / 4);
  fc.assert(
    fc.property(fc.array(fc.nat(1_000_000), { minLength: 9, maxLength: 257 }), (counts) => {
      const tail = tailProbabilities({
        counts: Float64Array.from(counts),
        pairs: counts.reduce((a, b) => a + b, 0),
      });
      for (let d = 1; d < tail.length; d++) assert.ok(tail[d]! > tail[d - 1]!);
    }),
  );
  assert.throws(
    () =>
      nullDistances(
        { codes: Uint8Array.of(0), labels: Int32Array.of(1) },
        { codes: Uint8Array.of(0), labels: Int32Array.of(1) },
        8,
      ),
    invalid,
  );
});

const tails = new Map(
  [1, 2, 3].map((version) => {
    const random = seededRandom('tails', version);
    const counts = Float64Array.from({ length: 17 }, () => random.below(100 * version));
    return [version, tailProbabilities({ counts, pairs: counts.reduce((a, b) => a + b, 0) })] as const;
  }),
);

/** Items with few distances, so that ties are frequent. */
const listOf = fc
  .array(fc.record({ id: fc.nat(40), distance: fc.nat(16) }), { maxLength: 60 })
  .map((items): VersionedNeighbour[] =>
    [
      ...new Map(
        items.map(({ id, distance }) => [id, { itemId: new Uint8Array(16).fill(id), distance }]),
      ).values(),
    ].sort((a, b) => a.distance - b.distance || compareBytes(a.itemId, b.itemId)),
  );

test('k best of the lists = k best of everything, for overlapping versions too', () => {
  fc.assert(
    fc.property(listOf, listOf, listOf, fc.integer({ min: 1, max: 30 }), (a, b, c, k) => {
      const everything = [a, b, c].map((neighbours, i) => ({ version: i + 1, neighbours }));
      const best = everything.map(({ version, neighbours }) => ({
        version,
        neighbours: neighbours.slice(0, k),
      }));
      // By definition: smallest p of each item, then order by (p, id).
      const smallest = new Map<string, { id: string; p: number }>();
      for (const { version, neighbours } of everything) {
        for (const { itemId, distance } of neighbours) {
          const [id, p] = [hex(itemId), tails.get(version)![distance]!];
          if (p < (smallest.get(id)?.p ?? 2)) smallest.set(id, { id, p });
        }
      }
      const expected = [...smallest.values()].sort((x, y) => x.p - y.p || (x.id < y.id ? -1 : 1)).slice(0, k);
      const merged = mergeFanOut(best, tails, k).map(({ itemId, tailProbability }) => ({
        id: hex(itemId),
        p: tailProbability,
      }));
      assert.deepEqual(merged, expected);
    }),
  );
});

test('with one live version the order is that of plain search', () => {
  const table = new CodeTable(16);
  const random = seededRandom('one version');
  for (let i = 0; i < 500; i++) table.add(random.bytes(16), random.bytes(2));
  for (let round = 0; round < 20; round++) {
    const plain = table.search(random.bytes(2), 50);
    const merged = mergeFanOut([{ version: 2, neighbours: plain }], tails, 50);
    assert.deepEqual(
      merged.map(({ lane }) => lane),
      plain.map(({ lane }) => lane),
    );
    assert.ok(merged.every(({ version }) => version === 2));
  }
});

test('what would merge wrongly is refused', () => {
  const [near, far] = [1, 2].map((distance) => ({ itemId: new Uint8Array(16).fill(distance), distance })) as [
    VersionedNeighbour,
    VersionedNeighbour,
  ];
  assert.throws(
    () => mergeFanOut([{ version: 9, neighbours: [near] }], tails, 1),
    invalid,
    'no null distances',
  );
  assert.throws(
    () => mergeFanOut([{ version: 1, neighbours: [far, near] }], tails, 1),
    invalid,
    'out of order',
  );
  assert.throws(
    () => mergeFanOut([{ version: 1, neighbours: [near, near] }], tails, 1),
    invalid,
    'twice in one list',
  );
  assert.throws(
    () => mergeFanOut([{ version: 1, neighbours: [{ ...near, distance: 17 }] }], tails, 1),
    invalid,
    'longer code',
  );
  assert.throws(
    () => mergeFanOut([], tails, 0),
    (e) => isError(e, HASHING.OPTION_INVALID),
  );
  assert.deepEqual(mergeFanOut([], tails, 5), []);
});
