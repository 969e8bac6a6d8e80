/** The federation service: coordinator and label holder of federated hashed representations. See README.md. */
import { federation } from '@lethe/contracts';
import type { Subscription } from '@lethe/events';
import { bind } from '@lethe/rpc';
import { type Service, type ServiceDeps, takePart, watch } from '@lethe/service';
import { contain, erase } from './consumers/erasure.ts';
import { consumeRoots } from './consumers/root-committed.ts';
import { Coordinator, type FederationSettings } from './coordinator.ts';
import { federationAddress } from './federations.ts';
import { resource } from './resource.ts';
import { createFederation } from './rpc/create-federation.ts';
import { join } from './rpc/join.ts';
import { predict } from './rpc/predict.ts';

export { FEDERATION } from './errors.ts';
export type { FederationSettings };

export function create(deps: ServiceDeps, settings: FederationSettings = {}): Service {
  const coordinator = new Coordinator(deps, settings);
  const subscriptions: Subscription[] = [];
  const { STATE_READY, STATE_FAILED } = federation.Federation_State;
  const get = async (name: string) => await resource(coordinator, federationAddress(name));
  const binding = bind(federation.FederationServiceDefinition, {
    createFederation: (request) => createFederation(coordinator, request),
    getFederation: ({ name }) => get(name),
    watchFederation: ({ name }, { signal }) =>
      watch({
        load: () => get(name),
        isFinal: ({ state }) => state === STATE_READY || state === STATE_FAILED,
        signal,
      }),
    join: (messages, { signal }) => join(coordinator, messages, signal),
    predict: (request) => predict(coordinator, request),
  });
  return {
    name: 'federation',
    bindings: [binding],
    async start() {
      await coordinator.masks.load(deps.bus, 'started');
      coordinator.ready = true;
      subscriptions.push(
        await takePart(deps, {
          owner: 'federation',
          contain: (tenant, request) => contain(coordinator, tenant, request),
          erase: (tenant, started) => erase(coordinator, tenant, started),
        }),
        await consumeRoots(deps, coordinator),
      );
    },
    async close() {
      await Promise.all([coordinator.close(), ...subscriptions.map((subscription) => subscription.stop())]);
    },
  };
}
