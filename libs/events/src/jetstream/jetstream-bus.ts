import { assert, type LetheError, type Logger, silentLogger, sleep } from '@lethe/std';
import { counter } from '@lethe/telemetry';
import {
  AckPolicy,
  DeliverPolicy,
  DiscardPolicy,
  JetStreamApiError,
  type JetStreamClient,
  type JetStreamManager,
  jetstream,
  jetstreamManager,
  type MsgRequest,
  RetentionPolicy,
  StorageType,
  type StoredMsg,
  type StreamConfig,
  type StreamInfo,
} from '@nats-io/jetstream';
import {
  connect,
  headers as emptyHeaders,
  type MsgHdrs,
  type NatsConnection,
  nanos,
} from '@nats-io/transport-node';
import type {
  Appended,
  AppendOptions,
  Bus,
  BusCounters,
  ConsumeOptions,
  Consumption,
  OutgoingMessage,
  ReadOptions,
  ServerFacts,
  StoredMessage,
  StreamSettings,
  StreamState,
} from '../bus.ts';
import { EVENTS } from '../errors.ts';
import { subjectToken } from '../subjects.ts';
import { PullConsumption } from './consumption.ts';
import { type DiskRoom, Headroom } from './headroom.ts';
import { isTransient, translate } from './translate.ts';
import { assertServerVersion } from './version.ts';

/** A leader's election took 6.8 s after a kill; four of them fit. */
const APPEND_DEADLINE_MS = 30_000;
const REQUEST_TIMEOUT_MS = 5_000;
/** A server that is up answers in milliseconds, but both sides may be starting on a busy machine; where nobody listens the refusal is immediate. */
const CONNECT_TIMEOUT_MS = 20_000;
/** Appends in flight in `appendMany`: 512 reached the highest rate in a sweep from 1 to 4,096. */
const APPEND_WINDOW = 512;
/** Messages read one by one from the leader before a consumer is worth its creation. */
const SINGLE_READS_MAX = 12;
const BULK_MESSAGES = 1_000;
/** JetStream's code for a stream that is not there. */
const STREAM_NOT_FOUND = 10059;

const appendedTotal = counter('lethe.bus.appended', {
  description: 'Messages stored by JetStream',
  unit: '{message}',
});

export interface JetStreamBusOptions {
  /** `nats://host:port`, several separated by commas, with `user:password@` where the server wants one. */
  readonly url: string;
  /** Shown by the server beside the connection. */
  readonly name: string;
  /** Put before every stream and subject: letters, digits, `_`, `-`. Default none. */
  readonly instancePrefix?: string;
  readonly logger?: Logger;
  /** How long an append goes on over lost leaders and connections; default 30 s, at least 15 s in production. */
  readonly appendDeadlineMs?: number;
  /** Room on the server's disk, where it can be seen: appends are refused (LETHE-2002) before it is used up. */
  readonly diskRoom?: DiskRoom;
}

/**
 * Connects and checks the server.
 * @throws LetheError LETHE-2005 no server answers; LETHE-2021 it is too old; LETHE-2023 it has no JetStream
 */
export async function connectJetStream(options: JetStreamBusOptions): Promise<JetStreamBus> {
  const { servers, user, pass } = parseUrl(options.url);
  let connection: NatsConnection;
  try {
    connection = await connect({
      servers,
      ...(user === undefined ? {} : { user }),
      ...(pass === undefined ? {} : { pass }),
      name: options.name,
      timeout: CONNECT_TIMEOUT_MS,
      maxReconnectAttempts: -1,
      reconnectTimeWait: 250,
      pingInterval: 10_000,
    });
  } catch (cause) {
    throw EVENTS.BUS_UNAVAILABLE(`no nats-server answers at ${servers.join(', ')}`, { cause });
  }
  try {
    const info = connection.info;
    assert(info, 'a connection has the facts of its server');
    assertServerVersion(info.version, info.cluster !== undefined && info.cluster !== '');
    const manager = await jetstreamManager(connection, { timeout: REQUEST_TIMEOUT_MS }).catch(
      (cause: unknown) => {
        throw EVENTS.JETSTREAM_DISABLED(`the nats-server at ${servers.join(', ')} has no JetStream`, {
          cause,
        });
      },
    );
    return new JetStreamBus(connection, manager, options);
  } catch (error) {
    await connection.close();
    throw error;
  }
}

