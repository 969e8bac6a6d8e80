/** For the tests: the service on a bus in memory, beside peers that answer from this object. */
import { statementBytes } from '@lethe/certificate';
import type { Lethe } from '@lethe/client';
import { EVENT, events, hashing, type Role, type vault } from '@lethe/contracts';
import {
  byteMatrix,
  type DatasetSpec,
  decodePayload,
  encodePayload,
  encodeSpec,
  vectorWidth,
} from '@lethe/datasets';
import {
  AggregateStore,
  type Bus,
  defineAggregate,
  ensurePlatformStreams,
  MemoryBus,
  newEvent,
  STREAMS,
} from '@lethe/events';
import {
  addItems,
  allocateClasses,
  createFeatureMap,
  emptyCodebook,
  emptyStatistics,
  fitHashFunction,
  statisticsDigest,
  targetsOf,
  weightsDigest,
} from '@lethe/hashing';
import type { CallContext, Partially, ServiceBinding } from '@lethe/rpc';
import { rootStatement, type ServiceDeps } from '@lethe/service';
import { assert, hex, LetheError, seededRandom, sha256, silentLogger, sleep, systemClock } from '@lethe/std';
import type { HashingContext } from './context.ts';
import { contextOf, createHashing, type HashingSettings } from './index.ts';

export const TENANT = 'acme';
export const DATASET = 'tenants/acme/datasets/shapes';
export const FUNCTION = 'tenants/acme/hashFunctions/shapes';

export const SPEC: DatasetSpec = {
  format: 'lethe-dataset-v1',
  name: 'shapes',
  provenance: 'made by a seeded generator for this test',
  subjectField: 'person',
  fields: [{ kind: 'numeric-vector', name: 'pixels', element: 'uint8', shape: [8], min: 0, max: 255 }],
  label: { name: 'shape', classes: ['round', 'square', 'long'] },
};

export const FUNCTION_SPEC: hashing.HashFunctionSpec = {
  root: `${DATASET}/roots/1`,
  codeBits: 16,
  featureDim: 32,
  lambda: 65_536,
  featureSeed: 'test',
  modalities: [],
  gate: undefined,
};

export interface TestRecord {
  readonly alias: string;
  readonly payload: Uint8Array;
}

/** Records of persons `{prefix}0`, `{prefix}1`, …: class patterns with noise, two each. */
export function makeRecords(prefix: string, persons: number, labels: readonly number[]): TestRecord[] {
  const random = seededRandom('hashing-fixture', prefix);
  return Array.from({ length: 2 * persons }, (_, i) => {
    const label = labels[i % labels.length]!;
    const pixels = Uint8Array.from({ length: 8 }, (_, p) => (p % 3 === label ? 180 : 40) + random.below(40));
    return { alias: `${prefix}${i >> 1}`, payload: encodePayload(SPEC, { values: [pixels], label }) };
  });
}

/** Digests of a function trained on these records at once by the library alone. */
export function trainedDigests(records: readonly TestRecord[]): { sums: string; weights: string } {
  const rows = records.map(({ payload }) => decodePayload(SPEC, payload));
  const map = createFeatureMap({ seed: 'test', featureDim: 32, inputWidth: vectorWidth(SPEC) });
  const codebook = allocateClasses(emptyCodebook(16), SPEC.label.classes);
  const labels = Int32Array.from(rows, (row) => row.label!);
  const batch = { features: map.apply(byteMatrix(SPEC, rows)), targets: targetsOf(codebook, labels) };
  const sums = addItems(emptyStatistics(32, 16), batch);
  const fn = fitHashFunction(sums, { features: map.spec, codebook, lambda: 65_536, version: 1 });
  return { sums: hex(statisticsDigest(sums)), weights: hex(weightsDigest(fn)) };
}

const notFound = (): LetheError =>
  new LetheError('GONE', { code: 'LETHE-4010', status: 'NOT_FOUND', remedy: '' }, 'not there');

