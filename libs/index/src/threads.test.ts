import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { CodeTable, HASHING, laneBits, type Neighbour, SharedScan } from '@lethe/hashing';
import { isError, seededRandom } from '@lethe/std';
import { SearchPool } from './threads.ts';

function tableOf(count: number, codeBits = 64): CodeTable {
  const random = seededRandom('threads', count);
  const table = new CodeTable(codeBits, { shared: true });
  table.addAll(random.bytes(16 * count), random.bytes((codeBits / 8) * count));
  return table;
}

/** Where the slots of the first thread besides the caller's begin. */
const THREAD_1 = 16 * 16_384;

/** The thread that is told of it ends. */
class Unreadable extends CodeTable {
  override get handle() {
    return { ...super.handle, module: {} };
  }
}

const isLost = (e: unknown): boolean => isError(e, HASHING.SEARCH_THREAD_LOST);
const isRefused = (e: unknown): boolean => isError(e, HASHING.OPTION_INVALID);

/** What a search finds with the threads, after it was found the same by the table alone. */
function both(pool: SearchPool, table: CodeTable, search: () => Neighbour[][]): Neighbour[][] {
  pool.detach(table);
  const alone = search();
  pool.attach(table);
  assert.deepEqual(search(), alone);
  return alone;
}

/** Until all threads have started to listen a search is the caller's alone; in this many searches they come to work. */
const SEARCHES = 50;

test('three threads find what one finds: queries alone, few and many, filters, ties, radius, growth, erasure, other codes', async () => {
  const table = tableOf(100_000, 128);
  const other = tableOf(150_000, 64);
  await using pool = await SearchPool.start({ threads: 3 });
  const random = seededRandom('queries');
  for (let round = 0; round < 4; round++) {
    const filter = round % 2 === 1 ? laneBits(table.lanes, (lane) => lane % 7 === 3) : undefined;
    for (const count of [1, 2, 17, 40, 600]) {
      const queries = random.bytes(16 * count);
      both(pool, table, () => table.searchAll(queries, 12, { filter }));
    }
    for (let i = 0; i < SEARCHES; i++) {
      const [query, narrow] = [random.bytes(16), random.bytes(8)];
      both(pool, table, () => [table.search(query, 10, { filter })]);
      both(pool, other, () => [other.search(narrow, 10)]);
    }
    const query = random.bytes(16);
    both(pool, table, () => [table.search(query, 1_792), table.search(query, 3_000), table.range(query, 40)]);
    table.addAll(random.bytes(16 * 40_000), new Uint8Array(16 * 40_000));
    const [ties] = both(pool, table, () => [table.search(new Uint8Array(16), 100)]);
    assert.equal(ties!.length, 100);
    assert.ok(ties!.every(({ distance }) => distance === 0));
    table.erase(ties![0]!.itemId);
    const [left] = both(pool, table, () => [table.search(new Uint8Array(16), 99)]);
    assert.deepEqual(left, ties!.slice(1), 'the erased one is gone for all threads');
  }
});

test('long lists of many queries, and a table that grows while it is attached', async () => {
  const [table, alone] = [tableOf(100_000), tableOf(100_000)];
  await using pool = await SearchPool.start({ threads: 2 });
  pool.attach(table);
  const random = seededRandom('long lists');
  // More lists than results have room for at once.
  const many = random.bytes(8 * 40);
  assert.deepEqual(table.searchAll(many, 1_792), alone.searchAll(many, 1_792));
  for (let round = 0; round < 4; round++) {
    for (let i = 0; i < SEARCHES; i++) {
      const query = random.bytes(8);
      assert.deepEqual(table.search(query, 10), alone.search(query, 10));
    }
    const more = [random.bytes(16 * 50_000), random.bytes(8 * 50_000)] as const;
    for (const one of [table, alone]) one.addAll(...more);
  }
});

test('more neighbours than there are codes, and all of 256 bits different', async () => {
  const table = new CodeTable(256, { shared: true });
  table.addAll(seededRandom('ids').bytes(16 * 40_000), new Uint8Array(32 * 40_000).fill(255));
  await using pool = await SearchPool.start({ threads: 2 });
  for (let i = 0; i < SEARCHES; i++) {
    const [found] = both(pool, table, () => [table.search(new Uint8Array(32), 5)]);
    assert.deepEqual(
      found!.map(({ distance }) => distance),
      [256, 256, 256, 256, 256],
    );
  }
  const only = laneBits(table.lanes, (lane) => lane < 3);
  const [few] = both(pool, table, () => [table.search(new Uint8Array(32), 1_000, { filter: only })]);
  assert.equal(few!.length, 3);
});

test('nothing of a query or a result stays in memory', async () => {
  const table = tableOf(200_000);
  await using pool = await SearchPool.start({ threads: 2 });
  pool.attach(table);
  const lanes = table.chunks.codeAt(0);
  for (const count of [1, 100]) {
    const queries = seededRandom('left').bytes(8 * count);
    for (let i = 0; i < SEARCHES; i++) table.searchAll(queries, 50);
    assert.ok(table.chunks.bytes.subarray(0, lanes).every((byte) => byte === 0));
    // The words of the job hold counts; queries and results stand behind them.
    for (const bytes of pool.memory()) assert.ok(bytes.subarray(1_024).every((byte) => byte === 0));
  }
});

