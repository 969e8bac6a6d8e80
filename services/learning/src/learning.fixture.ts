/** A small platform around the service: a vault, an audit and a log in memory, on an in-memory bus. For tests of this folder. */
import type { Lethe } from '@lethe/client';
import { audit, EVENT, type events, type learning } from '@lethe/contracts';
import { type DatasetSpec, encodePayload, encodeSpec } from '@lethe/datasets';
import {
  AggregateStore,
  aggregateFilter,
  type Bus,
  defineAggregate,
  ensurePlatformStreams,
  MemoryBus,
  newEvent,
  readEnvelope,
  STREAMS,
} from '@lethe/events';
import type { CallContext } from '@lethe/rpc';
import type { Service, ServiceDeps } from '@lethe/service';
import {
  LetheError,
  STD,
  secureRandom,
  seededRandom,
  sha256,
  silentLogger,
  sleep,
  systemClock,
} from '@lethe/std';
import { create, type LearningSettings } from './index.ts';

export const TENANT = 'acme';
export const DATASET = `tenants/${TENANT}/datasets/clusters`;
export const ROOT = `${DATASET}/roots/1`;
export const AUDIT = `tenants/${TENANT}/audits/first`;
const FEATURES = 8;
const CLASSES = 3;

export const clusters: DatasetSpec = {
  format: 'lethe-dataset-v1',
  name: 'clusters',
  provenance: 'synthetic clusters, made for tests',
  subjectField: 'subject',
  fields: [{ kind: 'numeric-vector', name: 'x', element: 'float32', shape: [FEATURES], min: 0, max: 2 }],
  label: { name: 'cluster', classes: ['a', 'b', 'c'] },
};

export interface FakeRecord {
  readonly position: bigint;
  readonly subjectAlias: string;
  readonly recordId: string;
  payload: Uint8Array;
}

/** People with three records each, then canaries with one. */
export function someRecords(people = 60, canaries = 12): FakeRecord[] {
  const random = seededRandom('learning.fixture');
  const aliases = [
    ...Array.from({ length: people * 3 }, (_, i) => `person-${Math.floor(i / 3)}`),
    ...Array.from({ length: canaries }, (_, i) => `canary-${i}`),
  ];
  return aliases.map((subjectAlias, i) => {
    const label = random.below(CLASSES);
    const x = Float32Array.from(
      { length: FEATURES },
      (_, k) => (k % CLASSES === label ? 1 : 0) + random.uniform() * 0.9,
    );
    const payload = encodePayload(clusters, { values: [x], label });
    return { position: BigInt(i + 1), subjectAlias, recordId: `record-${i}`, payload };
  });
}

const notFound = (what: string): LetheError =>
  new LetheError('GONE', { ...STD.INTERNAL.spec, status: 'NOT_FOUND' }, what);

export interface World {
  readonly bus: Bus;
  readonly records: FakeRecord[];
  readonly keys: Map<string, Uint8Array>;
  readonly destroyedKeys: Set<string>;
  readonly suppressed: Set<string>;
  /** Canaries of the audit that are OUT; all other canaries may be trained by the ensemble that names it. */
  readonly out: Set<string>;
  logged: boolean;
  /** Called before records are handed out. */
  beforeRead: () => Promise<void> | void;
  readonly deps: ServiceDeps;
}

export async function makeWorld(records = someRecords(), dataset = clusters): Promise<World> {
  const bus = new MemoryBus();
  await ensurePlatformStreams(bus);
  const keys = new Map<string, Uint8Array>();
  const random = secureRandom();
  const canaries = () =>
    new Set(records.map((record) => record.subjectAlias).filter((alias) => alias.startsWith('canary')));
  const world: Omit<World, 'deps'> = {
    bus,
    records,
    keys,
    destroyedKeys: new Set(),
    suppressed: new Set(),
    out: new Set(['canary-0', 'canary-1']),
    logged: true,
    beforeRead: () => undefined,
  };
  const vault: Partial<Lethe['vault']> = {
    getDataset: async ({ name }) => {
      if (name !== DATASET) throw notFound('no such dataset');
      const spec = encodeSpec(dataset);
      return {
        name,
        spec,
        specDigest: '',
        recordCount: 0n,
        subjectCount: 0n,
        createTime: new Date(0),
        latestRoot: ROOT,
      };
    },
    getDatasetRoot: async ({ name }) => {
      if (name !== ROOT) throw notFound('no such root');
      return {
        name,
        root: sha256('root'),
        recordCount: BigInt(records.length),
        lastPosition: BigInt(records.length),
        createTime: new Date(0),
      };
    },
    readRecords: async function* () {
      await world.beforeRead();
      for (const record of records) if (!world.suppressed.has(record.subjectAlias)) yield record;
    },
    createArtefactKey: async ({ keyId = '' }) => {
      const key = keys.get(keyId) ?? random.bytes(32);
      keys.set(keyId, key);
      return { keyId, key };
    },
    getArtefactKey: async ({ keyId = '' }) => {
      const key = keys.get(keyId);
      if (!key) throw notFound('no such key');
      return { keyId, key };
    },
    destroyArtefactKeys: async ({ keyIds = [] }) => {
      for (const keyId of keyIds) {
        keys.delete(keyId);
        world.destroyedKeys.add(keyId);
      }
      return { destroyed: BigInt(keyIds.length) };
    },
  };
  const auditPeer: Partial<Lethe['audit']> = {
    listExclusions: async (request) => ({
      subjectAliases: [...(request.audit === AUDIT ? world.out : canaries())],
    }),
    getAudit: async ({ name }) => {
      if (name !== AUDIT) throw notFound('no such audit');
      return audit.Audit.fromPartial({
        name,
        spec: { dataset: DATASET },
        state: audit.Audit_State.STATE_REGISTERED,
      });
    },
  };
  const erasure: Partial<Lethe['erasure']> = {
    getLogStatement: async () => {
      if (!world.logged) throw notFound('not logged');
      return { index: 0n, statement: new Uint8Array() };
    },
  };
  const peers = { vault, audit: auditPeer, erasure } as Lethe;
  const deps: ServiceDeps = { bus, peers, clock: systemClock, random, logger: silentLogger };
  return Object.assign(world, { deps });
}

