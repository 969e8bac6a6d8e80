import { EVENT } from '@lethe/contracts';
import { type Bus, on, type Subscription, subscribe } from '@lethe/events';
import type { Logger } from '@lethe/std';
import type { Audits } from '../audits.ts';

/** Registers what has been created: minutes of work, so never inside the call that creates. */
export async function consumeCreated(bus: Bus, logger: Logger, audits: Audits): Promise<Subscription> {
  return await subscribe({
    bus,
    logger,
    consumer: 'audit-register',
    aggregates: ['audit'],
    handlers: [on(EVENT.auditCreated, ({ aggregate }) => audits.register(aggregate.tenant, aggregate.id))],
    ignores: [EVENT.auditRegistered, EVENT.auditCohortReleased, EVENT.auditCompleted],
  });
}