function parseUrl(url: string): { servers: string[]; user?: string; pass?: string } {
  const parsed = url.split(',').map((part) => new URL(part.includes('://') ? part : `nats://${part}`));
  const first = parsed[0];
  assert(first, 'splitting a text gives at least one part');
  const servers = parsed.map((part) => `${part.hostname}:${part.port || '4222'}`);
  return {
    servers,
    ...(first.username ? { user: decodeURIComponent(first.username) } : {}),
    ...(first.password ? { pass: decodeURIComponent(first.password) } : {}),
  };
}

/** The bus over NATS JetStream, with the semantics of nats-server 2.9. */
export class JetStreamBus implements Bus {
  readonly #connection: NatsConnection;
  readonly #manager: JetStreamManager;
  readonly #client: JetStreamClient;
  readonly #prefix: string;
  readonly #logger: Logger;
  readonly #appendDeadlineMs: number;
  readonly #consumptions = new Set<PullConsumption>();
  readonly #headroom: Headroom;
  #appended = 0;
  #delivered = 0;
  #read = 0;

  constructor(connection: NatsConnection, manager: JetStreamManager, options: JetStreamBusOptions) {
    this.#connection = connection;
    this.#manager = manager;
    this.#client = jetstream(connection, { timeout: REQUEST_TIMEOUT_MS });
    this.#prefix = options.instancePrefix ? subjectToken('instance prefix', options.instancePrefix) : '';
    this.#logger = options.logger ?? silentLogger;
    this.#headroom = new Headroom((stream) => this.streamState(stream), options.diskRoom);
    this.#appendDeadlineMs = options.appendDeadlineMs ?? APPEND_DEADLINE_MS;
  }

