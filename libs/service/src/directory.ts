import { aggregateFilter, type Bus, readEnvelope, STREAMS, type StoredMessage } from '@lethe/events';

/** One aggregate as a directory knows it. */
export interface Listed {
  readonly tenant: string;
  readonly id: string;
  /** Stream position of its first event: the order of listing. */
  readonly sequence: number;
}

/**
 * Which aggregates of a type there are, and what can be said of each without loading it: aggregates know themselves only. In
 * memory, read from the stream at each question from where the last one stopped, by the fold's rule (the first event of a
 * version counts).
 */
export class Directory<Entry extends object = object> {
  readonly #bus: Bus;
  readonly #filter: string;
  readonly #fold: (before: Entry | undefined, message: StoredMessage) => Entry;
  readonly #listed = new Map<
    string,
    { readonly version: number; readonly at: Listed; readonly entry: Entry }
  >();
  #next = 1;
  #turn: Promise<void> = Promise.resolve();

  /** @param fold what is kept of each aggregate, from its accepted events; `before` is undefined at the first */
  constructor(bus: Bus, type: string, fold: (before: Entry | undefined, message: StoredMessage) => Entry) {
    this.#bus = bus;
    this.#filter = aggregateFilter({ type });
    this.#fold = fold;
  }

  /** Oldest first. */
  async all(): Promise<readonly (Listed & Entry)[]> {
    const mine = this.#turn.then(() => this.#read());
    this.#turn = mine.catch(() => undefined);
    await mine;
    return this.#listed
      .values()
      .map(({ at, entry }) => ({ ...at, ...entry }))
      .toArray();
  }

  async ofTenant(tenant: string): Promise<readonly (Listed & Entry)[]> {
    return (await this.all()).filter((listed) => listed.tenant === tenant);
  }

  async #read(): Promise<void> {
    for await (const message of this.#bus.read(STREAMS.events, this.#filter, { fromSequence: this.#next })) {
      const { version, aggregate } = readEnvelope(message);
      const known = this.#listed.get(message.subject);
      if (version === (known?.version ?? 0) + 1) {
        const at = known?.at ?? { tenant: aggregate.tenant, id: aggregate.id, sequence: message.sequence };
        this.#listed.set(message.subject, { version, at, entry: this.#fold(known?.entry, message) });
      }
      this.#next = message.sequence + 1;
    }
  }
}

/** A directory of ids alone. */
export const directoryOf = (bus: Bus, type: string): Directory => new Directory(bus, type, () => ({}));
