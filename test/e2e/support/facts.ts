/** The event stream as an outsider to the platform sees it. */
import { EVENT, type events } from '@lethe/contracts';
import { aggregateSubject, connectJetStream, decodeEvent, readEnvelope, STREAMS } from '@lethe/events';
import { hex, sha256 } from '@lethe/std';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import { TENANT } from './platform.ts';

/** Facts as they pass the server: seen at once, a moment before they are stored. */
export class Facts {
  readonly #connection: NatsConnection;
  readonly #counts = new Map<string, number>();
  readonly #waiting = new Set<() => void>();

  private constructor(connection: NatsConnection) {
    this.#connection = connection;
  }

  /** Counts what is stored already, then what passes. @param subject default all events */
  static async watch(natsUrl: string, subject = 'lethe.v1.>'): Promise<Facts> {
    const { host, username, password } = new URL(natsUrl);
    const user = username === '' ? {} : { user: username, pass: password };
    const connection = await connect({ servers: host, reconnect: false, ...user });
    const facts = new Facts(connection);
    const subscription = connection.subscribe(subject);
    await connection.flush();
    void (async () => {
      for await (const message of subscription) facts.#saw(message.headers?.get('ce-type') ?? '');
    })();
    for (const type of await storedTypes(natsUrl)) facts.#saw(type);
    return facts;
  }

  #saw(type: string): void {
    this.#counts.set(type, (this.#counts.get(type) ?? 0) + 1);
    for (const look of this.#waiting) look();
  }

  count(type: string): number {
    return this.#counts.get(type) ?? 0;
  }

  /** Settles in the same turn in which the fact passes. Never, if the server is gone before. */
  async until(type: string, count = 1): Promise<void> {
    if (this.count(type) >= count) return;
    await new Promise<void>((done) => {
      const look = (): void => {
        if (this.count(type) < count) return;
        this.#waiting.delete(look);
        done();
      };
      this.#waiting.add(look);
    });
  }

  async close(): Promise<void> {
    await this.#connection.close();
  }
}

async function withBus<T>(
  natsUrl: string,
  work: (bus: Awaited<ReturnType<typeof connectJetStream>>) => Promise<T>,
): Promise<T> {
  const bus = await connectJetStream({ url: natsUrl, name: 'test' });
  try {
    return await work(bus);
  } finally {
    await bus.close();
  }
}

async function storedTypes(natsUrl: string): Promise<string[]> {
  return await withBus(natsUrl, async (bus) => {
    const types: string[] = [];
    for await (const message of bus.read(STREAMS.events, 'lethe.v1.>'))
      types.push(readEnvelope(message).type);
    return types;
  });
}

/** Waits until nothing but a crash of the disk could take the fact away again. */
export async function isStored(natsUrl: string, type: string): Promise<boolean> {
  return (await storedTypes(natsUrl)).includes(type);
}

/** Statements of the transparency log, as the fold accepts them. */
export async function logStatements(natsUrl: string): Promise<{ type: string; digest: string }[]> {
  return await withBus(natsUrl, async (bus) => {
    const statements: { type: string; digest: string }[] = [];
    let version = 0;
    const subject = aggregateSubject({ tenant: TENANT, type: 'log', id: 'log' });
    for await (const message of bus.read(STREAMS.events, subject)) {
      if (readEnvelope(message).version !== version + 1) continue;
      version++;
      const { statement } = decodeEvent(EVENT.logAppended, message).data;
      const { type } = JSON.parse(new TextDecoder().decode(statement)) as { type: string };
      statements.push({ type, digest: hex(sha256(statement)) });
    }
    return statements;
  });
}

/** Charges of a DP run, in order. */
export async function charges(natsUrl: string, run: string): Promise<events.PrivacySpent[]> {
  return await withBus(natsUrl, async (bus) => {
    const found: events.PrivacySpent[] = [];
    let version = 0;
    const subject = aggregateSubject({ tenant: TENANT, type: 'training-run', id: run });
    for await (const message of bus.read(STREAMS.events, subject)) {
      const envelope = readEnvelope(message);
      if (envelope.version !== version + 1) continue;
      version++;
      if (envelope.type === EVENT.privacySpent.type)
        found.push(decodeEvent(EVENT.privacySpent, message).data);
    }
    return found;
  });
}

/** Sealed records as they lie on the stream. @param alias default everybody's */
export async function sealedRecords(
  natsUrl: string,
  dataset: string,
  alias = '*',
): Promise<{ readonly recordKey: string; readonly sealed: Uint8Array }[]> {
  return await withBus(natsUrl, async (bus) => {
    const found = [];
    for await (const message of bus.read(STREAMS.records, `lethe.records.v1.${TENANT}.${dataset}.${alias}`)) {
      found.push({ recordKey: message.headers['lethe-record'] ?? '', sealed: message.data });
    }
    return found;
  });
}
