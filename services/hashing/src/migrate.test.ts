import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { EVENT, events } from '@lethe/contracts';
import { newEvent } from '@lethe/events';
import { fromHex, hex, sha256 } from '@lethe/std';
import { erase } from './consumers/erasure.ts';
import { formatOf } from './domain/head.ts';
import { closeAll, DATASET, FUNCTION, FUNCTION_SPEC, TENANT, World } from './fixture.ts';
import { addressOf } from './functions.ts';
import { STATE_V1 } from './state-v1.fixture.ts';

afterEach(closeAll);

test('a state of release 0.2 is served as it was, and an erasure stores it in the present form', async () => {
  const world = await World.with();
  const context = world.context();
  const { functions } = context;
  const address = addressOf(TENANT, 'shapes');
  const ref = await functions.sealed.put(TENANT, 'hash-state-shapes-v4', STATE_V1.bytes());
  const promoted = events.HashFunctionPromoted.fromPartial({
    function: FUNCTION,
    version: STATE_V1.version,
    root: `${DATASET}/roots/2`,
    weightsDigest: STATE_V1.weightsDigest,
    sumsDigest: STATE_V1.sumsDigest,
    ledgerRoot: fromHex(STATE_V1.ledgerRoot),
    itemCount: BigInt(STATE_V1.live),
    state: ref,
  });
  await functions.aggregates.propose(TENANT, address.id, () => [
    newEvent(EVENT.hashFunctionCreated, { function: FUNCTION, spec: FUNCTION_SPEC }),
    newEvent(EVENT.hashFunctionPromoted, promoted),
  ]);
  const { learned } = await functions.serving(address);
  assert.equal(learned.version, STATE_V1.version);
  assert.equal(learned.index.live, STATE_V1.live);
  assert.equal(hex(learned.index.root()), STATE_V1.ledgerRoot);
  const live = [...learned.index.entries()].flatMap((entry) => (entry.kind === 'live' ? [entry] : []));
  const query = live[0]!;
  const [nearest] = learned.search(query.code, 1, {});
  assert.equal(nearest?.distance, 0);
  const kept = new Map(live.map(({ itemId, code }) => [hex(itemId), hex(code)]));

  const mine = live.filter(({ owner }) => owner === query.owner).length;
  await erase(context, TENANT, world.started(query.owner));
  const { current } = await functions.load(address);
  assert.equal(current?.version, STATE_V1.version + 1);
  assert.equal(Number(current?.itemCount), STATE_V1.live - mine);
  assert.equal(formatOf(await functions.sealed.get(TENANT, current!.state!)), 'lethe-hash-state-v2');
  assert.ok(world.destroyed.has('hash-state-shapes-v4'));
  const again = await world.context().functions.serving(address);
  assert.equal(again.learned.index.live, STATE_V1.live - mine);
  for (const entry of again.learned.index.entries()) {
    if (entry.kind === 'live') assert.equal(kept.get(hex(entry.itemId)), hex(entry.code));
  }
  assert.equal(hex(sha256(STATE_V1.bytes())), ref.digest);
});
