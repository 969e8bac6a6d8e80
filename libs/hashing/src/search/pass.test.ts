import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '@lethe/std';
import { ascendingIds } from './bench.fixture.ts';
import { CodeTable, laneBits } from './table.ts';

test('many queries together find what each finds alone: all widths, any number of queries, filters, ties', () => {
  for (const codeBits of [8, 40, 64, 72, 128, 136, 192, 256]) {
    const random = seededRandom('pass', codeBits);
    const width = codeBits / 8;
    const table = new CodeTable(codeBits);
    const codes = random.bytes(width * 17_000);
    // Codes all bits of which differ from the first query's, and codes equal to it.
    codes.fill(255, 0, width * 100);
    codes.fill(0, width * 16_400, width * 16_450);
    table.addAll(ascendingIds(17_000), codes);
    for (const count of [4, 7, 21]) {
      const queries = random.bytes(width * count).fill(0, 0, width);
      const filter = count % 2 === 1 ? laneBits(17_000, (lane) => lane < 100 || lane % 3 === 0) : undefined;
      for (const k of [1, 60, 2_500]) {
        const together = table.searchAll(queries, k, { filter });
        for (const [q, found] of together.entries()) {
          assert.deepEqual(found, table.search(queries.subarray(q * width, (q + 1) * width), k, { filter }));
        }
      }
    }
  }
});

test('room that is used up just at the end of a chunk is made before the next: neighbouring searches are left alone', () => {
  const count = 2 * 16_384;
  for (const codeBits of [32, 64]) {
    const table = new CodeTable(codeBits);
    table.addAll(ascendingIds(count), new Uint8Array((codeBits / 8) * count));
    for (let take = 1_580; take < 1_800; take += 30) {
      // So many candidates of the first chunk, the last of them in its last lane, and all of the second.
      const filter = laneBits(count, (lane) => lane >= 16_384 - take);
      const all = take + 16_384;
      for (const queries of [2, 5]) {
        const found = table.searchAll(new Uint8Array((codeBits / 8) * queries), all, { filter });
        for (const list of found) {
          assert.equal(list.length, all);
          assert.ok(list.every(({ lane }, i) => lane === 16_384 - take + i));
        }
      }
      assert.ok(table.chunks.bytes.subarray(0, table.chunks.codeAt(0)).every((byte) => byte === 0));
    }
  }
});
