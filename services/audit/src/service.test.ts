import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { checkCoins, coinKeyHash } from '@lethe/auditing';
import type { Lethe } from '@lethe/client';
import { type audit, EVENT, type events, SAGA_EVENTS } from '@lethe/contracts';
import { type DatasetSpec, encodeSpec } from '@lethe/datasets';
import { AggregateStore, defineAggregate, ensurePlatformStreams, MemoryBus, newEvent } from '@lethe/events';
import type { CallContext } from '@lethe/rpc';
import type { Service, ServiceDeps } from '@lethe/service';
import {
  fromHex,
  hex,
  LetheError,
  type StatusName,
  seededRandom,
  sha256,
  silentLogger,
  sleep,
  systemClock,
} from '@lethe/std';
import { auditAggregate } from './domain/audit.ts';
import { decodeReport } from './domain/report.ts';
import { create } from './index.ts';

const TENANT = 'acme';
const PARENT = `tenants/${TENANT}`;
const DATASET = `${PARENT}/datasets/visits`;
const AUDIT = `${PARENT}/audits/a1`;
const MODEL = `${PARENT}/models/m`;
const COUNT = 2_500;
const SPEC = { dataset: DATASET, canaryCount: COUNT, model: MODEL };

const coded = (status: StatusName, message: string): LetheError =>
  new LetheError('FAKE', { code: 'LETHE-9999', status, remedy: '' }, message);
const uniform = (text: string): number => new DataView(sha256(text).buffer).getUint32(0) / 2 ** 32;

/** A vault that keeps what it is sent, and breaks where it is told to. */
class FakeVault {
  readonly keys = new Map<string, Uint8Array | null>();
  readonly records = new Map<string, string>();
  breakIngestAt = Number.POSITIVE_INFINITY;
  breakDestroying = 0;
  ingestCalls = 0;
  readonly forgotten = new Set<string>();
  spec: DatasetSpec = {
    format: 'lethe-dataset-v1',
    name: 'visits',
    provenance: 'invented for this test',
    subjectField: 'patient',
    fields: [{ kind: 'numeric', name: 'age', min: 0, max: 1 }],
    label: { name: 'outcome', classes: ['home', 'ward'] },
  };

  readonly aliasOf = (subjectId: string): string => hex(sha256(`alias ${subjectId}`)).slice(0, 26);

  readonly client: Partial<Lethe['vault']> = {
    createArtefactKey: async ({ keyId = '' }) => {
      const key = this.keys.get(keyId) ?? sha256(`key ${keyId}`);
      assert.notEqual(this.keys.get(keyId), null, 'a dead key is never made again');
      this.keys.set(keyId, key);
      return { keyId, key };
    },
    getArtefactKey: async ({ keyId = '' }) => {
      const key = this.keys.get(keyId);
      if (!key) throw coded('NOT_FOUND', 'no such key');
      return { keyId, key };
    },
    destroyArtefactKeys: async ({ keyIds = [] }) => {
      if (this.breakDestroying-- > 0) throw coded('UNAVAILABLE', 'the vault is down');
      for (const keyId of keyIds) this.keys.set(keyId, null);
      return { destroyed: 1n };
    },
    getDataset: async ({ name = '' }) => {
      if (name !== DATASET) throw coded('NOT_FOUND', 'no such dataset');
      const spec = encodeSpec(this.spec);
      return {
        name,
        spec,
        specDigest: '',
        recordCount: 0n,
        subjectCount: 0n,
        createTime: undefined,
        latestRoot: '',
      };
    },
    ingest: async (messages) => {
      this.ingestCalls++;
      let stored = 0n;
      let duplicates = 0n;
      for await (const { message } of messages) {
        if (message?.$case !== 'record') continue;
        const { subjectId = '', payload } = message.value ?? {};
        if (this.records.size >= this.breakIngestAt) {
          this.breakIngestAt = Number.POSITIVE_INFINITY;
          throw coded('UNAVAILABLE', 'the vault is down');
        }
        const bytes = hex(new Uint8Array(payload ?? []));
        const known = this.records.get(subjectId);
        assert.ok(known === undefined || known === bytes, 'a repeated canary has the same bytes');
        if (known) duplicates++;
        else stored++;
        this.records.set(subjectId, bytes);
      }
      return { stored, duplicates, suppressed: 0n };
    },
    resolveSubject: async ({ subjectId = '' }) => {
      const alias = this.aliasOf(subjectId);
      if (!this.records.has(subjectId) || this.forgotten.has(alias)) throw coded('NOT_FOUND', 'unknown');
      return { alias, recordCount: 1n, datasets: [DATASET], suppressed: false };
    },
  };
}

