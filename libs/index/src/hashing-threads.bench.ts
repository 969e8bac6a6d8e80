/**
 * `node libs/index/src/hashing-threads.bench.ts [--json]`: exact search of 1 M codes, k = 10, by one thread and by two over the same shared
 * memory, in turns; queries one by one and 160 together. Two threads need two idle cores: read the load beside the figures.
 */
import { cpus, loadavg } from 'node:os';
import { CodeTable } from '@lethe/hashing';
import { seededRandom } from '@lethe/std';
import { SearchPool } from './threads.ts';

const json = process.argv.includes('--json');
const COUNT = 1_000_000;
const QUERIES = 160;
const ROUNDS = 9;
const K = 10;

const median = (values: readonly number[]) => values.toSorted((a, b) => a - b)[values.length >> 1]!;

async function measure(bits: number) {
  const random = seededRandom('threads bench', bits);
  const table = new CodeTable(bits, { shared: true });
  table.addAll(random.bytes(16 * COUNT), random.bytes((bits / 8) * COUNT));
  await using pool = await SearchPool.start(table, { threads: 2 });
  const queries = random.bytes((bits / 8) * QUERIES);
  const queryOf = (q: number) => queries.subarray((q * bits) / 8, ((q + 1) * bits) / 8);
  const single = { one: [] as number[], two: [] as number[] };
  const batch = { one: [] as number[], two: [] as number[] };
  let identical = true;
  const timed = <T>(times: number[], work: () => T): T => {
    const from = performance.now();
    const result = work();
    times.push(performance.now() - from);
    return result;
  };
  for (let round = 0; round < ROUNDS; round++) {
    for (let q = 0; q < QUERIES; q++) {
      const one = timed(single.one, () => table.search(queryOf(q), K));
      const two = timed(single.two, () => pool.search(queryOf(q), K));
      identical &&= JSON.stringify(one) === JSON.stringify(two);
    }
    const one = timed(batch.one, () => table.searchAll(queries, K));
    const two = timed(batch.two, () => pool.searchAll(queries, K));
    identical &&= JSON.stringify(one) === JSON.stringify(two);
  }
  const compare = ({ one, two }: { one: number[]; two: number[] }, queriesEach: number) => ({
    oneThreadMs: Number((median(one) / queriesEach).toFixed(4)),
    twoThreadsMs: Number((median(two) / queriesEach).toFixed(4)),
    speedUp: Number((median(one) / median(two)).toFixed(2)),
  });
  return { codes: COUNT, bits, k: K, identical, batch: compare(batch, QUERIES), single: compare(single, 1) };
}

const loadBefore = loadavg()[0];
const runs = [await measure(64), await measure(128), await measure(256)];
const [narrow] = runs;
const bars = [
  {
    what: '64 bit, 1 M codes, batch: two threads over one',
    bar: 1.7,
    value: narrow!.batch.speedUp,
    met: narrow!.identical && narrow!.batch.speedUp >= 1.7,
  },
];
const machine = {
  processor: cpus()[0]?.model,
  cores: cpus().length,
  node: process.version,
  loadBefore,
  loadAfter: loadavg()[0],
};
const report = { bench: 'hashing threads', machine, runs, bars };
console.log(json ? JSON.stringify(report) : JSON.stringify(report, undefined, 1));
