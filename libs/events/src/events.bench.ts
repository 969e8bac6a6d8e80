/** `node libs/events/src/events.bench.ts`: rates over one real nats-server on this machine. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { utf8 } from '@lethe/std';
import {
  AggregateStore,
  connectJetStream,
  defineAggregate,
  defineEvent,
  ensurePlatformStreams,
  findNatsServer,
  newEvent,
  ObjectStore,
  on,
  recordSubject,
  STREAMS,
  startNatsServer,
  subscribe,
} from './index.ts';

const RECORDS = 10_000;
const PROPOSALS = 1_000;

const directory = mkdtempSync(join(tmpdir(), 'lethe-events-bench-'));
const binary = findNatsServer({ environment: process.env, announce: (line) => console.error(line) });
const server = await startNatsServer({ binary, directory });
const bus = await connectJetStream({ url: server.url, name: 'bench' });

async function rate(what: string, count: number, work: () => Promise<unknown>): Promise<void> {
  const started = performance.now();
  await work();
  const seconds = (performance.now() - started) / 1e3;
  console.log(`${what}: ${(count / seconds).toFixed(0)} a second (${seconds.toFixed(2)} s)`);
}

try {
  await ensurePlatformStreams(bus);
  const body = new Uint8Array(1_024);
  const items = Array.from({ length: RECORDS }, (_, i) => ({
    subject: recordSubject('t', 'd', `a${i % 4_500}`),
    message: { id: `m${i}`, data: body },
  }));
  await rate('append records of 1 KiB', RECORDS, () => bus.appendMany(STREAMS.records, items));
  await rate('read them', RECORDS, async () => {
    for await (const message of bus.read(STREAMS.records, 'lethe.records.v1.t.d.*')) void message;
  });
  await rate('delete securely', 800, async () => {
    for (let sequence = 1; sequence <= 800; sequence++)
      await bus.deleteMessageSecurely(STREAMS.records, sequence);
  });
  const added = defineEvent({
    type: 'bench.added',
    codec: {
      encode: (value: number) => ({ finish: () => utf8(String(value)) }),
      decode: (bytes) => Number(new TextDecoder().decode(bytes)),
    },
  });
  const sum = defineAggregate({
    type: 'bench',
    events: [added],
    initial: () => 0,
    fold: (state, event) => state + event.data,
  });
  const store = new AggregateStore(sum, { bus, source: 'bench' });
  await rate('propose on 20 aggregates, read back', PROPOSALS, async () => {
    for (let i = 0; i < PROPOSALS; i++) await store.propose('t', `a${i % 20}`, () => [newEvent(added, 1)]);
  });
  let handled = 0;
  await rate('handle events in order', PROPOSALS, async () => {
    const done = Promise.withResolvers<void>();
    const subscription = await subscribe({
      bus,
      consumer: 'bench',
      aggregates: ['bench'],
      handlers: [on(added, async () => void (++handled === PROPOSALS && done.resolve()))],
    });
    await done.promise;
    await subscription.stop();
  });
  const objects = new ObjectStore(bus);
  const model = new Uint8Array(50_000_000).fill(7);
  let digest = '';
  await rate('put an object of 50 MB (MB)', 50, async () => {
    digest = await objects.put('t', model);
  });
  await rate('get it (MB)', 50, () => objects.get('t', digest));
  await rate('delete it (MB)', 50, () => objects.delete('t', digest));
} finally {
  await bus.close();
  await server.stop();
  rmSync(directory, { recursive: true, force: true });
}
