import assert from 'node:assert/strict';
import { mkdtempSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import {
  type AuditEvidence,
  parseKeyFile,
  removedLeaf,
  signerFromSeed,
  signPartyAttestation,
  subjectCommitment,
  verifyCertificate,
} from '@lethe/certificate';
import type { Lethe } from '@lethe/client';
import { common, EVENT, type erasure, type events } from '@lethe/contracts';
import { AggregateStore, ensurePlatformStreams, MemoryBus, newEvent, ObjectStore } from '@lethe/events';
import { SortedTree } from '@lethe/merkle';
import type { CallContext } from '@lethe/rpc';
import { SealedArtefacts, type Service, type ServiceDeps } from '@lethe/service';
import { evaluate, roundScores, ruleDigest, THREE_ARM_RULE } from '@lethe/statistics';
import {
  canonicalJson,
  hex,
  LetheError,
  parseCanonicalJson,
  seededRandom,
  sha256,
  silentLogger,
  sleep,
  systemClock,
  timestamp,
  utf8,
} from '@lethe/std';
import { certify } from './certify.ts';
import type { Deadlines } from './domain/decide.ts';
import { auditPart, auditRecord, federationPart, hashPart, learningPart, vaultPart } from './domain/facts.ts';
import { datasetRootStatement, leafData, statementDigest } from './domain/statements.ts';
import { Gatherer } from './gather.ts';
import { create } from './index.ts';
import { loadOrCreateKeys } from './keys.ts';
import { TransparencyLog } from './transparency-log.ts';

const TENANT = 'acme';
const PARENT = `tenants/${TENANT}`;
const DATASET = `${PARENT}/datasets/visits`;
const AUDIT = `${PARENT}/audits/a1`;
const MODEL = `${PARENT}/models/m`;
const DIGEST = (text: string): string => hex(sha256(text));
const RULE_DIGEST = ruleDigest(THREE_ARM_RULE);
const PARTY_KEY = signerFromSeed('party', new Uint8Array(32).fill(7));

interface Story {
  /** What `model.unlearned` claims of the model. */
  readonly claim?: common.Claim;
  readonly needlesFound?: number;
  readonly deleteShift?: number;
  readonly audit?: 'none' | 'refused' | 'scored';
  /** Puts a second artefact into the learning owner's lineage. */
  readonly second?: Partial<common.ArtefactClaim> | 'unclaimed';
  readonly party?: boolean;
  readonly garbledEvidence?: boolean;
}

interface World {
  readonly bus: MemoryBus;
  readonly deps: ServiceDeps;
  readonly keyDir: string;
  readonly service: Service;
  call<Answer>(method: string, request: object): Promise<Answer>;
}

const dataset = {
  type: 'dataset',
  events: [EVENT.datasetRootCommitted],
  initial: () => 0,
  fold: (n: number) => n + 1,
};
const federation = {
  type: 'federation',
  events: [EVENT.partyJoined],
  initial: () => 0,
  fold: (n: number) => n + 1,
};

async function openWorld(t: TestContext, deadlines: Partial<Deadlines> = {}): Promise<World> {
  const bus = new MemoryBus();
  await ensurePlatformStreams(bus);
  const vault: Partial<Lethe['vault']> = {
    resolveSubject: async ({ subjectId = '' }) => {
      if (!subjectId.startsWith('person-')) {
        throw new LetheError('X', { code: 'LETHE-4001', status: 'NOT_FOUND', remedy: '' }, 'unknown');
      }
      return {
        alias: DIGEST(subjectId).slice(0, 26),
        recordCount: 1n,
        datasets: [DATASET],
        suppressed: false,
      };
    },
  };
  const deps: ServiceDeps = {
    bus,
    peers: { vault } as unknown as Lethe,
    clock: systemClock,
    random: seededRandom('erasure service test'),
    logger: silentLogger,
  };
  const keyDir = mkdtempSync(join(tmpdir(), 'lethe-erasure-'));
  const service = create(deps, { keyDir, ...deadlines });
  await service.start();
  t.after(async () => {
    await service.close();
    await bus.close();
  });
  const context = { signal: new AbortController().signal } as CallContext;
  const call = async <Answer>(method: string, request: object): Promise<Answer> =>
    (await service.bindings[0]!.handlers[method]!(request, context)) as Answer;
  return { bus, deps, keyDir, service, call };
}

const request = (subjectId: string, requestId: string) => ({
  parent: PARENT,
  subjectId,
  requestId,
  opening: new Uint8Array(0),
  policy: 'gdpr-art-17',
});

/** Plays everyone else: owners contain and erase, the vault destroys keys, the audit scores. Every event is proposed twice. */
class Others {
  readonly #world: World;
  readonly #id: string;
  readonly #name: string;

  constructor(world: World, name: string) {
    this.#world = world;
    this.#name = name;
    this.#id = name.slice(name.lastIndexOf('/') + 1);
  }

  #store<S, D extends Parameters<typeof newEvent>[0]>(
    definition: ConstructorParameters<typeof AggregateStore<S, D>>[0],
  ) {
    return new AggregateStore(definition, { bus: this.#world.bus, source: 'test' });
  }

  async contain(story: Story): Promise<void> {
    const base = { erasure: this.#name, cohort: [], audit: '' };
    const models = story.second ? [MODEL, `${MODEL}-2`] : [MODEL];
    const part = story.party ? [`${PARENT}/federations/f/parties/left`] : [];
    const at = async (step: () => Promise<unknown>): Promise<void> => {
      await step();
      await step();
    };
    await at(() =>
      this.#store(vaultPart).propose(TENANT, this.#id, () => [
        newEvent(EVENT.vaultContained, { ...base, owner: 'vault', artefacts: [DATASET] }, 'v'),
      ]),
    );
    await at(() =>
      this.#store(hashPart).propose(TENANT, this.#id, () => [
        newEvent(EVENT.hashContained, { ...base, owner: 'hash', artefacts: [] }, 'h'),
      ]),
    );
    await at(() =>
      this.#store(learningPart).propose(TENANT, this.#id, () => [
        newEvent(EVENT.learningContained, { ...base, owner: 'learning', artefacts: models }, 'l'),
      ]),
    );
    await at(() =>
      this.#store(federationPart).propose(TENANT, this.#id, () => [
        newEvent(EVENT.federationContained, { ...base, owner: 'federation', artefacts: part }, 'f'),
      ]),
    );
    if (story.audit !== 'none') await this.#register();
    const joins = story.audit === 'none' ? {} : { cohort: ['canary-alias'], audit: AUDIT };
    await at(() =>
      this.#store(auditPart).propose(TENANT, this.#id, () => [
        newEvent(EVENT.auditContained, { ...base, ...joins, owner: 'audit', artefacts: [] }, 'a'),
      ]),
    );
  }

  async #register(): Promise<void> {
    await this.#store(auditRecord).propose(TENANT, 'a1', () => [
      newEvent(EVENT.auditRegistered, {
        audit: AUDIT,
        coinKeyHash: DIGEST('coin'),
        rule: utf8(canonicalJson(THREE_ARM_RULE)),
        ruleDigest: RULE_DIGEST,
        outCount: 1,
        keepCount: 1,
        deleteCount: 1,
        canaries: undefined,
      }),
    ]);
  }

  async erase(story: Story): Promise<void> {
    const claim: common.ArtefactClaim = {
      artefact: MODEL,
      kind: 'MODEL_ENSEMBLE',
      owner: 'learning',
      claim: story.claim ?? common.Claim.CLAIM_ERASED_EXACT,
      epsilon: 0,
      delta: 0,
      unit: '',
      digestBefore: DIGEST('model 1'),
      digestAfter: DIGEST('model 2'),
      method: 'sisa-resume',
      details: { shards: '1 of 8' },
    };
    const second =
      typeof story.second === 'object' ? [{ ...claim, artefact: `${MODEL}-2`, ...story.second }] : [];
    await this.#store(learningPart).propose(TENANT, this.#id, () => [
      newEvent(EVENT.modelUnlearned, {
        erasure: this.#name,
        owner: 'learning',
        claims: [claim, ...second],
        needles: undefined,
        attestations: [],
      }),
    ]);
    if (story.party) await this.#partyErases(claim);
    const nothing = {
      erasure: this.#name,
      claims: [],
      needles: undefined,
      attestations: [],
    };
    await this.#store(hashPart).propose(TENANT, this.#id, () => [
      newEvent(EVENT.hashErased, { ...nothing, owner: 'hash' }, 'h-erased'),
    ]);
    if (!story.party) {
      await this.#store(federationPart).propose(TENANT, this.#id, () => [
        newEvent(EVENT.federationErased, { ...nothing, owner: 'federation' }, 'f-erased'),
      ]);
    }
  }

  async #partyErases(like: common.ArtefactClaim): Promise<void> {
    const artefact = `${PARENT}/federations/f/parties/left`;
    await this.#store(federation).propose(TENANT, 'f', () => [
      newEvent(EVENT.partyJoined, {
        federation: `${PARENT}/federations/f`,
        party: 'left',
        publicKey: PARTY_KEY.publicKey,
      }),
    ]);
    const signed = signPartyAttestation(
      {
        type: 'party-erased',
        version: 1,
        federation: `${PARENT}/federations/f`,
        party: 'left',
        requestDigest: DIGEST(this.#name),
        artefact,
        digestBefore: like.digestBefore,
        digestAfter: like.digestAfter,
        method: 'retrain',
        at: timestamp(Date.now()),
      },
      PARTY_KEY,
    );
    await this.#store(federationPart).propose(TENANT, this.#id, () => [
      newEvent(EVENT.federationErased, {
        erasure: this.#name,
        owner: 'federation',
        claims: [{ ...like, artefact, kind: 'VERTICAL_MODEL', owner: 'parties/left' }],
        needles: undefined,
        attestations: [utf8(canonicalJson(signed))],
      }),
    ]);
  }

  /** Two leaves of the person and one of a canary leave a data set of ten. */
  async destroy(story: Story): Promise<void> {
    const leaves = Array.from({ length: 10 }, (_, i) => sha256(`leaf ${i}`));
    const before = new SortedTree(leaves);
    const after = new SortedTree(leaves.slice(3));
    const root = async (tree: SortedTree, number: number) => {
      const data: events.DatasetRootCommitted = {
        root: `${DATASET}/roots/${number}`,
        number,
        rootHash: tree.root(),
        recordCount: BigInt(tree.size),
        lastPosition: 10n,
        erasure: '',
      };
      const { events: added } = await this.#store(dataset).propose(TENANT, 'visits', () => [
        newEvent(EVENT.datasetRootCommitted, data),
      ]);
      const digest = statementDigest(leafData(datasetRootStatement(DATASET, data, added[0]!.timeMs)));
      return { root: hex(tree.root()), count: tree.size, statementDigest: digest };
    };
    const evidence = {
      datasets: [
        {
          name: DATASET,
          rootBefore: await root(before, 1),
          rootAfter: await root(after, 2),
          removed: leaves.slice(0, 2).map((leaf) => {
            const { index, inclusionProof, left, right } = removedLeaf(before, after, hex(leaf));
            const member = (side: typeof left) =>
              side && { value: side.leaf, index: side.index, proof: side.inclusionProof };
            return {
              leaf: hex(leaf),
              inclusion: { index, path: inclusionProof },
              absence: { left: member(left), right: member(right) },
            };
          }),
        },
      ],
      keyReceipt: {
        keyIdDigest: DIGEST('key id'),
        keys: 2,
        destroyedAt: new Date().toISOString(),
        method: 'secure-delete',
        settings: { secure_delete: 'ON' },
      },
      scan: {
        stores: [
          {
            name: 'jetstream',
            scanned: true,
            bytes: 1000,
            planted: { placed: 2, foundBefore: 2, foundAfter: 0 },
          },
          { name: 'remote', scanned: false, reason: 'the server is not ours' },
        ],
        needles: [{ kind: 'record-ciphertext', count: 4, found: story.needlesFound ?? 0 }],
      },
    };
    const artefacts = new SealedArtefacts(this.#world.deps);
    const claim: common.ArtefactClaim = {
      artefact: DATASET,
      kind: 'RECORDS',
      owner: 'vault',
      claim: common.Claim.CLAIM_ERASED_EXACT,
      epsilon: 0,
      delta: 0,
      unit: '',
      digestBefore: hex(before.root()),
      digestAfter: hex(after.root()),
      method: 'key-destruction',
      details: {},
    };
    const data = {
      erasure: this.#name,
      claims: [claim],
      evidence: await artefacts.putPublic(
        TENANT,
        utf8(story.garbledEvidence ? '{"datasets":[]}' : canonicalJson(evidence)),
      ),
      residualBytes: BigInt(story.needlesFound ?? 0),
    };
    await this.#store(vaultPart).propose(TENANT, this.#id, () => [newEvent(EVENT.subjectKeyDestroyed, data)]);
  }

  async audit(story: Story): Promise<void> {
    const spread = (count: number, shift: number) =>
      Array.from({ length: count }, (_, i) => ((i * 0.618) % 1) * 4 + shift);
    const scores = roundScores({
      out: spread(400, 0),
      keep: spread(200, 2),
      delete: spread(400, story.deleteShift ?? 0),
    });
    const evidence: AuditEvidence = {
      audit: AUDIT,
      rule: THREE_ARM_RULE,
      ruleDigest: RULE_DIGEST,
      coinKeyHash: DIGEST('coin'),
      unitsDigest: DIGEST('units'),
      scores,
      result: evaluate(THREE_ARM_RULE, scores),
    };
    const report =
      story.audit === 'refused'
        ? { verdict: 'REFUSED', reason: 'the model is gone', evidence: null }
        : { verdict: evidence.result.verdict, reason: '', evidence };
    const artefacts = new SealedArtefacts(this.#world.deps);
    const store = this.#store(auditRecord);
    const completed = {
      audit: AUDIT,
      erasure: this.#name,
      verdict: report.verdict,
      report: await artefacts.putPublic(TENANT, utf8(canonicalJson(report))),
      canaryKeyDestroyed: false,
    };
    await store.propose(TENANT, 'a1', () => [newEvent(EVENT.auditCompleted, completed)]);
    await store.propose(TENANT, 'a1', () => [
      newEvent(EVENT.auditCompleted, { ...completed, canaryKeyDestroyed: true }),
    ]);
  }
}

