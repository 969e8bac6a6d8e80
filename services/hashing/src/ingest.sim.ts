/**
 * What the quarantine holds and what the filter of near-duplicates costs, on the digits: `node services/hashing/src/ingest.sim.ts`.
 * Bus in memory, fake peers, defaults of a function. Honest items are digits of classes that were learned, in a seeded order.
 */
import { hashing } from '@lethe/contracts';
import { encodePayload, encodeSpec, loadMnist } from '@lethe/datasets';
import { seededRandom, shuffle } from '@lethe/std';
import { FUNCTION_SPEC, TENANT, type TestRecord, World } from './fixture.ts';
import { addressOf } from './functions.ts';

const { spec, waves } = loadMnist();
const random = seededRandom('ingest.sim');
const recordOf = (alias: string, pixels: Uint8Array, label: number): TestRecord => ({
  alias,
  payload: encodePayload(spec, { values: [pixels], label }),
});
const [old, fresh] = waves.map((wave) =>
  shuffle([...wave], random).map(({ subjectId, values, label }) => ({
    ...{ alias: subjectId, pixels: values[0] as Uint8Array, label: label! },
  })),
);
const digits = (from: typeof old = []): TestRecord[] =>
  from.map(({ alias, pixels, label }) => recordOf(alias, pixels, label));

/** Means of two digits of different classes, under the label of the first. */
const mixed = Array.from({ length: 200 }, (_, i): TestRecord => {
  const a = old![i]!;
  const b = old!.find(({ label }, j) => j > i && label !== a.label)!;
  return recordOf(
    `mixed-${i}`,
    a.pixels.map((value, p) => (value + b.pixels[p]!) >> 1),
    a.label,
  );
});

async function learned(first: readonly TestRecord[], options: Partial<hashing.HashFunctionSpec>) {
  const world = await World.with(...first);
  world.datasetSpec = encodeSpec(spec);
  const { api, close } = await world.service();
  const gate = { epsilon: 1, require: false, reportOnly: true };
  await api.create(hashing.HashFunctionSpec.fromPartial({ root: FUNCTION_SPEC.root, gate, ...options }));
  await api.settled();
  const update = async (records: readonly TestRecord[]) => {
    const root = world.commitRoot(records);
    const startedMs = performance.now();
    await api.update(root);
    return { shown: await api.settled(), ms: performance.now() - startedMs };
  };
  return { world, update, close };
}

const MARGIN_SHARE = 0.01;
const STEP = 600;
const honest = digits(old);
const { update, close } = await learned(honest.slice(0, 2_000), {
  quarantine: { marginShare: MARGIN_SHARE, flaggedHubs: false },
});
let before = 0n;
const held = async (what: string, records: readonly TestRecord[]): Promise<void> => {
  const { quarantinedItems } = (await update(records)).shown;
  const share = Number(quarantinedItems - before) / records.length;
  before = quarantinedItems;
  console.log(`held of ${records.length} ${what}`.padEnd(50), share.toFixed(4));
};
console.log(`quarantine, margin share ${MARGIN_SHARE}`);
for (let at = 2_000; at + STEP <= honest.length; at += STEP)
  await held('honest', honest.slice(at, at + STEP));
await held('mixtures of two classes', mixed);
await held('of two new classes', digits(fresh));
await close();

/** Each digit and, of every tenth, a copy with eight pixels changed by one, of the same person. */
const copies = old!
  .filter((_, i) => i % 10 === 0)
  .map(({ alias, pixels, label }) => {
    const near = pixels.slice();
    for (let i = 0; i < 8; i++) near[random.below(near.length)]! ^= 1;
    return recordOf(alias, near, label);
  });
console.log(
  `near-duplicates: ${honest.length} digits, then ${copies.length} copies with eight pixels changed by one`,
);
for (const radius of [undefined, 0, 2, 8, 32, 64]) {
  const options = radius === undefined ? {} : { nearDuplicates: { radius, contentBits: 0 } };
  const { world, update: next, close: end } = await learned(honest, options);
  const { learned: first } = await world.context().functions.serving(addressOf(TENANT, 'shapes'));
  const own = first.head.duplicates.reduce((sum, { rows }) => sum + rows, 0);
  const { shown, ms } = await next(copies);
  const left = Number(shown.nearDuplicates) - own;
  console.log(
    `radius ${radius ?? 'none'}`.padEnd(12),
    `left out of the digits ${own}, of the copies ${left}; update ${ms.toFixed(0)} ms`,
  );
  await end();
}