/** A model that remembers who it was trained on: the true label's logit is higher for them. */
class FakeModel {
  readonly trained = new Set<string>();
  exists = true;

  readonly client: Partial<Lethe['learning']> = {
    getModel: async () => {
      if (!this.exists) throw coded('NOT_FOUND', 'no such model');
      return {} as Awaited<ReturnType<Lethe['learning']['getModel']>>;
    },
    predict: async ({ payloads = [], subjectAliases = [] }) => {
      if (!this.exists) throw coded('NOT_FOUND', 'the model is gone');
      const logits = new Float32Array(payloads.length * 2);
      payloads.forEach((payload, row) => {
        const alias = subjectAliases[row] ?? '';
        const label = payload[1] ?? 0;
        logits[2 * row + label] = 3 * uniform(`noise ${alias}`) + (this.trained.has(alias) ? 1.5 : 0);
      });
      return { logits: new Uint8Array(logits.buffer), classes: 2 };
    },
  };
}

interface World {
  readonly vault: FakeVault;
  readonly model: FakeModel;
  readonly deps: ServiceDeps;
  readonly service: Service;
  call<Answer>(method: string, request: object): Promise<Answer>;
}

async function openWorld(t: TestContext): Promise<World> {
  const bus = new MemoryBus();
  await ensurePlatformStreams(bus);
  const vault = new FakeVault();
  const model = new FakeModel();
  const deps: ServiceDeps = {
    bus,
    peers: { vault: vault.client, learning: model.client } as unknown as Lethe,
    clock: systemClock,
    random: seededRandom('audit service test'),
    logger: silentLogger,
  };
  const service = create(deps);
  await service.start();
  t.after(async () => {
    await service.close();
    await bus.close();
  });
  const context = { signal: new AbortController().signal } as CallContext;
  const call = async <Answer>(method: string, request: object): Promise<Answer> =>
    (await service.bindings[0]!.handlers[method]!(request, context)) as Answer;
  return { vault, model, deps, service, call };
}

const createRequest = (auditId: string, spec = SPEC) => ({ parent: PARENT, auditId, spec, requestId: 'r' });

async function until(world: World, state: number, name = AUDIT): Promise<audit.Audit> {
  for (let look = 0; look < 800; look++) {
    const resource = await world.call<audit.Audit>('getAudit', { name });
    if (resource.state === state) return resource;
    await sleep(10);
  }
  assert.fail('the state was not reached in time');
}

const saga = defineAggregate({
  type: 'erasure',
  events: SAGA_EVENTS,
  initial: () => 0,
  fold: (count: number) => count + 1,
});
const part = defineAggregate({
  type: 'audit-erasure',
  events: [EVENT.auditContained],
  initial: (): events.OwnerContained | undefined => undefined,
  fold: (_, { data }): events.OwnerContained | undefined => data,
});

/** The saga's side: requests, waits for the containment, and says that everything is erased. */
async function requestErasure(
  world: World,
  id: string,
  datasets = [DATASET],
): Promise<events.OwnerContained> {
  const { bus } = world.deps;
  const erasure = `${PARENT}/erasureRequests/${id}`;
  await new AggregateStore(saga, { bus, source: 'test' }).propose(TENANT, id, () => [
    newEvent(EVENT.erasureRequested, {
      erasure,
      subjectAlias: 'person',
      subjectCommitment: '',
      requestDigest: '',
      policy: '',
      datasets,
      requestTime: undefined,
    }),
  ]);
  const parts = new AggregateStore(part, { bus, source: 'test' });
  for (let look = 0; look < 400; look++) {
    const { state } = await parts.load(TENANT, id);
    if (state) return state;
    await sleep(10);
  }
  assert.fail('audit.contained did not come');
}

