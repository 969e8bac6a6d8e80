import type {
  Appended,
  AppendOptions,
  Bus,
  BusCounters,
  ConsumeOptions,
  Consumption,
  Delivery,
  OutgoingMessage,
  ReadOptions,
  ServerFacts,
  StoredMessage,
  StreamSettings,
  StreamState,
} from '../bus.ts';
import { EVENTS } from '../errors.ts';
import { subjectMatches } from '../subjects.ts';

const PAYLOAD_BYTES_MAX = 1024 * 1024;
/** What JetStream counts per message besides its bytes, so that a limit refuses at about the same place. */
const MESSAGE_OVERHEAD_BYTES = 30;

interface MemoryStream {
  settings: StreamSettings;
  messages: (StoredMessage | undefined)[];
  lastBySubject: Map<string, number>;
  idsSeen: Map<string, { sequence: number; atMs: number }>;
  bytes: number;
  durables: Map<string, Durable>;
}

interface Durable {
  /** Next sequence that was never delivered. */
  next: number;
  /** Delivered or given back, not acknowledged: attempts so far, and when it is due again. */
  open: Map<number, { attempts: number; dueMs: number }>;
  wake: Set<() => void>;
}

/** The bus in one process's memory, for simulations and unit tests. Nothing survives the process. */
export class MemoryBus implements Bus {
  readonly #streams = new Map<string, MemoryStream>();
  readonly #running = new Set<Consumption>();
  #appended = 0;
  #delivered = 0;
  #read = 0;

