/** Two replicas on one stream: what one has acknowledged, the other answers by. */
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { closeAll, FUNCTION_SPEC, makeRecords, World } from './fixture.ts';

afterEach(closeAll);

const FIRST = makeRecords('a', 30, [0, 1]);
const SECOND = makeRecords('b', 10, [2]);
const GONE = 'a4';
const query = { $case: 'payload' as const, value: FIRST[8]!.payload };

test('a replica reflects the event that a caller names, and hides a person from the moment of the acknowledgement', async () => {
  const world = await World.with(...FIRST);
  const one = await world.service();
  const two = await world.service();
  await one.api.create(FUNCTION_SPEC);
  const learned = await one.api.settled();
  const first = await two.api.search(query, 1_000, { minAppliedSequence: learned.appliedSequence });
  assert.equal(first.neighbours.length, FIRST.length);

  await one.api.update(world.commitRoot(SECOND));
  const updated = await one.api.settled();
  const second = await two.api.search(query, 1_000, { minAppliedSequence: updated.appliedSequence });
  assert.equal(second.functionVersion, 2);
  assert.ok(second.appliedSequence >= updated.appliedSequence);
  assert.equal(second.neighbours.length, FIRST.length + SECOND.length);

  await world.request(GONE);
  await world.contained();
  for (const { api } of [one, two]) {
    const { neighbours } = await api.search(query, 1_000);
    assert.equal(neighbours.length, FIRST.length + SECOND.length - 2);
    assert.ok(neighbours.every(({ subjectAlias }) => subjectAlias !== GONE));
  }

  world.suppressed.add(GONE);
  await world.startErasure(GONE);
  await world.erased();
  const { appliedSequence, ledgerRoot } = await one.api.get();
  for (const { api } of [one, two]) {
    const erased = await api.search(query, 1_000, { minAppliedSequence: appliedSequence });
    assert.equal(erased.functionVersion, 3);
    assert.ok(erased.neighbours.every(({ subjectAlias }) => subjectAlias !== GONE));
    assert.deepEqual((await api.get()).ledgerRoot, ledgerRoot);
  }
});
