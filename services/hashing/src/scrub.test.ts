/** Damage in the store: found, told and mended, from memory, from records or from blocks, and nothing else is touched. */
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { type DatasetSpec, decodePayload, encodePayload, encodeSpec } from '@lethe/datasets';
import { EVENTS, ensurePlatformStreams, STREAMS } from '@lethe/events';
import { LetheError, seededRandom, sleep } from '@lethe/std';
import { erase } from './consumers/erasure.ts';
import type { HashingContext } from './context.ts';
import { decodeNeedles } from './domain/evidence.ts';
import {
  closeAll,
  eventually,
  FUNCTION_SPEC,
  makeRecords,
  SPEC,
  TENANT,
  type TestRecord,
  trainedDigests,
  World,
} from './fixture.ts';
import { addressOf } from './functions.ts';
import type { Learned } from './learned.ts';
import { editQuarantine } from './quarantine.ts';
import { isLoss } from './rebuild.ts';
import { scrub } from './scrub.ts';

afterEach(closeAll);

const FIRST = makeRecords('a', 20, [0, 1]);
/** New records of persons who were there, among others. */
const SECOND = [...makeRecords('b', 10, [2]), ...makeRecords('a', 12, [2, 0])];
const ALL = [...FIRST, ...SECOND];
const ADDRESS = addressOf(TENANT, 'shapes');
const NONE = { heads: 0, segments: 0, blocks: 0, samples: 0, duplicates: 0 };

type Kind = 'head' | 'segment' | 'block' | 'sample';

async function learned(): Promise<{ world: World; context: HashingContext }> {
  const world = await World.with(...FIRST);
  const { api, close } = await world.service();
  await api.create({ ...FUNCTION_SPEC, gate: { epsilon: 0.05, require: false, reportOnly: true } });
  await api.settled();
  await api.update(world.commitRoot(SECOND));
  await api.settled();
  await close();
  const context = world.context();
  await context.functions.serving(ADDRESS);
  return { world, context };
}

const serving = ({ functions }: HashingContext): Learned => functions.loaded(ADDRESS)!.learned;

function referenceTo({ head, reference }: Learned, kind: Kind): string {
  if (kind === 'head') return reference;
  if (kind === 'segment') return head.index.segments[0]!.reference;
  const { blocks, sample } = head.parts[0]!;
  return kind === 'block' ? blocks[0]!.reference : sample.block!.reference;
}

/** Changes a byte of a stored piece, or takes it away. */
async function damage({ bus }: World, reference: string, isGone = false): Promise<void> {
  const object = reference.split(':')[1]!;
  for await (const { subject, sequence, data } of bus.read(STREAMS.artefacts, '>')) {
    if (!subject.endsWith(object)) continue;
    if (isGone) await bus.deleteMessageSecurely(STREAMS.artefacts, sequence);
    else data[data.length >> 1]! ^= 1;
  }
}

/** Gives the first record of a person other pixels under the same label. */
function replaceRecord({ records }: World, alias: string, change: (pixel: number) => number): void {
  const at = records.findIndex((record) => record.alias === alias);
  const { values, label } = decodePayload(SPEC, records[at]!.payload);
  const pixels = (values[0] as Uint8Array).map(change);
  records[at] = { alias, payload: encodePayload(SPEC, { values: [pixels], label: label! }) };
}

const digests = ({ head, weightsDigest, sumsDigest, index }: Learned) => ({
  weightsDigest,
  sumsDigest,
  root: Buffer.from(index.root()).toString('hex'),
  segments: head.index.segments.map(({ digest }) => digest),
  blocks: head.parts.map(({ blocks }) => blocks.map(({ digest }) => digest)),
  samples: head.parts.map(({ sample }) => sample.block?.digest),
});

/** What another process finds when it opens the version and reads all of it. */
async function readsAll(world: World): Promise<ReturnType<typeof digests>> {
  const context = world.context();
  await context.functions.serving(ADDRESS);
  assert.deepEqual(await scrub(context, ADDRESS), { damaged: NONE, mended: NONE });
  return digests(serving(context));
}

for (const isGone of [false, true]) {
  for (const kind of ['head', 'segment', 'block', 'sample'] as const) {
    test(`a ${kind} that is ${isGone ? 'gone' : 'damaged'} is stored again with the same bytes under another key`, async () => {
      const { world, context } = await learned();
      const before = digests(serving(context));
      const keys = world.liveKinds;
      const lost = referenceTo(serving(context), kind);
      const { version } = serving(context);
      await damage(world, lost, isGone);
      const one = { ...NONE, [`${kind}s`]: 1 };
      assert.deepEqual(await scrub(context, ADDRESS), { damaged: one, mended: one });
      assert.notEqual(referenceTo(serving(context), kind), lost);
      assert.equal(serving(context).version, version);
      assert.deepEqual(await readsAll(world), before);
      assert.deepEqual(world.liveKinds, keys);
      assert.ok(world.destroyed.has(lost.split(':')[0]!));
      await erase(context, TENANT, world.started('a4'));
      const others = trainedDigests(ALL.filter(({ alias }) => alias !== 'a4'));
      assert.equal(serving(context).sumsDigest, others.sums);
      assert.equal(serving(context).weightsDigest, others.weights);
    });
  }
}

