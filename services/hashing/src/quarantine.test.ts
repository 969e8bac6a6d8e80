import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { hashing } from '@lethe/contracts';
import { decodePayload, encodePayload } from '@lethe/datasets';
import { EVENTS, STREAMS } from '@lethe/events';
import { codeMargins } from '@lethe/hashing';
import { hex, LetheError } from '@lethe/std';
import { erase } from './consumers/erasure.ts';
import { onRootRequested } from './consumers/learn.ts';
import { moveCodes } from './consumers/reencode.ts';
import type { HashingContext } from './context.ts';
import {
  type Api,
  closeAll,
  eventually,
  FUNCTION,
  FUNCTION_SPEC,
  makeRecords,
  SPEC,
  TENANT,
  type TestRecord,
  World,
} from './fixture.ts';
import { addressOf } from './functions.ts';
import type { Learned } from './learned.ts';
import { editQuarantine, thresholdOf } from './quarantine.ts';
import { predict } from './rpc/predict.ts';
import { promoteHashVersion } from './rpc/promote-hash-version.ts';
import { listQuarantine, resolveQuarantine } from './rpc/quarantine.ts';

afterEach(closeAll);

const SHARE = 0.05;
const FIRST = makeRecords('a', 100, [0, 1]);
const SECOND = makeRecords('b', 60, [0, 1]);
const GUARDED: hashing.HashFunctionSpec = {
  ...FUNCTION_SPEC,
  quarantine: { marginShare: SHARE, flaggedHubs: false },
};
const ADDRESS = addressOf(TENANT, 'shapes');
const { RESOLUTION_RELEASE, RESOLUTION_RETIRE } = hashing.ResolveQuarantineRequest_Resolution;
const { REASON_LOW_MARGIN, REASON_HUB } = hashing.QuarantinedItem_Reason;
const coded = (code: string) => (error: unknown) => error instanceof LetheError && error.code === code;

/** Half way between two records of different classes: of no class that was learned. */
function between(alias: string, i: number) {
  const [a, b] = [FIRST[2 * i]!, FIRST[2 * i + 1]!].map(({ payload }) => decodePayload(SPEC, payload));
  const [x, y] = [a!.values[0] as Uint8Array, b!.values[0] as Uint8Array];
  const pixels = Uint8Array.from(x, (value, p) => (value + y[p]!) >> 1);
  return { alias, payload: encodePayload(SPEC, { values: [pixels], label: a!.label! }) };
}

const ODD = Array.from({ length: 10 }, (_, i) => between(`odd${i % 5}`, i));

async function guarded(spec = GUARDED) {
  const world = await World.with(...FIRST);
  const { api, close } = await world.service({ probesMin: 5 });
  await api.create(spec);
  await api.settled();
  return { world, api, close, replica: world.context() };
}

async function listed(context: HashingContext, retired = false): Promise<hashing.QuarantinedItem[]> {
  const { signal } = new AbortController();
  // A replica opens a new version in the background, and lists the one before until then.
  await context.functions.refresh(ADDRESS);
  const rows: hashing.QuarantinedItem[] = [];
  for await (const row of listQuarantine(context, { name: FUNCTION, retired }, signal))
    rows.push(row as hashing.QuarantinedItem);
  return rows;
}

async function newest({ functions }: HashingContext): Promise<Learned> {
  await functions.refresh(ADDRESS);
  return (await functions.serving(ADDRESS)).learned;
}

/** By the very definition: positions of new items below the order statistic of those of the older that are not retired, by the version. */
function lowest(
  learned: Learned,
  records: readonly TestRecord[],
  older: number,
  retired: readonly number[],
): number[] {
  const rows = records.map(({ payload }) => decodePayload(SPEC, payload));
  const margins = codeMargins(learned.head.parts[0]!.fn, learned.features(0, rows));
  const limit = thresholdOf(
    margins.slice(0, older).filter((_, i) => !retired.includes(i)),
    SHARE,
  );
  return [...margins.keys()].filter((i) => i >= older && margins[i]! < limit);
}

