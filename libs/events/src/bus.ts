/**
 * The bus as a port: an append-only log with an order per stream, a conditional append per subject, durable consumers
 * with explicit acknowledgement, and deletion that overwrites. `jetstream/` is the real one, `memory/` the one for
 * simulations; `test/conformance/bus.ts` holds both to the same behaviour.
 *
 * Names of streams and subjects are logical here. An adapter adds its *instance prefix*, so that several platforms (or
 * tests) share one server without seeing each other.
 */

export interface OutgoingMessage {
  /** Becomes `Nats-Msg-Id`: appending it again within the stream's duplicate window stores nothing and says so. */
  readonly id: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly data: Uint8Array;
}

export interface StoredMessage {
  readonly stream: string;
  readonly subject: string;
  /** Position in the stream, from 1. */
  readonly sequence: number;
  /** When the server stored it, milliseconds since 1970. */
  readonly timeMs: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly data: Uint8Array;
}

/** One attempt at handling a message. Exactly one of `ack`, `nak`, `term` ends it. */
export interface Delivery extends StoredMessage {
  /** 1 for the first delivery. */
  readonly attempt: number;
  ack(): void;
  /** Deliver again after the delay. Always with one: a bare nak is redelivered within a millisecond. */
  nak(delayMs: number): void;
  /** Never deliver again. Without a reason: nats-server 2.9 ignores a term that carries one. */
  term(): void;
  /** Restart the ack timer. */
  working(): void;
}

export interface AppendOptions {
  /** Sequence of the last message on this very subject, 0 for none; otherwise LETHE-2003. */
  readonly expectedLastSubjectSequence?: number;
}

export interface Appended {
  readonly sequence: number;
  /** The id was there already; `sequence` is where. */
  readonly duplicate: boolean;
}

export interface StreamSettings {
  readonly name: string;
  readonly subjects: readonly string[];
  /** Reserved when the stream is created; a full stream refuses (LETHE-2002) and keeps everything it has. */
  readonly maxBytes: number;
  readonly replicas?: number;
  /** Default 120 s. Convenience only: correctness rests on the fold. */
  readonly duplicateWindowMs?: number;
}

export interface StreamState {
  readonly messages: number;
  readonly bytes: number;
  readonly maxBytes: number;
  readonly firstSequence: number;
  readonly lastSequence: number;
}

export interface ReadOptions {
  /** First sequence to read, default 1. */
  readonly fromSequence?: number;
  /** Last sequence to read, default the end as it is when reached. */
  readonly toSequence?: number;
  /** Messages come with their headers and without data: for whoever wants to know what is there. */
  readonly headersOnly?: boolean;
  /** The messages are large: they come by a consumer, not one by one as text, as soon as there are two. */
  readonly large?: boolean;
}

export interface ConsumeOptions {
  readonly stream: string;
  /** Survives restarts; two processes with one durable share its messages. */
  readonly durable: string;
  /** One filter: several need nats-server 2.10. */
  readonly filterSubject: string;
  /** A handler that throws gives the message back after a second. */
  readonly handler: (delivery: Delivery) => Promise<void>;
  /** Messages in flight at once. 1 (the default) keeps strict order, also over redeliveries. */
  readonly concurrency?: number;
  /** Redelivered if neither acknowledged nor `working()` for so long; default 10 s. */
  readonly ackWaitMs?: number;
}

export interface Consumption {
  /** Takes no more messages and waits for the handlers that run. */
  stop(): Promise<void>;
  /** Messages not yet acknowledged, those never delivered included. */
  lag(): Promise<number>;
}

/** What crossed the bus since it was opened: a test can see that a story really went through it. */
export interface BusCounters {
  readonly appended: number;
  readonly delivered: number;
  readonly read: number;
}

export interface ServerFacts {
  readonly version: string;
  readonly clustered: boolean;
  readonly payloadBytesMax: number;
}

export interface Bus {
  /**
   * Creates or updates, then reads the settings back and compares.
   * @throws LetheError LETHE-2006 the server dropped or changed a setting; LETHE-2009 the bytes cannot be reserved; LETHE-2016
   * the stream holds more than the new limit
   */
  ensureStream(settings: StreamSettings): Promise<void>;
  /**
   * Returns once the message is stored. Retries with the same id for at least 15 s over the loss of a leader.
   * @throws LetheError LETHE-2002 full; LETHE-2003 another message is last on the subject; LETHE-2005; LETHE-2008
   */
  append(
    stream: string,
    subject: string,
    message: OutgoingMessage,
    options?: AppendOptions,
  ): Promise<Appended>;
  /** Unconditional appends with many in flight, answers in the order of the input. At the first refusal it stops and throws. */
  appendMany(
    stream: string,
    messages: Iterable<{ readonly subject: string; readonly message: OutgoingMessage }>,
  ): Promise<readonly Appended[]>;
  /** Every message whose subject matches (`*` one token, `>` the rest), in order, up to the present end. */
  read(stream: string, subject: string, options?: ReadOptions): AsyncIterable<StoredMessage>;
  /** `undefined` where the message never existed or was deleted. */
  get(stream: string, sequence: number): Promise<StoredMessage | undefined>;
  /** The last message on a subject. */
  last(stream: string, subject: string): Promise<StoredMessage | undefined>;
  consume(options: ConsumeOptions): Promise<Consumption>;
  /** Overwrites the message in place. @returns false where there was none */
  deleteMessageSecurely(stream: string, sequence: number): Promise<boolean>;
  streamState(stream: string): Promise<StreamState>;
  counters(): BusCounters;
  server(): ServerFacts;
  /** Stops every consumption, then the connection. */
  close(): Promise<void>;
}