type Resource = erasure.ErasureRequest;

async function until(world: World, name: string, state: number): Promise<Resource> {
  for (let look = 0; look < 400; look++) {
    const resource = await world.call<Resource>('getErasureRequest', { name });
    if (resource.state === state) return resource;
    if (resource.state > 4 && resource.state !== state)
      assert.fail(`ended as ${JSON.stringify(resource.conditions)}`);
    await sleep(10);
  }
  assert.fail('the state was not reached in time');
}

async function tell(world: World, story: Story, end: number) {
  const created = await world.call<erasure.CreateErasureRequestResponse>(
    'createErasureRequest',
    request('person-1', 'r1'),
  );
  const name = created.erasureRequest!.name;
  const others = new Others(world, name);
  await others.contain(story);
  await until(world, name, 3);
  await others.erase(story);
  await others.destroy(story);
  if (story.audit !== 'none') {
    await until(world, name, 4);
    await others.audit(story);
  }
  return { created, resource: await until(world, name, end) };
}

test('the whole story ends in a certificate that verifies with the published key', async (t) => {
  const world = await openWorld(t);
  const { created, resource } = await tell(world, { audit: 'scored', party: true }, 5);
  assert.equal(resource.auditVerdict, 'PASS');
  assert.deepEqual(resource.progress, { done: 11n, total: 11n, phase: 'ended' });
  const { content, digest } = await world.call<erasure.Certificate>('getCertificate', {
    name: resource.name,
  });
  assert.equal(hex(sha256(content)), digest);
  assert.equal(resource.certificateDigest, digest);
  const { content: keyFile } = await world.call<erasure.VerifyKey>('getVerifyKey', { parent: PARENT });
  const verified = verifyCertificate(content, parseKeyFile(keyFile));
  assert.ok(verified.ok, JSON.stringify(verified));
  const { body } = parseCanonicalJson(content) as { body: Record<string, unknown> };
  assert.equal(body.status, 'CERTIFIED');
  assert.equal(body.overall, 'ERASED_EXACT');
  assert.deepEqual(body.lineage, [DATASET, `${PARENT}/federations/f/parties/left`, MODEL].sort());
  assert.match(JSON.stringify(body.outOfScope), /remote.*was not scanned/);
  const alias = DIGEST('person-1').slice(0, 26);
  assert.equal(body.subject, subjectCommitment(created.opening, alias, resource.name));
  assert.ok(!JSON.stringify(body).includes(alias), 'the certificate names nobody');
  assert.equal(statSync(join(world.keyDir, 'certificate.key')).mode & 0o777, 0o600);
  assert.equal(statSync(join(world.keyDir, 'log.key')).mode & 0o777, 0o600);
});

