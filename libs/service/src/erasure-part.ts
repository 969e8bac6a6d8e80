/**
 * An owner's part in an erasure: contain when it is requested, erase when it has started, and say so as facts of its own on
 * the aggregate `{owner}-erasure/{erasure id}`. See "An erasure, end to end" in ARCHITECTURE.md.
 *
 * Both steps may run more than once (a crash before the fact is committed, a redelivery): they must come to the same end.
 */
import { EVENT, type events, SAGA_EVENTS } from '@lethe/contracts';
import {
  AggregateStore,
  defineAggregate,
  type EventDefinition,
  effectId,
  newEvent,
  on,
  type RecordedEvent,
  type Subscription,
  subscribe,
} from '@lethe/events';
import type { ServiceDeps } from './service.ts';

export type Owner = 'hash' | 'learning' | 'federation';

interface PartFacts {
  readonly contained: EventDefinition<string, events.OwnerContained> & { readonly aggregate: string };
  readonly erased: EventDefinition<string, events.OwnerErased>;
}

/** Which event types say that an owner has contained and erased. */
const FACTS: Readonly<Record<Owner, PartFacts>> = {
  hash: { contained: EVENT.hashContained, erased: EVENT.hashErased },
  learning: { contained: EVENT.learningContained, erased: EVENT.modelUnlearned },
  federation: { contained: EVENT.federationContained, erased: EVENT.federationErased },
};

export interface Containment {
  /** Resource names of the owner's artefacts that were computed from datasets which hold the subject. */
  readonly artefacts: readonly string[];
}

export interface ErasurePart {
  readonly owner: Owner;
  /** Stops serving anything of the subject. */
  contain(tenant: string, request: events.ErasureRequested): Promise<Containment>;
  /** Removes the batch from every artefact; called for owners that have artefacts in the lineage. */
  erase(
    tenant: string,
    started: events.ErasureStarted,
  ): Promise<Pick<events.OwnerErased, 'claims' | 'needles' | 'attestations'>>;
  /** What had to rest during the erasure goes on: called once its fact is committed, again after a crash. */
  afterErased?(tenant: string, started: events.ErasureStarted): Promise<void>;
}

/** What happened so far in one owner's part. */
interface PartState {
  readonly contained: boolean;
  readonly erased: boolean;
}

export async function takePart(deps: ServiceDeps, part: ErasurePart): Promise<Subscription> {
  const { contained, erased } = FACTS[part.owner];
  const parts = new AggregateStore(
    defineAggregate({
      type: contained.aggregate,
      events: [contained, erased],
      initial: (): PartState => ({ contained: false, erased: false }),
      fold: (state, event): PartState =>
        event.type === contained.type ? { ...state, contained: true } : { ...state, erased: true },
    }),
    { bus: deps.bus, source: part.owner, clock: deps.clock },
  );
  const onRequested = async (event: RecordedEvent<string, events.ErasureRequested>): Promise<void> => {
    const { tenant, id } = event.aggregate;
    if ((await parts.load(tenant, id)).state.contained) return;
    const { artefacts } = await part.contain(tenant, event.data);
    await parts.propose(tenant, id, (state) =>
      state.contained
        ? []
        : [
            newEvent(
              contained,
              {
                erasure: event.data.erasure,
                owner: part.owner,
                artefacts: [...artefacts],
                cohort: [],
                audit: '',
              },
              effectId(event.id, contained.type),
            ),
          ],
    );
  };
  const onStarted = async (event: RecordedEvent<string, events.ErasureStarted>): Promise<void> => {
    const { tenant, id } = event.aggregate;
    if (!event.data.owners.includes(part.owner)) return;
    if ((await parts.load(tenant, id)).state.erased) return await part.afterErased?.(tenant, event.data);
    const outcome = await part.erase(tenant, event.data);
    await parts.propose(tenant, id, (state) =>
      state.erased
        ? []
        : [
            newEvent(
              erased,
              { erasure: event.data.erasure, owner: part.owner, ...outcome },
              effectId(event.id, erased.type),
            ),
          ],
    );
    await part.afterErased?.(tenant, event.data);
  };
  return await subscribe({
    bus: deps.bus,
    consumer: `${part.owner}-erasure-part`,
    aggregates: ['erasure'],
    handlers: [on(EVENT.erasureRequested, onRequested), on(EVENT.erasureStarted, onStarted)],
    ignores: SAGA_EVENTS,
    logger: deps.logger,
  });
}
