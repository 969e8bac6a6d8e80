import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import type { hashing } from '@lethe/contracts';
import { hashing as contract } from '@lethe/contracts';
import { SealedArtefacts } from '@lethe/service';
import { hex, LetheError, seededRandom, shuffle } from '@lethe/std';
import { erase } from './consumers/erasure.ts';
import type { HashingContext } from './context.ts';
import { decodeNeedles } from './domain/evidence.ts';
import { decodeHead, encodeHead } from './domain/head.ts';
import {
  closeAll,
  eventually,
  FUNCTION,
  FUNCTION_SPEC,
  makeRecords,
  TENANT,
  trainedDigests,
  World,
} from './fixture.ts';
import { addressOf } from './functions.ts';

const FIRST = makeRecords('a', 30, [0, 1]);
const SECOND = makeRecords('b', 10, [2]);
const { STATE_SERVING, STATE_FAILED } = contract.HashFunction_State;

afterEach(closeAll);

const coded = (code: string) => (error: unknown) => error instanceof LetheError && error.code === code;
const payloadQuery = (value: Uint8Array) => ({ $case: 'payload' as const, value });
const plain = (codes: readonly hashing.CodeEntry[]) =>
  codes.map((entry) => ({ id: hex(entry.itemId), code: hex(entry.code), version: entry.functionVersion }));

/** Everything that the present version has stored, opened: head, segments, feature blocks. */
async function atRestOf({ functions }: HashingContext): Promise<Buffer> {
  const { learned: serving } = await functions.serving(addressOf(TENANT, 'shapes'));
  const pieces = serving.references.map((reference) => functions.state.get(TENANT, reference));
  return Buffer.concat(await Promise.all(pieces));
}

/** A world whose function has learned the records. */
async function learned(...records: readonly (typeof FIRST)[number][]) {
  const world = await World.with(...records);
  const { api, close } = await world.service();
  await api.create();
  await api.settled();
  return { world, api, close };
}

test('a function learns what another process learns from the same records in another order', async () => {
  const { api, close } = await learned(...FIRST);
  const learnedFunction = await api.get();
  const expected = trainedDigests(shuffle([...FIRST], seededRandom('order')));
  assert.equal(learnedFunction.state, STATE_SERVING);
  assert.equal(learnedFunction.version, 1);
  assert.equal(learnedFunction.sumsDigest, expected.sums);
  assert.equal(learnedFunction.weightsDigest, expected.weights);
  assert.deepEqual(learnedFunction.classes, [0, 1]);
  const { labels } = await api.predict(FIRST.slice(0, 8).map(({ payload }) => payload));
  assert.deepEqual(labels, [0, 1, 0, 1, 0, 1, 0, 1]);
  await close();
});

test('one pixel of one record makes another digest', () => {
  const changed = FIRST.map(({ alias, payload }) => ({ alias, payload: payload.slice() }));
  changed[7]!.payload[5]! ^= 0x40;
  assert.notEqual(trainedDigests(changed).sums, trainedDigests(FIRST).sums);
  assert.notEqual(trainedDigests(changed).weights, trainedDigests(FIRST).weights);
});

test('canaries and persons whose erasure was requested are never learned', async () => {
  const canaries = makeRecords('c', 5, [2]);
  const world = await World.with(...FIRST, ...canaries, ...SECOND);
  for (const { alias } of canaries) world.canaries.add(alias);
  await world.request('b3');
  const { api, close } = await world.service();
  await api.create();
  const { sumsDigest } = await api.settled();
  const others = [...FIRST, ...SECOND].filter(({ alias }) => alias !== 'b3');
  assert.equal(sumsDigest, trainedDigests(others).sums);
  await close();
});

