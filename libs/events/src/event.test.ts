import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeEvent, defineEvent, envelope, readEnvelope } from './event.ts';
import {
  aggregateFilter,
  aggregateSubject,
  PARTITIONS,
  parseAggregateSubject,
  partitionOf,
  recordSubject,
  subjectMatches,
} from './subjects.ts';

const token = fc.stringMatching(/^[A-Za-z0-9_-]{1,40}$/);
const text = {
  encode: (value: string) => ({ finish: () => new TextEncoder().encode(value) }),
  decode: (bytes: Uint8Array) => new TextDecoder('utf-8', { fatal: true }).decode(bytes),
};

test('an address goes into its subject and comes back; its filters match it', () => {
  fc.assert(
    fc.property(token, token, token, (tenant, type, id) => {
      const subject = aggregateSubject({ tenant, type, id });
      assert.deepEqual(parseAggregateSubject(subject), { tenant, type, id });
      assert.ok(subjectMatches(aggregateFilter({ type }), subject));
      assert.ok(subjectMatches(aggregateFilter({ tenant, partition: partitionOf(id) }), subject));
      assert.ok(!subjectMatches(aggregateFilter({ tenant: `${tenant}x` }), subject));
    }),
  );
});

test('what could change the meaning of a subject is refused', () => {
  for (const bad of ['', 'a.b', '*', '>', 'a b', 'ä', 'x'.repeat(129), '$JS']) {
    assert.throws(() => aggregateSubject({ tenant: bad, type: 't', id: 'i' }), /LETHE-2001/, bad);
    assert.throws(() => recordSubject('t', 'd', bad), /LETHE-2001/, bad);
  }
  assert.equal(parseAggregateSubject('lethe.v1.t.type.16.id'), undefined);
  assert.equal(parseAggregateSubject('lethe.records.v1.t.d.a'), undefined);
});

test('partitions are fixed for ever and spread evenly', () => {
  assert.deepEqual(['a', 'dataset-1', 'request-42'].map(partitionOf), [2, 13, 13]);
  const counts = new Array<number>(PARTITIONS).fill(0);
  for (let i = 0; i < 1_600; i++) counts[partitionOf(`id-${i}`)] = (counts[partitionOf(`id-${i}`)] ?? 0) + 1;
  assert.ok(
    counts.every((count) => count > 60 && count < 150),
    String(counts),
  );
});

test('wildcards match as NATS does', () => {
  const cases: [string, string, boolean][] = [
    ['a.*.c', 'a.b.c', true],
    ['a.*.c', 'a.b.d', false],
    ['a.>', 'a.b.c', true],
    ['a.>', 'a', false],
    ['a.*', 'a.b.c', false],
    ['a.b.c', 'a.b', false],
  ];
  for (const [filter, subject, expected] of cases)
    assert.equal(subjectMatches(filter, subject), expected, `${filter} ${subject}`);
});

test('an envelope is one header an attribute, they come back, and a message without one of them is malformed', () => {
  const named = defineEvent({
    type: 'person.named',
    codec: text,
    validate: (name) => (name === '' ? 'no name' : undefined),
  });
  const fields = {
    id: 'e1',
    type: named.type,
    version: 7,
    timeMs: 1_700_000_000_123,
    source: 'vault',
    snapshotSequence: 3,
  };
  const message = envelope(fields, new TextEncoder().encode('x'), 'application/protobuf');
  assert.deepEqual(message.headers, {
    'ce-id': 'e1',
    'ce-type': 'person.named',
    'ce-source': 'vault',
    'ce-time': '2023-11-14T22:13:20.123Z',
    'ce-specversion': '1.0',
    'ce-datacontenttype': 'application/protobuf',
    'lethe-version': '7',
    'lethe-snapshot': '3',
  });
  assert.equal(message.id, 'e1');
  const stored = {
    stream: 's',
    subject: aggregateSubject({ tenant: 't', type: 'p', id: 'i' }),
    sequence: 9,
    timeMs: 0,
    headers: { ...message.headers },
    data: message.data,
  };
  const { aggregate, ...read } = readEnvelope(stored);
  assert.deepEqual(read, fields);
  assert.deepEqual(decodeEvent(named, stored), {
    id: 'e1',
    type: 'person.named',
    data: 'x',
    version: 7,
    sequence: 9,
    timeMs: fields.timeMs,
    source: 'vault',
    aggregate,
  });
  for (const missing of ['ce-id', 'ce-type', 'ce-time', 'lethe-version']) {
    const headers = Object.fromEntries(Object.entries(stored.headers).filter(([name]) => name !== missing));
    assert.throws(() => readEnvelope({ ...stored, headers }), /LETHE-2010/, missing);
  }
  assert.throws(
    () => readEnvelope({ ...stored, headers: { ...stored.headers, 'lethe-version': '0' } }),
    /LETHE-2010/,
  );
  assert.throws(() => decodeEvent(named, { ...stored, data: Uint8Array.of(0xff) }), /LETHE-2010/);
  assert.throws(() => decodeEvent(named, { ...stored, data: new Uint8Array() }), /LETHE-2010.*no name/);
});
