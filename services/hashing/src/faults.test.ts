/** What goes wrong around a change: nothing is lost, the version before serves, and the refusal has a code. */
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { EVENTS, STREAMS } from '@lethe/events';
import { verifyErasureProof } from '@lethe/hashing';
import { fromHex, LetheError } from '@lethe/std';
import { erase } from './consumers/erasure.ts';
import { churnDetails, measureChurn, subtract } from './erase.ts';
import { closeAll, FUNCTION_SPEC, makeRecords, TENANT, trainedDigests, World } from './fixture.ts';
import { addressOf } from './functions.ts';
import type { Learned } from './learned.ts';
import { countInMemory } from './memory-scan.ts';
import { resource } from './resource.ts';
import { getErasureProof } from './rpc/get-erasure-proof.ts';

afterEach(closeAll);

const RECORDS = makeRecords('a', 30, [0, 1]);
const ADDRESS = addressOf(TENANT, 'shapes');
const query = { $case: 'payload' as const, value: RECORDS[8]!.payload };
const coded =
  (...codes: string[]) =>
  (error: unknown) =>
    error instanceof LetheError && codes.includes(error.code);

async function learned() {
  const world = await World.with(...RECORDS);
  const { api, close } = await world.service();
  await api.create(FUNCTION_SPEC);
  await api.settled();
  return { world, api, close };
}

test('a disk that is full at any write of an erasure: the version before serves, no key is left, and the next try ends it', async () => {
  const { world, close } = await learned();
  await close();
  const keys = world.liveKeys;
  const context = world.context();
  const { append, appendMany } = world.bus;
  let refusals = 0;
  for (let allowed = 0; ; allowed++) {
    let writes = 0;
    const full = (stream: string): void => {
      if (stream === STREAMS.artefacts && writes++ === allowed) throw EVENTS.STREAM_FULL('full');
    };
    world.bus.append = async (stream, ...rest) => {
      full(stream);
      return await append.call(world.bus, stream, ...rest);
    };
    world.bus.appendMany = async (stream, messages) => {
      full(stream);
      return await appendMany.call(world.bus, stream, messages);
    };
    try {
      await erase(context, TENANT, world.started('a4'));
      break;
    } catch (error) {
      assert.ok(coded('LETHE-2002', 'LETHE-2605', 'LETHE-2606')(error), String(error));
      refusals++;
    }
    const { learned: serving } = await context.functions.serving(ADDRESS);
    assert.equal(serving.version, 1);
    assert.equal(serving.index.itemsOf('a4').length, 2);
    const kept = world.liveKeys.filter(
      (key) => !key.startsWith('hash-needles') && !key.startsWith('hash-proof'),
    );
    assert.deepEqual(kept, keys);
  }
  Object.assign(world.bus, { append, appendMany });
  assert.ok(refusals >= 8, `only ${refusals} writes were refused`);
  const { learned: after } = await context.functions.serving(ADDRESS);
  const others = trainedDigests(RECORDS.filter(({ alias }) => alias !== 'a4'));
  assert.equal(after.sumsDigest, others.sums);
  assert.equal(after.weightsDigest, others.weights);
});

test('a damaged or lost segment is refused with a code by whoever opens it; who has it in memory answers on', async () => {
  const { world, api } = await learned();
  await api.search(query, 3);
  const { functions } = world.context();
  const { learned: serving } = await functions.serving(ADDRESS);
  const { reference } = serving.head.index.segments[0]!;
  const object = reference.split(':')[1]!;
  for await (const { subject, data } of world.bus.read(STREAMS.artefacts, '>')) {
    if (subject.endsWith(object)) data[data.length >> 1]! ^= 1;
  }
  await assert.rejects(world.context().functions.serving(ADDRESS), coded('LETHE-2601'));
  for await (const { subject, sequence } of world.bus.read(STREAMS.artefacts, '>')) {
    if (subject.endsWith(object)) await world.bus.deleteMessageSecurely(STREAMS.artefacts, sequence);
  }
  await assert.rejects(world.context().functions.serving(ADDRESS), coded('LETHE-2602'));
  assert.equal((await api.search(query, 3)).neighbours.length, 3);
});

test('a damaged block whose records are not all there stops an erasure before it changes anything', async () => {
  const { world, close } = await learned();
  await close();
  const context = world.context();
  const { learned: serving } = await context.functions.serving(ADDRESS);
  const object = serving.head.parts[0]!.blocks[0]!.reference.split(':')[1]!;
  for await (const { subject, data } of world.bus.read(STREAMS.artefacts, '>')) {
    if (subject.endsWith(object)) data[40]! ^= 1;
  }
  world.suppressed.add('a4').add('a7');
  await assert.rejects(erase(context, TENANT, world.started('a4')), coded('LETHE-4217'));
  assert.equal((await context.functions.serving(ADDRESS)).learned.version, 1);
  const blocked = (await resource(context, ADDRESS)).conditions?.find(({ type }) => type === 'Erasure');
  assert.equal(blocked?.reason, 'Blocked');
  assert.match(blocked?.message ?? '', /^LETHE-4217: /);
  world.suppressed.delete('a7');
  await erase(context, TENANT, world.started('a4'));
  assert.ok((await resource(context, ADDRESS)).conditions?.every(({ type }) => type !== 'Erasure'));
});

