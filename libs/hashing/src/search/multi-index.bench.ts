/**
 * `node libs/hashing/src/search/multi-index.bench.ts [--json] [codes]`: 10 M codes of 64 bits, k = 10, one thread: the scan, the
 * multi-index alone where it can end, and what the table chooses; on clusters (near neighbours) and on uniform codes (none).
 * Ids of all three must be equal for every query.
 */
import { cpus, loadavg } from 'node:os';
import { CodeTable } from './table.ts';

const json = process.argv.includes('--json');
const COUNT = Number(process.argv.slice(2).find((word) => /^\d+$/.test(word)) ?? 10_000_000);
const QUERIES = 60;
const K = 10;

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

/** Uniform codes, or clusters of 100 whose members differ from their centre by up to `flips` bits. */
function codesOf(clustered: boolean): { codes: Uint8Array; query: () => Uint8Array } {
  const next = generator(2_026);
  const codes = fill(8 * COUNT, next);
  const disturb = (code: Uint8Array, flips: number) => {
    for (let i = 0; i < flips; i++) {
      const bit = next() % 64;
      code[bit >> 3]! ^= 1 << (bit & 7);
    }
    return code;
  };
  if (clustered) {
    for (let i = 0; i < COUNT; i++) {
      const centre = i - (i % 100);
      if (i === centre) continue;
      codes.copyWithin(8 * i, 8 * centre, 8 * centre + 8);
      disturb(codes.subarray(8 * i, 8 * i + 8), next() % 6);
    }
  }
  const query = () => {
    if (!clustered) return fill(8, next);
    const centre = 100 * Math.floor(next() % (COUNT / 100));
    return disturb(codes.slice(8 * centre, 8 * centre + 8), 2);
  };
  return { codes, query };
}

function summary(ms: readonly number[]) {
  const sorted = ms.toSorted((a, b) => a - b);
  const at = (share: number) => Number(sorted[Math.floor(share * (sorted.length - 1))]!.toFixed(3));
  return { p50Ms: at(0.5), p99Ms: at(0.99) };
}

function measure(clustered: boolean) {
  const { codes, query } = codesOf(clustered);
  const table = new CodeTable(64);
  const timed = (work: () => void) => {
    const from = performance.now();
    work();
    return performance.now() - from;
  };
  const ids = fill(16 * COUNT, generator(7));
  const addMs = Math.round(timed(() => table.addAll(ids, codes)));
  const calibrateMs = Math.round(timed(() => table.calibrate(() => performance.now())));
  const plan = table.plan!;
  const ways = plan.via === 'scan' ? (['scan', 'auto'] as const) : (['scan', 'auto', 'multi-index'] as const);
  const times = { scan: [] as number[], auto: [] as number[], 'multi-index': [] as number[] };
  const kth: number[] = [];
  let identical = true;
  for (let q = 0; q < QUERIES + 20; q++) {
    const code = query();
    const results = ways.map((via) => {
      let found = '';
      // Whoever comes second would find its part of the tables in the caches; a scan of 80 MB takes their place.
      table.search(code, K, { via: 'scan' });
      const ms = timed(() => {
        found = JSON.stringify(table.search(code, K, { via }).map(({ lane, distance }) => [lane, distance]));
      });
      // The first searches are for the compilers.
      if (q >= 20) times[via].push(ms);
      return found;
    });
    identical &&= results.every((found) => found === results[0]);
    kth.push(table.search(code, K, { via: 'scan' }).at(-1)!.distance);
  }
  const [scan, auto] = [summary(times.scan), summary(times.auto)];
  const multiIndex = times['multi-index'].length > 0 ? summary(times['multi-index']) : undefined;
  const better = Math.min(scan.p50Ms, multiIndex?.p50Ms ?? scan.p50Ms);
  return {
    data: clustered ? 'clusters of 100 within 5 bits' : 'uniform',
    codes: COUNT,
    kthDistanceMedian: kth.sort((a, b) => a - b)[kth.length >> 1],
    addMs,
    calibrateMs,
    plan,
    scan,
    multiIndex,
    auto,
    identical,
    autoOverBetter: Number((auto.p50Ms / better).toFixed(3)),
  };
}

const loadBefore = loadavg()[0];
const [near, far] = [measure(true), measure(false)];
const bars = [
  {
    what: '10 M, near neighbours: the multi-index p50 is below the scan',
    bar: near.scan.p50Ms,
    value: near.multiIndex?.p50Ms,
    met: near.identical && (near.multiIndex?.p50Ms ?? Number.POSITIVE_INFINITY) < near.scan.p50Ms,
  },
  ...[near, far].map(({ data, autoOverBetter, identical }) => ({
    what: `10 M, ${data}: chosen p50 over the better p50`,
    bar: 1.1,
    value: autoOverBetter,
    met: identical && autoOverBetter <= 1.1,
  })),
];
const machine = {
  processor: cpus()[0]?.model,
  cores: cpus().length,
  node: process.version,
  loadBefore,
  loadAfter: loadavg()[0],
};
const report = { bench: 'hashing multi-index', machine, runs: [near, far], bars };
console.log(json ? JSON.stringify(report) : JSON.stringify(report, undefined, 1));
