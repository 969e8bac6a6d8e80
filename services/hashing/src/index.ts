/** The hashing service: functions that learn for ever, codes that stay, search over them. See README.md. */
import { EVENT, hashing } from '@lethe/contracts';
import { AggregateStore, on, type RecordedEvent, type Subscription, subscribe } from '@lethe/events';
import { DEFAULT_DRIFT, type DriftOptions } from '@lethe/hashing';
import { bind } from '@lethe/rpc';
import { ContainedAliases, type Service, type ServiceDeps, takePart, watch } from '@lethe/service';
import { Checks, onCheckRequested } from './checks.ts';
import { contain, erase } from './consumers/erasure.ts';
import { onRootRequested } from './consumers/learn.ts';
import { moveCodes } from './consumers/reencode.ts';
import { functionAddress, type HashingContext, Turns } from './context.ts';
import { hashWatch } from './domain/watch.ts';
import { type Drifted, DriftWatches } from './drift.ts';
import { Follower } from './follow.ts';
import { addressOf, HashFunctions } from './functions.ts';
import { raiseDrift } from './raise-drift.ts';
import { resource } from './resource.ts';
import { createHashFunction } from './rpc/create-hash-function.ts';
import { createUpdate } from './rpc/create-update.ts';
import { encode } from './rpc/encode.ts';
import { getErasureProof } from './rpc/get-erasure-proof.ts';
import { getHashMetrics } from './rpc/get-hash-metrics.ts';
import { getInclusionProof } from './rpc/get-inclusion-proof.ts';
import { checkResource, createHashCheck, watchHashCheck } from './rpc/hash-checks.ts';
import { listCodes } from './rpc/list-codes.ts';
import { listHashFunctions } from './rpc/list-hash-functions.ts';
import { listNearDuplicates } from './rpc/list-near-duplicates.ts';
import { predict } from './rpc/predict.ts';
import { promoteHashVersion } from './rpc/promote-hash-version.ts';
import { listQuarantine, resolveQuarantine } from './rpc/quarantine.ts';
import { search } from './rpc/search.ts';
import { Keeper, type KeeperSettings } from './scrub.ts';
import { SearchEngine, type SearchSettings } from './search-engine.ts';

export interface HashingSettings {
  /** How long a root may take to appear in the transparency log before learning fails; default 10 s. */
  readonly rootWaitMs?: number;
  /** How old a replica's look at the events may be when it answers; default 250 ms. Every replica needs the same. */
  readonly freshMs?: number;
  /** How long a caller who names an event waits for a replica to reflect it; default 2 s. */
  readonly replicaWaitMs?: number;
  /** Up to how many survivors of an erasure changed codes are counted one by one; default 50,000. */
  readonly churnExactMax?: number;
  /**
   * The watch for drift. `referenceItemsMin` is how many items become the reference; at least `edgeItems` + `window`. Default
   * `DEFAULT_DRIFT` of `libs/hashing`, whose false alarms were simulated.
   */
  readonly drift?: Partial<DriftOptions>;
  /** When the stored state of an opened function is read and compared with its digests. */
  readonly scrub?: KeeperSettings;
  /** Persons that a stored score is the mean of, at least; default 20. */
  readonly probesMin?: number;
  /** Threads and multi-index of large indexes. */
  readonly search?: SearchSettings;
}

const ROOT_WAIT_MS = 10_000;
const CHURN_EXACT_MAX = 50_000;
const PROBES_MIN = 20;

/** What the methods and consumers work with, before anything runs. */
export function contextOf(deps: ServiceDeps, settings: HashingSettings = {}): HashingContext {
  const turns = new Turns();
  const engine = new SearchEngine(turns, deps.logger, settings.search);
  const functions = new HashFunctions(deps, engine, settings.replicaWaitMs);
  const masks = new ContainedAliases();
  const { freshMs } = settings;
  const watches = new AggregateStore(hashWatch, { bus: deps.bus, source: 'hashing', clock: deps.clock });
  const onDrift = async (drifted: Drifted): Promise<void> =>
    await raiseDrift({ ...deps, functions, watches }, drifted);
  const follower = new Follower({
    bus: deps.bus,
    masks,
    onFunction: (address) => functions.changed(address),
    ...(freshMs === undefined ? {} : { freshMs }),
  });
  return {
    ...deps,
    functions,
    masks,
    follower,
    progress: new Map(),
    rootWaitMs: settings.rootWaitMs ?? ROOT_WAIT_MS,
    churnExactMax: settings.churnExactMax ?? CHURN_EXACT_MAX,
    watches,
    drift: new DriftWatches({ ...DEFAULT_DRIFT, ...settings.drift }, onDrift, deps.logger),
    checks: new Checks(deps),
    probesMin: settings.probesMin ?? PROBES_MIN,
    blocked: new Map(),
    turns,
    ready: false,
  };
}

