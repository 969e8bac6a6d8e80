import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import type { hashing } from '@lethe/contracts';
import {
  byteMatrix,
  type DatasetSpec,
  decodePayload,
  encodePayload,
  encodeSpec,
  vectorWidth,
} from '@lethe/datasets';
import { EVENTS, STREAMS } from '@lethe/events';
import { contentCodes, createFeatureMap, NearDuplicateFilter } from '@lethe/hashing';
import { hex, LetheError, seededRandom, sha256, utf8 } from '@lethe/std';
import { erase } from './consumers/erasure.ts';
import type { HashingContext } from './context.ts';
import { decodeNeedles } from './domain/evidence.ts';
import {
  closeAll,
  eventually,
  FUNCTION,
  FUNCTION_SPEC,
  makeRecords,
  SPEC,
  TENANT,
  type TestRecord,
  trainedDigests,
  World,
} from './fixture.ts';
import { addressOf } from './functions.ts';
import { listNearDuplicates } from './rpc/list-near-duplicates.ts';

afterEach(closeAll);

const RADIUS = 1;
const CONTENT_BITS = 24;
const FILTERED: hashing.HashFunctionSpec = {
  ...FUNCTION_SPEC,
  nearDuplicates: { radius: RADIUS, contentBits: 0 },
};
const FEATURES = createFeatureMap({ seed: 'test', featureDim: 32, inputWidth: vectorWidth(SPEC) });

/** The record with one pixel changed by `by`, as another person's or with another label perhaps. */
function like({ alias, payload }: TestRecord, by: number, other: { alias?: string; label?: number } = {}) {
  const row = decodePayload(SPEC, payload);
  const pixels = Uint8Array.from(row.values[0] as Uint8Array);
  pixels[3]! += by;
  const label = other.label ?? row.label!;
  return { alias: other.alias ?? alias, payload: encodePayload(SPEC, { values: [pixels], label }) };
}

/** What the library's filter keeps of the records, one filter for each person and label, in their order. */
function kept(records: readonly TestRecord[]): TestRecord[] {
  const filters = new Map<string, NearDuplicateFilter>();
  return records.filter(({ alias, payload }, i) => {
    const row = decodePayload(SPEC, payload);
    const code = contentCodes(FEATURES, byteMatrix(SPEC, [row]), CONTENT_BITS);
    const key = `${alias}|${row.label}`;
    const filter = filters.get(key) ?? new NearDuplicateFilter({ codeBits: CONTENT_BITS, radius: RADIUS });
    filters.set(key, filter);
    return filter.admit(sha256(utf8(String(i))).subarray(0, 16), code).kept;
  });
}

/** Own copies, equal and changed ones, before and after what they are like; others' copies; copies under another label. */
const PERSONS = makeRecords('a', 20, [0, 1]);
const COPIES = PERSONS.flatMap((record, i) => [
  ...(i % 3 === 0 ? [like(record, 0)] : []),
  ...(i % 4 === 0 ? [like(record, 1), like(record, 60)] : []),
  ...(i % 5 === 0 ? [like(record, 0, { alias: 'a19' }), like(record, 0, { label: 2 })] : []),
]);
const RECORDS = [...PERSONS, ...COPIES];
const KEPT = kept(RECORDS);
const ADDRESS = addressOf(TENANT, 'shapes');
const COPIED = 'a0';

async function learned(roots: readonly (readonly TestRecord[])[]) {
  const [first = [], ...more] = roots;
  const world = await World.with(...first);
  const { api, close } = await world.service();
  await api.create(FILTERED);
  await api.settled();
  for (const records of more) {
    await api.update(world.commitRoot(records));
    await api.settled();
  }
  return { world, api, close };
}

async function listed(context: HashingContext): Promise<hashing.NearDuplicate[]> {
  const rows: hashing.NearDuplicate[] = [];
  for await (const row of listNearDuplicates(context, { name: FUNCTION }, new AbortController().signal))
    rows.push(row as hashing.NearDuplicate);
  return rows;
}

/** Everything that the present version has stored, opened. */
async function atRestOf({ functions }: HashingContext): Promise<string> {
  await functions.refresh(ADDRESS);
  const { learned: serving } = await functions.serving(ADDRESS);
  const pieces = serving.references.map((reference) => functions.state.get(TENANT, reference));
  return hex(Buffer.concat(await Promise.all(pieces)));
}

test("a person's own near-duplicates are neither learned nor indexed; those of others and of other labels are", async () => {
  const { api, close } = await learned([RECORDS]);
  const { sumsDigest, weightsDigest, itemCount, nearDuplicates, spec } = await api.get();
  const others = RECORDS.filter(
    (record) => record.alias === 'a19' || decodePayload(SPEC, record.payload).label === 2,
  );
  assert.ok(RECORDS.length - KEPT.length >= PERSONS.length / 3);
  assert.ok(KEPT.length > PERSONS.length && others.some((record) => KEPT.includes(record)));
  assert.deepEqual([sumsDigest, weightsDigest], Object.values(trainedDigests(KEPT)));
  assert.equal(itemCount, BigInt(KEPT.length));
  assert.equal(nearDuplicates, BigInt(RECORDS.length - KEPT.length));
  assert.deepEqual(spec?.nearDuplicates, { radius: RADIUS, contentBits: CONTENT_BITS });
  await close();
});