  async ensureStream(settings: StreamSettings): Promise<void> {
    const known = this.#streams.get(settings.name);
    if (known && known.bytes > settings.maxBytes) {
      throw EVENTS.LIMIT_BELOW_CONTENT(`${settings.name} holds more than its new limit`, {
        details: { stream: settings.name, bytes: known.bytes, limit: settings.maxBytes },
      });
    }
    if (known) known.settings = settings;
    else {
      this.#streams.set(settings.name, {
        settings,
        messages: [],
        lastBySubject: new Map(),
        idsSeen: new Map(),
        bytes: 0,
        durables: new Map(),
      });
    }
  }

  async append(
    name: string,
    subject: string,
    message: OutgoingMessage,
    options: AppendOptions = {},
  ): Promise<Appended> {
    const stream = this.#stream(name);
    if (!stream.settings.subjects.some((filter) => subjectMatches(filter, subject))) {
      throw EVENTS.STREAM_NOT_FOUND('no stream takes this subject', { details: { stream: name } });
    }
    if (message.data.length > PAYLOAD_BYTES_MAX) {
      throw EVENTS.MESSAGE_TOO_LARGE(`a message of ${message.data.length} bytes`, {
        details: { bytes: message.data.length, limit: PAYLOAD_BYTES_MAX },
      });
    }
    const nowMs = Date.now();
    const seen = stream.idsSeen.get(message.id);
    if (seen && nowMs - seen.atMs < (stream.settings.duplicateWindowMs ?? 120_000)) {
      return { sequence: seen.sequence, duplicate: true };
    }
    const expected = options.expectedLastSubjectSequence;
    if (expected !== undefined && (stream.lastBySubject.get(subject) ?? 0) !== expected) {
      throw EVENTS.WRONG_SEQUENCE(`another message is last on the subject`, { details: { expected } });
    }
    const sequence = stream.messages.length + 1;
    const stored: StoredMessage = {
      stream: name,
      subject,
      sequence,
      timeMs: nowMs,
      headers: { ...message.headers, 'Nats-Msg-Id': message.id },
      data: message.data.slice(),
    };
    if (stream.bytes + sizeOf(stored) > stream.settings.maxBytes) {
      throw EVENTS.STREAM_FULL(`${name} is at its limit`, {
        details: { stream: name, limit: stream.settings.maxBytes },
      });
    }
    stream.messages.push(stored);
    stream.bytes += sizeOf(stored);
    stream.lastBySubject.set(subject, sequence);
    stream.idsSeen.set(message.id, { sequence, atMs: nowMs });
    this.#appended++;
    for (const durable of stream.durables.values()) for (const wake of durable.wake) wake();
    return { sequence, duplicate: false };
  }

  async appendMany(
    stream: string,
    messages: Iterable<{ readonly subject: string; readonly message: OutgoingMessage }>,
  ): Promise<readonly Appended[]> {
    const done: Appended[] = [];
    for (const { subject, message } of messages) done.push(await this.append(stream, subject, message));
    return done;
  }

  async *read(name: string, subject: string, options: ReadOptions = {}): AsyncGenerator<StoredMessage> {
    const { messages } = this.#stream(name);
    for (let i = (options.fromSequence ?? 1) - 1; i < messages.length; i++) {
      const message = messages[i];
      if (options.toSequence !== undefined && i + 1 > options.toSequence) return;
      if (!message || !subjectMatches(subject, message.subject)) continue;
      this.#read++;
      yield options.headersOnly ? { ...message, data: new Uint8Array(0) } : message;
    }
  }

  async get(name: string, sequence: number): Promise<StoredMessage | undefined> {
    this.#read++;
    return this.#stream(name).messages[sequence - 1];
  }

  async last(name: string, subject: string): Promise<StoredMessage | undefined> {
    this.#read++;
    return this.#stream(name).messages.findLast((message) => message?.subject === subject);
  }

  async consume(options: ConsumeOptions): Promise<Consumption> {
    const stream = this.#stream(options.stream);
    const durable: Durable = stream.durables.get(options.durable) ?? {
      next: 1,
      open: new Map(),
      wake: new Set(),
    };
    stream.durables.set(options.durable, durable);
    const lanes = options.concurrency ?? 1;
    const ackWaitMs = options.ackWaitMs ?? 10_000;
    let stopping = false;
    const sleepers = new Set<() => void>();
    const wake = () => {
      for (const sleeper of sleepers) sleeper();
    };
    durable.wake.add(wake);

    const matches = (message: StoredMessage | undefined): message is StoredMessage =>
      message !== undefined && subjectMatches(options.filterSubject, message.subject);
    const take = (): { message: StoredMessage; attempt: number } | undefined => {
      for (const [sequence, entry] of durable.open) {
        const message = stream.messages[sequence - 1];
        if (!message) durable.open.delete(sequence);
        else if (entry.dueMs <= Date.now()) {
          entry.attempts++;
          entry.dueMs = Date.now() + ackWaitMs;
          return { message, attempt: entry.attempts };
        }
      }
      if (durable.open.size >= lanes) return undefined;
      while (durable.next <= stream.messages.length) {
        const message = stream.messages[durable.next++ - 1];
        if (!matches(message)) continue;
        durable.open.set(message.sequence, { attempts: 1, dueMs: Date.now() + ackWaitMs });
        return { message, attempt: 1 };
      }
      return undefined;
    };
    const run = async (): Promise<void> => {
      while (!stopping) {
        const taken = take();
        if (taken) {
          this.#delivered++;
          const delivery = deliveryOf(taken.message, taken.attempt, durable, ackWaitMs);
          try {
            await options.handler(delivery);
          } catch {
            delivery.nak(1_000);
          }
          continue;
        }
        const dueMs = Math.min(1_000, ...[...durable.open.values()].map((entry) => entry.dueMs - Date.now()));
        const { promise, resolve } = Promise.withResolvers<void>();
        const timer = setTimeout(resolve, Math.max(1, dueMs));
        sleepers.add(resolve);
        await promise;
        sleepers.delete(resolve);
        clearTimeout(timer);
      }
    };
    const running = Array.from({ length: lanes }, run);
    const consumption: Consumption = {
      stop: async () => {
        stopping = true;
        for (const each of durable.wake) each();
        await Promise.all(running);
        durable.wake.delete(wake);
        this.#running.delete(consumption);
      },
      lag: async () => durable.open.size + stream.messages.slice(durable.next - 1).filter(matches).length,
    };
    this.#running.add(consumption);
    return consumption;
  }

  async deleteMessageSecurely(name: string, sequence: number): Promise<boolean> {
    const stream = this.#stream(name);
    const message = stream.messages[sequence - 1];
    if (!message) return false;
    message.data.fill(0);
    stream.messages[sequence - 1] = undefined;
    stream.bytes -= sizeOf(message);
    const before = stream.messages.findLast((other) => other?.subject === message.subject);
    if (before) stream.lastBySubject.set(message.subject, before.sequence);
    else stream.lastBySubject.delete(message.subject);
    return true;
  }

  async streamState(name: string): Promise<StreamState> {
    const { messages, bytes, settings } = this.#stream(name);
    return {
      messages: messages.filter((message) => message !== undefined).length,
      bytes,
      maxBytes: settings.maxBytes,
      firstSequence: messages.findIndex((message) => message !== undefined) + 1,
      lastSequence: messages.length,
    };
  }

  counters(): BusCounters {
    return { appended: this.#appended, delivered: this.#delivered, read: this.#read };
  }

  server(): ServerFacts {
    return { version: 'memory', clustered: false, payloadBytesMax: PAYLOAD_BYTES_MAX };
  }

  async close(): Promise<void> {
    await Promise.all([...this.#running].map((consumption) => consumption.stop()));
  }

  #stream(name: string): MemoryStream {
    const stream = this.#streams.get(name);
    if (!stream) throw EVENTS.STREAM_NOT_FOUND(`there is no stream ${name}`, { details: { stream: name } });
    return stream;
  }
}

function sizeOf(message: StoredMessage): number {
  let size = MESSAGE_OVERHEAD_BYTES + message.subject.length + message.data.length;
  for (const [name, value] of Object.entries(message.headers)) size += name.length + value.length + 4;
  return size;
}

function deliveryOf(message: StoredMessage, attempt: number, durable: Durable, ackWaitMs: number): Delivery {
  const entry = durable.open.get(message.sequence);
  const giveBack = (delayMs: number) => {
    if (entry && durable.open.get(message.sequence) === entry) {
      entry.dueMs = Date.now() + delayMs;
    }
  };
  return {
    ...message,
    attempt,
    ack: () => void durable.open.delete(message.sequence),
    nak: giveBack,
    term: () => void durable.open.delete(message.sequence),
    working: () => giveBack(ackWaitMs),
  };
}
