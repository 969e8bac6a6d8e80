import { EVENT, resourceName } from '@lethe/contracts';
import { on, type Subscription, subscribe } from '@lethe/events';
import type { ServiceDeps } from '@lethe/service';
import type { Coordinator } from '../coordinator.ts';

/** Federations learn whose the records are that came after their training: parties may hold rows of them. */
export async function consumeRoots(
  { bus, logger }: ServiceDeps,
  coordinator: Coordinator,
): Promise<Subscription> {
  return await subscribe({
    bus,
    logger,
    consumer: 'federation-rows',
    aggregates: ['dataset'],
    handlers: [
      on(EVENT.datasetRootCommitted, async ({ aggregate: { tenant, id }, data }) => {
        const dataset = resourceName('dataset', tenant, id);
        for (const address of await coordinator.federations.ofDatasets(tenant, [dataset])) {
          await coordinator.learnRows(address, data);
        }
      }),
    ],
    ignores: [EVENT.datasetCreated],
  });
}
