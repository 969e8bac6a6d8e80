/**
 * Searches a second over the service with a large index, by one thread that scans and by what the service does now:
 * `node services/hashing/src/hashing-search.bench.ts [--blocks 245]`. Bus in memory; queries by code, so that nothing is encoded.
 *
 * Codes of 64 bits lie around random centres, 32 to each, with up to four bits changed; a near query is a centre with two bits changed, a far
 * one is random. One answer after the other, as many callers would get them, for answers take turns. All services answer the same queries, round
 * by round, and their answers are compared.
 */
import { availableParallelism } from 'node:os';
import type { hashing } from '@lethe/contracts';
import { ensurePlatformStreams, MemoryBus } from '@lethe/events';
import { assert, secureRandom } from '@lethe/std';
import { BLOCK_ROWS } from './domain/blocks.ts';
import { type Api, TENANT, World } from './fixture.ts';
import { makeState } from './made-state.fixture.ts';

const at = process.argv.indexOf('--blocks');
const COPIES = at === -1 ? 245 : Number(process.argv[at + 1]);
const SIZE = COPIES * BLOCK_ROWS;
const QUERIES = 300;
const ROUNDS = 5;
const K = 10;

const bus = new MemoryBus();
await ensurePlatformStreams(bus);
const world = new World(bus);
world.commitRoot([]);
const random = secureRandom();
const CENTRES = SIZE / 32;
const centres = random.bytes(8 * CENTRES);
const flipped = (centre: number, bits: number): Uint8Array => {
  const code = centres.slice(8 * centre, 8 * centre + 8);
  for (let i = 0; i < bits; i++) {
    const bit = random.below(64);
    code[bit >> 3]! ^= 1 << (bit & 7);
  }
  return code;
};
const codes = new Uint8Array(8 * SIZE);
for (let row = 0; row < SIZE; row++) codes.set(flipped(row % CENTRES, 4), 8 * row);
await makeState(world, {
  copies: COPIES,
  featureDim: 32,
  codeBits: 64,
  personOf: (position) => `p${position % (SIZE / 2)}`,
  codes: () => codes,
});

const ways = [
  { what: 'one thread, scan', search: { threads: 1, tabledFrom: Number.POSITIVE_INFINITY } },
  { what: `${availableParallelism()} threads, scan`, search: { tabledFrom: Number.POSITIVE_INFINITY } },
  { what: `${availableParallelism()} threads, multi-index`, search: { settleMs: 0 } },
];
const services: { what: string; api: Api; close(): Promise<void> }[] = [];
for (const { what, search } of ways) {
  const { api, close } = await world.service({ search });
  await api.search({ $case: 'code', value: new Uint8Array(8) }, K);
  services.push({ what, api, close });
}
// The multi-index is built after the first answers, and the threads start.
await new Promise((done) => setTimeout(done, Math.max(3_000, COPIES * 20)));

const near = Array.from({ length: QUERIES }, () => flipped(random.below(CENTRES), 2));
const far = Array.from({ length: QUERIES }, () => random.bytes(8));
const kinds: readonly {
  readonly kind: string;
  readonly queries: readonly Uint8Array[];
  readonly conditions: Parameters<Api['search']>[2];
}[] = [
  { kind: 'near', queries: near, conditions: {} },
  { kind: 'far', queries: far, conditions: {} },
  {
    kind: 'far, by label',
    queries: far,
    conditions: { filter: { modalities: [], labelsAny: [1], labelsAll: [], functionVersions: [] } },
  },
  { kind: 'near, radius 6', queries: near, conditions: { radius: 6 } },
];
console.log(
  `${SIZE} codes of 64 bits, k = ${K}, tenant ${TENANT}, load ${QUERIES} queries a round, ${ROUNDS} rounds`,
);
for (const { kind, queries, conditions } of kinds) {
  const times = services.map((): number[] => []);
  // The first round is for the compilers.
  for (let round = -1; round < ROUNDS; round++) {
    const answers: hashing.SearchResponse['neighbours'][][] = [];
    for (const [i, { api }] of services.entries()) {
      const found: hashing.SearchResponse['neighbours'][] = [];
      for (const value of queries) {
        const startedMs = performance.now();
        const { neighbours } = await api.search({ $case: 'code', value }, K, conditions);
        if (round >= 0) times[i]!.push(performance.now() - startedMs);
        found.push(neighbours);
      }
      answers.push(found);
    }
    assert(
      answers.every((found) => JSON.stringify(found) === JSON.stringify(answers[0])),
      'every way gives the same answers',
    );
  }
  for (const [i, { what }] of services.entries()) {
    const sorted = times[i]!.sort((a, b) => a - b);
    const sum = sorted.reduce((total, ms) => total + ms, 0);
    const [p50, p99] = [0.5, 0.99].map((share) => sorted[Math.floor(share * sorted.length)]!.toFixed(2));
    console.log(
      `${kind.padEnd(16)} ${what.padEnd(26)} ${((1_000 * sorted.length) / sum).toFixed(0).padStart(6)} a second, p50 ${p50} ms, p99 ${p99} ms`,
    );
  }
}
for (const { close } of services) await close();
