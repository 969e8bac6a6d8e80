/**
 * `node libs/index/src/hashing-threads.bench.ts [--json]`: exact search of 1 M codes, k = 10, by one thread and by two over the same shared
 * memory, in turns: queries one by one, 16 and 160 together. Two threads need two idle cores: read the load beside the figures, and what the
 * machine gives (`unrelated`): how much the scan of one thread slows down while another thread, of which it knows nothing, scans a table of its own.
 */
import { isMainThread, Worker, workerData } from 'node:worker_threads';
import { CodeTable, type Neighbour } from '@lethe/hashing';
import { ascendingIds, median, report, round, timed } from '@lethe/hashing/bench';
import { seededRandom } from '@lethe/std';
import { SearchPool } from './threads.ts';

const COUNT = 1_000_000;
const QUERIES = 160;
const ROUNDS = 9;
const K = 10;

function tableOf(bits: number): CodeTable {
  const random = seededRandom('threads bench', bits);
  const table = new CodeTable(bits, { shared: true });
  table.addAll(ascendingIds(COUNT), random.bytes((bits / 8) * COUNT));
  return table;
}

const queriesOf = (bits: number) => seededRandom('threads bench queries', bits).bytes((bits / 8) * QUERIES);

/** In the other thread: searches whenever the word is 1. */
function searchWhileTold({ bits, word }: { readonly bits: number; readonly word: Int32Array }): never {
  const table = tableOf(bits);
  const queries = queriesOf(bits);
  for (;;) {
    table.searchAll(queries, K);
    Atomics.store(word, 1, 1);
    Atomics.wait(word, 0, 0);
  }
}

/** @returns searches a second of two threads over those of one, when the two have nothing to do with each other */
async function unrelated(table: CodeTable): Promise<number> {
  const bits = table.codeBits;
  const queries = queriesOf(bits);
  const word = new Int32Array(new SharedArrayBuffer(8));
  const other = new Worker(new URL(import.meta.url), { workerData: { bits, word } });
  while (Atomics.load(word, 1) === 0) await new Promise((next) => setTimeout(next, 10));
  const times: { alone: number[]; together: number[] } = { alone: [], together: [] };
  for (let round = 0; round < ROUNDS; round++) {
    for (const way of ['alone', 'together'] as const) {
      Atomics.store(word, 0, way === 'alone' ? 0 : 1);
      Atomics.notify(word, 0);
      // The other thread ends what it has begun, or begins.
      await new Promise((next) => setTimeout(next, 300));
      times[way].push(timed(() => table.searchAll(queries, K)));
    }
  }
  await other.terminate();
  return round((2 * median(times.alone)) / median(times.together));
}

async function measure(bits: number) {
  const table = tableOf(bits);
  await using pool = await SearchPool.start({ threads: 2 });
  const queries = queriesOf(bits);
  const sizes = [1, 16, QUERIES];
  const times = sizes.map(() => ({ one: [] as number[], two: [] as number[] }));
  const found = { one: '', two: '' };
  const run = (way: 'one' | 'two', size: number, into: number[]) => {
    const lists: Neighbour[][] = [];
    for (let q = 0; q < QUERIES; q += size) {
      const some = queries.subarray((q * bits) / 8, ((q + size) * bits) / 8);
      into.push(timed(() => lists.push(...table.searchAll(some, K))) / size);
    }
    found[way] = JSON.stringify(lists);
  };
  let identical = true;
  // The first two rounds are for the compilers.
  for (let round = 0; round < ROUNDS + 2; round++) {
    for (const [i, size] of sizes.entries()) {
      const { one, two } = times[i]!;
      pool.detach(table);
      run('one', size, round < 2 ? [] : one);
      pool.attach(table);
      run('two', size, round < 2 ? [] : two);
      identical &&= found.one === found.two;
    }
  }
  pool.detach(table);
  const [single, sixteen, batch] = times.map(({ one, two }) => ({
    oneThreadMs: round(median(one)),
    twoThreadsMs: round(median(two)),
    speedUp: round(median(one) / median(two)),
  }));
  return {
    codes: COUNT,
    bits,
    k: K,
    identical,
    single,
    sixteen,
    batch: batch!,
    unrelated: await unrelated(table),
  };
}

if (!isMainThread) searchWhileTold(workerData);

const runs = [await measure(64), await measure(128), await measure(256)];
const bars = runs.map(({ bits, batch, identical }) => ({
  what: `${bits} bit, 1 M codes, ${QUERIES} queries: two threads over one`,
  bar: 1.7,
  value: batch.speedUp,
  met: identical && batch.speedUp >= 1.7,
}));
report('hashing threads', { runs }, bars);