/** Ids of everything that a search finds. */
async function answers(api: Api): Promise<Set<string>> {
  const { neighbours } = await api.search({ $case: 'code', value: new Uint8Array(2) }, 1_000);
  return new Set(neighbours.map(({ itemId }) => hex(itemId)));
}

const ids = (items: readonly { readonly itemId: Uint8Array }[]) =>
  items.map(({ itemId }) => hex(itemId)).sort();

test('the threshold holds at most its share of items that are like those before', () => {
  const margins = Float64Array.from({ length: 99 }, (_, i) => ((i * 37) % 99) + 1);
  assert.equal(thresholdOf(margins, 0.05), 5);
  assert.equal(thresholdOf(margins, 0.0101), 1);
  assert.equal(thresholdOf(margins, 0.0099), Number.NEGATIVE_INFINITY);
  assert.equal(thresholdOf(new Float64Array(0), 0.5), Number.NEGATIVE_INFINITY);
  // Leave-one-out: of 100 exchangeable items at most 5 are below the threshold of the 99 others.
  const all = Float64Array.from({ length: 100 }, (_, i) => ((i * 37) % 101) + 0.5);
  const held = all.filter(
    (margin, i) =>
      margin <
      thresholdOf(
        all.filter((_, j) => j !== i),
        0.05,
      ),
  );
  assert.equal(held.length, 5);
});

test('new items with a low margin are indexed, and answer when they are released', async () => {
  const { world, api, close, replica } = await guarded();
  assert.equal((await api.get()).quarantinedItems, 0n, 'a first version has no older items');
  await api.update(world.commitRoot([...SECOND, ...ODD]));
  const { quarantinedItems, itemCount, version } = await api.settled();
  const held = await listed(replica);
  assert.equal(quarantinedItems, BigInt(held.length));
  assert.ok(
    held.length >= ODD.length / 2 && held.length <= ODD.length + SECOND.length / 5,
    String(held.length),
  );
  const rows = [...FIRST, ...SECOND, ...ODD];
  const { head, index } = await newest(replica);
  const positions = head.quarantine.map(({ position }) => position);
  assert.deepEqual(positions, lowest(await newest(replica), rows, FIRST.length, []));
  for (const { reason, retired, modality, labels } of held)
    assert.deepEqual([reason, retired, modality, labels.length], [REASON_LOW_MARGIN, false, 'record', 1]);
  assert.equal(itemCount, BigInt(rows.length));
  assert.equal((await api.codes()).length, rows.length);

  const all = new Set(ids(await api.codes()));
  const hidden = new Set(ids(held));
  assert.deepEqual(await answers(api), all.difference(hidden));
  const within = await api.search({ $case: 'code', value: new Uint8Array(2) }, 1_000, { radius: 16 });
  assert.equal(within.neighbours.length, all.size - hidden.size);

  const some = held.slice(0, 2).map(({ itemId }) => itemId);
  const [before] = [await newest(replica)];
  const request = { name: FUNCTION, itemIds: some, resolution: RESOLUTION_RELEASE };
  await resolveQuarantine(replica, request);
  await resolveQuarantine(replica, request);
  const after = await api.get();
  assert.equal(after.version, version);
  assert.equal(after.weightsDigest, before.weightsDigest);
  await eventually(async () => ((await answers(api)).size === all.size - hidden.size + 2 ? true : undefined));
  assert.deepEqual(ids(await listed(replica)), ids(held.slice(2)));

  const gone = held.slice(2, 8).map(({ itemId }) => itemId);
  await resolveQuarantine(replica, { name: FUNCTION, itemIds: gone, resolution: RESOLUTION_RETIRE });
  assert.deepEqual(ids(await listed(replica)), ids(held.slice(8)));
  assert.deepEqual(ids((await listed(replica, true)).filter((item) => item.retired)), ids(held.slice(2, 8)));
  const shown = await eventually(async () => {
    const { retiredItems } = await api.get();
    return retiredItems > 0n ? retiredItems : undefined;
  });
  assert.equal(shown, 6n);
  assert.ok(!(await answers(api)).has(hex(gone[0]!)));
  assert.equal(index.size, rows.length, 'a retired item stays in the ledger');

  // The quarantine goes on with the next version and with a new process. Copies: one of them has the very margin that is the threshold.
  const copies = rows.map(({ payload }, i) => ({ alias: `c${i}`, payload }));
  const kept = positions.filter((position) => !some.some((id) => index.indexOf(id) === position));
  const retired = gone.map((id) => index.indexOf(id));
  await api.update(world.commitRoot(copies));
  await api.settled();
  const next = await newest(replica);
  assert.deepEqual(
    next.head.quarantine.map(({ position }) => position),
    [...kept, ...lowest(next, [...rows, ...copies], rows.length, retired)],
  );
  const carried = new Set(ids((await listed(replica, true)).filter(({ itemId }) => hidden.has(hex(itemId)))));
  assert.deepEqual([...carried].sort(), ids(held.slice(2)));
  await close();
  const again = await world.service();
  for (const id of carried) assert.ok(!(await answers(again.api)).has(id));
  assert.ok((await answers(again.api)).has(hex(some[0]!)));
  await again.close();
});

