/**
 * What the service costs on the digits, on the bus in memory beside fake peers: `node services/hashing/src/hashing.bench.ts`.
 * Learns digits 0-7 (first wave), updates with 8 and 9, erases one person, and predicts the test digits.
 */
import { hashing } from '@lethe/contracts';
import { encodePayload, encodeSpec, loadMnist } from '@lethe/datasets';
import { voteLabel } from '@lethe/hashing';
import { assert } from '@lethe/std';
import { erase } from './consumers/erasure.ts';
import { DATASET, eventually, FUNCTION_SPEC, TENANT, World } from './fixture.ts';
import { addressOf } from './functions.ts';

const { spec, waves, test } = loadMnist();
const [first, second] = waves.map((wave) =>
  wave.map(({ subjectId, values, label }) => ({
    alias: subjectId,
    payload: encodePayload(spec, label === undefined ? { values } : { values, label }),
  })),
);
assert(first && second, 'the digits come in two waves');

async function timed<T>(what: string, work: () => Promise<T>): Promise<T> {
  const startedMs = performance.now();
  const result = await work();
  console.log(`${what.padEnd(34)} ${(performance.now() - startedMs).toFixed(0)} ms`);
  return result;
}

const world = await World.with(...first);
world.datasetSpec = encodeSpec(spec);
const { api, close } = await world.service();
await timed('create: learn the first wave', async () => {
  await api.create(hashing.HashFunctionSpec.fromPartial({ root: FUNCTION_SPEC.root }));
  await api.settled();
});
const scored = async (versions: number) =>
  await eventually(async () => ((await api.metrics()).rows.length >= versions ? true : undefined));
// They hold the function's turn: the update would wait for those of the first wave.
await timed('  scores of the first version', () => scored(1));
const updated = await timed('update: learn the second wave', async () => {
  await api.update(world.commitRoot(second));
  return await api.settled();
});
console.log(
  `  of it features and sums ${updated.statisticsMs.toFixed(0)} ms, solve ${updated.solveMs.toFixed(0)} ms`,
);
await timed('  scores of the second version', () => scored(2));
const payloads = test.map((record) => encodePayload(spec, { values: record.values }));
await timed('1,000 searches by payload, k = 10', async () => {
  for (const value of payloads.slice(0, 1_000)) await api.search({ $case: 'payload', value }, 10);
});
const context = world.context();
const { learned: serving } = await timed('restart: open the state', () =>
  context.functions.serving(addressOf(TENANT, 'shapes')),
);
const codes = serving.encode(0, test);
for (const k of [1, 5, 11, 25, 51, 101, 251]) {
  let right = 0;
  test.forEach(({ label }, i) => {
    const found = serving.search(codes.subarray(8 * i, 8 * i + 8), k, {});
    const votes = found.map(({ item, distance }) => ({ label: item.labels[0]!, distance }));
    if (voteLabel(votes).label === label) right++;
  });
  console.log(`accuracy by ${k} voters`.padEnd(34), (right / test.length).toFixed(4));
}
await close();
const person = first[0]!.alias;
const { claims } = await timed('erase one person', () =>
  erase(context, TENANT, { ...world.started(person), datasets: [DATASET] }),
);
console.log('claims', claims[1]?.details);
const { current } = await context.functions.load(addressOf(TENANT, 'shapes'));
console.log(`head ${(Number(current?.state?.sizeBytes) / 1e6).toFixed(2)} MB`);