const saga = defineAggregate({
  type: 'erasure',
  events: [EVENT.erasureRequested, EVENT.erasureContained, EVENT.erasureStarted],
  initial: () => 0,
  fold: (count) => count + 1,
});

const part = defineAggregate({
  type: 'hash-erasure',
  events: [EVENT.hashContained, EVENT.hashErased],
  initial: (): { contained?: events.OwnerContained; erased?: events.OwnerErased } => ({}),
  fold: (state, event) =>
    event.type === 'hash.contained' ? { ...state, contained: event.data } : { ...state, erased: event.data },
});

const running = new Set<() => Promise<void>>();

/** Stops every service that a test has started: one that runs on would keep a failed test from ending. */
export async function closeAll(): Promise<void> {
  for (const close of running) await close();
}

/** The platform around the service, and what the tests may turn. */
export class World {
  readonly bus: Bus;
  readonly records: TestRecord[] = [];
  readonly roots: vault.DatasetRoot[] = [];
  readonly keys = new Map<string, Uint8Array>();
  readonly destroyed = new Set<string>();
  readonly suppressed = new Set<string>();
  readonly canaries = new Set<string>();
  readonly logged = new Set<string>();
  datasetSpec: Uint8Array = encodeSpec(SPEC);
  /** `after_position` of every reading of records. */
  readonly readsAfter: number[] = [];
  /** What a reading of records waits for. */
  gate: Promise<void> = Promise.resolve();
  readonly deps: ServiceDeps;
  readonly #sagas: AggregateStore<number, (typeof saga.events)[number]>;
  readonly #parts: AggregateStore<
    { contained?: events.OwnerContained; erased?: events.OwnerErased },
    (typeof part.events)[number]
  >;

  constructor(bus: Bus = new MemoryBus()) {
    this.bus = bus;
    this.deps = {
      bus: this.bus,
      peers: this.#peers(),
      clock: systemClock,
      random: seededRandom('hashing-world'),
      logger: silentLogger,
    };
    this.#sagas = new AggregateStore(saga, { bus: this.bus, source: 'erasure' });
    this.#parts = new AggregateStore(part, { bus: this.bus, source: 'hash' });
  }

  static async with(...records: readonly TestRecord[]): Promise<World> {
    const world = new World();
    await ensurePlatformStreams(world.bus);
    world.commitRoot(records);
    return world;
  }

  /** Appends records and commits a root over all; logged unless told otherwise. */
  commitRoot(records: readonly TestRecord[], options: { readonly logged?: boolean } = {}): string {
    this.records.push(...records);
    const root: vault.DatasetRoot = {
      name: `${DATASET}/roots/${this.roots.length + 1}`,
      root: sha256(...this.records.map(({ payload }) => payload)),
      recordCount: BigInt(this.records.length),
      lastPosition: BigInt(this.records.length),
      createTime: new Date(1_700_000_000_000 + this.roots.length),
    };
    this.roots.push(root);
    if (options.logged !== false) this.logged.add(hex(sha256(statementBytes(rootStatement(root)))));
    return root.name;
  }

  /** Keys that still open something. */
  get liveKeys(): string[] {
    return [...this.keys.keys()].filter((keyId) => !this.destroyed.has(keyId)).sort();
  }

  /** Live keys by what they open: `block`, `head`, `needles`, `proof`, `segment`. */
  get liveKinds(): string[] {
    return this.liveKeys.map((keyId) => keyId.split('-')[1]!);
  }