async function sayErased(world: World, id: string): Promise<void> {
  const erased = { erasure: `${PARENT}/erasureRequests/${id}`, audit: AUDIT };
  const store = new AggregateStore(saga, { bus: world.deps.bus, source: 'test' });
  await store.propose(TENANT, id, () => [newEvent(EVENT.erasureErased, erased)]);
}

const exclusions = async (world: World, wanted = ''): Promise<string[]> =>
  (await world.call<audit.ListExclusionsResponse>('listExclusions', { dataset: DATASET, audit: wanted }))
    .subjectAliases;

/** Registers, trains the fake model on KEEP and DELETE, and returns everyone. */
async function register(world: World): Promise<string[]> {
  await world.call('createAudit', createRequest('a1'));
  await until(world, 2);
  const everyone = await exclusions(world);
  const out = new Set(await exclusions(world, AUDIT));
  for (const alias of everyone) if (!out.has(alias)) world.model.trained.add(alias);
  return everyone;
}

async function ofAudit(world: World): Promise<string[]> {
  const store = new AggregateStore(auditAggregate, { bus: world.deps.bus, source: 'test' });
  const types: string[] = [];
  for await (const event of store.history(TENANT, 'a1')) types.push(event.type);
  return types;
}

test('an exact erasure passes: registered, joined, scored, revealed, forgotten', async (t) => {
  const world = await openWorld(t);
  const everyone = await register(world);
  assert.equal(everyone.length, COUNT);
  const registered = await until(world, 2);
  const out = await exclusions(world, AUDIT);
  assert.ok(Math.abs(out.length / COUNT - 0.6) < 0.05, 'OUT is 60 %');

  const contained = await requestErasure(world, 'e1');
  assert.equal(contained.audit, AUDIT);
  assert.ok(Math.abs(contained.cohort.length / COUNT - 0.3) < 0.05, 'DELETE is 30 %');
  assert.ok(contained.cohort.every((alias) => !out.includes(alias)));
  for (const alias of contained.cohort) {
    world.model.trained.delete(alias);
    world.vault.forgotten.add(alias);
  }
  await sayErased(world, 'e1');
  const completed = await until(world, 4);
  const report = decodeReport(completed.result);
  assert.equal(report.verdict, 'PASS', JSON.stringify(report.evidence?.result));
  assert.equal(report.evidence?.result.counts.delete, contained.cohort.length);
  assert.equal(coinKeyHash(fromHex(report.coinKey)), registered.coinKeyHash);
  checkCoins(fromHex(report.coinKey), registered.coinKeyHash, DATASET, report.units);

  for (let look = 0; world.vault.keys.get('audit-seed-a1') !== null && look < 200; look++) await sleep(10);
  assert.equal(world.vault.keys.get('audit-seed-a1'), null, 'the seed key is dead');
  assert.deepEqual((await exclusions(world)).sort(), [...everyone].sort(), 'canaries stay out for ever');
  assert.deepEqual((await exclusions(world, AUDIT)).sort(), [...out].sort());
});

test('an erasure that did nothing fails the audit', async (t) => {
  const world = await openWorld(t);
  await register(world);
  await requestErasure(world, 'e1');
  await sayErased(world, 'e1');
  assert.equal(decodeReport((await until(world, 4)).result).verdict, 'FAIL');
});

test('a model that remembers nothing leaves the audit inconclusive, never passed', async (t) => {
  const world = await openWorld(t);
  await register(world);
  world.model.trained.clear();
  await requestErasure(world, 'e1');
  await sayErased(world, 'e1');
  assert.equal(decodeReport((await until(world, 4)).result).verdict, 'INCONCLUSIVE');
});

