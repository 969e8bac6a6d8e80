import { EVENT, SAGA_EVENTS } from '@lethe/contracts';
import { type Bus, on, type Subscription, subscribe } from '@lethe/events';
import type { Logger } from '@lethe/std';
import { type Audits, auditAddress } from '../audits.ts';

/** Two consumers, so that scoring thousands of canaries does not keep the next erasure from being contained in time. */
export async function consumeErasures(bus: Bus, logger: Logger, audits: Audits): Promise<Subscription[]> {
  const common = { bus, logger, aggregates: ['erasure'], ignores: SAGA_EVENTS };
  return [
    await subscribe({
      ...common,
      consumer: 'audit-contain',
      handlers: [
        on(EVENT.erasureRequested, ({ aggregate, data, id }) =>
          audits.contain(aggregate.tenant, aggregate.id, data, id),
        ),
      ],
    }),
    await subscribe({
      ...common,
      consumer: 'audit-score',
      handlers: [
        on(EVENT.erasureErased, async ({ data }) => {
          if (data.audit === '') return;
          const { tenant, id } = auditAddress(data.audit);
          await audits.complete(tenant, id, data.erasure);
        }),
      ],
    }),
  ];
}
