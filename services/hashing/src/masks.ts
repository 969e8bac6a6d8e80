/** Aliases whose items no search returns: a projection of the erasures, rebuilt from their events at every start. */
import { EVENT } from '@lethe/contracts';
import { aggregateFilter, type Bus, decodeEvent, readEnvelope, STREAMS } from '@lethe/events';

const NOBODY: ReadonlySet<string> = new Set();

export class Masks {
  readonly #byTenant = new Map<string, Set<string>>();
  #generation = 0;

  /** Grows with every change, so that what was derived from the masks can tell that it is old. */
  get generation(): number {
    return this.#generation;
  }

  add(tenant: string, aliases: readonly string[]): void {
    const masked = this.#byTenant.get(tenant) ?? new Set();
    for (const alias of aliases) masked.add(alias);
    this.#byTenant.set(tenant, masked);
    this.#generation++;
  }

  of(tenant: string): ReadonlySet<string> {
    return this.#byTenant.get(tenant) ?? NOBODY;
  }

  /** Reads every erasure that was ever requested, also those that nobody has handled yet: masking too early harms nobody. */
  async load(bus: Bus): Promise<void> {
    for await (const message of bus.read(STREAMS.events, aggregateFilter({ type: 'erasure' }))) {
      const { type, aggregate } = readEnvelope(message);
      if (type === EVENT.erasureRequested.type) {
        this.add(aggregate.tenant, [decodeEvent(EVENT.erasureRequested, message).data.subjectAlias]);
      } else if (type === EVENT.erasureStarted.type) {
        const { subjects, cohort } = decodeEvent(EVENT.erasureStarted, message).data;
        this.add(aggregate.tenant, [...subjects, ...cohort]);
      }
    }
  }
}
