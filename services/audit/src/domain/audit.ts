/** An audit as the fold of its events. */
import { EVENT, type events, SAGA_EVENTS } from '@lethe/contracts';
import { defineAggregate } from '@lethe/events';

export interface AuditState {
  readonly created?: { readonly data: events.AuditCreated; readonly timeMs: number; readonly id: string };
  readonly registered?: { readonly data: events.AuditRegistered; readonly timeMs: number };
  /** The one erasure that the DELETE canaries go through. */
  readonly released?: events.AuditCohortReleased;
  readonly completed?: { readonly data: events.AuditCompleted; readonly timeMs: number };
}

/**
 * `audit.completed` may come twice: first with the report, then, once the seed key is dead, saying so. The order matters: were the
 * key destroyed first, a crash before the report's event would leave an audit that nobody can finish.
 */
export const auditAggregate = defineAggregate({
  type: 'audit',
  events: [EVENT.auditCreated, EVENT.auditRegistered, EVENT.auditCohortReleased, EVENT.auditCompleted],
  initial: (): AuditState => ({}),
  fold: (state, event): AuditState => {
    const { timeMs } = event;
    switch (event.type) {
      case 'audit.created':
        return { ...state, created: { data: event.data, timeMs, id: event.id } };
      case 'audit.registered':
        return { ...state, registered: { data: event.data, timeMs } };
      case 'audit.cohort.released':
        return { ...state, released: event.data };
      case 'audit.completed':
        return { ...state, completed: { data: event.data, timeMs: state.completed?.timeMs ?? timeMs } };
    }
  },
});

/** What this service has said in one erasure. */
export const auditPart = defineAggregate({
  type: 'audit-erasure',
  events: [EVENT.auditContained],
  initial: (): { readonly contained: boolean } => ({ contained: false }),
  fold: () => ({ contained: true }),
});

/** Whether an erasure failed before anything was erased: canaries that were released to it are free again. */
export const erasureFate = defineAggregate({
  type: 'erasure',
  events: SAGA_EVENTS,
  initial: (): { readonly failed: boolean } => ({ failed: false }),
  fold: (fate, { type }) => (type === 'erasure.failed' ? { failed: true } : fate),
});

/**
 * May the canaries of this audit join the erasure: registered, of one of its data sets, and not used for another?
 * @param failed name of an erasure that has come to nothing, or empty
 */
export function mayJoin(
  state: AuditState,
  erasure: Pick<events.ErasureRequested, 'erasure' | 'datasets'>,
  failed: string,
): boolean {
  const dataset = state.created?.data.spec?.dataset ?? '';
  const user = state.released?.erasure;
  const isFree = user === undefined || user === erasure.erasure || user === failed;
  return state.registered !== undefined && !state.completed && isFree && erasure.datasets.includes(dataset);
}
