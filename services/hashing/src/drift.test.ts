import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { EVENT, hashing } from '@lethe/contracts';
import { encodePayload } from '@lethe/datasets';
import { aggregateFilter, decodeEvent, readEnvelope, STREAMS } from '@lethe/events';
import { DEFAULT_DRIFT, type DriftOptions } from '@lethe/hashing';
import { seededRandom } from '@lethe/std';
import { closeAll, eventually, makeRecords, SPEC, World } from './fixture.ts';

afterEach(closeAll);

/** Small windows: the thresholds stay exact, the power is less. */
const DRIFT: Partial<DriftOptions> = {
  window: 256,
  stride: 64,
  edgeItems: 256,
  referenceItemsMin: 1_024,
  anchors: 16,
};
const { STATE_COLLECTING_REFERENCE, STATE_WATCHING } = hashing.DriftWatch_State;

/** Queries like the first two classes, or like nothing that was learned. */
function queries(count: number, seed: string, strange = false): Uint8Array[] {
  const random = seededRandom('drift-test', seed);
  return Array.from({ length: count }, () => {
    const label = random.below(2);
    const base = (p: number): number => {
      if (strange) return p < 4 ? 200 : 10;
      return p % 3 === label ? 180 : 40;
    };
    const pixels = Uint8Array.from({ length: 8 }, (_, p) => base(p) + random.below(40));
    return encodePayload(SPEC, { values: [pixels], label });
  });
}

async function watched(...more: readonly ReturnType<typeof makeRecords>[]) {
  const world = await World.with(...makeRecords('a', 30, [0, 1]));
  const { api, close } = await world.service({ drift: DRIFT, probesMin: 5 });
  await api.create();
  await api.settled();
  for (const records of more) world.commitRoot(records);
  const ask = async (payloads: readonly Uint8Array[]): Promise<void> => {
    for (const payload of payloads) await api.encode(payload);
  };
  const state = async () => (await api.metrics()).drift[0];
  /** Waits until the watch has looked at so many items, those of the reference included. */
  const seen = async (count: number) =>
    await eventually(async () => {
      const now = await state();
      return now && Number(now.referenceItems + now.items) >= count ? now : undefined;
    });
  const drifted = async () => {
    const out = [];
    for await (const message of world.bus.read(STREAMS.events, aggregateFilter({ type: 'hash-watch' })))
      if (readEnvelope(message).type === EVENT.hashDrifted.type)
        out.push(decodeEvent(EVENT.hashDrifted, message).data);
    return out;
  };
  return { world, api, close, ask, state, seen, drifted };
}

const condition = (fn: hashing.HashFunction) => fn.conditions.find(({ type }) => type === 'Drifted');

test('the first items become the reference, more of the same are no drift, and the state says how far it is', async () => {
  const { api, close, ask, seen, state, drifted } = await watched();
  assert.equal(await state(), undefined);
  await ask(queries(100, 'like'));
  const collecting = await seen(100);
  assert.equal(collecting.state, STATE_COLLECTING_REFERENCE);
  assert.deepEqual(
    [collecting.modality, collecting.version, collecting.referenceItems, collecting.referenceItemsNeeded],
    ['record', 1, 100n, 1_024n],
  );
  assert.equal(collecting.referenceDigest, '');
  await ask(queries(924 + 1_024, 'more'));
  const watching = await seen(2_048);
  assert.equal(watching.state, STATE_WATCHING);
  assert.equal(watching.items, 1_024n);
  assert.match(watching.referenceDigest, /^[0-9a-f]{64}$/);
  assert.deepEqual(await drifted(), []);
  assert.equal(condition(await api.get()), undefined);
  await close();
});

test('another kind of traffic is one event for each set of alarms and a condition with the remedy, and no version', async () => {
  const { api, close, ask, seen, drifted } = await watched();
  await ask(queries(1_024, 'like'));
  await seen(1_024);
  await ask(queries(512, 'strange', true));
  await seen(1_536);
  const [first] = await eventually(async () => {
    const found = await drifted();
    return found.length > 0 ? found : undefined;
  });
  assert.equal(first!.version, 1);
  assert.ok(first!.alarms.length > 0);
  assert.ok(first!.figures!.bitBalanceZMax > 3);
  assert.match(first!.referenceDigest, /^[0-9a-f]{64}$/);
  await ask(queries(512, 'strange still', true));
  await seen(2_048);
  const all = await drifted();
  const sets = all.map(({ alarms }) => alarms.join());
  assert.equal(new Set(sets).size, sets.length, 'no set of alarms comes twice');
  const fn = await api.get();
  assert.equal(condition(fn)?.reason, 'NewKindOfTraffic');
  assert.match(condition(fn)!.message, /ingest labelled records of the new kind, commit a root/);
  assert.equal(fn.version, 1);
  await close();
});

test('where a later root is committed, drift asks for it to be learned, and what is learned answers it', async () => {
  const { world, api, close, ask, seen } = await watched(makeRecords('b', 20, [2]));
  await ask(queries(1_024, 'like'));
  await seen(1_024);
  await ask(queries(512, 'strange', true));
  const fn = await eventually(async () => {
    const now = await api.get();
    return now.version === 2 ? now : undefined;
  });
  assert.equal(fn.learnedRoot, world.roots[1]!.name);
  assert.equal(condition(fn), undefined);
  await close();
});

test('new items are seen as the version sees them that has not learned them', async () => {
  const { world, api, close, ask, seen, drifted } = await watched();
  await ask(queries(1_024, 'like'));
  await seen(1_024);
  await api.update(world.commitRoot(makeRecords('b', 200, [2])));
  assert.equal((await api.settled()).version, 2);
  const found = await eventually(async () => {
    const now = await drifted();
    return now.length > 0 ? now : undefined;
  });
  assert.equal(found[0]!.version, 1);
  assert.equal(condition(await api.get()), undefined, 'what was learned is no open drift');
  await close();
});

test('an erasure forgets what the monitors hold, of a half-collected reference as of a full one', async () => {
  const { world, close, ask, seen, state } = await watched();
  await ask(queries(200, 'like'));
  await seen(200);
  await world.startErasure('a1');
  await world.erased();
  assert.equal(await state(), undefined);
  await ask(queries(1_100, 'like'));
  assert.equal((await seen(1_100)).version, 2);
  await world.startErasure('a2', [], 'e2');
  await world.erased('e2');
  assert.equal(await state(), undefined);
  await close();
});

test('the least reference is that of the library', () => {
  assert.ok(DEFAULT_DRIFT.referenceItemsMin >= DEFAULT_DRIFT.edgeItems + DEFAULT_DRIFT.window);
});
