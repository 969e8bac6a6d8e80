/**
 * Moving stored codes in a large index: `node services/hashing/src/hashing-reencode.bench.ts [--blocks 245] [--steps 16]`. Bus in memory, D = 768.
 *
 * First the steps of a re-encoding after MODE_FAN_OUT, each to its fact; then REENCODE_CHANGED after the erasure of a person, whose second half
 * reads and encodes every item. The state is made (`made-state.fixture.ts`), the version that codes move to has other weights, and the ledger's
 * subtrees are hashed, as a service does after opening.
 */
import type { hashing } from '@lethe/contracts';
import { hashing as contract } from '@lethe/contracts';
import { ensurePlatformStreams, MemoryBus } from '@lethe/events';
import { assert, seededRandom, sleep } from '@lethe/std';
import { erase } from './consumers/erasure.ts';
import { moveCodes } from './consumers/reencode.ts';
import type { HashingContext } from './context.ts';
import { BLOCK_ROWS } from './domain/blocks.ts';
import { DATASET, TENANT, World } from './fixture.ts';
import { addressOf } from './functions.ts';
import { makeState } from './made-state.fixture.ts';

const option = (name: string, value: number): number => {
  const at = process.argv.indexOf(`--${name}`);
  return at === -1 ? value : Number(process.argv[at + 1]);
};
const COPIES = option('blocks', 245);
const STEPS = option('steps', 16);
const SIZE = COPIES * BLOCK_ROWS;
/** One stored code in so many is not what its version gives: what earlier updates have changed. */
const STALE_EVERY = 100;
const ADDRESS = addressOf(TENANT, 'shapes');

async function made(spec: Partial<hashing.HashFunctionSpec>): Promise<World> {
  const bus = new MemoryBus();
  await ensurePlatformStreams(bus);
  const world = new World(bus);
  world.commitRoot([]);
  const personOf = (position: number): string => `p${position % (SIZE / 2)}`;
  const codes = (given: Uint8Array): Uint8Array =>
    given.map((byte, at) => (at % (8 * STALE_EVERY) === 0 ? byte ^ 1 : byte));
  await makeState(world, { copies: COPIES, featureDim: 768, codeBits: 64, personOf, spec, codes });
  return world;
}

async function hashTrees({ functions }: HashingContext): Promise<void> {
  const { learned } = await functions.serving(ADDRESS);
  for (const segment of learned.index.segments()) while (segment.hashSome(BLOCK_ROWS));
}

/** Longest time in which nothing else had a turn, since the last call. */
function pauses(): () => number {
  let last = performance.now();
  let longest = 0;
  const timer = setInterval(() => {
    longest = Math.max(longest, performance.now() - last);
    last = performance.now();
  }, 1);
  timer.unref();
  return () => {
    const found = longest;
    longest = 0;
    return found;
  };
}
const longestPause = pauses();
const show = (what: string, values: readonly number[]): void => {
  const sorted = values.toSorted((a, b) => a - b);
  console.log(
    `${what.padEnd(44)} p50 ${sorted[sorted.length >> 1]!.toFixed(0)} ms, most ${sorted.at(-1)!.toFixed(0)} ms (${sorted.length}), longest pause ${longestPause().toFixed(0)} ms`,
  );
};

console.log(`${SIZE} codes of 64 bits, D = 768`);
{
  const context = (await made({})).context();
  const { functions } = context;
  const before = await functions.load(ADDRESS);
  const random = seededRandom('reencode-bench');
  await functions.change(ADDRESS, before, 'fanned out', async (_, base) => {
    assert(base, 'the made version');
    const old = base.head.parts.map(({ fn }) => fn);
    const parts = base.head.parts.map((part) => {
      const weights = part.fn.weights.map((weight) => weight * (0.5 + random.uniform()));
      return { ...part, fn: { ...part.fn, version: 2, weights } };
    });
    const nulls = [Array.from<number>({ length: base.codeBits + 1 }).fill(1)];
    return {
      head: {
        ...base.head,
        version: 2,
        parts,
        previous: { version: 1, functions: old, nulls, newestNulls: nulls },
      },
      index: base.index,
      store: base.store,
      replaced: [],
      promotion: {
        ...{ erasure: '', needles: undefined, proof: undefined, claims: [], statisticsMs: 0, solveMs: 0 },
        ...{ oldCodesRootBefore: new Uint8Array(0), oldCodesRootAfter: new Uint8Array(0) },
        reencoding: { fromVersion: 1, toVersion: 2, step: 0, codesLeft: BigInt(SIZE) },
      },
    };
  });
  const times: number[] = [];
  await hashTrees(context);
  await sleep(2);
  longestPause();
  const last = Number((await functions.load(ADDRESS)).current!.reencoding!.codesLeft);
  for (let step = 0; step < STEPS; step++) {
    const startedMs = performance.now();
    await moveCodes(context, ADDRESS);
    times.push(performance.now() - startedMs);
    await sleep(1);
  }
  const left = Number((await functions.load(ADDRESS)).current!.reencoding!.codesLeft);
  show('a step of FAN_OUT, to its fact', times);
  console.log(
    `  ${((last - left) / STEPS).toFixed(0)} codes a step, ${(left / ((last - left) / STEPS)).toFixed(0)} steps left`,
  );
  await functions.engine.close();
}
{
  const { SURVIVOR_CODES_REENCODE_CHANGED: survivorCodes } = contract.HashFunctionSpec_SurvivorCodes;
  const world = await made({ survivorCodes });
  const context = world.context();
  await hashTrees(context);
  await sleep(2);
  longestPause();
  const startedMs = performance.now();
  const { claims } = await erase(context, TENANT, { ...world.started('p5'), datasets: [DATASET] });
  const tookMs = performance.now() - startedMs;
  await sleep(1);
  show('erasure with REENCODE_CHANGED, both halves', [tookMs]);
  console.log(
    `  ${claims[1]?.details.reencodedCodes} codes changed, ${claims[1]?.details.survivors} survivors encoded`,
  );
  await context.functions.engine.close();
}