test('without an audit it is certified, and says so', async (t) => {
  const world = await openWorld(t);
  const { resource } = await tell(world, { audit: 'none' }, 5);
  const { content } = await world.call<erasure.Certificate>('getCertificate', { name: resource.name });
  assert.match(new TextDecoder().decode(content), /No audit was registered/);
});

test('a refused audit is no evidence: certified without one', async (t) => {
  const world = await openWorld(t);
  const { resource } = await tell(world, { audit: 'refused' }, 5);
  assert.equal(resource.auditVerdict, 'REFUSED');
  const { content } = await world.call<erasure.Certificate>('getCertificate', { name: resource.name });
  assert.match(new TextDecoder().decode(content), /The audit was refused.*the model is gone/);
});

for (const [what, story, missing] of [
  ['a FAIL verdict', { audit: 'scored', deleteShift: 1.5 }, /the audit failed/],
  ['a claim of an unknown kind', { claim: 17 as common.Claim }, /models\/m is NOT_ERASED/],
  ['an artefact that is only contained', { claim: common.Claim.CLAIM_CONTAINED_ONLY }, /CONTAINED_ONLY/],
  ['bytes that the scan found', { needlesFound: 3 }, /bytes of the person were found/],
  ['an artefact without a claim', { second: 'unclaimed' }, /claim on .*models\/m-2/],
] as const) {
  test(`${what} ends in a partial certificate that still verifies`, async (t) => {
    const world = await openWorld(t);
    const { resource } = await tell(world, { audit: 'none', ...story }, 6);
    assert.match(resource.conditions.at(-1)!.message, missing);
    const { content } = await world.call<erasure.Certificate>('getCertificate', { name: resource.name });
    const { content: keyFile } = await world.call<erasure.VerifyKey>('getVerifyKey', { parent: PARENT });
    const verified = verifyCertificate(content, parseKeyFile(keyFile));
    assert.ok(verified.ok, JSON.stringify(verified));
    assert.match(new TextDecoder().decode(content), /"status":"PARTIAL"/);
  });
}