test('an erasure covers what is in quarantine', async () => {
  const { world, api, close, replica } = await guarded();
  await api.update(world.commitRoot([...SECOND, ...ODD]));
  await api.settled();
  const { index, head } = await newest(replica);
  const owners = head.quarantine.map(({ position }) => {
    const entry = index.entryAt(position);
    return entry.kind === 'live' ? entry.owner : '';
  });
  const alias = owners[0]!;
  const left = owners.filter((owner) => owner !== alias).length;
  const [hers] = await listed(replica);
  await world.request(alias);
  await eventually(async () => ((await listed(replica)).length === left ? true : undefined));
  await assert.rejects(
    resolveQuarantine(replica, { name: FUNCTION, itemIds: [hers!.itemId], resolution: RESOLUTION_RELEASE }),
    coded('LETHE-3408'),
  );
  await world.startErasure(alias);
  await world.erased();
  assert.equal((await api.get()).quarantinedItems, BigInt(left));
  const now = await newest(replica);
  assert.equal(now.head.quarantine.length, left);
  for (const { position } of now.head.quarantine) assert.equal(now.index.entryAt(position).kind, 'live');
  await close();
});

/** 1,040 items of few persons, and an update of a class that is new: its items are the nearest of their own probes, and hubs of all. */
async function withNewClass(persons: number, flaggedHubs: boolean) {
  const older = makeRecords('a', 520, [0]).map((record, i) => ({ ...record, alias: `a${i % 52}` }));
  const world = await World.with(...older);
  const { api, close } = await world.service({ probesMin: 5 });
  await api.create({ ...FUNCTION_SPEC, ...(flaggedHubs && { quarantine: { marginShare: 0, flaggedHubs } }) });
  await api.settled();
  const newer = makeRecords('b', persons, [1]).filter((_, i) => i % 2 === 0);
  await api.update(world.commitRoot(newer));
  await api.settled();
  return { api, close, replica: world.context(), items: older.length + newer.length };
}

const { KIND_HUBS } = hashing.HashCheckSpec_Kind;

function hubsOf({ result, conditions }: hashing.HashCheck): hashing.HubsOutcome {
  const { outcome } = result ?? {};
  assert.equal(outcome?.$case, 'hubs', conditions[0]?.message);
  return outcome.value;
}