export async function startService(world: World, settings: LearningSettings = {}): Promise<Service> {
  const service = create(world.deps, { logWaitMs: 300, runWaitMs: 5_000, ...settings });
  await service.start();
  running.add(service);
  return service;
}

const running = new Set<Service>();

/** Also after a test that failed: a service that runs keeps the process. */
export async function stopServices(): Promise<void> {
  await Promise.all([...running].map((service) => service.close()));
  running.clear();
}

type Method = keyof typeof learning.LearningServiceDefinition.methods;

/** Calls a handler as the server would after its checks. */
export async function call<Response>(
  service: Service,
  method: Method,
  request: Readonly<Record<string, unknown>>,
  role: CallContext['identity']['role'] = 'platform',
): Promise<Response> {
  const context: CallContext = {
    method,
    identity: { id: role, role, tenants: ['*'] },
    tenant: TENANT,
    signal: new AbortController().signal,
  };
  const full = { subjectAliases: [], requestId: '', ...request };
  return (await service.bindings[0]!.handlers[method]!(full, context)) as Response;
}

export const ensembleSpec = (
  audited = AUDIT,
): learning.TrainingSpec & { method: { $case: 'shardedEnsemble' } } => ({
  root: ROOT,
  method: {
    $case: 'shardedEnsemble',
    value: {
      shardCount: 3,
      sliceCount: 3,
      hiddenUnits: 6,
      epochs: 2,
      batchSize: 8,
      learningRate: 0.05,
      audit: audited,
    },
  },
});

export const dpSpec = (): learning.TrainingSpec & { method: { $case: 'dpSgd' } } => ({
  root: ROOT,
  method: {
    $case: 'dpSgd',
    value: {
      epsilon: 8,
      delta: 1e-5,
      samplingProbability: 1,
      steps: 8,
      l2ClipNorm: 1,
      learningRate: 1,
      momentum: 0.5,
      rowsPerSubjectMax: 3,
    },
  },
});

/** Creates a run and waits for its end. */
export async function train(
  service: Service,
  runId: string,
  spec: learning.TrainingSpec,
): Promise<learning.TrainingRun> {
  await call(service, 'createTrainingRun', { parent: `tenants/${TENANT}`, runId, spec });
  return await ended(service, runId);
}

export async function ended(service: Service, runId: string): Promise<learning.TrainingRun> {
  const name = `tenants/${TENANT}/trainingRuns/${runId}`;
  for (;;) {
    const run = await call<learning.TrainingRun>(service, 'getTrainingRun', { name });
    if (run.state !== 1) return run;
    await sleep(20);
  }
}

export const modelNamed = (service: Service, id: string): Promise<learning.Model> =>
  call<learning.Model>(service, 'getModel', { name: `tenants/${TENANT}/models/${id}` });

const erasures = defineAggregate({
  type: 'erasure',
  events: [EVENT.erasureRequested, EVENT.erasureStarted],
  initial: () => 0,
  fold: (count) => count + 1,
});

export const ERASURE = `tenants/${TENANT}/erasureRequests/e1`;

/** What the saga says: requested, and started once the owner has contained. */
export async function sagaSays(
  world: World,
  subject: string,
  cohort: readonly string[] = [],
): Promise<{ contained: events.OwnerContained; erased: events.OwnerErased }> {
  const store = new AggregateStore(erasures, { bus: world.bus, source: 'test' });
  world.suppressed.add(subject);
  const requested: events.ErasureRequested = {
    erasure: ERASURE,
    subjectAlias: subject,
    subjectCommitment: '',
    requestDigest: '',
    policy: '',
    datasets: [DATASET],
    requestTime: new Date(0),
  };
  await store.propose(TENANT, 'e1', () => [newEvent(EVENT.erasureRequested, requested)]);
  const contained = await ownFact(world, EVENT.learningContained);
  await store.propose(TENANT, 'e1', () => [newEvent(EVENT.erasureStarted, startedEvent(subject, cohort))]);
  return { contained, erased: await ownFact(world, EVENT.modelUnlearned) };
}

export const startedEvent = (subject: string, cohort: readonly string[]): events.ErasureStarted => ({
  erasure: ERASURE,
  subjects: [subject],
  cohort: [...cohort],
  seed: 'ab'.repeat(32),
  owners: ['learning'],
  audit: AUDIT,
  deadline: new Date(0),
  datasets: [DATASET],
});

async function ownFact<Data>(
  { bus }: World,
  definition: { readonly type: string; readonly codec: { decode(bytes: Uint8Array): Data } },
): Promise<Data> {
  for (;;) {
    for await (const message of bus.read(STREAMS.events, aggregateFilter({ type: 'learning-erasure' }))) {
      if (readEnvelope(message).type === definition.type) return definition.codec.decode(message.data);
    }
    await sleep(20);
  }
}

/** Decoded events of one type on the training runs, in order. */
export async function runEvents<Data>(
  { bus }: World,
  definition: { readonly type: string; readonly codec: { decode(bytes: Uint8Array): Data } },
): Promise<Data[]> {
  const out: Data[] = [];
  for await (const message of bus.read(STREAMS.events, aggregateFilter({ type: 'training-run' }))) {
    if (readEnvelope(message).type === definition.type) out.push(definition.codec.decode(message.data));
  }
  return out;
}
