/**
 * `node libs/index/src/hashing-threads.bench.ts [--json]`: exact search of 1 M codes, k = 10, by one thread and by two over the same shared
 * memory, in turns: queries one by one, 16 and 160 together. Two threads need two idle cores: read the load beside the figures, and what the
 * machine gives (`unrelated`): how much the scan of one thread slows down while another thread, of which it knows nothing, scans a table of its own.
 */
import { cpus, loadavg } from 'node:os';
import { isMainThread, Worker, workerData } from 'node:worker_threads';
import { CodeTable } from '@lethe/hashing';
import { seededRandom } from '@lethe/std';
import { SearchPool } from './threads.ts';

const json = process.argv.includes('--json');
const COUNT = 1_000_000;
const QUERIES = 160;
const ROUNDS = 9;
const K = 10;

const median = (values: readonly number[]) => values.toSorted((a, b) => a - b)[values.length >> 1]!;

function tableOf(bits: number): CodeTable {
  const random = seededRandom('threads bench', bits);
  const table = new CodeTable(bits, { shared: true });
  table.addAll(random.bytes(16 * COUNT), random.bytes((bits / 8) * COUNT));
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
      const from = performance.now();
      table.searchAll(queries, K);
      times[way].push(performance.now() - from);
    }
  }
  await other.terminate();
  return Number(((2 * median(times.alone)) / median(times.together)).toFixed(2));
}

async function measure(bits: number) {
  const table = tableOf(bits);
  await using pool = await SearchPool.start({ threads: 2 });
  const queries = queriesOf(bits);
  const sizes = [1, 16, QUERIES];
  const times = sizes.map(() => ({ one: [] as number[], two: [] as number[] }));
  const found = { one: '', two: '' };
  const run = (way: 'one' | 'two', size: number, into: number[]) => {
    const lists = [];
    for (let q = 0; q < QUERIES; q += size) {
      const from = performance.now();
      const part = table.searchAll(queries.subarray((q * bits) / 8, ((q + size) * bits) / 8), K);
      into.push((performance.now() - from) / size);
      lists.push(...part);
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
    oneThreadMs: Number(median(one).toFixed(4)),
    twoThreadsMs: Number(median(two).toFixed(4)),
    speedUp: Number((median(one) / median(two)).toFixed(2)),
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

const loadBefore = loadavg()[0];
const runs = [await measure(64), await measure(128), await measure(256)];
const bars = runs.map(({ bits, batch, identical }) => ({
  what: `${bits} bit, 1 M codes, ${QUERIES} queries: two threads over one`,
  bar: 1.7,
  value: batch.speedUp,
  met: identical && batch.speedUp >= 1.7,
}));
const machine = {
  processor: cpus()[0]?.model,
  cores: cpus().length,
  node: process.version,
  loadBefore,
  loadAfter: loadavg()[0],
};
const report = { bench: 'hashing threads', machine, runs, bars };
console.log(json ? JSON.stringify(report) : JSON.stringify(report, undefined, 1));