test('however roots divide the log, the same is learned', async () => {
  const whole = trainedDigests(KEPT);
  for (const cuts of [[PERSONS.length], [1, 2, 7, 45], [RECORDS.length - 1]]) {
    const ends = [0, ...cuts, RECORDS.length];
    const { api, close } = await learned(ends.slice(1).map((end, i) => RECORDS.slice(ends[i], end)));
    const { sumsDigest, weightsDigest, nearDuplicates } = await api.get();
    assert.deepEqual([sumsDigest, weightsDigest], [whole.sums, whole.weights], String(cuts));
    assert.equal(nearDuplicates, BigInt(RECORDS.length - KEPT.length));
    await close();
  }
});

test('an update of duplicates alone learns nothing and remembers them', async () => {
  const { world, api, close } = await learned([PERSONS]);
  const before = await api.get();
  await api.update(world.commitRoot([like(PERSONS[0]!, 0), like(PERSONS[3]!, 0)]));
  const after = await api.settled();
  assert.equal(after.version, 2);
  assert.equal(after.sumsDigest, before.sumsDigest);
  assert.deepEqual(after.ledgerRoot, before.ledgerRoot);
  assert.equal(after.nearDuplicates, before.nearDuplicates + 2n);
  await close();
});

test('a duplicate goes with its original: digests as never seen, and no byte of the record of it', async () => {
  const { world, api, close } = await learned([PERSONS, COPIES]);
  const replica = world.context();
  const before = await listed(replica);
  const own = new Set(
    (await api.codes()).flatMap(({ itemId, leafIndex }) =>
      KEPT[Number(leafIndex)]!.alias === COPIED ? [hex(itemId)] : [],
    ),
  );
  const hers = before.filter(({ originalItemId }) => own.has(hex(originalItemId)));
  assert.ok(hers.length >= 2);
  for (const { position, distance } of before) {
    assert.ok(!KEPT.includes(RECORDS[Number(position) - 1]!));
    assert.ok(distance <= RADIUS);
  }
  assert.equal(before.length, RECORDS.length - KEPT.length);
  const stored = await atRestOf(replica);

  await world.request(COPIED);
  await eventually(async () => (await listed(replica)).length < before.length || undefined);
  const others = before.filter((row) => !hers.includes(row));
  assert.deepEqual(await listed(replica), others, 'contained: hidden at once');

  await world.startErasure(COPIED);
  const { claims, needles } = await world.erased();
  const survivors = RECORDS.filter(({ alias }) => alias !== COPIED);
  const { sumsDigest, weightsDigest, nearDuplicates } = await api.get();
  assert.deepEqual([sumsDigest, weightsDigest], Object.values(trainedDigests(kept(survivors))));
  assert.equal(nearDuplicates, BigInt(survivors.length - kept(survivors).length));
  assert.deepEqual(await listed(replica), others);
  assert.equal(claims[0]!.details.nearDuplicatesErased, String(hers.length));
  const sought = decodeNeedles(await replica.functions.sealed.get(TENANT, needles!));
  const rows = sought.filter(({ kind }) => kind === 'near-duplicate');
  assert.equal(rows.length, hers.length);
  const now = await atRestOf(replica);
  for (const { hex: text } of rows) {
    assert.equal(text.length, 64);
    assert.ok(stored.includes(text), 'the scan would have found it');
    assert.ok(!now.includes(text), 'and does not');
  }
  const kinds = Object.groupBy(world.liveKinds, (kind) => kind);
  assert.equal(kinds.duplicates?.length, 1, 'the piece before has no key any more');
  await close();
});

test('the last duplicate leaves no piece', async () => {
  const { world, api, close } = await learned([[...PERSONS, like(PERSONS[0]!, 0)]]);
  const { nearDuplicates } = await api.get();
  assert.equal(nearDuplicates, BigInt(PERSONS.length + 1 - kept([...PERSONS, like(PERSONS[0]!, 0)]).length));
  for (const [i, alias] of [...new Set(PERSONS.map((record) => record.alias))].slice(0, 19).entries()) {
    const erasure = `e${i}`;
    await world.startErasure(alias, [], erasure);
    await world.erased(erasure);
    if ((await api.get()).nearDuplicates === 0n) break;
  }
  assert.equal((await api.get()).nearDuplicates, 0n);
  assert.ok(!world.liveKinds.includes('duplicates'));
  await close();
});