  async ensureStream(settings: StreamSettings): Promise<void> {
    const wanted: Partial<StreamConfig> & { name: string } = {
      name: this.#streamName(settings.name),
      subjects: settings.subjects.map((subject) => this.#subject(subject)),
      retention: RetentionPolicy.Limits,
      storage: StorageType.File,
      discard: DiscardPolicy.New,
      max_bytes: settings.maxBytes,
      num_replicas: settings.replicas ?? 1,
      duplicate_window: nanos(settings.duplicateWindowMs ?? 120_000),
      deny_delete: false,
      deny_purge: false,
    };
    // Asked for first: a server counts the bytes of a stream that is there twice when it is added again.
    await this.#settingUp(settings.name, async () => {
      const present = await this.#present(wanted.name);
      if (!present) await this.#manager.streams.add({ ...wanted });
      else await this.#updateStream(settings, wanted, present);
    });
    const { config } = await this.#settingUp(settings.name, () => this.#manager.streams.info(wanted.name));
    const [different] = differences(wanted, config);
    if (different) {
      const { field, value, stored } = different;
      throw EVENTS.STREAM_SETTINGS_REFUSED(`${settings.name}: the server keeps another ${field}`, {
        details: { stream: settings.name, field, wanted: String(value), stored: String(stored) },
      });
    }
  }

  async #present(name: string): Promise<StreamInfo | undefined> {
    try {
      return await this.#manager.streams.info(name);
    } catch (error) {
      if (error instanceof JetStreamApiError && error.code === STREAM_NOT_FOUND) return undefined;
      throw error;
    }
  }

  /** A server that is given a limit below what it holds deletes the oldest messages: such a limit is never sent. */
  async #updateStream(
    settings: StreamSettings,
    wanted: Partial<StreamConfig> & { name: string },
    { state: { bytes }, config }: StreamInfo,
  ): Promise<void> {
    if (bytes > settings.maxBytes) {
      throw EVENTS.LIMIT_BELOW_CONTENT(`${settings.name} holds ${bytes} bytes, more than its new limit`, {
        details: { stream: settings.name, bytes, limit: settings.maxBytes },
      });
    }
    if (!differences(wanted, config).length) return;
    await this.#manager.streams.update(wanted.name, { ...wanted });
  }

  /** Streams are set up while servers of a cluster still find each other: transient answers are waited out. */
  async #settingUp<T>(stream: string, work: () => Promise<T>): Promise<T> {
    try {
      return await this.#patiently(work);
    } catch (error) {
      const coded = translate(error, stream);
      if (coded.reason !== 'STREAM_FULL') throw coded;
      throw EVENTS.STORAGE_TOO_SMALL(`${stream}: its bytes cannot be reserved`, {
        details: { stream },
        cause: error,
      });
    }
  }

  async append(
    stream: string,
    subject: string,
    message: OutgoingMessage,
    options: AppendOptions = {},
  ): Promise<Appended> {
    const limit = this.server().payloadBytesMax;
    if (message.data.length > limit) {
      throw EVENTS.MESSAGE_TOO_LARGE(`a message of ${message.data.length} bytes`, {
        details: { stream, bytes: message.data.length, limit },
      });
    }
    const expect: { streamName: string; lastSubjectSequence?: number } = {
      streamName: this.#streamName(stream),
    };
    if (options.expectedLastSubjectSequence !== undefined) {
      expect.lastSubjectSequence = options.expectedLastSubjectSequence;
    }
    const settled = await this.#headroom.take(stream, storedBytesMax(this.#subject(subject), message));
    try {
      const ack = await this.#patiently(() =>
        this.#client.publish(this.#subject(subject), message.data, {
          msgID: message.id,
          headers: headersOf(message),
          expect,
        }),
      );
      if (!ack.duplicate) this.#appended++;
      appendedTotal(1, { stream });
      return { sequence: ack.seq, duplicate: ack.duplicate };
    } catch (error) {
      throw translate(error, stream);
    } finally {
      settled();
    }
  }

  async appendMany(
    stream: string,
    messages: Iterable<{ readonly subject: string; readonly message: OutgoingMessage }>,
  ): Promise<readonly Appended[]> {
    const done: Appended[] = [];
    const source = messages[Symbol.iterator]();
    let next = 0;
    let refused: unknown;
    const lane = async (): Promise<void> => {
      while (refused === undefined) {
        const item = source.next();
        if (item.done) return;
        const at = next++;
        try {
          done[at] = await this.append(stream, item.value.subject, item.value.message);
        } catch (error) {
          refused ??= error;
        }
      }
    };
    await Promise.all(Array.from({ length: APPEND_WINDOW }, lane));
    if (refused !== undefined) throw refused;
    return done;
  }

  async *read(stream: string, subject: string, options: ReadOptions = {}): AsyncGenerator<StoredMessage> {
    const { fromSequence = 1, toSequence: last = Number.MAX_SAFE_INTEGER, headersOnly = false } = options;
    let next = fromSequence;
    let singles = options.large ? 1 : SINGLE_READS_MAX;
    // A single read comes with its data.
    if (headersOnly) singles = 0;
    // Single reads from the leader end it, and begin it where they pay: a consumer may live on a follower that lags, or lose its server.
    for (;;) {
      for (let single = 0; single < singles; single++) {
        const message = await this.#nextFromLeader(stream, subject, next);
        if (!message || message.sequence > last) return;
        yield headersOnly ? { ...message, data: new Uint8Array(0) } : message;
        next = message.sequence + 1;
      }
      for await (const message of this.#bulk(stream, subject, next, headersOnly)) {
        if (message.sequence > last) return;
        yield message;
        next = message.sequence + 1;
      }
      singles = SINGLE_READS_MAX;
    }
  }

  async get(stream: string, sequence: number): Promise<StoredMessage | undefined> {
    return await this.#fetch(stream, { seq: sequence });
  }

  async last(stream: string, subject: string): Promise<StoredMessage | undefined> {
    return await this.#fetch(stream, { last_by_subj: this.#subject(subject) });
  }

  async consume(options: ConsumeOptions): Promise<Consumption> {
    const consumption = new PullConsumption({
      manager: this.#manager,
      client: this.#client,
      stream: this.#streamName(options.stream),
      durable: this.#prefix === '' ? options.durable : `${this.#prefix}_${options.durable}`,
      filterSubject: this.#subject(options.filterSubject),
      concurrency: options.concurrency ?? 1,
      ackWaitMs: options.ackWaitMs ?? 10_000,
      logger: this.#logger,
      handle: async (message, controls) => {
        this.#delivered++;
        await options.handler({
          ...this.#stored(options.stream, message.subject, message.seq, message.timestampNanos, message),
          ...controls,
        });
      },
      onStopped: () => this.#consumptions.delete(consumption),
    });
    try {
      await this.#patiently(() => consumption.start());
    } catch (error) {
      throw translate(error, options.stream);
    }
    this.#consumptions.add(consumption);
    return consumption;
  }

  async deleteMessageSecurely(stream: string, sequence: number): Promise<boolean> {
    // A cluster of 2.10.27 never answers a second deletion of the same message: it is asked only for what is there.
    if (this.server().clustered && (await this.get(stream, sequence)) === undefined) return false;
    try {
      return await this.#patiently(() =>
        this.#manager.streams.deleteMessage(this.#streamName(stream), sequence, true),
      );
    } catch (error) {
      // 10057: sequence not found. 10043: the message was deleted before; both mean that nothing is left to delete.
      if (error instanceof JetStreamApiError && [10057, 10043, 10037].includes(error.code)) return false;
      throw translate(error, stream);
    }
  }

  async streamState(stream: string): Promise<StreamState> {
    const { state, config } = await this.#asking(stream, () =>
      this.#manager.streams.info(this.#streamName(stream)),
    );
    return {
      messages: state.messages,
      bytes: state.bytes,
      maxBytes: config.max_bytes,
      firstSequence: state.first_seq,
      lastSequence: state.last_seq,
    };
  }

  counters(): BusCounters {
    return { appended: this.#appended, delivered: this.#delivered, read: this.#read };
  }

  server(): ServerFacts {
    const info = this.#connection.info;
    assert(info, 'a connection has the facts of its server');
    return {
      version: info.version,
      clustered: info.cluster !== undefined && info.cluster !== '',
      payloadBytesMax: info.max_payload,
    };
  }

  async close(): Promise<void> {
    await Promise.all([...this.#consumptions].map((consumption) => consumption.stop()));
    // Acknowledgements are sent without an answer: flush them before the socket goes.
    await Promise.race([this.#connection.flush().catch(() => undefined), sleep(1_000)]);
    await this.#connection.close();
  }

  async #fetch(stream: string, query: MsgRequest): Promise<StoredMessage | undefined> {
    const found = await this.#asking(stream, () =>
      this.#manager.streams.getMessage(this.#streamName(stream), query),
    );
    if (!found) return undefined;
    this.#read++;
    return this.#fromStore(stream, found);
  }

  /** The stream's leader answers this request, so a writer that has its PubAck also finds its message. */
  async #nextFromLeader(stream: string, subject: string, from: number): Promise<StoredMessage | undefined> {
    const query: MsgRequest & { next_by_subj: string } = { seq: from, next_by_subj: this.#subject(subject) };
    return await this.#fetch(stream, query);
  }

  /** Many messages at a time, up to what was there when it began; may end early. */
  async *#bulk(
    stream: string,
    subject: string,
    from: number,
    headersOnly: boolean,
  ): AsyncGenerator<StoredMessage> {
    const streamName = this.#streamName(stream);
    const info = await this.#asking(stream, () =>
      this.#manager.consumers.add(streamName, {
        ack_policy: AckPolicy.None,
        deliver_policy: DeliverPolicy.StartSequence,
        opt_start_seq: from,
        filter_subject: this.#subject(subject),
        headers_only: headersOnly,
        inactive_threshold: nanos(30_000),
        mem_storage: true,
        num_replicas: 1,
      }),
    );
    try {
      let left = info.num_pending;
      const consumer = this.#client.consumers.getConsumerFromInfo(info);
      while (left > 0) {
        let got = 0;
        const batch = await consumer.fetch({ max_messages: Math.min(left, BULK_MESSAGES), expires: 5_000 });
        for await (const message of batch) {
          got++;
          this.#read++;
          yield this.#stored(stream, message.subject, message.seq, message.timestampNanos, message);
        }
        if (got === 0) return;
        left -= got;
      }
    } catch (error) {
      // The reader goes on from the leader where this broke off.
      if (!isTransient(error)) throw translate(error, stream);
    } finally {
      await this.#manager.consumers.delete(streamName, info.name).catch(() => undefined);
    }
  }

  async #asking<T>(stream: string, work: () => Promise<T>): Promise<T> {
    try {
      return await this.#patiently(work);
    } catch (error) {
      throw translate(error, stream) satisfies LetheError;
    }
  }

  /** Repeats what is safe to repeat (reads; appends by their id) until it is answered or the deadline passes. */
  async #patiently<T>(work: () => Promise<T>): Promise<T> {
    const deadline = Date.now() + this.#appendDeadlineMs;
    for (let round = 0; ; round++) {
      try {
        return await work();
      } catch (error) {
        const pauseMs = Math.min(100 * 2 ** round, 1_000);
        if (!isTransient(error) || this.#connection.isClosed() || Date.now() + pauseMs > deadline)
          throw error;
        await sleep(pauseMs);
      }
    }
  }

  #streamName(logical: string): string {
    return this.#prefix === '' ? logical : `${this.#prefix}_${logical}`;
  }

  #subject(logical: string): string {
    return this.#prefix === '' ? logical : `${this.#prefix}.${logical}`;
  }

  #logicalSubject(physical: string): string {
    return this.#prefix === '' ? physical : physical.slice(this.#prefix.length + 1);
  }

  #fromStore(stream: string, message: StoredMsg): StoredMessage {
    return {
      stream,
      subject: this.#logicalSubject(message.subject),
      sequence: message.seq,
      timeMs: message.time.getTime(),
      headers: headerMap(message.header),
      data: message.data,
    };
  }

  #stored(
    stream: string,
    subject: string,
    sequence: number,
    timeNanos: bigint,
    message: { headers: MsgHdrs | undefined; data: Uint8Array },
  ): StoredMessage {
    return {
      stream,
      subject: this.#logicalSubject(subject),
      sequence,
      timeMs: Number(timeNanos / 1_000_000n),
      headers: headerMap(message.headers),
      data: message.data,
    };
  }
}

