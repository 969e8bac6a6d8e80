/** A process has one copy of a version: what is erased from it is erased from all, and what is damaged in it never becomes a fact. */
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { STREAMS } from '@lethe/events';
import { CodeIndex } from '@lethe/index';
import { erase } from './consumers/erasure.ts';
import type { HashingContext } from './context.ts';
import type { Quarantined } from './domain/head.ts';
import { closeAll, FUNCTION, makeRecords, TENANT, World } from './fixture.ts';
import { addressOf } from './functions.ts';
import type { Learned } from './learned.ts';
import { editQuarantine } from './quarantine.ts';
import { listCodes } from './rpc/list-codes.ts';
import { scrub } from './scrub.ts';

afterEach(closeAll);

const ADDRESS = addressOf(TENANT, 'shapes');
const PERSON = 'a4';

/** A world in which 80 items were learned; no process is left that has them. */
async function learned(): Promise<World> {
  const world = await World.with(...makeRecords('a', 40, [0, 1]));
  const { api, close } = await world.service();
  await api.create();
  await api.settled();
  await close();
  return world;
}

async function opened(world: World): Promise<HashingContext> {
  const context = world.context();
  await context.functions.serving(ADDRESS);
  return context;
}

const serving = ({ functions }: HashingContext): Learned => functions.loaded(ADDRESS)!.learned;

const holding = (position: number) => (): readonly Quarantined[] => [
  { position, reason: 'margin', retired: false },
];

function saltOf({ index }: Learned): Buffer {
  const entry = index.entry(index.itemsOf(PERSON)[0]!);
  assert.equal(entry.kind, 'live');
  return Buffer.from(entry.salt);
}

const holds = (index: CodeIndex, salt: Buffer): boolean =>
  index
    .memory()
    .some(({ bytes }) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).includes(salt));

/** Indexes that are opened while a test runs. */
function countOpened(t: { after(undo: () => void): void }): CodeIndex[] {
  const indexes: CodeIndex[] = [];
  const { open } = CodeIndex;
  t.after(() => {
    CodeIndex.open = open;
  });
  CodeIndex.open = async (...args) => {
    const index = await open.apply(CodeIndex, args);
    indexes.push(index);
    return index;
  };
  return indexes;
}

test('after a restart an erasure opens one copy, and nothing of the person is in it', async (t) => {
  const world = await learned();
  const salt = saltOf(serving(await opened(world)));
  const indexes = countOpened(t);
  const { close } = await world.service();
  await world.request(PERSON);
  await world.contained();
  await world.startErasure(PERSON);
  const { claims } = await world.erased();
  assert.equal(claims[0]!.details.residualInIndexMemory, '0');
  assert.equal(indexes.length, 1);
  assert.ok(!holds(indexes[0]!, salt));
  await close();
});

test('an index whose erasure has an unknown outcome is overwritten', async () => {
  const world = await learned();
  const context = await opened(world);
  const { index } = serving(context);
  const salt = saltOf(serving(context));
  assert.ok(holds(index, salt));
  const { aggregates } = context.functions;
  const propose = aggregates.propose.bind(aggregates);
  aggregates.propose = async (...args) => {
    await propose(...args);
    aggregates.propose = propose;
    throw new Error('the answer of the bus was lost');
  };
  await assert.rejects(erase(context, TENANT, world.started(PERSON)), /was lost/);
  assert.ok(!holds(index, salt));
  const { claims } = await erase(context, TENANT, world.started(PERSON));
  assert.equal(claims[0]!.details.residualInIndexMemory, '0');
});

test('a weight that has changed in memory becomes no fact, and a scrub takes the stored ones', async () => {
  const context = await opened(await learned());
  const { current: before } = await context.functions.load(ADDRESS);
  const { head } = serving(context);
  head.parts[0]!.fn.weights[3]! += 1;
  await assert.rejects(editQuarantine(context, ADDRESS, holding(5)), { code: 'LETHE-4209' });
  assert.deepEqual((await context.functions.load(ADDRESS)).current, before);
  await scrub(context, ADDRESS);
  assert.notEqual(serving(context).head, head);
  await editQuarantine(context, ADDRESS, holding(5));
  assert.equal((await context.functions.load(ADDRESS)).current!.weightsDigest, before!.weightsDigest);
});

test('a segment that the store has lost comes from the memory of a replica that was behind', async () => {
  const world = await learned();
  const [behind, first] = [await opened(world), await opened(world)];
  const object = serving(first).head.index.segments[0]!.reference.split(':')[1]!;
  for await (const { subject, data } of world.bus.read(STREAMS.artefacts, '>'))
    if (subject.endsWith(object)) data[data.length >> 1]! ^= 1;
  await editQuarantine(first, ADDRESS, holding(3));
  await assert.rejects(opened(world), { code: 'LETHE-2601' });
  await behind.functions.refresh(ADDRESS);
  assert.equal(serving(behind).head.quarantine.length, 1);
  assert.equal((await scrub(behind, ADDRESS))?.mended.segments, 1);
  await erase(behind, TENANT, world.started(PERSON));
  assert.equal(serving(await opened(world)).index.itemsOf(PERSON).length, 0);
});

test('a listing keeps its index open through changes here and elsewhere', async () => {
  const world = await learned();
  const [context, other] = [await opened(world), await opened(world)];
  const codes = listCodes(context, { name: FUNCTION }, new AbortController().signal);
  await codes.next();
  const { index } = serving(context);
  await editQuarantine(context, ADDRESS, holding(5));
  await editQuarantine(other, ADDRESS, holding(6));
  await context.functions.refresh(ADDRESS);
  assert.notEqual(serving(context).index, index);
  let left = 0;
  for await (const _ of codes) left++;
  assert.equal(left, 79);
  assert.throws(() => index.entryAt(0), { code: 'LETHE-2615' }, 'closed with its last holder');
});
