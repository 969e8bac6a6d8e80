/** The erasure service: the saga, evidence, certificates and the transparency log. See README.md. */
import { erasure } from '@lethe/contracts';
import type { Subscription } from '@lethe/events';
import { bind } from '@lethe/rpc';
import { SealedArtefacts, type Service, type ServiceDeps } from '@lethe/service';
import { consumeStatements } from './consumers/log.ts';
import { consumeFacts } from './consumers/saga.ts';
import { erasuresOf } from './directory.ts';
import { Gatherer } from './gather.ts';
import { loadOrCreateKeys } from './keys.ts';
import type { RpcContext } from './rpc/context.ts';
import { createErasureRequest } from './rpc/create-erasure-request.ts';
import { getCertificate } from './rpc/get-certificate.ts';
import { getErasureRequest } from './rpc/get-erasure-request.ts';
import { getLogStatement } from './rpc/get-log-statement.ts';
import { getVerifyKey } from './rpc/get-verify-key.ts';
import { listErasureRequests } from './rpc/list-erasure-requests.ts';
import { watchErasureRequest } from './rpc/watch-erasure-request.ts';
import { Sagas } from './sagas.ts';
import { DEFAULT_DEADLINES, type ErasureSettings } from './settings.ts';
import { TransparencyLog } from './transparency-log.ts';

export { ERASURE } from './errors.ts';
export type { ErasureSettings } from './settings.ts';

export function create(deps: ServiceDeps, settings: ErasureSettings): Service {
  const keys = loadOrCreateKeys(settings.keyDir, settings.issuer ?? 'lethe', deps.random);
  const log = new TransparencyLog(deps, keys);
  const artefacts = new SealedArtefacts(deps);
  const directory = erasuresOf(deps.bus);
  const gatherer = new Gatherer(deps, log, artefacts);
  const sagas = new Sagas({
    gatherer,
    directory,
    log,
    keys,
    artefacts,
    clock: deps.clock,
    logger: deps.logger,
    dueDays: settings.dueDays ?? 30,
    deadlines: { ...DEFAULT_DEADLINES, ...settings },
  });
  const context: RpcContext = { deps, gatherer, directory, log, keys, artefacts };
  const subscriptions: Subscription[] = [];
  return {
    name: 'erasure',
    bindings: [
      bind(erasure.ErasureServiceDefinition, {
        createErasureRequest: createErasureRequest(context),
        getErasureRequest: getErasureRequest(context),
        listErasureRequests: listErasureRequests(context),
        watchErasureRequest: watchErasureRequest(context),
        getCertificate: getCertificate(context),
        getVerifyKey: getVerifyKey(context),
        getLogStatement: getLogStatement(context),
      }),
    ],
    async start() {
      subscriptions.push(
        await consumeStatements({ bus: deps.bus, logger: deps.logger, log }),
        await consumeFacts({ bus: deps.bus, logger: deps.logger, sagas }),
      );
      await sagas.resume();
    },
    async close() {
      await Promise.all(subscriptions.map((subscription) => subscription.stop()));
      await sagas.close();
    },
  };
}
