/** The hashing service: functions that learn for ever, codes that stay, search over them. See README.md. */
import { EVENT, hashing } from '@lethe/contracts';
import { on, type RecordedEvent, type Subscription, subscribe } from '@lethe/events';
import { bind } from '@lethe/rpc';
import { ContainedAliases, type Service, type ServiceDeps, takePart, watch } from '@lethe/service';
import { contain, erase } from './consumers/erasure.ts';
import { onRootRequested } from './consumers/learn.ts';
import { functionAddress, type HashingContext } from './context.ts';
import { addressOf, HashFunctions } from './functions.ts';
import { resource } from './resource.ts';
import { createHashFunction } from './rpc/create-hash-function.ts';
import { createUpdate } from './rpc/create-update.ts';
import { encode } from './rpc/encode.ts';
import { getErasureProof } from './rpc/get-erasure-proof.ts';
import { listCodes } from './rpc/list-codes.ts';
import { listHashFunctions } from './rpc/list-hash-functions.ts';
import { predict } from './rpc/predict.ts';
import { search } from './rpc/search.ts';

export interface HashingSettings {
  /** How long a root may take to appear in the transparency log before learning fails; default 10 s. */
  readonly rootWaitMs?: number;
}

const ROOT_WAIT_MS = 10_000;

export function createHashing(deps: ServiceDeps, settings: HashingSettings = {}): Service {
  const context: HashingContext = {
    ...deps,
    functions: new HashFunctions(deps),
    masks: new ContainedAliases(),
    progress: new Map(),
    rootWaitMs: settings.rootWaitMs ?? ROOT_WAIT_MS,
    ready: false,
  };
  const subscriptions: Subscription[] = [];
  const binding = bind(hashing.HashingServiceDefinition, {
    createHashFunction: (request) => createHashFunction(context, request),
    getHashFunction: async ({ name }) => await resource(context, functionAddress(name)),
    listHashFunctions: (request) => listHashFunctions(context, request),
    watchHashFunction: ({ name }, { signal }) => watchHashFunction(context, name, signal),
    createUpdate: (request) => createUpdate(context, request),
    encode: (request) => encode(context, request),
    search: (request) => search(context, request),
    predict: (request) => predict(context, request),
    listCodes: (request, { signal }) => listCodes(context, request, signal),
    getErasureProof: (request) => getErasureProof(context, request),
  });
  const onRequested = async ({ aggregate, id }: RecordedEvent): Promise<void> =>
    await onRootRequested(context, addressOf(aggregate.tenant, aggregate.id), id);
  return {
    name: 'hashing',
    bindings: [binding],
    async start() {
      await context.masks.load(deps.bus, 'started');
      context.ready = true;
      subscriptions.push(
        await subscribe({
          bus: deps.bus,
          consumer: 'hashing',
          aggregates: ['hash-function'],
          handlers: [on(EVENT.hashFunctionCreated, onRequested), on(EVENT.hashUpdateRequested, onRequested)],
          ignores: [EVENT.hashFunctionPromoted, EVENT.hashFunctionFailed],
          logger: deps.logger,
        }),
        await takePart(deps, {
          owner: 'hash',
          contain: (tenant, request) => contain(context, tenant, request),
          erase: (tenant, started) => erase(context, tenant, started),
        }),
      );
      await cleanUp(context);
    },
    async close() {
      await Promise.all(subscriptions.map((subscription) => subscription.stop()));
    },
  };
}

/** The states of a function until nothing is being learned. */
const watchHashFunction = (context: HashingContext, name: string, signal: AbortSignal) =>
  watch({
    load: () => resource(context, functionAddress(name)),
    isFinal: ({ conditions }) => conditions?.every(({ reason }) => reason !== 'RootRequested') ?? true,
    signal,
  });

/** Destroys what a stop between a fact and its clean-up has left. */
async function cleanUp({ functions, logger }: HashingContext): Promise<void> {
  for (const address of await functions.list()) {
    try {
      await functions.destroySuperseded(address, await functions.load(address));
    } catch (error) {
      logger.warn('an earlier state could not be destroyed; the next change tries again', {
        function: address.name,
        error,
      });
    }
  }
}