test('an update reads the new records alone and leaves every old code as it was', async () => {
  const { world, api, close } = await learned(...FIRST);
  const before = await api.get();
  const oldCodes = plain(await api.codes());
  const root = world.commitRoot(SECOND);
  await api.update(root);
  const after = await api.settled();
  assert.deepEqual(world.readsAfter, [0, FIRST.length]);
  assert.deepEqual(plain(await api.codes()).slice(0, oldCodes.length), oldCodes);
  assert.deepEqual(after.oldCodesRootBefore, before.ledgerRoot);
  assert.deepEqual(after.oldCodesRootAfter, before.ledgerRoot);
  assert.notDeepEqual(after.ledgerRoot, before.ledgerRoot);
  assert.equal(after.version, 2);
  assert.equal(after.learnedRoot, root);
  assert.deepEqual(after.classes, [0, 1, 2]);
  const together = trainedDigests(shuffle([...SECOND, ...FIRST], seededRandom('order')));
  assert.equal(after.sumsDigest, together.sums);
  assert.equal(after.weightsDigest, together.weights);
  assert.deepEqual(world.liveKinds, ['block', 'block', 'head', 'segment']);
  await close();
});

test('searches are answered while an update is learned', async () => {
  const { world, api, close } = await learned(...FIRST);
  let open = (): void => undefined;
  world.gate = new Promise((done) => {
    open = done;
  });
  const root = world.commitRoot(SECOND);
  await api.update(root);
  const during = await api.search(payloadQuery(FIRST[0]!.payload), 5);
  assert.equal(during.functionVersion, 1);
  assert.equal(during.neighbours.length, 5);
  await assert.rejects(api.update(world.commitRoot([])), coded('LETHE-4204'));
  open();
  assert.equal((await api.settled()).version, 2);
  await close();
});

test('neighbours come by distance, then by item id', async () => {
  const { api, close } = await learned(...FIRST, ...SECOND);
  const { code } = await api.encode(FIRST[0]!.payload);
  const { neighbours } = await api.search({ $case: 'code', value: code }, 1_000);
  assert.equal(neighbours.length, FIRST.length + SECOND.length);
  const order = neighbours.map(
    ({ distance, itemId }) => `${String(distance).padStart(3, '0')} ${hex(itemId)}`,
  );
  assert.deepEqual(order, order.toSorted());
  await close();
});

test('what cannot be done is refused with a code', async () => {
  const { world, api, close } = await learned(...FIRST);
  const { payload } = FIRST[0]!;
  await assert.rejects(api.search({ $case: 'code', value: new Uint8Array(3) }, 5), coded('LETHE-3406'));
  await assert.rejects(api.search(undefined, 5), coded('LETHE-4207'));
  for (const k of [0, 1_001]) await assert.rejects(api.search(payloadQuery(payload), k), coded('LETHE-4207'));
  await assert.rejects(api.encode(payload.slice(1)), coded('LETHE-2302'));
  await assert.rejects(api.predict([]), coded('LETHE-4207'));
  await assert.rejects(api.create({ ...FUNCTION_SPEC, codeBits: 32 }), coded('LETHE-4202'));
  await assert.rejects(api.create({ ...FUNCTION_SPEC, codeBits: 12 }), coded('LETHE-3410'));
  await assert.rejects(api.create({ ...FUNCTION_SPEC, featureDim: 30 }), coded('LETHE-3410'));
  await assert.rejects(api.create({ ...FUNCTION_SPEC, lambda: -1 }), coded('LETHE-4207'));
  await assert.rejects(
    api.create({ ...FUNCTION_SPEC, root: 'tenants/other/datasets/d/roots/1' }),
    coded('LETHE-4207'),
  );
  await assert.rejects(api.create({ ...FUNCTION_SPEC, root: 'shapes' }), coded('LETHE-1101'));
  await assert.rejects(api.update('tenants/acme/datasets/other/roots/2'), coded('LETHE-4205'));
  await assert.rejects(api.update(`${FUNCTION_SPEC.root}9`), coded('LETHE-4010'));
  assert.equal((await api.create()).version, 1, 'the same specification again changes nothing');
  assert.equal((await api.update(FUNCTION_SPEC.root)).version, 1, 'the learned root again changes nothing');
  await close();
  const fresh = await (await World.with()).service();
  await assert.rejects(fresh.api.get(), coded('LETHE-4201'));
  await assert.rejects(fresh.api.search(payloadQuery(payload), 5), coded('LETHE-4201'));
  await fresh.close();
  assert.deepEqual(world.liveKinds, ['block', 'block', 'head', 'segment']);
});

