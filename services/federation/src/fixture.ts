/** For the tests: the service behind a real gRPC server, on a bus in memory, beside peers that answer from this object. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Lethe, lethe } from '@lethe/client';
import { EVENT, events, federation as wire } from '@lethe/contracts';
import { type DatasetSpec, encodePayload, encodeSpec } from '@lethe/datasets';
import { AggregateStore, defineAggregate, ensurePlatformStreams, MemoryBus, newEvent } from '@lethe/events';
import { type PartyProgress, RowStore, type RunningParty, runParty } from '@lethe/party';
import { createServer, type RpcServer, tokenAuthenticator } from '@lethe/rpc';
import type { Service, ServiceDeps } from '@lethe/service';
import { LetheError, seededRandom, sha256, silentLogger, sleep, systemClock } from '@lethe/std';
import { create } from './index.ts';

export const TENANT = 'acme';
export const DATASET = 'tenants/acme/datasets/shapes';
export const NAME = 'tenants/acme/federations/columns';
export const PARTIES = ['left', 'right'] as const;
export const COLUMNS = 6;
export const TOKENS = { platform: 'p'.repeat(40), party: 'q'.repeat(40) };

const dataSpec = (classes: number): DatasetSpec => ({
  format: 'lethe-dataset-v1',
  name: 'shapes',
  provenance: 'made by a seeded generator for this test',
  subjectField: 'person',
  fields: [{ kind: 'numeric', name: 'visit', min: 0, max: 1 }],
  label: { name: 'shape', classes: Array.from({ length: classes }, (_, i) => `shape${i}`) },
});

export const SPEC: wire.FederationSpec = {
  root: `${DATASET}/roots/1`,
  parties: [...PARTIES],
  codeBits: 8,
  hiddenUnits: 12,
  topHiddenUnits: 10,
  epochs: 6,
  batchSize: 64,
  learningRate: 0.02,
  consistencyWeight: 1,
  seed: 'test',
};

export interface TestRow {
  readonly alias: string;
  readonly recordId: string;
  readonly label: number;
  /** By party. */
  readonly columns: readonly Uint8Array[];
}

/** Two rows a person; neither party's half alone tells all classes apart. */
export function makeRows(count: number): TestRow[] {
  const random = seededRandom('federation-fixture');
  return Array.from({ length: count }, (_, i) => {
    const label = random.below(3);
    const half = (p: number) =>
      Uint8Array.from(
        { length: COLUMNS },
        (__, c) => (c % 2 === (label === p ? 1 : 0) ? 190 : 60) + random.below(60),
      );
    return { alias: `person${i >> 1}`, recordId: `row-${i}`, label, columns: [half(0), half(1)] };
  });
}

const notFound = (): LetheError =>
  new LetheError('GONE', { code: 'LETHE-4010', status: 'NOT_FOUND', remedy: '' }, 'not there');

const saga = defineAggregate({
  type: 'erasure',
  events: [EVENT.erasureRequested, EVENT.erasureContained, EVENT.erasureStarted],
  initial: () => 0,
  fold: (count) => count + 1,
});

interface Part {
  contained?: events.OwnerContained;
  erased?: events.OwnerErased;
}
const part = defineAggregate({
  type: 'federation-erasure',
  events: [EVENT.federationContained, EVENT.federationErased],
  initial: (): Part => ({}),
  fold: (state, event): Part =>
    event.type === 'federation.contained'
      ? { ...state, contained: event.data }
      : { ...state, erased: event.data },
});

const dataset = defineAggregate({
  type: 'dataset',
  events: [EVENT.datasetRootCommitted],
  initial: () => 0,
  fold: (count) => count + 1,
});

/** A party of a test and what it has reported. */
export interface TestParty {
  readonly running: RunningParty;
  readonly rows: RowStore;
  readonly progress: PartyProgress[];
}

/** The platform around the service. */
export class World {
  readonly bus = new MemoryBus();
  readonly rows: TestRow[];
  /** Under the second root only; parties hold them from the beginning. */
  readonly laterRows: TestRow[] = [];
  readonly canaries = new Set<string>();
  readonly suppressed = new Set<string>();
  readonly keys = new Map<string, Uint8Array>();
  readonly destroyed = new Set<string>();
  readonly folder = mkdtempSync(join(tmpdir(), 'lethe-federation-'));
  readonly deps: ServiceDeps;
  client!: Lethe;
  partyClient!: Lethe;
  /** The dataset's specification. */
  data: DatasetSpec;
  readonly #parties: TestParty[] = [];
  readonly #sagas;
  readonly #parts;
  #service: Service | undefined;
  #server: RpcServer | undefined;
  #port = 0;
  #newestRoot = SPEC.root;