export function createHashing(deps: ServiceDeps, settings: HashingSettings = {}): Service {
  const context = contextOf(deps, settings);
  const keeper = new Keeper(context, settings.scrub);
  const subscriptions: Subscription[] = [];
  const binding = bind(hashing.HashingServiceDefinition, {
    createHashFunction: (request) => createHashFunction(context, request),
    getHashFunction: async ({ name }) => {
      // Also bounds the wait for a bus that is gone: nothing else of this answer does.
      await context.follower.fresh();
      return await resource(context, functionAddress(name));
    },
    listHashFunctions: (request) => listHashFunctions(context, request),
    watchHashFunction: ({ name }, { signal }) => watchHashFunction(context, name, signal),
    createUpdate: (request) => createUpdate(context, request),
    promoteHashVersion: (request) => promoteHashVersion(context, request),
    encode: (request) => encode(context, request),
    search: (request) => search(context, request),
    predict: (request) => predict(context, request),
    listCodes: (request, { signal }) => listCodes(context, request, signal),
    listNearDuplicates: (request, { signal }) => listNearDuplicates(context, request, signal),
    listQuarantine: (request, { signal }) => listQuarantine(context, request, signal),
    resolveQuarantine: (request) => resolveQuarantine(context, request),
    getInclusionProof: (request) => getInclusionProof(context, request),
    getErasureProof: (request) => getErasureProof(context, request),
    getHashMetrics: (request) => getHashMetrics(context, request),
    createHashCheck: (request, { identity }) => createHashCheck(context, request, identity),
    getHashCheck: async ({ name }) => await checkResource(context, name),
    watchHashCheck: ({ name }, { signal }) => watchHashCheck(context, name, signal),
  });
  const onRequested = async ({ aggregate, id }: RecordedEvent): Promise<void> =>
    await onRootRequested(context, addressOf(aggregate.tenant, aggregate.id), id);
  return {
    name: 'hashing',
    bindings: [binding],
    async start() {
      context.functions.onOpened = (address, learned) => keeper.opened(address, learned);
      await context.follower.start();
      context.ready = true;
      subscriptions.push(
        await subscribe({
          bus: deps.bus,
          consumer: 'hashing',
          aggregates: ['hash-function'],
          handlers: [
            on(EVENT.hashFunctionCreated, onRequested),
            on(EVENT.hashUpdateRequested, onRequested),
            on(EVENT.hashFunctionPromoted, async ({ aggregate, data }) => {
              if (data.reencoding) await moveCodes(context, addressOf(aggregate.tenant, aggregate.id));
            }),
          ],
          ignores: [EVENT.hashVersionHeld, EVENT.hashFunctionFailed],
          logger: deps.logger,
        }),
        await subscribe({
          bus: deps.bus,
          consumer: 'hashing-checks',
          aggregates: ['hash-check'],
          handlers: [
            on(EVENT.hashCheckRequested, ({ aggregate }) =>
              onCheckRequested(context, aggregate.tenant, aggregate.id),
            ),
          ],
          ignores: [EVENT.hashCheckCompleted, EVENT.hashCheckFailed],
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
      await context.follower.stop();
      await keeper.stop();
      await context.functions.engine.close();
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
      const before = await functions.load(address);
      await functions.destroySuperseded(address, before);
      await functions.settleLater(address, before);
    } catch (error) {
      logger.warn('an earlier state could not be destroyed; the next change tries again', {
        function: address.name,
        error,
      });
    }
  }
}
