/**
 * `node libs/hashing/src/search/search.bench.ts [--json]`: exact search of 1 M codes, k = 10, one thread, against native.c compiled with
 * `-O3 -mpopcnt -mavx2` and run in turn with it; the ids of every query must be equal. Needs a C compiler as `cc` (Debian:
 * `apt install gcc libc6-dev`); without one the native figures are missing, not guessed.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { seededRandom } from '@lethe/std';
import { ascendingIds, report, round, timed, timesOf } from './bench.fixture.ts';
import { CodeTable } from './table.ts';

const COUNT = 1_000_000;
const QUERIES = 200;
const ROUNDS = 5;
const K = 10;

const folder = mkdtempSync(join(tmpdir(), 'lethe-search-'));
const file = (name: string) => join(folder, name);

function compile(): string | undefined {
  const source = fileURLToPath(new URL('native.c', import.meta.url));
  const { error, status } = spawnSync('cc', ['-O3', '-mpopcnt', '-mavx2', '-o', file('native'), source]);
  if (!error && status === 0) return undefined;
  return 'no native figures: cc is missing or this processor is no x64 (Debian: apt install gcc libc6-dev)';
}

function measure(bits: number, noNative: string | undefined) {
  const random = seededRandom('search bench', bits);
  const codes = random.bytes((bits / 8) * COUNT);
  const queries = random.bytes((bits / 8) * QUERIES);
  const table = new CodeTable(bits);
  const ids = ascendingIds(COUNT);
  const addAllMs = timed(() => table.addAll(ids, codes));
  const queryOf = (q: number) => queries.subarray((q * bits) / 8, ((q + 1) * bits) / 8);
  // The optimising compiler replaces the first compiler's code after some queries.
  for (let q = 0; q < QUERIES; q++) table.search(queryOf(q), K);
  writeFileSync(file('codes'), codes);
  writeFileSync(file('queries'), queries);
  const ours: number[] = [];
  const native: number[] = [];
  let identical = true;
  for (let round = 0; round < ROUNDS; round++) {
    const found = Array.from({ length: QUERIES }, (_, q) => {
      const from = performance.now();
      const hits = table.search(queryOf(q), K);
      ours.push(performance.now() - from);
      return hits;
    });
    if (noNative) continue;
    const given = [file('codes'), file('queries'), `${bits}`, `${K}`, '1', file('results')];
    const lines = execFileSync(file('native'), given, { encoding: 'utf8' }).trim().split('\n');
    native.push(...lines.map((ns) => Number(ns) / 1e6));
    const results = readFileSync(file('results'));
    for (let i = 0; i < QUERIES * K; i++) {
      const hit = found[Math.floor(i / K)]![i % K]!;
      if (hit.distance !== results.readInt32LE(8 * i) || hit.lane !== results.readUInt32LE(8 * i + 4)) {
        identical = false;
      }
    }
  }
  const batch: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    batch.push(timed(() => table.searchAll(queries, K)) / QUERIES);
  }
  const one = timesOf(ours);
  const reference = noNative ? undefined : timesOf(native);
  const together = timesOf(batch);
  const overNative = (p50Ms: number) => (reference ? round(reference.p50Ms / p50Ms) : undefined);
  return {
    codes: COUNT,
    bits,
    k: K,
    addAllMs: Math.round(addAllMs),
    oneThread: one,
    batchOf200: together,
    native: reference ?? noNative,
    identicalToNative: noNative ? undefined : identical,
    ratioToNative: overNative(one.p50Ms),
    batchRatioToNative: overNative(together.p50Ms),
    p99OverP50: round(one.p99Ms / one.p50Ms),
  };
}

try {
  const noNative = compile();
  const widths = [64, 128, 256].map((bits) => measure(bits, noNative));
  const [narrow] = widths;
  const bars = [
    {
      what: '64 bit, one thread, speed over native',
      bar: 0.75,
      value: narrow!.ratioToNative,
      met: (narrow!.ratioToNative ?? 0) >= 0.75 && narrow!.identicalToNative === true,
    },
    {
      what: '64 bit, p99 over p50',
      bar: 5,
      value: narrow!.p99OverP50,
      met: narrow!.p99OverP50 <= 5,
    },
  ];
  report('hashing search', { widths }, bars);
} finally {
  rmSync(folder, { recursive: true });
}