test('an artefact that never held the person stands outside the lineage, by name', async (t) => {
  const world = await openWorld(t);
  const second = { digestAfter: DIGEST('model 1'), details: { reason: 'no record of the subject was used' } };
  const { resource } = await tell(world, { audit: 'none', second }, 5);
  const { content } = await world.call<erasure.Certificate>('getCertificate', { name: resource.name });
  const { body } = parseCanonicalJson(content) as { body: { lineage: string[]; outOfScope: string[] } };
  assert.ok(!body.lineage.includes(`${MODEL}-2`));
  const sentence = body.outOfScope.find((said) => said.startsWith(`${MODEL}-2`));
  assert.match(sentence!, /its owner says: no record of the subject was used\.$/);
});

test('bytes that did not change are no exact erasure unless their owner says why', async (t) => {
  const world = await openWorld(t);
  const { resource } = await tell(world, { audit: 'none', second: { digestAfter: DIGEST('model 1') } }, 6);
  assert.match(resource.conditions.at(-1)!.message, /left the bytes as they were/);
});

test('evidence that cannot be read ends partial, and is not looked at for ever', async (t) => {
  const world = await openWorld(t);
  const { resource } = await tell(world, { audit: 'none', garbledEvidence: true }, 6);
  assert.match(resource.conditions.at(-1)!.message, /LETHE-4509/);
});

