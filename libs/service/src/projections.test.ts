/** Directory and contained aliases over a stream in memory. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EVENT, events, SAGA_EVENTS } from '@lethe/contracts';
import {
  AggregateStore,
  aggregateFilter,
  defineAggregate,
  ensurePlatformStreams,
  MemoryBus,
  newEvent,
  STREAMS,
} from '@lethe/events';
import { ContainedAliases } from './contained-aliases.ts';
import { Directory, directoryOf } from './directory.ts';

const saga = defineAggregate({ type: 'erasure', events: SAGA_EVENTS, initial: () => 0, fold: (n) => n + 1 });

async function world() {
  const bus = new MemoryBus();
  await ensurePlatformStreams(bus);
  const store = new AggregateStore(saga, { bus, source: 'test' });
  const requested = (tenant: string, id: string, subjectAlias: string) =>
    store.propose(tenant, id, () => [
      newEvent(EVENT.erasureRequested, events.ErasureRequested.create({ erasure: id, subjectAlias })),
    ]);
  return { bus, store, requested };
}

test('a directory lists aggregates by their first events, reads on from where it stopped, and counts a version once', async () => {
  const { bus, store, requested } = await world();
  const directory = new Directory<{ types: number }>(bus, 'erasure', (before) => ({
    types: (before?.types ?? 0) + 1,
  }));
  assert.deepEqual(await directory.all(), []);
  await requested('acme', 'e2', 'b');
  await requested('other', 'e1', 'a');
  assert.deepEqual(await directory.all(), [
    { tenant: 'acme', id: 'e2', sequence: 1, types: 1 },
    { tenant: 'other', id: 'e1', sequence: 2, types: 1 },
  ]);
  // A second event of version 1, as a server that let two racing appends through would hold it: the fold ignores it.
  for await (const { subject, headers, data } of bus.read(
    STREAMS.events,
    aggregateFilter({ tenant: 'acme' }),
  )) {
    await bus.append(STREAMS.events, subject, { id: 'late', headers, data });
  }
  await store.propose('other', 'e1', () => [
    newEvent(EVENT.erasureFailed, events.ErasureFailed.create({ erasure: 'e1' })),
  ]);
  const [e2, e1] = await directory.all();
  assert.deepEqual([e2?.types, e1?.types], [1, 2]);
  assert.deepEqual(await directoryOf(bus, 'erasure').ofTenant('other'), [
    { tenant: 'other', id: 'e1', sequence: 2 },
  ]);
});

test('a person is contained from the request on, a cohort from where the reader says', async () => {
  const { bus, store, requested } = await world();
  await requested('acme', 'e1', 'anna');
  await store.propose('acme', 'e1', () => [
    newEvent(
      EVENT.erasureStarted,
      events.ErasureStarted.create({ erasure: 'e1', subjects: ['anna'], cohort: ['canary'] }),
    ),
  ]);
  const load = async (from: 'started' | 'owners-confirmed') => {
    const contained = new ContainedAliases();
    await contained.load(bus, from);
    return contained;
  };
  assert.deepEqual([...(await load('started')).of('acme')], ['anna', 'canary']);
  const vault = await load('owners-confirmed');
  assert.deepEqual([...vault.of('acme')], ['anna']);
  assert.equal(vault.has('other', 'anna'), false);
  await store.propose('acme', 'e1', () => [
    newEvent(EVENT.erasureOwnersConfirmed, events.ErasureOwnersConfirmed.create({ erasure: 'e1' })),
  ]);
  assert.equal((await load('owners-confirmed')).has('acme', 'canary'), true);
  const { generation } = vault;
  vault.add('acme', ['ben']);
  assert.ok(vault.generation > generation && vault.has('acme', 'ben'));
});
