/**
 * Events: what has happened, typed. The payload is one protobuf message; everything else is a CloudEvents 1.0 attribute
 * in binary mode, one NATS header each.
 *
 * How events may change: they only gain optional fields; a changed meaning is a new type; an unknown type is never
 * "fine", it stops the consumer that meets it (LETHE-2011).
 */
import { injectTrace } from '@lethe/telemetry';
import type { OutgoingMessage, StoredMessage } from './bus.ts';
import { EVENTS } from './errors.ts';
import { type AggregateAddress, parseAggregateSubject } from './subjects.ts';

/** The part of a ts-proto codec that events need. */
export interface EventCodec<T> {
  encode(message: T): { finish(): Uint8Array };
  decode(input: Uint8Array): T;
}

export interface EventDefinition<Type extends string = string, Data = unknown> {
  /** Lower-case, dotted, past tense: `dataset.root.committed`. */
  readonly type: Type;
  readonly codec: EventCodec<Data>;
  /** What is wrong with decoded data, beyond its shape; `undefined` for nothing. Runs before every append and handler. */
  validate?(data: Data): string | undefined;
}

export function defineEvent<const Type extends string, Data>(
  definition: EventDefinition<Type, Data>,
): EventDefinition<Type, Data> {
  return Object.freeze({ ...definition });
}

/** An event as the stream has it. */
export interface RecordedEvent<Type extends string = string, Data = unknown> {
  readonly id: string;
  readonly type: Type;
  readonly data: Data;
  /** Version of its aggregate after it, from 1 without gaps. */
  readonly version: number;
  readonly sequence: number;
  /** When its writer says it happened, milliseconds since 1970. */
  readonly timeMs: number;
  /** The service that wrote it. */
  readonly source: string;
  readonly aggregate: AggregateAddress;
}

/** The union of recorded events that a list of definitions allows, told apart by `type`. */
export type EventOf<Definition> =
  Definition extends EventDefinition<infer Type, infer Data> ? RecordedEvent<Type, Data> : never;

/** An event about to be proposed. */
export interface NewEvent<Type extends string = string, Data = unknown> {
  readonly definition: EventDefinition<Type, Data>;
  readonly data: Data;
  /**
   * Give one wherever the event follows from another (`effectId(cause, type)`): proposing it again is then accepted
   * without a second effect. Default: fresh and random.
   */
  readonly id?: string;
}

/** The union of new events that a list of definitions allows. */
export type NewEventOf<Definition> =
  Definition extends EventDefinition<infer Type, infer Data> ? NewEvent<Type, Data> : never;

/** Types the pair: `newEvent(rootCommitted, { … })`. */
export function newEvent<Type extends string, Data>(
  definition: EventDefinition<Type, Data>,
  data: Data,
  id?: string,
): NewEvent<Type, Data> {
  return id === undefined ? { definition, data } : { definition, data, id };
}

/** The id of what follows from an event: the same however often the cause is delivered. */
export const effectId = (causeId: string, what: string): string => `${causeId}:${what}`;

export const HEADERS = {
  version: 'lethe-version',
  snapshot: 'lethe-snapshot',
  id: 'ce-id',
  type: 'ce-type',
  source: 'ce-source',
  time: 'ce-time',
  specVersion: 'ce-specversion',
  contentType: 'ce-datacontenttype',
} as const;

export interface EnvelopeFields {
  readonly id: string;
  readonly type: string;
  readonly version: number;
  readonly timeMs: number;
  readonly source: string;
  /** Stream sequence of the aggregate's last snapshot, 0 for none: a reader starts there. */
  readonly snapshotSequence: number;
}

export function envelope(fields: EnvelopeFields, data: Uint8Array, contentType: string): OutgoingMessage {
  return {
    id: fields.id,
    data,
    headers: injectTrace({
      [HEADERS.id]: fields.id,
      [HEADERS.type]: fields.type,
      [HEADERS.source]: fields.source,
      [HEADERS.time]: new Date(fields.timeMs).toISOString(),
      [HEADERS.specVersion]: '1.0',
      [HEADERS.contentType]: contentType,
      [HEADERS.version]: String(fields.version),
      ...(fields.snapshotSequence > 0 ? { [HEADERS.snapshot]: String(fields.snapshotSequence) } : {}),
    }),
  };
}

/** @throws LetheError LETHE-2010 a header is missing or is not what it should be */
export function readEnvelope(
  message: StoredMessage,
): EnvelopeFields & { readonly aggregate: AggregateAddress } {
  const { headers } = message;
  const aggregate = parseAggregateSubject(message.subject);
  const version = Number(headers[HEADERS.version]);
  const timeMs = Date.parse(headers[HEADERS.time] ?? '');
  const id = headers[HEADERS.id];
  const type = headers[HEADERS.type];
  const snapshotSequence = Number(headers[HEADERS.snapshot] ?? 0);
  const sound =
    aggregate && id && type && Number.isSafeInteger(version) && version >= 1 && Number.isFinite(timeMs);
  if (!sound || !Number.isSafeInteger(snapshotSequence)) {
    throw EVENTS.MALFORMED_EVENT('an event lacks an attribute of its envelope', {
      details: { stream: message.stream, sequence: message.sequence },
    });
  }
  return { id, type, version, timeMs, source: headers[HEADERS.source] ?? '', snapshotSequence, aggregate };
}

/** Decodes and validates the whole event. @throws LetheError LETHE-2010 */
export function decodeEvent<Type extends string, Data>(
  definition: EventDefinition<Type, Data>,
  message: StoredMessage,
): RecordedEvent<Type, Data> {
  const { id, version, timeMs, source, aggregate } = readEnvelope(message);
  const details = { stream: message.stream, sequence: message.sequence, type: definition.type };
  let data: Data;
  try {
    data = definition.codec.decode(message.data);
  } catch (cause) {
    throw EVENTS.MALFORMED_EVENT(`the payload does not decode as ${definition.type}`, { details, cause });
  }
  const wrong = definition.validate?.(data);
  if (wrong !== undefined) throw EVENTS.MALFORMED_EVENT(`${definition.type}: ${wrong}`, { details });
  return { id, type: definition.type, data, version, sequence: message.sequence, timeMs, source, aggregate };
}