test('a segment that is damaged in memory comes from the store again', async () => {
  const { world, context } = await learned();
  const before = digests(serving(context));
  const { index } = serving(context);
  index.segments()[0]!.columns.salts[5]! ^= 1;
  assert.deepEqual(await scrub(context, ADDRESS), { damaged: NONE, mended: NONE });
  assert.notEqual(serving(context).index, index);
  assert.throws(() => index.manifest(), /LETHE-2615/);
  const { damagedInMemory } = await serving(context).index.scrub();
  assert.deepEqual(damagedInMemory, []);
  assert.deepEqual(await readsAll(world), before);
});

test('everything at once is mended at once', async () => {
  const { world, context } = await learned();
  const before = digests(serving(context));
  for (const kind of ['head', 'segment', 'block', 'sample'] as const)
    await damage(world, referenceTo(serving(context), kind));
  const all = { heads: 1, segments: 1, blocks: 1, samples: 1, duplicates: 0 };
  assert.deepEqual(await scrub(context, ADDRESS), { damaged: all, mended: all });
  assert.deepEqual(await readsAll(world), before);
});

test('a block of a person whose records are not to be had is counted and left', async () => {
  const { world, context } = await learned();
  await damage(world, referenceTo(serving(context), 'block'));
  const { reference } = serving(context);
  world.suppressed.add('a7');
  assert.deepEqual(await scrub(context, ADDRESS), { damaged: { ...NONE, blocks: 1 }, mended: NONE });
  assert.equal(serving(context).reference, reference);
});

test('a record that has changed under an item is not taken for the lost row', async () => {
  const { world, context } = await learned();
  await damage(world, referenceTo(serving(context), 'block'));
  // The same labels, so that nothing but the digest can tell.
  replaceRecord(world, 'a3', (pixel) => pixel ^ 8);
  const { mended } = (await scrub(context, ADDRESS))!;
  assert.deepEqual(mended, NONE);
});

test('an erasure learns nothing again from records that cannot have been learned', async () => {
  const { world, context } = await learned();
  await damage(world, referenceTo(serving(context), 'block'));
  replaceRecord(world, 'a3', (pixel) => 255 - pixel);
  await assert.rejects(
    erase(context, TENANT, world.started('a4')),
    (error: unknown) => error instanceof LetheError && error.code === 'LETHE-4217',
  );
  assert.equal(serving(context).version, 2);
});

for (const isGone of [false, true]) {
  test(`an erasure whose block is ${isGone ? 'gone' : 'damaged'} learns the part again from the others`, async () => {
    const { world, context } = await learned();
    const salts = serving(context)
      .index.itemsOf('a4')
      .map((itemId) => serving(context).index.entry(itemId))
      .flatMap((entry) => (entry.kind === 'live' ? [Buffer.from(entry.salt).toString('hex')] : []));
    await damage(world, referenceTo(serving(context), 'block'), isGone);
    await damage(world, referenceTo(serving(context), 'sample'), isGone);
    world.suppressed.add('a4');
    const { claims, needles } = await erase(context, TENANT, world.started('a4'));
    const others = trainedDigests(ALL.filter(({ alias }) => alias !== 'a4'));
    assert.equal(serving(context).sumsDigest, others.sums);
    assert.equal(serving(context).weightsDigest, others.weights);
    const { details } = claims.find(({ kind }) => kind === 'HASH_INDEX')!;
    assert.deepEqual(
      [details.blocksRebuilt, details.featureRowsNotScanned, details.erasedLeaves],
      ['1', '4', '4'],
    );
    const found = decodeNeedles(await context.functions.sealed.get(TENANT, needles!));
    assert.deepEqual(found.map(({ hex }) => hex).sort(), salts.sort());
    const after = await readsAll(world);
    // The next person is subtracted from the rebuilt block, as from any.
    await erase(context, TENANT, world.started('a5', [], 'e2'));
    const rest = trainedDigests(ALL.filter(({ alias }) => alias !== 'a4' && alias !== 'a5'));
    assert.equal(serving(context).sumsDigest, rest.sums);
    assert.notDeepEqual(await readsAll(world), after);
  });
}

