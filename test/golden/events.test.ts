/**
 * Yesterday's events stay readable: each file is the whole stream of one platform as a release has written it
 * (`test/tools/record-events.ts`), about invented sensors only. Today's codecs must read and write each event to the byte, and
 * today's folds must make of the history what the release's own folds made of it.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { EVENT } from '@lethe/contracts';
import { decodeEvent, type EventCodec, readEnvelope, STREAMS } from '@lethe/events';
import { hex } from '@lethe/std';
import { type Recording, replayed, statesOf } from './recorded.ts';

const folder = new URL('events/', import.meta.url);
const catalogue = Object.values(EVENT);
const recordings = readdirSync(folder).map((name) => ({
  name,
  ...(JSON.parse(readFileSync(new URL(name, folder), 'utf8')) as Recording),
}));

for (const { name, events, states } of recordings) {
  test(`${name}: every event decodes, is in the catalogue, and is written again to the byte`, async () => {
    const bus = await replayed(events);
    let read = 0;
    for await (const message of bus.read(STREAMS.events, '>')) {
      const { type, aggregate } = readEnvelope(message);
      const known = catalogue.find((candidate) => candidate.type === type);
      assert.ok(known, `${type} is not in the catalogue any more`);
      assert.equal(aggregate.type, known.aggregate, type);
      // The codec of this very type wrote the data; the union of all codecs cannot say so.
      const codec = known.codec as EventCodec<unknown>;
      const { data } = decodeEvent({ type, codec }, message);
      assert.equal(hex(codec.encode(data).finish()), hex(message.data), type);
      read++;
    }
    assert.equal(read, events.length);
  });

  test(`${name}: every aggregate folds to the recorded state`, async () => {
    assert.deepEqual(await statesOf(events), states);
  });

  test(`${name}: the digests would notice a lost event and a changed one`, async () => {
    const last = events.findLastIndex(
      ({ headers }) => headers['ce-type'] === EVENT.hashFunctionPromoted.type,
    );
    assert.notDeepEqual(await statesOf(events.toSpliced(last, 1)), states);
    const other = events.findLastIndex(({ headers }) => headers['ce-type'] === EVENT.modelTrained.type);
    const { payload } =
      events[events.findIndex(({ headers }) => headers['ce-type'] === EVENT.modelTrained.type)]!;
    assert.notDeepEqual(await statesOf(events.with(other, { ...events[other]!, payload })), states);
  });
}

test('every type of the catalogue has a recorded example', () => {
  const recorded = new Set(
    recordings.flatMap(({ events }) => events.map(({ headers }) => headers['ce-type'])),
  );
  const missing = catalogue.map(({ type }) => type).filter((type) => !recorded.has(type));
  assert.deepEqual(missing, [], 'record them with test/tools/record-events.ts');
});
