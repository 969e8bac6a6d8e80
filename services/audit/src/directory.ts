import { EVENT } from '@lethe/contracts';
import { aggregateFilter, type Bus, readEnvelope, STREAMS } from '@lethe/events';

/** Which audits there are, oldest first: read from the stream at each question from where the last one stopped. */
export class Directory {
  readonly #bus: Bus;
  readonly #audits: { readonly tenant: string; readonly id: string }[] = [];
  #next = 1;
  #turn: Promise<void> = Promise.resolve();

  constructor(bus: Bus) {
    this.#bus = bus;
  }

  async all(): Promise<readonly { readonly tenant: string; readonly id: string }[]> {
    const mine = this.#turn.then(() => this.#read());
    this.#turn = mine.catch(() => undefined);
    await mine;
    return this.#audits;
  }

  /** Ids of a tenant's audits. */
  async ofTenant(tenant: string): Promise<readonly string[]> {
    return (await this.all()).filter((audit) => audit.tenant === tenant).map((audit) => audit.id);
  }

  async #read(): Promise<void> {
    const filter = aggregateFilter({ type: 'audit' });
    for await (const message of this.#bus.read(STREAMS.events, filter, { fromSequence: this.#next })) {
      this.#next = message.sequence + 1;
      const { type, version, aggregate } = readEnvelope(message);
      const isKnown = this.#audits.some(
        ({ tenant, id }) => tenant === aggregate.tenant && id === aggregate.id,
      );
      if (type === EVENT.auditCreated.type && version === 1 && !isKnown) this.#audits.push(aggregate);
    }
  }
}