/** Fields that the server keeps otherwise than wanted. */
const differences = (wanted: Partial<StreamConfig>, kept: StreamConfig) =>
  Object.entries(wanted)
    .map(([field, value]) => ({ field, value, stored: kept[field as keyof StreamConfig] ?? false }))
    .filter(({ value, stored }) => JSON.stringify(stored) !== JSON.stringify(value));

/** Framing of the server's store, its own headers (id, expected stream and sequence) and the lines of ours, rounded up. */
const STORED_OVERHEAD_BYTES = 512;

function storedBytesMax(subject: string, message: OutgoingMessage): number {
  let bytes = STORED_OVERHEAD_BYTES + subject.length + message.id.length + message.data.length;
  for (const [key, value] of Object.entries(message.headers ?? {})) {
    bytes += Buffer.byteLength(key) + Buffer.byteLength(value) + 4;
  }
  return bytes;
}

function headersOf(message: OutgoingMessage): MsgHdrs {
  const out = emptyHeaders();
  for (const [name, value] of Object.entries(message.headers ?? {})) out.set(name, value);
  return out;
}

function headerMap(source: MsgHdrs | undefined): Readonly<Record<string, string>> {
  const out: Record<string, string> = {};
  if (source) for (const [name, values] of source) out[name] = values[0] ?? '';
  return out;
}