test('the first of several blocks comes back into its place, and the sample into its order', async () => {
  const many = makeRecords('a', 2_100, [0, 1]);
  const world = await World.with(...many);
  const { api, close } = await world.service();
  await api.create(FUNCTION_SPEC);
  await api.settled();
  await close();
  const context = world.context();
  await context.functions.serving(ADDRESS);
  assert.deepEqual(
    serving(context).head.parts[0]!.blocks.map(({ rows }) => rows),
    [4_096, 104],
  );
  const before = digests(serving(context));
  await damage(world, referenceTo(serving(context), 'block'));
  await damage(world, referenceTo(serving(context), 'sample'));
  const two = { ...NONE, blocks: 1, samples: 1 };
  assert.deepEqual(await scrub(context, ADDRESS), { damaged: two, mended: two });
  assert.deepEqual(await readsAll(world), before);
  await damage(world, referenceTo(serving(context), 'block'));
  await erase(context, TENANT, world.started('a4'));
  assert.equal(serving(context).sumsDigest, trainedDigests(many.filter(({ alias }) => alias !== 'a4')).sums);
  await readsAll(world);
});

/** Two modalities, of which a record may lack one. */
const TWO: DatasetSpec = {
  ...SPEC,
  name: 'two',
  fields: ['left', 'right'].map((name) => ({
    ...{ kind: 'numeric-vector', name, element: 'uint8', shape: [8], min: 0, max: 255, optional: true },
  })),
};

/** Of each person: a record with both, one with the left, the first one again, one with the right. */
function twoSided(persons: number): TestRecord[] {
  const random = seededRandom('two-sided');
  return Array.from({ length: persons }, (_, person) => {
    const side = (): Uint8Array => random.bytes(8);
    const [both, left, right] = [
      [side(), side()],
      [side(), undefined],
      [undefined, side()],
    ];
    return [both, left, both, right].map((values) => ({
      alias: `p${person}`,
      payload: encodePayload(TWO, { values, label: person % 3 }),
    }));
  }).flat();
}

async function learnedTwo(
  records: readonly TestRecord[],
): Promise<{ world: World; context: HashingContext }> {
  const world = new World();
  world.datasetSpec = encodeSpec(TWO);
  await ensurePlatformStreams(world.bus);
  world.commitRoot(records);
  const { api, close } = await world.service();
  await api.create({
    ...FUNCTION_SPEC,
    modalities: ['left', 'right'].map((name) => ({ name, fields: [name] })),
    nearDuplicates: { radius: 1, contentBits: 0 },
  });
  await api.settled();
  await close();
  const context = world.context();
  await context.functions.serving(ADDRESS);
  return { world, context };
}

test('blocks of several modalities come back without the near-duplicates that were not learned', async () => {
  const records = twoSided(20);
  const { world, context } = await learnedTwo(records);
  assert.equal(serving(context).index.live, 80);
  assert.equal(serving(context).head.duplicates[0]!.rows, 40);
  const before = digests(serving(context));
  const loseBlocks = async (): Promise<void> => {
    for (const { blocks } of serving(context).head.parts) await damage(world, blocks[0]!.reference);
  };
  await loseBlocks();
  const two = { ...NONE, blocks: 2 };
  assert.deepEqual(await scrub(context, ADDRESS), { damaged: two, mended: two });
  assert.deepEqual(await readsAll(world), before);
  await loseBlocks();
  world.suppressed.add('p4');
  await erase(context, TENANT, world.started('p4'));
  const never = await learnedTwo(records.filter(({ alias }) => alias !== 'p4'));
  assert.equal(serving(context).sumsDigest, serving(never.context).sumsDigest);
  assert.equal(serving(context).weightsDigest, serving(never.context).weightsDigest);
  await readsAll(world);
});

test('a lost piece of near-duplicates is counted, and nothing is made up for it', async () => {
  const { world, context } = await learnedTwo(twoSided(20));
  const { head } = serving(context);
  await damage(world, head.duplicates[0]!.reference, true);
  await damage(world, head.parts[0]!.blocks[0]!.reference);
  assert.deepEqual(await scrub(context, ADDRESS), {
    damaged: { ...NONE, blocks: 1, duplicates: 1 },
    mended: NONE,
  });
});