  constructor(rows: TestRow[], classes: number) {
    this.rows = rows;
    this.data = dataSpec(classes);
    this.deps = {
      bus: this.bus,
      peers: this.#peers(),
      clock: systemClock,
      random: seededRandom('federation-world'),
      logger: silentLogger,
    };
    this.#sagas = new AggregateStore(saga, { bus: this.bus, source: 'erasure' });
    this.#parts = new AggregateStore(part, { bus: this.bus, source: 'federation' });
  }

  static async start(rows: TestRow[] = makeRows(320), classes = 3): Promise<World> {
    const world = new World(rows, classes);
    await ensurePlatformStreams(world.bus);
    await world.startService();
    return world;
  }

  get address(): string {
    return `127.0.0.1:${this.#port}`;
  }

  /** Again on the same port, as a restarted process. */
  async startService(): Promise<void> {
    this.#service = create(this.deps, { rootWaitMs: 50, partyWaitMs: 500, answerMs: 5_000 });
    const credentials = (['platform', 'party'] as const).map((role) => ({
      id: role,
      role,
      tenants: [TENANT],
      token: TOKENS[role],
    }));
    this.#server = await createServer({
      services: this.#service.bindings,
      authenticate: tokenAuthenticator(credentials),
      logger: silentLogger,
      port: this.#port,
    });
    this.#port = this.#server.port;
    await this.#service.start();
    const { address } = this.#server;
    this.client = lethe({ address, token: TOKENS.platform });
    this.partyClient = lethe({ address, token: TOKENS.party });
  }

  async stopService(): Promise<void> {
    this.client.close();
    this.partyClient.close();
    await this.#service?.close();
    await this.#server?.close(200);
  }

  async close(): Promise<void> {
    await Promise.all(this.#parties.map(({ running }) => running.stop()));
    await this.stopService();
    rmSync(this.folder, { recursive: true });
  }

  /** @param options.without record ids that this party does not hold */
  party(
    id: string,
    options: { without?: readonly string[]; onProgress?: (p: PartyProgress) => void; keyFile?: string } = {},
  ): TestParty {
    const index = Math.max(0, (PARTIES as readonly string[]).indexOf(id));
    const held = [...this.rows, ...this.laterRows].filter(
      ({ recordId }) => !options.without?.includes(recordId),
    );
    const rows = new RowStore({
      element: 'uint8',
      columns: COLUMNS,
      rows: new Map(held.map(({ recordId, columns }) => [recordId, columns[index]!.slice()])),
    });
    const progress: PartyProgress[] = [];
    const running = runParty({
      address: this.address,
      token: TOKENS.party,
      federation: NAME,
      party: id,
      rows,
      keyFile: join(this.folder, options.keyFile ?? `${id}.key`),
      onProgress: (reported) => {
        progress.push(reported);
        options.onProgress?.(reported);
      },
    });
    const made = { running, rows, progress };
    this.#parties.push(made);
    return made;
  }

  async create(spec: wire.FederationSpec = SPEC): Promise<wire.Federation> {
    return await this.client.federation.createFederation({
      parent: `tenants/${TENANT}`,
      federationId: 'columns',
      spec,
      requestId: '',
    });
  }

  async get(): Promise<wire.Federation> {
    return await this.client.federation.getFederation({ name: NAME });
  }

  async until(what: (federation: wire.Federation) => boolean, waitMs?: number): Promise<wire.Federation> {
    return await eventually(async () => {
      const now = await this.get();
      return what(now) ? now : undefined;
    }, waitMs);
  }

  async ready(version = 1, waitMs?: number): Promise<wire.Federation> {
    const { STATE_READY } = wire.Federation_State;
    return await this.until((now) => now.state === STATE_READY && now.version === version, waitMs);
  }

  async accuracy(rows: readonly TestRow[]): Promise<number> {
    const recordIds = rows.map(({ recordId }) => recordId);
    const { logits, classes } = await this.client.federation.predict({ name: NAME, recordIds });
    const values = new Float32Array(Uint8Array.from(logits).buffer);
    const right = rows.filter(({ label }, row) => {
      const own = values.subarray(row * classes, (row + 1) * classes);
      return own.indexOf(Math.max(...own)) === label;
    });
    return right.length / rows.length;
  }

  async request(alias: string): Promise<events.OwnerContained> {
    const data = events.ErasureRequested.create({
      erasure: `tenants/${TENANT}/erasureRequests/e1`,
      subjectAlias: alias,
      datasets: [DATASET],
    });
    this.suppressed.add(alias);
    await this.#sagas.propose(TENANT, 'e1', () => [newEvent(EVENT.erasureRequested, data)]);
    return await eventually(async () => (await this.#parts.load(TENANT, 'e1')).state.contained);
  }

  /** The second root, which holds the later rows too. */
  async commitSecondRoot(): Promise<void> {
    this.#newestRoot = `${DATASET}/roots/2`;
    const store = new AggregateStore(dataset, { bus: this.bus, source: 'vault' });
    const data = events.DatasetRootCommitted.create({
      root: this.#newestRoot,
      number: 2,
      recordCount: BigInt(this.rows.length + this.laterRows.length),
      lastPosition: BigInt(this.rows.length + this.laterRows.length),
    });
    await store.propose(TENANT, 'shapes', () => [newEvent(EVENT.datasetRootCommitted, data)]);
  }

  started(subjects: readonly string[], cohort: readonly string[]): events.ErasureStarted {
    return events.ErasureStarted.create({
      erasure: `tenants/${TENANT}/erasureRequests/e1`,
      subjects: [...subjects],
      cohort: [...cohort],
      seed: 'ab'.repeat(32),
      owners: ['federation'],
      datasets: [DATASET],
    });
  }

  async startErasure(subjects: readonly string[], cohort: readonly string[] = []): Promise<void> {
    const data = this.started(subjects, cohort);
    await this.#sagas.propose(TENANT, 'e1', () => [newEvent(EVENT.erasureStarted, data)]);
  }

  async erased(waitMs?: number): Promise<events.OwnerErased> {
    return await eventually(async () => (await this.#parts.load(TENANT, 'e1')).state.erased, waitMs);
  }

  get liveKeys(): string[] {
    return [...this.keys.keys()].filter((keyId) => !this.destroyed.has(keyId)).sort();
  }

  #key(keyId: string): Uint8Array {
    const key = this.keys.get(keyId);
    if (!key || this.destroyed.has(keyId)) throw notFound();
    return key;
  }

  async *#read({ root, afterPosition }: { root: string; afterPosition: bigint }) {
    const rows = root === SPEC.root ? this.rows : [...this.rows, ...this.laterRows];
    for (const [i, { alias, recordId, label }] of rows.entries()) {
      if (i < Number(afterPosition) || this.suppressed.has(alias)) continue;
      const payload = encodePayload(this.data, { values: [0.5], label });
      yield { position: BigInt(i + 1), subjectAlias: alias, recordId, payload };
    }
  }

  #peers(): Lethe {
    const fake = {
      vault: {
        getDataset: async () => ({ spec: encodeSpec(this.data), latestRoot: this.#newestRoot }),
        getDatasetRoot: async ({ name }: { name: string }) => ({
          name,
          root: sha256('root'),
          recordCount: BigInt(this.rows.length),
          lastPosition: BigInt(this.rows.length),
          createTime: new Date(1_700_000_000_000),
        }),
        readRecords: (request: { root: string; afterPosition: bigint }) => this.#read(request),
        // Keys follow from their ids, so that two worlds have the same class targets.
        createArtefactKey: async ({ keyId }: { keyId: string }) => {
          if (!this.keys.has(keyId)) this.keys.set(keyId, sha256(keyId));
          return { keyId, key: this.#key(keyId) };
        },
        getArtefactKey: async ({ keyId }: { keyId: string }) => ({ keyId, key: this.#key(keyId) }),
        destroyArtefactKeys: async ({ keyIds }: { keyIds: string[] }) => {
          for (const keyId of keyIds) this.destroyed.add(keyId);
          return { destroyed: BigInt(keyIds.length) };
        },
      },
      audit: { listExclusions: async () => ({ subjectAliases: [...this.canaries] }) },
      erasure: { getLogStatement: async () => ({ index: 0n, statement: new Uint8Array(0) }) },
    };
    return fake as unknown as Lethe;
  }
}

/** Polls until there is an answer. */
export async function eventually<T>(look: () => Promise<T | undefined>, waitMs = 15_000): Promise<T> {
  for (const endMs = Date.now() + waitMs; Date.now() < endMs; await sleep(waitMs / 1_500)) {
    const found = await look();
    if (found !== undefined) return found;
  }
  throw new Error('it did not come to pass in time');
}
