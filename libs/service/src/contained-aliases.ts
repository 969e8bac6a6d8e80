import { EVENT } from '@lethe/contracts';
import { aggregateFilter, type Bus, decodeEvent, readEnvelope, STREAMS } from '@lethe/events';

const NOBODY: ReadonlySet<string> = new Set();

/**
 * From when on the cohort of an erasure is contained as well. Its members are nobody and have nothing to hide, so whoever
 * serves may contain them with the person (`started`); the vault must let owners read them until all have confirmed.
 */
export type CohortFrom = 'started' | 'owners-confirmed';

/** Aliases of whom nothing is served any more: a projection of the erasures, rebuilt from their events at every start. */
export class ContainedAliases {
  readonly #byTenant = new Map<string, Set<string>>();
  #generation = 0;

  /** Grows with every change, so that what was derived from the aliases can tell that it is old. */
  get generation(): number {
    return this.#generation;
  }

  add(tenant: string, aliases: readonly string[]): void {
    const contained = this.#byTenant.get(tenant) ?? new Set();
    for (const alias of aliases) contained.add(alias);
    this.#byTenant.set(tenant, contained);
    this.#generation++;
  }

  has(tenant: string, alias: string): boolean {
    return this.of(tenant).has(alias);
  }

  of(tenant: string): ReadonlySet<string> {
    return this.#byTenant.get(tenant) ?? NOBODY;
  }

  /** Reads every erasure that was ever requested, also those that nobody has handled yet: too early harms nobody. */
  async load(bus: Bus, cohortFrom: CohortFrom): Promise<void> {
    const cohorts = new Map<string, readonly string[]>();
    for await (const message of bus.read(STREAMS.events, aggregateFilter({ type: 'erasure' }))) {
      const { type, aggregate } = readEnvelope(message);
      if (type === EVENT.erasureRequested.type) {
        this.add(aggregate.tenant, [decodeEvent(EVENT.erasureRequested, message).data.subjectAlias]);
      } else if (type === EVENT.erasureStarted.type) {
        const { erasure, subjects, cohort } = decodeEvent(EVENT.erasureStarted, message).data;
        this.add(aggregate.tenant, subjects);
        if (cohortFrom === 'started') this.add(aggregate.tenant, cohort);
        else cohorts.set(erasure, cohort);
      } else if (type === EVENT.erasureOwnersConfirmed.type) {
        const { erasure } = decodeEvent(EVENT.erasureOwnersConfirmed, message).data;
        this.add(aggregate.tenant, cohorts.get(erasure) ?? []);
      }
    }
  }
}
