/**
 * The erasure aggregate: how far one request has come, as the fold of the saga's own events. What owners have said lies on
 * their own aggregates (`facts.ts`); what follows from both is decided in `decide.ts`.
 */
import { type events, SAGA_EVENTS } from '@lethe/contracts';
import { defineAggregate, type RecordedEvent } from '@lethe/events';

/** Order of the phases; `ended` is final. */
export type Phase = 'absent' | 'requested' | 'contained' | 'started' | 'confirmed' | 'erased' | 'ended';

/** One event of the saga: what it says and when its writer said so. */
export interface Fact<Data> {
  readonly id: string;
  readonly timeMs: number;
  readonly data: Data;
}

export type Ending =
  | ({ readonly state: 'certified' } & Fact<events.ErasureCertified>)
  | ({ readonly state: 'partial' } & Fact<events.ErasurePartial>)
  | ({ readonly state: 'failed' } & Fact<events.ErasureFailed>);

export interface Saga {
  readonly phase: Phase;
  readonly requested?: Fact<events.ErasureRequested>;
  readonly contained?: Fact<events.ErasureContained>;
  readonly started?: Fact<events.ErasureStarted>;
  readonly confirmed?: Fact<events.ErasureOwnersConfirmed>;
  readonly erased?: Fact<events.ErasureErased>;
  readonly ending?: Ending;
}

export const fact = <Data>({ id, timeMs, data }: RecordedEvent<string, Data>): Fact<Data> => ({
  id,
  timeMs,
  data,
});

export const erasureAggregate = defineAggregate({
  type: 'erasure',
  events: SAGA_EVENTS,
  initial: (): Saga => ({ phase: 'absent' }),
  fold: (saga, event): Saga => {
    switch (event.type) {
      case 'erasure.requested':
        return { phase: 'requested', requested: fact(event) };
      case 'erasure.contained':
        return { ...saga, phase: 'contained', contained: fact(event) };
      case 'erasure.started':
        return { ...saga, phase: 'started', started: fact(event) };
      case 'erasure.owners.confirmed':
        return { ...saga, phase: 'confirmed', confirmed: fact(event) };
      case 'erasure.erased':
        return { ...saga, phase: 'erased', erased: fact(event) };
      case 'erasure.certified':
        return { ...saga, phase: 'ended', ending: { state: 'certified', ...fact(event) } };
      case 'erasure.partial':
        return { ...saga, phase: 'ended', ending: { state: 'partial', ...fact(event) } };
      case 'erasure.failed':
        return { ...saga, phase: 'ended', ending: { state: 'failed', ...fact(event) } };
    }
  },
});