test('nothing is learned from a root that the log does not hold, or from no record', async () => {
  const world = await World.with();
  world.commitRoot(FIRST, { logged: false });
  const { api, close } = await world.service();
  await api.create({ ...FUNCTION_SPEC, root: `${FUNCTION_SPEC.root.slice(0, -1)}2` });
  const failed = await api.settled();
  assert.equal(failed.state, STATE_FAILED);
  assert.match(failed.conditions[0]!.message, /LETHE-4206/);
  await assert.rejects(api.encode(FIRST[0]!.payload), coded('LETHE-4203'));
  assert.deepEqual(world.readsAfter, []);
  await close();
  const empty = await learned();
  assert.match((await empty.api.get()).conditions[0]!.message, /LETHE-4208/);
  await empty.close();
});

test('an erased person was never seen, by digest; survivors keep their codes', async () => {
  const { world, api, close } = await learned(...FIRST, ...SECOND);
  const before = await api.get();
  const codes = await api.codes();
  const context = world.context();
  const atRest = await atRestOf(context);
  const { learned: serving } = await context.functions.serving(addressOf(TENANT, 'shapes'));
  const ofPerson = new Set(serving.index.itemsOf('a4').map((itemId) => hex(itemId)));

  await world.request('a4');
  const { artefacts } = await world.contained();
  assert.deepEqual(artefacts, [FUNCTION, `${FUNCTION}/index`]);
  const hidden = await api.search(payloadQuery(FIRST[8]!.payload), 1_000);
  assert.equal(hidden.neighbours.length, codes.length - 2);
  assert.ok(hidden.neighbours.every(({ itemId }) => !ofPerson.has(hex(itemId))));
  assert.ok((await api.codes()).every(({ itemId }) => !ofPerson.has(hex(itemId))));
  assert.equal((await api.get()).version, 1);

  world.suppressed.add('a4');
  await world.startErasure('a4', ['nobody']);
  const { claims, needles } = await world.erased();
  const after = await api.get();
  const others = trainedDigests([...FIRST, ...SECOND].filter(({ alias }) => alias !== 'a4'));
  assert.equal(after.sumsDigest, others.sums);
  assert.equal(after.weightsDigest, others.weights);
  assert.equal(after.version, 2);
  assert.equal(Number(after.itemCount), codes.length - 2);
  assert.deepEqual(plain(await api.codes()), plain(codes.filter(({ itemId }) => !ofPerson.has(hex(itemId)))));
  assert.deepEqual(
    claims.map(({ artefact, kind, digestBefore, digestAfter }) => [
      artefact,
      kind,
      digestBefore,
      digestAfter,
    ]),
    [
      [FUNCTION, 'HASH_FUNCTION', before.weightsDigest, after.weightsDigest],
      [`${FUNCTION}/index`, 'HASH_INDEX', hex(before.ledgerRoot), hex(after.ledgerRoot)],
    ],
  );
  assert.equal(claims[0]!.details.sumsDigestAfter, others.sums);
  assert.equal(claims[1]!.details.survivors, String(codes.length - 2));
  assert.ok(Number(claims[1]!.details.churn) >= 0);

  // The vault opens the needles with the shared class; each is a piece of the state as it was at rest.
  const found = decodeNeedles(await new SealedArtefacts(world.deps).get(TENANT, needles!));
  assert.deepEqual([...new Set(found.map(({ kind }) => kind))], ['ledger-salt', 'feature-row']);
  assert.deepEqual(found.length, 2 + 2);
  for (const needle of found) {
    assert.ok(atRest.includes(Buffer.from(needle.hex, 'hex')), needle.kind);
  }
  assert.deepEqual(world.liveKinds, ['block', 'block', 'head', 'needles', 'proof', 'segment']);
  const rest = await atRestOf(world.context());
  for (const needle of found) {
    assert.ok(!rest.includes(Buffer.from(needle.hex, 'hex')), `${needle.kind} is not carried over`);
  }
  assert.ok(!rest.includes('a4"'), 'nor is the alias');
  await close();
});