test('a disk that is full at any write of a mending: nothing changes, no key is left, and the next scrub ends it', async () => {
  const { world, context } = await learned();
  const before = digests(serving(context));
  for (const kind of ['head', 'segment', 'block', 'sample'] as const)
    await damage(world, referenceTo(serving(context), kind));
  const keys = world.liveKeys;
  const objects = await world.objectCount();
  const { appendMany, append } = world.bus;
  let refusals = 0;
  for (let allowed = 0; ; allowed++) {
    let writes = 0;
    const full = (stream: string): void => {
      if (stream === STREAMS.artefacts && writes++ === allowed) throw EVENTS.STREAM_FULL('full');
    };
    world.bus.appendMany = async (stream, messages) => {
      full(stream);
      return await appendMany.call(world.bus, stream, messages);
    };
    world.bus.append = async (stream, ...rest) => {
      full(stream);
      return await append.call(world.bus, stream, ...rest);
    };
    try {
      await scrub(context, ADDRESS);
      break;
    } catch (error) {
      assert.ok(error instanceof LetheError && error.code === 'LETHE-2002', String(error));
      refusals++;
    }
    assert.deepEqual(digests(serving(context)), before);
    assert.deepEqual(world.liveKeys, keys);
    assert.equal(await world.objectCount(), objects);
  }
  Object.assign(world.bus, { appendMany, append });
  assert.ok(refusals >= 8, `only ${refusals} writes were refused`);
  assert.deepEqual(await readsAll(world), before);
});

test('a process that ends between the fact of a mending and its clean-up leaves keys that the next one destroys', async () => {
  const { world, context } = await learned();
  const before = digests(serving(context));
  const kinds = world.liveKinds;
  const lost = referenceTo(serving(context), 'block');
  await damage(world, lost);
  const { functions } = context;
  const { settle } = functions;
  let calls = 0;
  functions.settle = async (...given) => {
    if (++calls === 2) throw new Error('killed');
    await settle.apply(functions, given);
  };
  await assert.rejects(scrub(context, ADDRESS), /killed/);
  assert.ok(!world.destroyed.has(lost.split(':')[0]!));
  const { close } = await world.service();
  await eventually(async () => (world.destroyed.has(lost.split(':')[0]!) ? true : undefined));
  await close();
  assert.deepEqual(world.liveKinds, kinds);
  assert.deepEqual(await readsAll(world), before);
});

test('a replica that is behind, and one whose version is replaced while it looks, take nothing for damage', async () => {
  const { world, context } = await learned();
  const behind = world.context();
  await behind.functions.serving(ADDRESS);
  await erase(context, TENANT, world.started('a4'));
  const objects = await world.objectCount();
  assert.equal(await scrub(behind, ADDRESS), undefined);
  await behind.functions.refresh(ADDRESS);
  const { scrub: look } = serving(behind).index;
  serving(behind).index.scrub = async function () {
    const report = await look.call(this);
    await erase(context, TENANT, world.started('a5', [], 'e2'));
    return report;
  };
  assert.equal(await scrub(behind, ADDRESS), undefined);
  assert.ok((await world.objectCount()) >= objects);
  assert.equal(serving(context).version, 4);
});

test('a service scrubs what it has opened, first after a time and then again and again', async () => {
  const { world, context } = await learned();
  const before = digests(serving(context));
  const { api, close } = await world.service({ scrub: { afterMs: 20, everyMs: 20 } });
  await api.search({ $case: 'payload', value: FIRST[0]!.payload }, 1);
  for (const kind of ['block', 'segment'] as const) {
    await context.functions.refresh(ADDRESS);
    const lost = referenceTo(serving(context), kind);
    await damage(world, lost, true);
    await eventually(async () => (world.destroyed.has(lost.split(':')[0]!) ? true : undefined));
    await eventually(async () => {
      await context.functions.refresh(ADDRESS).catch((error: unknown) => assert.ok(isLoss(error)));
      return referenceTo(serving(context), kind) === lost ? undefined : true;
    });
  }
  await close();
  assert.deepEqual(await readsAll(world), before);
});

test('a scrub reads nothing while a change runs, and stops where its version was replaced', async () => {
  const { context } = await learned();
  const { functions } = context;
  const { sealed } = functions;
  const get = sealed.get.bind(sealed);
  let reads = 0;
  sealed.get = async (...args) => {
    reads++;
    return await get(...args);
  };
  for (const isReplaced of [false, true]) {
    reads = 0;
    const change = Promise.withResolvers<void>();
    const changing = functions.inTurn(ADDRESS, async () => {
      await change.promise;
      if (isReplaced)
        await editQuarantine(context, ADDRESS, () => [{ position: 1, reason: 'margin', retired: false }]);
    });
    const scrubbing = scrub(context, ADDRESS);
    await sleep(150);
    assert.equal(reads, 0);
    change.resolve();
    await changing;
    const scrubbed = await scrubbing;
    assert.deepEqual(scrubbed, isReplaced ? undefined : { damaged: NONE, mended: NONE });
    assert.equal(reads > 0, !isReplaced);
  }
});