  #root(name: string): vault.DatasetRoot {
    const root = this.roots.find((candidate) => candidate.name === name);
    if (!root) throw notFound();
    return root;
  }

  async *#read(request: { root?: string; afterPosition?: bigint }): AsyncGenerator<vault.Record> {
    this.readsAfter.push(Number(request.afterPosition));
    const last = Number(this.#root(request.root ?? '').lastPosition);
    await this.gate;
    for (const [i, { alias, payload }] of this.records.slice(0, last).entries()) {
      if (i + 1 <= Number(request.afterPosition) || this.suppressed.has(alias)) continue;
      yield { position: BigInt(i + 1), subjectAlias: alias, recordId: `r${i}`, payload };
    }
  }

  #key(keyId: string): Uint8Array {
    const key = this.keys.get(keyId);
    if (!key || this.destroyed.has(keyId)) throw notFound();
    return key;
  }

  #peers(): Lethe {
    const random = seededRandom('hashing-keys');
    const fake = {
      vault: {
        getDataset: async () => ({ spec: this.datasetSpec, latestRoot: this.roots.at(-1)?.name ?? '' }),
        getDatasetRoot: async ({ name }: { name: string }) => this.#root(name),
        readRecords: (request: { root?: string; afterPosition?: bigint }) => this.#read(request),
        createArtefactKey: async ({ keyId }: { keyId: string }) => {
          if (!this.keys.has(keyId)) this.keys.set(keyId, random.bytes(32));
          return { keyId, key: this.#key(keyId) };
        },
        getArtefactKey: async ({ keyId }: { keyId: string }) => ({ keyId, key: this.#key(keyId) }),
        destroyArtefactKeys: async ({ keyIds }: { keyIds: string[] }) => {
          for (const keyId of keyIds) this.destroyed.add(keyId);
          return { destroyed: BigInt(keyIds.length) };
        },
      },
      audit: { listExclusions: async () => ({ subjectAliases: [...this.canaries] }) },
      erasure: {
        getLogStatement: async ({ statementDigest }: { statementDigest: string }) => {
          if (!this.logged.has(statementDigest)) throw notFound();
          return { index: 0n, statement: new Uint8Array(0) };
        },
      },
    };
    return fake as unknown as Lethe;
  }

  /** A started service and its methods, as a client would call them. */
  async service(settings: HashingSettings = {}): Promise<{ api: Api; close(): Promise<void> }> {
    const service = createHashing(this.deps, { rootWaitMs: 50, ...settings });
    await service.start();
    const close = async (): Promise<void> => {
      if (running.delete(close)) await service.close();
    };
    running.add(close);
    return { api: apiOf(service.bindings[0]!.handlers), close };
  }

  /** The inside of a service, for what a crash would leave between two steps. */
  context(): HashingContext {
    return { ...contextOf(this.deps, { rootWaitMs: 50 }), ready: true };
  }

  async request(alias: string, erasure = 'e1'): Promise<void> {
    const data = events.ErasureRequested.create({
      erasure: `tenants/${TENANT}/erasureRequests/${erasure}`,
      subjectAlias: alias,
      datasets: [DATASET],
    });
    await this.#sagas.propose(TENANT, erasure, () => [newEvent(EVENT.erasureRequested, data)]);
  }

  started(alias: string, cohort: readonly string[] = [], erasure = 'e1'): events.ErasureStarted {
    return events.ErasureStarted.create({
      erasure: `tenants/${TENANT}/erasureRequests/${erasure}`,
      subjects: [alias],
      cohort: [...cohort],
      seed: '00'.repeat(32),
      owners: ['hash'],
      datasets: [DATASET],
    });
  }

  async startErasure(alias: string, cohort: readonly string[] = [], erasure = 'e1'): Promise<void> {
    const data = this.started(alias, cohort, erasure);
    await this.#sagas.propose(TENANT, erasure, () => [newEvent(EVENT.erasureStarted, data)]);
  }

  async contained(erasure = 'e1'): Promise<events.OwnerContained> {
    return await eventually(async () => (await this.#parts.load(TENANT, erasure)).state.contained);
  }

  async erased(erasure = 'e1', withinMs?: number): Promise<events.OwnerErased> {
    return await eventually(async () => (await this.#parts.load(TENANT, erasure)).state.erased, withinMs);
  }

  async objectCount(): Promise<number> {
    return (await this.bus.streamState(STREAMS.artefacts)).messages;
  }
}

/** Polls until there is an answer. @param withinMs default 10 s */
export async function eventually<T>(look: () => Promise<T | undefined>, withinMs = 10_000): Promise<T> {
  for (const endMs = Date.now() + withinMs; Date.now() < endMs; await sleep(5)) {
    const found = await look();
    if (found !== undefined) return found;
  }
  throw new Error(`it did not come to pass within ${withinMs} ms`);
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const out: T[] = [];
  for await (const item of items) out.push(item);
  return out;
}

/** The methods that the tests call, with the messages' own types. */
export interface Api {
  create(spec?: hashing.HashFunctionSpec): Promise<hashing.HashFunction>;
  update(root: string): Promise<hashing.HashFunction>;
  get(): Promise<hashing.HashFunction>;
  search(
    query: hashing.SearchRequest['query'],
    k: number,
    conditions?: Partially<hashing.SearchRequest>,
  ): Promise<hashing.SearchResponse>;
  encode(payload: Uint8Array): Promise<hashing.EncodeResponse>;
  predict(payloads: Uint8Array[], k?: number): Promise<hashing.PredictResponse>;
  codes(): Promise<hashing.CodeEntry[]>;
  /** Waits until nothing is being learned. */
  settled(): Promise<hashing.HashFunction>;
  metrics(): Promise<hashing.HashMetrics>;
  /** Asks for a check of the function and waits for its end. @param role default platform */
  check(checkId: string, spec: Partially<hashing.HashCheckSpec>, role?: Role): Promise<hashing.HashCheck>;
  getCheck(checkId: string): Promise<hashing.HashCheck>;
}

const checkName = (checkId: string) => ({ name: `tenants/${TENANT}/hashChecks/${checkId}` });

function apiOf(handlers: ServiceBinding['handlers']): Api {
  const context: CallContext = {
    method: '',
    identity: { id: 'test', role: 'platform', tenants: [TENANT] },
    tenant: TENANT,
    signal: new AbortController().signal,
  };
  const call = async <T>(method: string, request: object, role: Role = 'platform'): Promise<T> => {
    const handler = handlers[method];
    assert(handler, `there is no method ${method}`);
    return (await handler(request, { ...context, identity: { ...context.identity, role } })) as T;
  };
  const name = FUNCTION;
  return {
    create: (spec = FUNCTION_SPEC) =>
      call('createHashFunction', { parent: `tenants/${TENANT}`, functionId: 'shapes', spec, requestId: '' }),
    update: (root) => call('createUpdate', { name, root, requestId: '' }),
    get: () => call('getHashFunction', { name }),
    search: (query, k, conditions) =>
      call('search', hashing.SearchRequest.fromPartial({ ...conditions, name, query, k })),
    encode: (payload) => call('encode', { name, payload, modality: '' }),
    predict: (payloads, k = 3) => call('predict', { name, payloads, k, modality: '' }),
    codes: async () => await collect(await call<AsyncIterable<hashing.CodeEntry>>('listCodes', { name })),
    settled: async () => {
      const states = await call<AsyncIterable<hashing.HashFunction>>('watchHashFunction', { name });
      return (await collect(states)).at(-1)!;
    },
    metrics: async () => hashing.HashMetrics.fromPartial(await call('getHashMetrics', { name })),
    check: async (checkId, wanted, role) => {
      const spec = hashing.HashCheckSpec.fromPartial({ function: name, ...wanted });
      await call('createHashCheck', { parent: `tenants/${TENANT}`, checkId, spec, requestId: '' }, role);
      const states = await call<AsyncIterable<hashing.HashCheck>>('watchHashCheck', checkName(checkId));
      return hashing.HashCheck.fromPartial((await collect(states)).at(-1)!);
    },
    getCheck: async (checkId) =>
      hashing.HashCheck.fromPartial(await call('getHashCheck', checkName(checkId))),
  };
}