test('a crash in the middle of the ingestion repeats the same canaries', async (t) => {
  const world = await openWorld(t);
  world.vault.breakIngestAt = 1_000;
  await world.call('createAudit', createRequest('a1'));
  await until(world, 2);
  assert.equal(world.vault.ingestCalls, 2);
  assert.equal(world.vault.records.size, COUNT);
});

test('a seed key that could not be destroyed at once is destroyed later, and only then said to be', async (t) => {
  const world = await openWorld(t);
  world.vault.breakDestroying = 1;
  await register(world);
  await requestErasure(world, 'e1');
  await sayErased(world, 'e1');
  await until(world, 4);
  for (let look = 0; (await ofAudit(world)).length < 5 && look < 400; look++) await sleep(10);
  assert.deepEqual(await ofAudit(world), [
    'audit.created',
    'audit.registered',
    'audit.cohort.released',
    'audit.completed',
    'audit.completed',
  ]);
  assert.equal(world.vault.keys.get('audit-seed-a1'), null);
  const { conditions } = await until(world, 4);
  assert.equal(conditions.find(({ type }) => type === 'OwnCopiesDestroyed')?.status, 1);
});

test('canaries join one erasure, of a person of their dataset, once their model exists', async (t) => {
  const world = await openWorld(t);
  await register(world);
  assert.equal((await requestErasure(world, 'other', [`${PARENT}/datasets/other`])).audit, '');
  world.model.exists = false;
  assert.equal((await requestErasure(world, 'early')).audit, '');
  world.model.exists = true;
  assert.equal((await requestErasure(world, 'e1')).audit, AUDIT);
  const late = await requestErasure(world, 'e2');
  assert.deepEqual([late.audit, late.cohort], ['', []]);

  const failed = { erasure: `${PARENT}/erasureRequests/e1`, code: '', message: '' };
  const store = new AggregateStore(saga, { bus: world.deps.bus, source: 'test' });
  await store.propose(TENANT, 'e1', () => [newEvent(EVENT.erasureFailed, failed)]);
  const again = await requestErasure(world, 'e3');
  assert.equal(again.audit, AUDIT, 'canaries of an erasure that came to nothing are free again');
  assert.ok(again.cohort.length > 0);
});

test('an audit whose model is gone is refused', async (t) => {
  const world = await openWorld(t);
  const everyone = await register(world);
  await requestErasure(world, 'e1');
  world.model.exists = false;
  await sayErased(world, 'e1');
  const report = decodeReport((await until(world, 4)).result);
  assert.equal(report.verdict, 'REFUSED');
  assert.match(report.reason, /the model is gone/);
  assert.equal(report.evidence, null);
  assert.deepEqual((await exclusions(world)).sort(), [...everyone].sort());
});

test('what a request gets: unknown, malformed, repeated, taken', async (t) => {
  const world = await openWorld(t);
  const attempt = (spec: typeof SPEC, auditId = 'a1') =>
    world.call('createAudit', createRequest(auditId, spec));
  await assert.rejects(attempt({ ...SPEC, dataset: `${PARENT}/datasets/none` }), /LETHE-4404/);
  await assert.rejects(attempt({ ...SPEC, dataset: 'tenants/other/datasets/visits' }), /LETHE-4403/);
  await assert.rejects(attempt({ ...SPEC, canaryCount: 5 }), /LETHE-4403.*canary_count/);
  await assert.rejects(attempt(SPEC, 'Not an id'), /LETHE-1101/);
  const { spec } = world.vault;
  world.vault.spec = { ...spec, label: { ...spec.label, multiple: true } };
  await assert.rejects(attempt(SPEC), /LETHE-2317/);
  world.vault.spec = spec;
  await assert.rejects(world.call('getAudit', { name: AUDIT }), /LETHE-4401/);
  await assert.rejects(exclusions(world, AUDIT), /LETHE-4401/);
  await attempt(SPEC);
  await attempt(SPEC);
  await assert.rejects(attempt({ ...SPEC, canaryCount: 30 }), /LETHE-4402/);
  await assert.rejects(exclusions(world, AUDIT), /LETHE-4405/);
  await until(world, 2);
});
