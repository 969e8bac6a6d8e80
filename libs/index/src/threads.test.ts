import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CodeTable, HASHING, laneBits, SharedScan } from '@lethe/hashing';
import { isError, seededRandom } from '@lethe/std';
import { SearchPool } from './threads.ts';

function tableOf(count: number, codeBits = 64): CodeTable {
  const random = seededRandom('threads', count);
  const table = new CodeTable(codeBits, { shared: true });
  table.addAll(random.bytes(16 * count), random.bytes((codeBits / 8) * count));
  return table;
}

/** Until all threads have started to listen a search is the caller's alone; this many searches see them at work. */
const SEARCHES = 200;

test('three threads find what one finds: queries alone and together, filters, ties, growth, erasure', async () => {
  const table = tableOf(100_000, 128);
  await using pool = await SearchPool.start(table, { threads: 3 });
  const random = seededRandom('queries');
  for (let round = 0; round < 4; round++) {
    const queries = random.bytes(16 * 40);
    const filter = round % 2 === 1 ? laneBits(table.lanes, (lane) => lane % 7 === 3) : undefined;
    assert.deepEqual(pool.searchAll(queries, 12, { filter }), table.searchAll(queries, 12, { filter }));
    for (let i = 0; i < SEARCHES / 4; i++) {
      const query = random.bytes(16);
      assert.deepEqual(pool.search(query, 10, { filter }), table.search(query, 10, { filter }));
    }
    assert.deepEqual(
      pool.search(queries.subarray(0, 16), 3_000),
      table.search(queries.subarray(0, 16), 3_000),
    );
    assert.deepEqual(pool.range(queries.subarray(0, 16), 40), table.range(queries.subarray(0, 16), 40));
    table.addAll(random.bytes(16 * 40_000), new Uint8Array(16 * 40_000));
    assert.equal(pool.search(new Uint8Array(16), 100).length, 100);
    assert.deepEqual(pool.search(new Uint8Array(16), 100), table.search(new Uint8Array(16), 100));
    table.erase(table.itemIds(round, round + 1));
  }
  const { lanes } = table;
  assert.deepEqual(table.lanesHolding(new Uint8Array(16).fill(1)), []);
  assert.ok(lanes === 260_000);
});

test('a thread that ends is a coded error', async () => {
  const table = tableOf(50_000);
  const pool = await SearchPool.start(table, { threads: 2 });
  const query = new Uint8Array(8);
  const expected = table.search(query, 5);
  assert.deepEqual(pool.search(query, 5), expected);
  await pool.close();
  assert.throws(
    () => pool.search(query, 5),
    (e) => isError(e, HASHING.SEARCH_THREAD_LOST),
  );
  assert.deepEqual(table.search(query, 5), expected, 'the table itself goes on');
});

test('a thread that took part of the work and does not answer is a coded error, not a shorter answer', () => {
  const table = tableOf(50_000);
  // Stands for a worker that died between entering and finishing: the state says entered, nobody will ever finish.
  const scan = new SharedScan(table, 2, 50);
  const { memory } = table.handle;
  const job = new Int32Array(memory.buffer);
  const original = table.chunks.scan.bind(table.chunks);
  table.chunks.scan = (...given) => {
    Atomics.store(job, 17, 1);
    original(...given);
  };
  assert.throws(
    () => scan.search(new Uint8Array(8), 5),
    (e) => isError(e, HASHING.SEARCH_THREAD_LOST),
  );
});

test('a table in memory of one thread, and impossible numbers of threads, are refused', async () => {
  await assert.rejects(SearchPool.start(new CodeTable(64), { threads: 2 }), (e) =>
    isError(e, HASHING.OPTION_INVALID),
  );
  await assert.rejects(SearchPool.start(tableOf(10), { threads: 9 }), (e) =>
    isError(e, HASHING.OPTION_INVALID),
  );
});