test('evidence that no verifier would accept ends partial without a certificate', async (t) => {
  const world = await openWorld(t);
  const { resource } = await tell(world, { audit: 'none', second: { digestBefore: 'not a digest' } }, 6);
  assert.match(resource.conditions.at(-1)!.message, /No certificate is issued.*LETHE-1304/);
  await assert.rejects(world.call('getCertificate', { name: resource.name }), /LETHE-4506/);
});

test('a crash while certifying leaves nothing behind that would change the bytes', async (t) => {
  const world = await openWorld(t);
  const created = await world.call<erasure.CreateErasureRequestResponse>(
    'createErasureRequest',
    request('person-1', 'r1'),
  );
  const name = created.erasureRequest!.name;
  const others = new Others(world, name);
  await others.contain({});
  await until(world, name, 3);
  await others.erase({});
  await others.destroy({});
  await until(world, name, 4);
  const log = new TransparencyLog(world.deps, loadOrCreateKeys(world.keyDir, 'lethe', world.deps.random));
  const keys = loadOrCreateKeys(world.keyDir, 'lethe', world.deps.random);
  const artefacts = new SealedArtefacts(world.deps);
  const id = name.slice(name.lastIndexOf('/') + 1);
  const attempt = async () => {
    const situation = await new Gatherer(world.deps, log, artefacts).situation(TENANT, id);
    return await certify({ log, keys, artefacts, dueDays: 30 }, TENANT, situation, ['audit']);
  };
  for (let look = 0; (await log.load(TENANT)).entries.length < 3 && look < 200; look++) await sleep(10);
  const first = await attempt();
  const size = (await log.load(TENANT)).entries.length;
  await log.append(TENANT, { type: 'erasure-requested', version: 1, request: 'x', subject: 'y', at: 'z' });
  const second = await attempt();
  assert.deepEqual(second, first);
  assert.ok('certificate' in first.data && first.data.certificate);
  assert.equal((await log.load(TENANT)).entries.length, size + 1, 'the statement is appended once');
  assert.ok((await new ObjectStore(world.bus).get(TENANT, first.data.certificate.object)).length > 0);
});

