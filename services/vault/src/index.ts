/** The vault: records, keys, dataset roots, suppression. See README.md for what it takes, gives and keeps. */
import { EVENT, parseName, resourceName, SAGA_EVENTS, vault } from '@lethe/contracts';
import { AggregateStore, type EventHandler, effectId, on, type Subscription, subscribe } from '@lethe/events';
import { bind } from '@lethe/rpc';
import { ContainedAliases, SealedArtefacts, type Service, type ServiceDeps } from '@lethe/service';
import { openKeyStore } from '@lethe/store';
import { onErasureRequested } from './consumers/erasure-requested.ts';
import { onOwnersConfirmed } from './consumers/owners-confirmed.ts';
import type { ScanRoot, VaultContext } from './context.ts';
import { Datasets, rootResource } from './datasets.ts';
import { vaultErasure } from './domain/erasure.ts';
import { VAULT } from './errors.ts';
import { Keys } from './keys.ts';
import { RecordLog } from './record-log.ts';
import { createArtefactKey, destroyArtefactKeys, getArtefactKey } from './rpc/artefact-keys.ts';
import { createDataset } from './rpc/create-dataset.ts';
import { ingest } from './rpc/ingest.ts';
import { readRecords } from './rpc/read-records.ts';
import { resolveSubject } from './rpc/resolve-subject.ts';

export interface VaultSettings {
  /** Holds the key store; no ordinary backup may contain it. */
  readonly keyDirectory: string;
  readonly scanRoots: readonly ScanRoot[];
  readonly unscanned: VaultContext['unscanned'];
}

export function createVault(deps: ServiceDeps, settings: VaultSettings): Service {
  const records = new RecordLog(deps.bus);
  const keys = new Keys(
    openKeyStore({ directory: settings.keyDirectory, random: deps.random, clock: deps.clock }),
  );
  const context: VaultContext = {
    ...deps,
    keys,
    records,
    datasets: new Datasets(deps, records),
    suppression: new ContainedAliases(),
    artefacts: new SealedArtefacts(deps),
    erasures: new AggregateStore(vaultErasure, { bus: deps.bus, source: 'vault', clock: deps.clock }),
    ingesting: new Set(),
    scanRoots: settings.scanRoots,
    unscanned: settings.unscanned,
  };
  const { datasets } = context;
  const subscriptions: Subscription[] = [];
  const binding = bind(vault.VaultServiceDefinition, {
    createDataset: (request) => createDataset(context, request),
    getDataset: async ({ name }) => {
      const [tenant, id] = parseName('dataset', name);
      return await datasets.resource(tenant, id!);
    },
    ingest: (requests) => ingest(context, requests),
    commitDatasetRoot: async ({ dataset, requestId }) => {
      const [tenant, id] = parseName('dataset', dataset);
      if (requestId === '')
        throw VAULT.REQUEST_INVALID('request_id is empty', { details: { field: 'request_id' } });
      const eventId = effectId(`${resourceName('dataset', tenant, id!)}|${requestId}`, 'root');
      return rootResource(tenant, id!, await datasets.commit(tenant, id!, eventId));
    },
    getDatasetRoot: async ({ name }) => {
      const { tenant, dataset, root } = await datasets.root(name);
      return rootResource(tenant, dataset, root);
    },
    readRecords: (request, { signal }) => readRecords(context, request, signal),
    resolveSubject: (request) => resolveSubject(context, request),
    createArtefactKey: (request) => createArtefactKey(context, request),
    getArtefactKey: (request) => getArtefactKey(context, request),
    destroyArtefactKeys: (request) => destroyArtefactKeys(context, request),
  });
  return {
    name: 'vault',
    bindings: [binding],
    async start() {
      await context.suppression.load(deps.bus, 'owners-confirmed');
      // Two consumers: a scan of gigabytes for one erasure must not keep another person's containment waiting.
      const consume = (consumer: string, ...handlers: EventHandler[]) =>
        subscribe({
          bus: deps.bus,
          consumer,
          aggregates: ['erasure'],
          handlers,
          ignores: SAGA_EVENTS,
          logger: deps.logger,
        });
      subscriptions.push(
        await consume(
          'vault-contain',
          on(EVENT.erasureRequested, (event) => onErasureRequested(context, event)),
        ),
        await consume(
          'vault-destroy',
          on(EVENT.erasureOwnersConfirmed, (event) => onOwnersConfirmed(context, event)),
        ),
      );
    },
    async close() {
      await Promise.all(subscriptions.map((subscription) => subscription.stop()));
      keys.close();
    },
  };
}
