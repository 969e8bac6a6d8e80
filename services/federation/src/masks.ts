/** Aliases whose rows no prediction takes: a projection of the erasures, rebuilt from their events at every start. */
import { EVENT } from '@lethe/contracts';
import { aggregateFilter, type Bus, decodeEvent, readEnvelope, STREAMS } from '@lethe/events';

export class Masks {
  readonly #masked = new Set<string>();

  add(tenant: string, aliases: readonly string[]): void {
    for (const alias of aliases) this.#masked.add(`${tenant}/${alias}`);
  }

  has(tenant: string, alias: string): boolean {
    return this.#masked.has(`${tenant}/${alias}`);
  }

  /** Also those erasures that nobody has handled yet: masking too early harms nobody. */
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