test('a second process and a restart come to one history', async (t) => {
  const world = await openWorld(t);
  const twin = create(world.deps, { keyDir: world.keyDir });
  await twin.start();
  const { resource } = await tell(world, { audit: 'scored' }, 5);
  await twin.close();
  const later = create(world.deps, { keyDir: world.keyDir });
  await later.start();
  await later.close();
  const again = await world.call<Resource>('getErasureRequest', { name: resource.name });
  assert.equal(again.certificateDigest, resource.certificateDigest);
});

test('owners that say nothing in time: the request fails by itself, and may be made again', async (t) => {
  const world = await openWorld(t, { containMs: 60 });
  const create = (requestId: string) =>
    world.call<erasure.CreateErasureRequestResponse>('createErasureRequest', request('person-1', requestId));
  const { name } = (await create('r1')).erasureRequest!;
  const failed = await until(world, name, 8);
  assert.match(failed.conditions.at(-1)!.message, /LETHE-4508.*vault, hash, learning, federation, audit/);
  await assert.rejects(world.call('getCertificate', { name }), /LETHE-4506/);
  assert.notEqual((await create('r2')).erasureRequest!.name, name);
});

test('a late owner does not hold up the keys, and is waited for before the certificate', async (t) => {
  const world = await openWorld(t, { confirmMs: 60 });
  const { erasureRequest } = await world.call<erasure.CreateErasureRequestResponse>(
    'createErasureRequest',
    request('person-1', 'r1'),
  );
  const { name } = erasureRequest!;
  const others = new Others(world, name);
  const story: Story = { audit: 'none' };
  await others.contain(story);
  const isConfirmed = async () =>
    (await world.call<Resource>('getErasureRequest', { name })).conditions.some(
      ({ type, message }) =>
        type === 'OwnersConfirmed' && message === 'In time without hash, learning, federation.',
    );
  for (let look = 0; !(await isConfirmed()) && look < 400; look++) await sleep(10);
  assert.ok(await isConfirmed());
  await others.destroy(story);
  assert.equal((await world.call<Resource>('getErasureRequest', { name })).state, 3);
  await others.erase(story);
  await until(world, name, 5);
});

