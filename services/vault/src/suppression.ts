/** Aliases of which nothing may be stored or read any more: a projection of the erasures, rebuilt from their events. */
import { EVENT } from '@lethe/contracts';
import { aggregateFilter, type Bus, decodeEvent, readEnvelope, STREAMS } from '@lethe/events';

export class Suppression {
  readonly #erasureOf = new Map<string, string>();

  add(tenant: string, aliases: readonly string[], erasure: string): void {
    for (const alias of aliases) this.#erasureOf.set(`${tenant}/${alias}`, erasure);
  }

  has(tenant: string, alias: string): boolean {
    return this.#erasureOf.has(`${tenant}/${alias}`);
  }

  /**
   * Reads every erasure that was ever requested, also those whose containment has not been handled yet. The cohort of an erasure
   * is nobody and has nothing to contain: owners may read it until all have confirmed.
   */
  async load(bus: Bus): Promise<void> {
    const cohorts = new Map<string, readonly string[]>();
    for await (const message of bus.read(STREAMS.events, aggregateFilter({ type: 'erasure' }))) {
      const { type, aggregate } = readEnvelope(message);
      if (type === EVENT.erasureRequested.type) {
        const { data } = decodeEvent(EVENT.erasureRequested, message);
        this.add(aggregate.tenant, [data.subjectAlias], data.erasure);
      } else if (type === EVENT.erasureStarted.type) {
        const { data } = decodeEvent(EVENT.erasureStarted, message);
        cohorts.set(data.erasure, data.cohort);
      } else if (type === EVENT.erasureOwnersConfirmed.type) {
        const { erasure } = decodeEvent(EVENT.erasureOwnersConfirmed, message).data;
        this.add(aggregate.tenant, cohorts.get(erasure) ?? [], erasure);
      }
    }
  }
}
