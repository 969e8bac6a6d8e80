import { EVENT } from '@lethe/contracts';
import { aggregateFilter, type Bus, decodeEvent, readEnvelope, STREAMS } from '@lethe/events';

/** One erasure as the directory knows it. */
export interface Listed {
  readonly tenant: string;
  readonly id: string;
  /** Stream position of its request: the order of listing. */
  readonly sequence: number;
  readonly alias: string;
  readonly ended: boolean;
  /** Ended before anything was erased: the person may be requested again. */
  readonly failed: boolean;
}

const ENDINGS: ReadonlySet<string> = new Set([
  EVENT.erasureCertified.type,
  EVENT.erasurePartial.type,
  EVENT.erasureFailed.type,
]);

/**
 * Which erasures there are: aggregates know themselves only. In memory, read from the stream at each question from where the
 * last one stopped, by the fold's rule (the first event of a version counts).
 */
export class Directory {
  readonly #bus: Bus;
  readonly #listed = new Map<string, Listed & { readonly version: number }>();
  #next = 1;
  #turn: Promise<void> = Promise.resolve();

  constructor(bus: Bus) {
    this.#bus = bus;
  }

  async all(): Promise<readonly Listed[]> {
    await this.#refresh();
    return [...this.#listed.values()];
  }

  /** Oldest request first. */
  async ofTenant(tenant: string): Promise<readonly Listed[]> {
    return (await this.all()).filter((listed) => listed.tenant === tenant);
  }

  #refresh(): Promise<void> {
    const mine = this.#turn.then(() => this.#read());
    this.#turn = mine.catch(() => undefined);
    return mine;
  }

  async #read(): Promise<void> {
    const filter = aggregateFilter({ type: 'erasure' });
    for await (const message of this.#bus.read(STREAMS.events, filter, { fromSequence: this.#next })) {
      this.#next = message.sequence + 1;
      const { type, version, aggregate } = readEnvelope(message);
      const key = message.subject;
      const known = this.#listed.get(key);
      if (version !== (known?.version ?? 0) + 1) continue;
      if (known) {
        const ended = known.ended || ENDINGS.has(type);
        const failed = known.failed || type === EVENT.erasureFailed.type;
        this.#listed.set(key, { ...known, version, ended, failed });
      } else if (type === EVENT.erasureRequested.type) {
        this.#listed.set(key, {
          tenant: aggregate.tenant,
          id: aggregate.id,
          sequence: message.sequence,
          alias: decodeEvent(EVENT.erasureRequested, message).data.subjectAlias,
          ended: false,
          failed: false,
          version,
        });
      }
    }
  }
}