test('a second service on the same stream gives the same answers', async () => {
  const { world, api, close } = await learned(...FIRST);
  await api.update(world.commitRoot(SECOND));
  await api.settled();
  const query = payloadQuery(SECOND[0]!.payload);
  const answers = [await api.search(query, 20), await api.get(), plain(await api.codes())];
  await close();
  const second = await world.service();
  assert.deepEqual(
    [await second.api.search(query, 20), await second.api.get(), plain(await second.api.codes())],
    answers,
  );
  await second.close();
});

test('what is contained stays hidden after a restart, and the erasure goes on', async () => {
  const { world, api, close } = await learned(...FIRST);
  await world.request('a4');
  await world.contained();
  const hidden = await api.search(payloadQuery(FIRST[8]!.payload), 1_000);
  await close();
  const second = await world.service();
  assert.deepEqual(await second.api.search(payloadQuery(FIRST[8]!.payload), 1_000), hidden);
  await world.startErasure('a4');
  await world.erased();
  const others = trainedDigests(FIRST.filter(({ alias }) => alias !== 'a4'));
  assert.equal((await second.api.get()).sumsDigest, others.sums);
  await second.close();
});

test('an erasure that was cut short after its fact ends with the same claims and needles', async () => {
  const { world, close } = await learned(...FIRST);
  await world.request('a4');
  await world.contained();
  await close();
  const started = world.started('a4');
  const first = await erase(world.context(), TENANT, started);
  assert.deepEqual(await erase(world.context(), TENANT, started), first);
  const second = await world.service();
  await world.startErasure('a4');
  const { claims, needles } = await world.erased();
  assert.deepEqual({ claims, needles, attestations: [] }, first);
  assert.equal((await second.api.get()).version, 2);
  await second.close();
});

test('an erasure that was cut short before its fact leaves no key behind', async () => {
  const { world, close } = await learned(...FIRST);
  await close();
  const context = world.context();
  const propose = context.functions.aggregates.propose;
  context.functions.aggregates.propose = async () => {
    throw new Error('cut short');
  };
  await assert.rejects(erase(context, TENANT, world.started('a4')), /cut short/);
  context.functions.aggregates.propose = propose;
  await erase(world.context(), TENANT, world.started('a4'));
  assert.deepEqual(world.liveKinds, ['block', 'block', 'head', 'needles', 'proof', 'segment']);
  await erase(world.context(), TENANT, world.started('a5', [], 'e2'));
  assert.deepEqual(world.liveKinds, [
    'block',
    'block',
    'head',
    'needles',
    'needles',
    'proof',
    'proof',
    'segment',
  ]);
});

test('a key that outlived a crash is destroyed at the next start', async () => {
  const { world, close } = await learned(...FIRST);
  await close();
  const context = world.context();
  const settle = context.functions.state.settle;
  context.functions.state.settle = async () => undefined;
  await erase(context, TENANT, world.started('a4'));
  context.functions.state.settle = settle;
  assert.deepEqual(
    world.liveKinds.filter((kind) => kind === 'head'),
    ['head', 'head'],
  );
  const { close: closeSecond } = await world.service();
  assert.deepEqual(world.liveKinds, ['block', 'block', 'head', 'needles', 'proof', 'segment']);
  await closeSecond();
});