test('a damaged or lost block of others stops no erasure: the figure about them is unknown, and the claim says why', async () => {
  for (const isLost of [false, true]) {
    const { world, close } = await learned();
    await close();
    const context = { ...world.context(), churnExactMax: 10 };
    const { learned: serving } = await context.functions.serving(ADDRESS);
    // The sample is everybody; taken out of it are only those who are in it, so here it is read for the figure alone.
    const { sample } = serving.head.parts[0]!;
    const object = sample.block!.reference.split(':')[1]!;
    const foreign = { ...serving.head.parts[0]!, blocks: [sample.block!] };
    const subtracted = await subtract(context, serving, []);
    const broken = Object.assign(Object.create(serving) as Learned, {
      head: { ...serving.head, parts: [foreign] },
    });
    for await (const { subject, data, sequence } of world.bus.read(STREAMS.artefacts, '>')) {
      if (!subject.endsWith(object)) continue;
      if (isLost) await world.bus.deleteMessageSecurely(STREAMS.artefacts, sequence);
      else data[40]! ^= 1;
    }
    const measured = await measureChurn(broken, subtracted, new Set(), 50_000);
    const details = churnDetails(measured);
    assert.equal(details.churn, 'an unknown number');
    assert.equal(details.storedCodesThatDiffer, 'an unknown number');
    assert.match(details.churnMethod!, /not measured: .* \(LETHE-\d{4}\)$/);
  }
});

test('a replica that cannot read the events answers nothing', async () => {
  const { world, api } = await learned();
  await api.search(query, 3);
  const { read } = world.bus;
  world.bus.read = () => {
    throw EVENTS.BUS_UNAVAILABLE('gone');
  };
  await new Promise((done) => setTimeout(done, 400));
  await assert.rejects(api.search(query, 3), coded('LETHE-4213'));
  await assert.rejects(api.get(), coded('LETHE-4213'));
  world.bus.read = read;
  assert.equal((await api.search(query, 3)).neighbours.length, 3);
});

test('an auditor can show from the two roots of the claim that only the erased leaves changed', async () => {
  const { world, close } = await learned();
  await close();
  const context = world.context();
  const { claims } = await erase(context, TENANT, world.started('a4'));
  const claim = claims.find(({ kind }) => kind === 'HASH_INDEX')!;
  const { erasure } = world.started('a4');
  const { proof, digest } = await getErasureProof(context, { name: ADDRESS.name, erasure });
  assert.equal(claim.details.erasureProofDigest, digest);
  assert.equal(claim.details.erasedLeaves, '2');
  const read = JSON.parse(new TextDecoder().decode(proof)) as {
    size: number;
    seq: string;
    erased: { index: number; itemId: string; leafBefore: string }[];
    untouched: string[];
  };
  const erasureProof = {
    size: read.size,
    rootBefore: fromHex(claim.digestBefore),
    rootAfter: fromHex(claim.digestAfter),
    seq: BigInt(read.seq),
    erased: read.erased.map((leaf) => ({
      index: leaf.index,
      itemId: fromHex(leaf.itemId),
      leafBefore: fromHex(leaf.leafBefore),
    })),
    untouched: read.untouched.map(fromHex),
  };
  assert.equal(erasureProof.erased.length, 2);
  assert.ok(verifyErasureProof(erasureProof));
  const [first, ...rest] = erasureProof.erased;
  assert.ok(
    !verifyErasureProof({ ...erasureProof, erased: [{ ...first!, index: first!.index + 1 }, ...rest] }),
  );
  await assert.rejects(
    getErasureProof(context, { name: ADDRESS.name, erasure: `${erasure}x` }),
    coded('LETHE-4211'),
  );
});

test('churn above the limit is an estimate with its interval, and says so', async () => {
  const { world, close } = await learned();
  await close();
  const context = { ...world.context(), churnExactMax: 10 };
  const { claims } = await erase(context, TENANT, world.started('a4'));
  const { details } = claims[1]!;
  // Below 4,097 items the sample is everybody, and the estimate the count.
  assert.equal(details.churnSample, '58');
  assert.match(details.churn!, /^about \d+ \(between \d+ and \d+\)$/);
  assert.match(details.churnMethod!, /random sample of 58 .* 0\.95/);
  assert.equal(details.churn!.split(' ')[1], details.churnInSample);
  const estimate = churnDetails({ survivors: 1_000_000, churn: 0, storedDiffer: 50, sampled: 1_000 });
  assert.match(estimate.churn!, /^about 0 \(between 0 and 3\d{3}\)$/);
  assert.match(estimate.storedCodesThatDiffer!, /^about 50000 \(between 3\d{4} and 6\d{4}\)$/);
});

test('bytes in memory are found wherever they start', () => {
  const needle = fromHex('a1b2c3d4e5f60718');
  const region = new Uint8Array(1_000);
  for (const at of [0, 1, 503, 992]) {
    region.fill(0);
    region.set(needle, at);
    assert.equal(countInMemory([new Uint8Array(9), region], [needle]), 1, `at ${at}`);
  }
  assert.equal(countInMemory([region.subarray(0, 999)], [needle]), 0);
});
