/** Recorded events: how they lie in a file, and what the folds of today make of them. */
import * as audit from '@lethe/audit-service/aggregates';
import * as erasure from '@lethe/erasure-service/aggregates';
import {
  type AggregateDefinition,
  AggregateStore,
  type Bus,
  type EventDefinition,
  ensurePlatformStreams,
  MemoryBus,
  parseAggregateSubject,
  STREAMS,
  type StoredMessage,
} from '@lethe/events';
import * as federation from '@lethe/federation-service/aggregates';
import * as hashing from '@lethe/hashing-service/aggregates';
import * as learning from '@lethe/learning-service/aggregates';
import { canonicalDigest, fromHex, hex } from '@lethe/std';
import * as vault from '@lethe/vault-service/aggregates';

/** An event as the stream had it. */
export interface RecordedMessage {
  readonly subject: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Hex. */
  readonly payload: string;
}

export interface Recording {
  /** The whole stream, oldest first. */
  readonly events: readonly RecordedMessage[];
  /** Digest of the state of each aggregate, by `{service}.{definition} {subject}`. */
  readonly states: Readonly<Record<string, string>>;
}

/** Without what the broker adds. */
export const recordedMessage = ({ subject, headers, data }: StoredMessage): RecordedMessage => ({
  subject,
  headers: Object.fromEntries(Object.entries(headers).filter(([name]) => !name.startsWith('Nats-'))),
  payload: hex(data),
});

const SERVICES = { audit, erasure, federation, hashing, learning, vault };

/** Puts a recorded stream into a bus of its own. */
export async function replayed(events: readonly RecordedMessage[]): Promise<Bus> {
  const bus = new MemoryBus();
  await ensurePlatformStreams(bus);
  for (const [i, { subject, headers, payload }] of events.entries())
    await bus.append(STREAMS.events, subject, { id: `${i}`, headers, data: fromHex(payload) });
  return bus;
}

/** What every aggregate's fold makes of the events, as digests. */
export async function statesOf(events: readonly RecordedMessage[]): Promise<Record<string, string>> {
  const bus = await replayed(events);
  const subjects = new Set(events.map(({ subject }) => subject));
  const out: Record<string, string> = {};
  for (const [service, definitions] of Object.entries(SERVICES))
    for (const [name, definition] of Object.entries(definitions))
      for (const subject of subjects) {
        const address = parseAggregateSubject(subject)!;
        if (address.type !== definition.type) continue;
        // Each definition has a state of its own; a digest needs none of its type.
        const fold = definition as unknown as AggregateDefinition<unknown, EventDefinition>;
        const store = new AggregateStore(fold, { bus, source: 'golden' });
        const { state } = await store.load(address.tenant, address.id);
        out[`${service}.${name} ${subject}`] = canonicalDigest(plain(state));
      }
  return out;
}

/** A state as JSON values: bytes in hex, wide integers and times as text, maps and sets as lists, nothing for undefined. */
function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return String(value);
  if (value instanceof Uint8Array) return hex(value);
  if (value instanceof Date) return value.toISOString();
  if (value instanceof Map || value instanceof Set) return [...value].map(plain);
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, member]) => member !== undefined)
      .map(([key, member]) => [key, plain(member)]),
  );
}