test('what a request gets: malformed, unknown, repeated, taken', async (t) => {
  const world = await openWorld(t);
  const create = (subjectId: string, requestId: string, policy = 'gdpr-art-17') =>
    world.call<erasure.CreateErasureRequestResponse>('createErasureRequest', {
      ...request(subjectId, requestId),
      policy,
    });
  await assert.rejects(create('person-1', ''), /LETHE-4504.*request_id/);
  await assert.rejects(create('person-1', 'r1', 'For Mr Smith'), /LETHE-4504.*policy/);
  await assert.rejects(create('', 'r1'), /LETHE-4504.*subject_id/);
  await assert.rejects(create('stranger', 'r1'), /LETHE-4501/);
  const first = await create('person-1', 'r1');
  assert.equal(first.opening.length, 32);
  const repeated = await create('person-1', 'r1');
  assert.equal(repeated.erasureRequest?.name, first.erasureRequest?.name);
  assert.equal(repeated.opening.length, 0);
  await assert.rejects(create('person-2', 'r1'), /LETHE-4503/);
  const own = { ...request('person-3', 'r3'), policy: 'gdpr-art-17', opening: new Uint8Array(32).fill(7) };
  const chosen = await world.call<erasure.CreateErasureRequestResponse>('createErasureRequest', own);
  assert.deepEqual(
    chosen.opening,
    own.opening,
    'a caller that brings the secret cannot lose it with an answer',
  );
  await assert.rejects(
    world.call('createErasureRequest', { ...own, requestId: 'r4', opening: new Uint8Array(31) }),
    /LETHE-4504.*opening/,
  );
  await assert.rejects(create('person-1', 'r2'), (error: unknown) => {
    assert.ok(error instanceof LetheError);
    assert.equal(error.status, 'ALREADY_EXISTS');
    assert.equal(error.details.erasureRequest, first.erasureRequest?.name);
    return true;
  });
  const both = await Promise.allSettled([create('person-3', 'r3'), create('person-3', 'r4')]);
  assert.deepEqual(both.map(({ status }) => status).sort(), ['fulfilled', 'rejected']);
  await assert.rejects(
    world.call('getErasureRequest', { name: `${PARENT}/erasureRequests/none` }),
    /LETHE-4505/,
  );
  await assert.rejects(world.call('getCertificate', { name: first.erasureRequest!.name }), /LETHE-4506/);
  await assert.rejects(
    world.call('getLogStatement', { parent: PARENT, statementDigest: DIGEST('none') }),
    /LETHE-4507/,
  );

  const page = await world.call<erasure.ListErasureRequestsResponse>('listErasureRequests', {
    parent: PARENT,
    pageSize: 1,
    pageToken: '',
  });
  assert.equal(page.erasureRequests[0]?.name, first.erasureRequest?.name);
  const rest = await world.call<erasure.ListErasureRequestsResponse>('listErasureRequests', {
    parent: PARENT,
    pageSize: 0,
    pageToken: page.nextPageToken,
  });
  assert.equal(rest.erasureRequests.length, 1);
  assert.equal(rest.nextPageToken, '');
  const other = await world.call<erasure.ListErasureRequestsResponse>('listErasureRequests', {
    parent: 'tenants/other',
    pageSize: 0,
    pageToken: '',
  });
  assert.deepEqual(other.erasureRequests, [], 'another tenant sees nothing');
});