test('hubs that a check has flagged are held if the function says so', async () => {
  for (const flaggedHubs of [true, false]) {
    const { api, close, replica, items } = await withNewClass(8, flaggedHubs);
    const check = await api.check('hubs', { kind: KIND_HUBS });
    assert.equal(check.flaggedItemIds.length, 8);
    assert.equal(hubsOf(check).heldItems, flaggedHubs ? 8n : 0n);
    const held = await listed(replica);
    assert.deepEqual(ids(held), flaggedHubs ? ids(check.flaggedItemIds.map((itemId) => ({ itemId }))) : []);
    const found = await eventually(async () => {
      const { neighbours } = await api.search({ $case: 'code', value: new Uint8Array(2) }, 1_000, {
        filter: { functionVersions: [2] },
      });
      return neighbours.length === 8 - held.length ? neighbours : undefined;
    });
    assert.equal(found.length, 8 - held.length);
    for (const { reason } of held) assert.equal(reason, REASON_HUB);
    if (flaggedHubs) {
      const itemIds = [held[0]!.itemId];
      await resolveQuarantine(replica, { name: FUNCTION, itemIds, resolution: RESOLUTION_RETIRE });
      const again = await api.check('again', { kind: KIND_HUBS });
      assert.deepEqual(again.flaggedItemIds, check.flaggedItemIds);
      assert.equal(hubsOf(again).heldItems, 8n);
      assert.deepEqual(ids(await listed(replica, true)), ids(held), 'decided and held already');
      assert.equal((await listed(replica)).length, held.length - 1);
    }
    assert.equal((await api.get()).itemCount, BigInt(items));
    await close();
  }
});

test('a check holds neither what an auditor asks for, nor more than the default share of false alarms flags, nor a whole class', async () => {
  const { api, close, replica, items } = await withNewClass(40, true);
  const greedy = { kind: KIND_HUBS, falseAlarms: 0.999, newerThanVersion: 1 };
  const asked = await api.check('auditor', greedy, 'auditor');
  assert.ok(asked.result?.alarm && asked.flaggedItemIds.length >= 40);
  assert.equal(hubsOf(asked).heldItems, 0n);
  assert.deepEqual(await listed(replica), []);
  await assert.rejects(api.check('auditor', greedy), coded('LETHE-4230'));
  assert.equal(
    (await api.check('auditor', greedy, 'auditor')).updateTime?.getTime(),
    asked.updateTime?.getTime(),
  );

  const most = Math.ceil(items / 100);
  for (const name of ['first', 'second']) {
    const check = await api.check(name, greedy);
    assert.equal(hubsOf(check).heldItems, BigInt(most));
    assert.equal((await listed(replica)).length, most, 'there is no more room until somebody decides');
  }
  const itemIds = (await listed(replica)).map(({ itemId }) => itemId);
  await resolveQuarantine(replica, { name: FUNCTION, itemIds, resolution: RESOLUTION_RETIRE });
  await api.check('third', greedy);
  assert.equal((await listed(replica)).length, most);
  await close();
});

test('what only a larger share of false alarms flags is not held', async () => {
  const { world, api, close, replica } = await guarded({
    ...FUNCTION_SPEC,
    quarantine: { marginShare: 0, flaggedHubs: true },
  });
  await api.update(world.commitRoot(makeRecords('b', 20, [0, 1])));
  await api.settled();
  const check = await api.check('hubs', { kind: KIND_HUBS, falseAlarms: 0.9 });
  assert.ok(check.result?.alarm && check.flaggedItemIds.length > 0);
  assert.equal(hubsOf(check).heldItems, 0n, '200 older items cannot tell one in a thousand');
  assert.deepEqual(await listed(replica), []);
  await close();
});