test('a thread that ends is a coded error until the pool is closed; then the table goes on alone', async () => {
  const table = tableOf(200_000);
  const query = new Uint8Array(8);
  const expected = table.search(query, 5);
  const pool = await SearchPool.start({ threads: 2 });
  pool.attach(table);
  assert.deepEqual(table.search(query, 5), expected);
  pool.attach(new Unreadable(64, { shared: true }));
  for (let waited = 0; !pool.lost && waited < 5_000; waited += 10) {
    await new Promise((next) => setTimeout(next, 10));
  }
  assert.throws(() => table.search(query, 5), isLost);
  // What the thread had under way when it ended.
  const [control] = pool.memory();
  for (const bytes of [control!, table.chunks.bytes]) bytes.fill(7, 2_000, 3_000);
  await pool.close();
  const slots = table.chunks.bytes.subarray(0, table.chunks.codeAt(0));
  for (const bytes of [control!, slots]) assert.ok(bytes.every((byte) => byte === 0));
  assert.deepEqual(table.search(query, 5), expected);
});

test('a thread that took part of the work and does not answer is a coded error, not a shorter answer', () => {
  const table = tableOf(200_000);
  // Stands for a worker that died between entering and finishing: the state says entered, nobody will ever finish.
  const scan = new SharedScan(2, 50);
  const states = new Int32Array(scan.control);
  table.scanWith(scan.over(table, 1));
  const original = table.chunks.scan.bind(table.chunks);
  table.chunks.scan = (...given) => {
    Atomics.store(states, 17, 1);
    original(...given);
  };
  assert.throws(() => table.search(new Uint8Array(8), 5), isLost);
  assert.throws(() => table.search(new Uint8Array(8), 5), isLost);
});

/** Searches by what the pool has given to the table, after it was taken off it again. */
function keptScan(table: CodeTable): () => unknown {
  let scan: Parameters<CodeTable['scanWith']>[0];
  const scanWith = table.scanWith.bind(table);
  table.scanWith = (threads) => {
    scan ??= threads;
    scanWith(threads);
  };
  return () => scan?.([new Uint8Array(8)], 5, 64, false);
}

test('threads do take part, and within a radius', async () => {
  const table = tableOf(400_000);
  await using pool = await SearchPool.start({ threads: 2 });
  const alone = tableOf(400_000);
  pool.attach(table);
  const states = new Int32Array(pool.memory()[0]!.buffer, 0, 256);
  const random = seededRandom('radius');
  // 3: thread 1 has entered the job and finished it.
  const tookPart = () => Atomics.load(states, 17) === 3;
  // It comes some time after the pool, for it has modules to load.
  for (const untilMs = performance.now() + 20_000; !tookPart() && performance.now() < untilMs; ) {
    table.search(random.bytes(8), 5);
    await new Promise((next) => setImmediate(next));
  }
  assert.ok(tookPart());
  for (let i = 0; i < SEARCHES; i++) {
    const queries = random.bytes(8 * 3);
    for (const radius of [8, 14, 17]) {
      const [several, one] = [table, alone].map((each) => each.searchAll(queries, 1_000, { radius }));
      // The difference between long lists would take minutes to print.
      assert.ok(isDeepStrictEqual(several, one));
    }
  }
});

test('a thread lets a table go that is detached, and one that fails in a search is noticed at once', async () => {
  const table = tableOf(2_000_000);
  await using pool = await SearchPool.start({ threads: 2, stallMs: 60_000 });
  const scan = keptScan(table);
  pool.attach(table);
  for (let i = 0; i < 5; i++) scan();
  pool.detach(table);
  const fromMs = performance.now();
  assert.throws(() => {
    for (let i = 0; i < 1_000; i++) scan();
  }, isLost);
  assert.ok(performance.now() - fromMs < 30_000);
  assert.throws(() => pool.attach(table), isLost);
});

test('with a thread lost a search that needs none goes on, and a table that is detached then keeps no query', async () => {
  const table = tableOf(200_000);
  const other = tableOf(1_000);
  const query = new Uint8Array(8);
  const search = () => [table.range(query, 12), table.search(query, 2_000), other.search(query, 5)];
  const expected = search();
  const pool = await SearchPool.start({ threads: 2 });
  for (const each of [table, other]) pool.attach(each);
  pool.attach(new Unreadable(64, { shared: true }));
  for (let waited = 0; !pool.lost && waited < 5_000; waited += 10) {
    await new Promise((next) => setTimeout(next, 10));
  }
  assert.throws(() => table.search(query, 5), isLost);
  assert.deepEqual(search(), expected);
  // What the thread had under way when it ended.
  table.chunks.bytes.fill(9, THREAD_1, THREAD_1 + 16_384);
  pool.detach(table);
  await pool.close();
  assert.ok(table.chunks.bytes.subarray(THREAD_1, THREAD_1 + 16_384).every((byte) => byte === 0));
});

test('a table is on one pool at a time', async () => {
  const table = tableOf(1_000);
  await using first = await SearchPool.start({ threads: 2 });
  await using second = await SearchPool.start({ threads: 2 });
  first.attach(table);
  assert.throws(() => second.attach(table), isRefused);
  first.detach(table);
  second.attach(table);
});

test('a table in memory of one thread, and impossible numbers of threads, are refused', async () => {
  await using pool = await SearchPool.start({ threads: 2 });
  assert.throws(() => pool.attach(new CodeTable(64)), isRefused);
  await assert.rejects(SearchPool.start({ threads: 9 }), isRefused);
});
