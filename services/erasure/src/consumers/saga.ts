import { EVENT, parseName, SAGA_EVENTS } from '@lethe/contracts';
import { type Bus, on, type RecordedEvent, type Subscription, subscribe } from '@lethe/events';
import type { Logger } from '@lethe/std';
import type { Sagas } from '../sagas.ts';

interface ConsumerDeps {
  readonly bus: Bus;
  readonly logger: Logger;
  readonly sagas: Sagas;
}

/** Everything that may let an erasure go on wakes it. One consumer: events of one erasure are looked at in turn. */
export async function consumeFacts({ bus, logger, sagas }: ConsumerDeps): Promise<Subscription> {
  const wake = async ({ aggregate }: RecordedEvent): Promise<void> => {
    await sagas.wake(aggregate.tenant, aggregate.id);
  };
  return await subscribe({
    bus,
    logger,
    consumer: 'erasure-saga',
    aggregates: [
      'erasure',
      'vault-erasure',
      'hash-erasure',
      'learning-erasure',
      'federation-erasure',
      'audit-erasure',
      'audit',
    ],
    handlers: [
      on(EVENT.erasureRequested, wake),
      on(EVENT.vaultContained, wake),
      on(EVENT.hashContained, wake),
      on(EVENT.learningContained, wake),
      on(EVENT.federationContained, wake),
      on(EVENT.auditContained, wake),
      on(EVENT.hashErased, wake),
      on(EVENT.modelUnlearned, wake),
      on(EVENT.federationErased, wake),
      on(EVENT.subjectKeyDestroyed, wake),
      on(EVENT.auditCompleted, async ({ aggregate, data }) => {
        if (data.erasure !== '')
          await sagas.wake(aggregate.tenant, parseName('erasureRequest', data.erasure)[1]!);
      }),
    ],
    ignores: [
      EVENT.subjectErasurePlanned,
      ...SAGA_EVENTS,
      EVENT.auditCreated,
      EVENT.auditRegistered,
      EVENT.auditCohortReleased,
    ],
  });
}