test('a change of the quarantine while an update is learned loses neither', async () => {
  const { world, api, close, replica } = await guarded();
  await api.update(world.commitRoot([...SECOND, ...ODD]));
  await api.settled();
  const [one, two] = (await listed(replica)).map(({ itemId }) => itemId);
  const root = world.commitRoot(makeRecords('c', 20, [0]));
  await Promise.all([
    api.update(root),
    resolveQuarantine(replica, { name: FUNCTION, itemIds: [one!], resolution: RESOLUTION_RELEASE }),
    resolveQuarantine(replica, { name: FUNCTION, itemIds: [two!], resolution: RESOLUTION_RETIRE }),
  ]);
  const { learnedRoot } = await api.settled();
  assert.equal(learnedRoot, root);
  const after = await listed(replica, true);
  assert.ok(!after.some(({ itemId }) => hex(itemId) === hex(one!)));
  assert.ok(after.some(({ itemId, retired }) => hex(itemId) === hex(two!) && retired));
  assert.deepEqual(world.liveKinds.toSorted(), ['block', 'block', 'head', 'segment']);
  await close();
});

test('a change of the quarantine between the steps of a re-encoding keeps both', async () => {
  const world = await World.with(...makeRecords('a', 60, [0, 1]));
  const { api, close } = await world.service();
  // Too few persons to compare: held, so that it can be promoted beside the version before.
  await api.create({ ...GUARDED, gate: { epsilon: 0, require: true, reportOnly: false } });
  await api.settled();
  await api.update(world.commitRoot([...SECOND, ...ODD]));
  assert.equal((await api.settled()).held?.version, 2);
  await close();
  const context = world.context();
  const { functions } = context;
  const { MODE_FAN_OUT } = hashing.PromoteHashVersionRequest_Mode;
  await promoteHashVersion(context, { name: FUNCTION, root: '', mode: MODE_FAN_OUT, requestId: '' });
  await onRootRequested(context, ADDRESS, (await functions.load(ADDRESS)).pending!.eventId);
  const [one, two] = (await listed(context)).map(({ itemId }) => itemId);
  const resolve = (itemId: Uint8Array, resolution: hashing.ResolveQuarantineRequest_Resolution) =>
    resolveQuarantine(context, { name: FUNCTION, itemIds: [itemId], resolution });

  const moving = { fromVersion: 1, toVersion: 2, step: 0, codesLeft: 120n };
  await resolve(one!, RESOLUTION_RELEASE);
  const { current, lastLearned } = await functions.load(ADDRESS);
  assert.deepEqual([current?.version, current?.edits, current?.reencoding], [2, 1, moving]);
  assert.equal(lastLearned?.edits, undefined, 'it has learned nothing');
  assert.equal((await newest(context)).head.previous?.version, 1);
  await moveCodes(context, ADDRESS);
  await resolve(two!, RESOLUTION_RETIRE);
  const moved = (await functions.load(ADDRESS)).current;
  assert.deepEqual([moved?.edits, moved?.reencoding], [2, { ...moving, step: 1, codesLeft: 0n }]);

  const { api: again, close: end } = await world.service();
  const { retiredItems, liveVersions, reencoding } = await again.get();
  assert.deepEqual([retiredItems, liveVersions.length, reencoding], [1n, 1, undefined]);
  assert.ok((await answers(again)).has(hex(one!)) && !(await answers(again)).has(hex(two!)));
  await eventually(async () => (world.liveKinds.length === 4 ? true : undefined));
  assert.deepEqual(world.liveKinds.toSorted(), ['block', 'block', 'head', 'segment']);
  await end();
});

test('a change that is killed or meets a full disk changes nothing, and leaves no key after the next one', async () => {
  const { world, api, close, replica } = await guarded();
  await api.update(world.commitRoot([...SECOND, ...ODD]));
  await api.settled();
  await close();
  const keys = world.liveKeys;
  const held = await listed(replica);
  const itemIds = [held[0]!.itemId];
  const request = { name: FUNCTION, itemIds, resolution: RESOLUTION_RELEASE };
  const { appendMany } = world.bus;
  world.bus.appendMany = async (stream, messages) => {
    if (stream === STREAMS.artefacts) throw EVENTS.STREAM_FULL('full');
    return await appendMany.call(world.bus, stream, messages);
  };
  await assert.rejects(resolveQuarantine(replica, request), coded('LETHE-2002'));
  world.bus.appendMany = appendMany;
  assert.deepEqual(world.liveKeys, keys);
  assert.deepEqual(ids(await listed(replica)), ids(held));

  const killed = world.context();
  killed.functions.aggregates.propose = () => Promise.reject(new Error('killed'));
  await assert.rejects(resolveQuarantine(killed, request), /killed/u);
  assert.equal(world.liveKeys.length, keys.length + 1, 'the head of the attempt is still there');
  const fresh = world.context();
  assert.deepEqual(ids(await listed(fresh)), ids(held));
  await resolveQuarantine(fresh, request);
  assert.deepEqual(ids(await listed(fresh)), ids(held.slice(1)));
  assert.equal(world.liveKeys.length, keys.length);
});

