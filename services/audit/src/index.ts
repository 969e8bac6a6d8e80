/** The audit service: canary subjects, their coins, and what they say about an erasure. See README.md. */
import { audit } from '@lethe/contracts';
import type { Subscription } from '@lethe/events';
import { bind } from '@lethe/rpc';
import type { Service, ServiceDeps } from '@lethe/service';
import { Audits } from './audits.ts';
import { consumeCreated } from './consumers/created.ts';
import { consumeErasures } from './consumers/erasure.ts';
import { createAudit } from './rpc/create-audit.ts';
import { getAudit } from './rpc/get-audit.ts';
import { listExclusions } from './rpc/list-exclusions.ts';
import { watchAudit } from './rpc/watch-audit.ts';
import type { AuditSettings } from './settings.ts';

export { type AuditReport, decodeReport } from './domain/report.ts';
export { AUDIT } from './errors.ts';
export type { AuditSettings } from './settings.ts';

export function create(deps: ServiceDeps, settings: AuditSettings = {}): Service {
  const audits = new Audits(deps, {
    pattern: settings.pattern ?? 'SPARSE',
    density: settings.density ?? 0.2,
  });
  const subscriptions: Subscription[] = [];
  let forgetting: Promise<void> = Promise.resolve();
  return {
    name: 'audit',
    bindings: [
      bind(audit.AuditServiceDefinition, {
        createAudit: createAudit(audits, deps),
        getAudit: getAudit(audits),
        watchAudit: watchAudit(audits),
        listExclusions: listExclusions(audits),
      }),
    ],
    async start() {
      subscriptions.push(
        await consumeCreated(deps.bus, deps.logger, audits),
        ...(await consumeErasures(deps.bus, deps.logger, audits)),
      );
      forgetting = forgetCompleted(deps, audits);
    },
    async close() {
      await Promise.all(subscriptions.map((subscription) => subscription.stop()));
      await forgetting;
    },
  };
}

/** A stop between a report and the death of its seed key is made good. */
async function forgetCompleted({ logger }: ServiceDeps, audits: Audits): Promise<void> {
  for (const { tenant, id } of await audits.directory.all()) {
    await audits.forget(tenant, id).catch((error: unknown) => {
      logger.warn('the seed key of a completed audit could not be destroyed yet', {
        tenant,
        audit: id,
        error,
      });
    });
  }
}