test('a record of two modalities is judged by each of them alone', async () => {
  const [field] = SPEC.fields;
  const spec: DatasetSpec = { ...SPEC, fields: [field!, { ...field!, name: 'sound' }] };
  const random = seededRandom('near-duplicates.test');
  const record = (alias: string, pixels: Uint8Array, sound: Uint8Array): TestRecord => ({
    alias,
    payload: encodePayload(spec, { values: [pixels, sound], label: 0 }),
  });
  const [picture, other] = [random.bytes(8), random.bytes(8).map((byte) => 255 - byte)];
  const world = await World.with(
    record('a', picture, picture),
    record('a', picture, other),
    record('a', other, other),
    record('b', picture, other),
  );
  world.datasetSpec = encodeSpec(spec);
  const { api, close } = await world.service();
  const modalities = [
    { name: 'image', fields: ['pixels'] },
    { name: 'sound', fields: ['sound'] },
  ];
  await api.create({ ...FILTERED, modalities, nearDuplicates: { radius: 0, contentBits: 0 } });
  const { nearDuplicates, ...shown } = await api.settled();
  assert.deepEqual(shown.modalities, [
    { name: 'image', itemCount: 3n },
    { name: 'sound', itemCount: 3n },
  ]);
  assert.equal(nearDuplicates, 2n);
  assert.deepEqual(
    (await listed(world.context())).map(({ position, modality }) => [position, modality]),
    [
      [2n, 'image'],
      [3n, 'sound'],
    ],
  );
  await close();
});

test('a disk that is full at any write of an erasure with duplicates: nothing is lost, and the next try ends it', async () => {
  const { world, close } = await learned([RECORDS]);
  await close();
  const context = world.context();
  const rows = async (): Promise<number> =>
    (await context.functions.serving(ADDRESS)).learned.head.duplicates.reduce(
      (sum, piece) => sum + piece.rows,
      0,
    );
  const { appendMany } = world.bus;
  let refusals = 0;
  for (let allowed = 0; ; allowed++) {
    let writes = 0;
    world.bus.appendMany = async (stream, messages) => {
      if (stream === STREAMS.artefacts && writes++ === allowed) throw EVENTS.STREAM_FULL('full');
      return await appendMany.call(world.bus, stream, messages);
    };
    try {
      await erase(context, TENANT, world.started(COPIED));
      break;
    } catch (error) {
      assert.ok(error instanceof LetheError, String(error));
      refusals++;
    }
    assert.equal(await rows(), RECORDS.length - KEPT.length);
    assert.equal(world.liveKinds.filter((kind) => kind === 'duplicates').length, 1);
  }
  world.bus.appendMany = appendMany;
  assert.ok(refusals >= 6, `only ${refusals} writes were refused`);
  const survivors = RECORDS.filter(({ alias }) => alias !== COPIED);
  const { learned: after } = await context.functions.serving(ADDRESS);
  assert.equal(after.sumsDigest, trainedDigests(kept(survivors)).sums);
  assert.equal(await rows(), survivors.length - kept(survivors).length);
  assert.equal(world.liveKinds.filter((kind) => kind === 'duplicates').length, 1);
});

test('a damaged or lost piece holds up neither an update nor an erasure, and whatever it held is gone', async () => {
  for (const isLost of [false, true]) {
    const { world, api, close } = await learned([RECORDS]);
    const context = world.context();
    const { learned: serving } = await context.functions.serving(ADDRESS);
    const object = serving.head.duplicates[0]!.reference.split(':')[1]!;
    for await (const { subject, data, sequence } of world.bus.read(STREAMS.artefacts, '>')) {
      if (!subject.endsWith(object)) continue;
      if (isLost) await world.bus.deleteMessageSecurely(STREAMS.artefacts, sequence);
      else data[40]! ^= 1;
    }
    const code = isLost ? 'LETHE-2602' : 'LETHE-2601';
    await assert.rejects(listed(context), (error) => error instanceof LetheError && error.code === code);
    const lost = RECORDS.length - KEPT.length;
    await api.update(world.commitRoot([like(PERSONS[3]!, 0)]));
    assert.equal((await api.settled()).nearDuplicates, BigInt(lost + 1));

    await world.startErasure(COPIED);
    const { claims } = await world.erased();
    assert.equal(claims[0]!.details.nearDuplicateRecordsLost, String(lost));
    const { sumsDigest, nearDuplicates } = await api.get();
    const survivors = RECORDS.filter(({ alias }) => alias !== COPIED);
    assert.equal(sumsDigest, trainedDigests(kept(survivors)).sums);
    assert.equal(nearDuplicates, 1n);
    assert.equal((await listed(world.context())).length, 1);
    await close();
  }
});

test('a filter that cannot be is refused', async () => {
  const world = await World.with(...PERSONS);
  const { api, close } = await world.service();
  for (const nearDuplicates of [
    { radius: 25, contentBits: 0 },
    { radius: 0, contentBits: 12 },
    { radius: 0, contentBits: 32 },
  ]) {
    await assert.rejects(
      api.create({ ...FUNCTION_SPEC, nearDuplicates }),
      (error) => error instanceof LetheError && error.code === 'LETHE-4207',
    );
  }
  await close();
});
