/**
 * `node libs/hashing/src/search/multi-index.bench.ts [--json] [codes]`: 10 M codes of 64 bits, k = 10, one thread: the scan, the
 * multi-index alone, and what the table chooses; for queries with neighbours that are near, at a middle distance, and far (uniform codes).
 * The three ways take every order in turn, and before each search a scan empties the caches: whoever came later would find its part of
 * the tables there. Ids of all three must be equal for every query. Then uniform queries, 64 in one `searchAll`.
 */
import { report, round, type Times, timed, timesOf } from './bench.fixture.ts';
import { CodeTable } from './table.ts';

const COUNT = Number(process.argv.slice(2).find((word) => /^\d+$/.test(word)) ?? 10_000_000);
const QUERIES = 120;
/** Not counted: they are for the compilers. */
const WARMING = 30;
const K = 10;
const WAYS = ['scan', 'multi-index', 'auto'] as const;
const ORDERS = [
  [0, 1, 2],
  [2, 1, 0],
  [1, 2, 0],
  [0, 2, 1],
  [2, 0, 1],
  [1, 0, 2],
] as const;

/** xorshift32: the codes have to be many, not secret. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

function fill(bytes: number, next: () => number): Uint8Array {
  const words = new Uint32Array(bytes / 4);
  for (let i = 0; i < words.length; i++) words[i] = next();
  return new Uint8Array(words.buffer);
}

const next = generator(2_026);

function disturb(code: Uint8Array, flips: number): Uint8Array {
  for (let i = 0; i < flips; i++) {
    const bit = next() % 64;
    code[bit >> 3]! ^= 1 << (bit & 7);
  }
  return code;
}

/** Clusters of 100 codes that differ from the first by up to five bits. */
function clusters(): Uint8Array {
  const codes = fill(8 * COUNT, next);
  for (let i = 0; i < COUNT; i++) {
    const centre = i - (i % 100);
    if (i === centre) continue;
    codes.copyWithin(8 * i, 8 * centre, 8 * centre + 8);
    disturb(codes.subarray(8 * i, 8 * i + 8), next() % 6);
  }
  return codes;
}

function tableOf(codes: Uint8Array) {
  const table = new CodeTable(64);
  const ids = fill(16 * COUNT, generator(7));
  const addMs = Math.round(timed(() => table.addAll(ids, codes)));
  const calibrateMs = Math.round(timed(() => table.calibrate(() => performance.now())));
  const { plan } = table;
  if (plan?.via !== 'multi-index') table.buildMultiIndex();
  const bytes = table.memory().reduce((sum, { length }) => sum + length, 0);
  return { table, built: { addMs, calibrateMs, plan, bytesACode: round(bytes / COUNT) } };
}

function measure(table: CodeTable, data: string, query: () => Uint8Array) {
  const times = { scan: [] as number[], 'multi-index': [] as number[], auto: [] as number[] };
  const kth: number[] = [];
  let identical = true;
  for (let q = 0; q < QUERIES + WARMING; q++) {
    const code = query();
    const found = ORDERS[q % ORDERS.length]!.map((way) => {
      const via = WAYS[way];
      const emptied = table.search(code, K, { via: 'scan' });
      kth.push(emptied.at(-1)!.distance);
      let neighbours = emptied;
      const ms = timed(() => {
        neighbours = table.search(code, K, { via });
      });
      if (q >= WARMING) times[via].push(ms);
      return JSON.stringify(neighbours.map(({ lane, distance }) => [lane, distance]));
    });
    identical &&= found.every((one) => one === found[0]);
  }
  const [scan, multiIndex, auto] = WAYS.map((way) => timesOf(times[way])) as [Times, Times, Times];
  const over = (key: 'p50Ms' | 'meanMs') => round(auto[key] / Math.min(scan[key], multiIndex[key]));
  return {
    data,
    kthDistanceMedian: kth.sort((a, b) => a - b)[kth.length >> 1],
    scan,
    multiIndex,
    auto,
    identical,
    autoOverBetter: { p50: over('p50Ms'), mean: over('meanMs') },
  };
}

/** Milliseconds a query of 64 that come together. */
function together(table: CodeTable) {
  const times = { scan: [] as number[], 'multi-index': [] as number[], auto: [] as number[] };
  for (const [run, order] of [...ORDERS, ...ORDERS].entries()) {
    const queries = fill(8 * 64, next);
    for (const way of order) {
      const ms = timed(() => table.searchAll(queries, K, { via: WAYS[way] })) / 64;
      if (run >= ORDERS.length) times[WAYS[way]].push(ms);
    }
  }
  const [scan, multiIndex, auto] = WAYS.map((way) => timesOf(times[way])) as [Times, Times, Times];
  return {
    scan,
    multiIndex,
    auto,
    autoOverBetter: round(auto.p50Ms / Math.min(scan.p50Ms, multiIndex.p50Ms)),
  };
}

const clustered = clusters();
const offCentre = (flips: number) => () => {
  const centre = 100 * (next() % Math.floor(COUNT / 100));
  return disturb(clustered.slice(8 * centre, 8 * centre + 8), flips);
};
const first = tableOf(clustered);
const runs = [
  measure(first.table, 'near: clusters, 2 bits off a centre', offCentre(2)),
  measure(first.table, 'middle: clusters, 12 bits off a centre', offCentre(12)),
];
first.table.dropMultiIndex();
const second = tableOf(fill(8 * COUNT, next));
runs.push(measure(second.table, 'far: uniform codes', () => fill(8, next)));
const many = together(second.table);
const [near] = runs;
const bars = [
  {
    what: 'near: the multi-index p50 is below the scan',
    bar: near!.scan.p50Ms,
    value: near!.multiIndex.p50Ms,
    met: near!.identical && near!.multiIndex.p50Ms < near!.scan.p50Ms,
  },
  {
    what: 'far: 64 queries together, chosen over the better of both, p50',
    bar: 1.1,
    value: many.autoOverBetter,
    met: many.autoOverBetter <= 1.1,
  },
  ...runs.map(({ data, autoOverBetter, identical }) => ({
    what: `${data}: chosen over the better of both, p50 and mean`,
    bar: 1.1,
    value: autoOverBetter,
    met: identical && autoOverBetter.p50 <= 1.1 && autoOverBetter.mean <= 1.1,
  })),
];
report('hashing multi-index', { codes: COUNT, built: [first.built, second.built], runs, many }, bars);