test('a person of whom nothing was learned: equal digests and the reason', async () => {
  const { world, api, close } = await learned(...FIRST);
  await world.request('stranger');
  await world.startErasure('stranger');
  const { claims, needles } = await world.erased();
  assert.equal(needles, undefined);
  assert.equal(claims.length, 2);
  for (const { digestBefore, digestAfter, details } of claims) {
    assert.equal(digestBefore, digestAfter);
    assert.equal(details.reason, 'no record of the batch was learned');
  }
  assert.equal((await api.get()).version, 1);
  await close();
});

test('an erasure requested during an update waits for it and takes out what it has read', async () => {
  const { world, api, close } = await learned(...FIRST);
  let open = (): void => undefined;
  world.gate = new Promise((done) => {
    open = done;
  });
  await api.update(world.commitRoot(SECOND));
  await eventually(async () => (world.readsAfter.length === 2 ? true : undefined));
  await world.request('a4');
  await world.startErasure('a4');
  open();
  await world.erased();
  const others = [...FIRST, ...SECOND].filter(({ alias }) => alias !== 'a4');
  assert.equal((await api.settled()).sumsDigest, trainedDigests(others).sums);
  await close();
});

test('a state that is not the one promoted is refused', async () => {
  const { world, close } = await learned(...FIRST);
  await close();
  const { functions } = world.context();
  const address = addressOf(TENANT, 'shapes');
  const { current } = await functions.load(address);
  const bytes = await functions.sealed.get(TENANT, current!.state!);
  // One bit of the last item's features.
  bytes[bytes.length - 2]! ^= 1;
  const changed = await functions.sealed.put(TENANT, current!.state!.keyId, bytes);
  const open = (state: typeof changed) => functions.open(address, { ...current!, state });
  await assert.rejects(open({ ...changed, digest: current!.state!.digest }), coded('LETHE-4209'));
  await functions.open(address, current!);
});

test('a state has one form, and nothing else is read', async () => {
  const { world, close } = await learned(...FIRST);
  await close();
  const context = world.context();
  await erase(context, TENANT, world.started('a4'));
  const { learned: serving } = await context.functions.serving(addressOf(TENANT, 'shapes'));
  const bytes = encodeHead(serving.head);
  assert.deepEqual(encodeHead(decodeHead(bytes)), bytes);
  for (const length of [0, 3, 100, bytes.length - 1]) {
    assert.throws(() => decodeHead(bytes.subarray(0, length)), coded('LETHE-4209'));
  }
  assert.throws(() => decodeHead(Buffer.concat([bytes, new Uint8Array(1)])), coded('LETHE-4209'));
});

test('a range search gives what a long search gives within the radius, and says when there is more', async () => {
  const { api, close } = await learned(...FIRST, ...SECOND);
  const { code } = await api.encode(FIRST[0]!.payload);
  const query = { $case: 'code' as const, value: code };
  const all = await api.search(query, 1_000);
  const radius = 4;
  const within = all.neighbours.filter(({ distance }) => distance <= radius);
  assert.ok(within.length > 3 && within.length < all.neighbours.length);
  const found = await api.search(query, 0, { radius });
  assert.deepEqual(found.neighbours, within);
  assert.equal(found.truncated, false);
  const short = await api.search(query, 3, { radius });
  assert.deepEqual(short.neighbours, within.slice(0, 3));
  assert.equal(short.truncated, true);
  assert.equal((await api.search(query, within.length, { radius })).truncated, false);
  await assert.rejects(api.search(query, 0, { radius: 17 }), coded('LETHE-4207'));
  await assert.rejects(api.search(query, 0), coded('LETHE-4207'));
  const labelled = await api.search(query, 1_000, {
    filter: contract.SearchFilter.fromPartial({ labelsAny: [2] }),
  });
  assert.deepEqual(
    labelled.neighbours,
    all.neighbours.filter(({ label }) => label === 2),
  );
  await close();
});
