import { EVENT, resourceName } from '@lethe/contracts';
import { type Bus, on, type Subscription, subscribe } from '@lethe/events';
import type { Logger } from '@lethe/std';
import {
  auditRegisteredStatement,
  datasetRootStatement,
  partyJoinedStatement,
} from '../domain/statements.ts';
import type { TransparencyLog } from '../transparency-log.ts';

interface ConsumerDeps {
  readonly bus: Bus;
  readonly logger: Logger;
  readonly log: TransparencyLog;
}

/** Facts that go into the transparency log as they happen. Times are those of the events: a statement can be foretold. */
export async function consumeStatements({ bus, logger, log }: ConsumerDeps): Promise<Subscription> {
  return await subscribe({
    bus,
    logger,
    consumer: 'erasure-log',
    aggregates: ['dataset', 'federation', 'audit'],
    handlers: [
      on(EVENT.datasetRootCommitted, async ({ aggregate: { tenant, id }, data, timeMs }) => {
        await log.append(tenant, datasetRootStatement(resourceName('dataset', tenant, id), data, timeMs));
      }),
      on(EVENT.partyJoined, async ({ aggregate: { tenant, id }, data, timeMs }) => {
        await log.append(tenant, partyJoinedStatement(resourceName('federation', tenant, id), data, timeMs));
      }),
      on(EVENT.auditRegistered, async ({ aggregate: { tenant, id }, data, timeMs }) => {
        await log.append(tenant, auditRegisteredStatement(resourceName('audit', tenant, id), data, timeMs));
      }),
    ],
    ignores: [
      EVENT.datasetCreated,
      EVENT.federationCreated,
      EVENT.federationTrained,
      EVENT.federationFailed,
      EVENT.auditCreated,
      EVENT.auditCohortReleased,
      EVENT.auditCompleted,
    ],
  });
}