test('an erasure while a list of the quarantine is being sent shortens it', async () => {
  const { close, world, replica } = await guarded();
  await close();
  const held = [0, 20, 21, 60].map((position) => ({ position, reason: 'margin' as const, retired: false }));
  await editQuarantine(replica, ADDRESS, () => held);
  const rows = listQuarantine(replica, { name: FUNCTION, retired: false }, new AbortController().signal);
  const positions = [(await newest(replica)).index.indexOf((await rows.next()).value!.itemId!)];
  await erase(replica, TENANT, world.started('a10'));
  const { index } = await newest(replica);
  for await (const { itemId } of rows) positions.push(index.indexOf(itemId!));
  assert.deepEqual(positions, [0, 60]);
});

test('where every item is held, a search finds nothing and a prediction is refused with a code', async () => {
  const { close, replica } = await guarded();
  await close();
  const request = { name: FUNCTION, payloads: [FIRST[0]!.payload], k: 3, modality: '' };
  assert.deepEqual((await predict(replica, request)).labels, [0]);
  await editQuarantine(replica, ADDRESS, ({ index }) =>
    Array.from({ length: index.size }, (_, position) => ({ position, reason: 'margin', retired: false })),
  );
  await assert.rejects(predict(replica, request), coded('LETHE-4218'));
});

test('what cannot be done is refused with a code', async () => {
  const { world, api, close, replica } = await guarded();
  const name = FUNCTION;
  const [itemId] = (await api.codes()).map((entry) => entry.itemId);
  const refused = async (request: Partial<hashing.ResolveQuarantineRequest>, code: string) =>
    await assert.rejects(
      resolveQuarantine(replica, {
        name,
        itemIds: [itemId!],
        resolution: RESOLUTION_RELEASE,
        ...request,
      }),
      coded(code),
    );
  await refused({ itemIds: [] }, 'LETHE-4207');
  await refused({ itemIds: Array.from({ length: 10_001 }, () => itemId!) }, 'LETHE-4207');
  await refused({ resolution: 0 }, 'LETHE-4207');
  await refused({ itemIds: [new Uint8Array(16)] }, 'LETHE-3408');
  await refused({ itemIds: [new Uint8Array(3)] }, 'LETHE-3403');
  await refused({ name: `${name}-not` }, 'LETHE-4201');
  const { ledgerRoot, appliedSequence } = await api.get();
  await resolveQuarantine(replica, { name, itemIds: [itemId!], resolution: RESOLUTION_RETIRE });
  const after = await api.get();
  assert.deepEqual(
    [after.ledgerRoot, after.appliedSequence],
    [ledgerRoot, appliedSequence],
    'nothing to decide',
  );
  for (const quarantine of [
    { marginShare: 0, flaggedHubs: false },
    { marginShare: 0.6, flaggedHubs: true },
    { marginShare: -0.1, flaggedHubs: true },
    { marginShare: Number.NaN, flaggedHubs: true },
  ]) {
    const { api: other, close: stop } = await (await World.with(...FIRST)).service();
    await assert.rejects(other.create({ ...FUNCTION_SPEC, quarantine }), coded('LETHE-4207'));
    await stop();
  }
  assert.ok(world.liveKeys.length > 0);
  await close();
});
