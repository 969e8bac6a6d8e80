/**
 * Who may do what, end to end: every method with every role and with nobody; every method with the credential of another
 * tenant; and two tenants with the same people in them.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { statementBytes } from '@lethe/certificate';
import { type Lethe, lethe } from '@lethe/client';
import {
  ACCESS,
  ANONYMOUS,
  audit,
  erasure,
  federation,
  hashing,
  health,
  learning,
  ROLES,
  type Role,
  resourceName,
  vault,
} from '@lethe/contracts';
import { type Credential, connect, writePrivateFile } from '@lethe/rpc';
import { base32, hex, LetheError, secureRandom, sha256, timestamp } from '@lethe/std';
import { type Running, startPlatform, TENANT, withDirectory } from './support-small/platform.ts';
import { HASH_OPTIONS, ingest, questionOf, READINGS, SPEC_BYTES, sent } from './support-small/sensors.ts';
import { certified, servedFunction } from './support-small/work.ts';

const OTHER = 'globex';
const PERSON = READINGS[0]!.subjectId;

/** What a call names. Ids are those of the first tenant's resources, or of nothing. */
interface Names {
  readonly tenant: string;
  readonly id: string;
  /** Number of a root, name of a key, digest of a statement, request: what else can be guessed. */
  readonly keyId: string;
  readonly statementDigest: string;
  readonly erasureId: string;
}

type Answer = Promise<unknown> | AsyncIterable<unknown>;
type Call = (to: Lethe, names: Names) => Answer;

const parentOf = ({ tenant }: Names) => resourceName('tenant', tenant);
const datasetOf = ({ tenant, id }: Names) => resourceName('dataset', tenant, id);
const rootOf = ({ tenant, id }: Names) => resourceName('datasetRoot', tenant, id, '1');
const functionOf = ({ tenant, id }: Names) => ({ name: resourceName('hashFunction', tenant, id) });
const checkOf = ({ tenant, id }: Names) => ({ name: resourceName('hashCheck', tenant, id) });
const runOf = ({ tenant, id }: Names) => ({ name: resourceName('trainingRun', tenant, id) });
const modelOf = ({ tenant, id }: Names) => ({ name: resourceName('model', tenant, id) });
const federationOf = ({ tenant, id }: Names) => ({ name: resourceName('federation', tenant, id) });
const auditOf = ({ tenant, id }: Names) => ({ name: resourceName('audit', tenant, id) });
const erasureOf = ({ tenant, erasureId }: Names) => ({
  name: resourceName('erasureRequest', tenant, erasureId),
});
const question = questionOf(READINGS[0]!);
const ENSEMBLE = { shardCount: 2, sliceCount: 1, hiddenUnits: 4, epochs: 1, batchSize: 8, learningRate: 0.1 };
const FEDERATION = {
  parties: ['left', 'right'],
  codeBits: 8,
  hiddenUnits: 4,
  topHiddenUnits: 4,
  epochs: 1,
  batchSize: 8,
  learningRate: 0.1,
  consistencyWeight: 0.1,
  seed: 's',
};

async function* hello(name: string) {
  const value = { federation: name, party: 'left', publicKey: new Uint8Array(32), columns: 1, rows: 1n };
  yield { message: { $case: 'hello' as const, value } };
}

/** One call of every method of every service. */
const CALLS: Readonly<Record<string, Call>> = {
  '/lethe.vault.v1.VaultService/CreateDataset': (to, n) =>
    // An id of its own: the other calls name what does not exist.
    to.vault.createDataset({ parent: parentOf(n), datasetId: `${n.id}-made`, spec: SPEC_BYTES }),
  '/lethe.vault.v1.VaultService/GetDataset': (to, n) => to.vault.getDataset({ name: datasetOf(n) }),
  '/lethe.vault.v1.VaultService/Ingest': (to, n) => ingest(to, datasetOf(n), [sent(READINGS[0]!)]),
  '/lethe.vault.v1.VaultService/CommitDatasetRoot': (to, n) =>
    to.vault.commitDatasetRoot({ dataset: datasetOf(n), requestId: 'root' }),
  '/lethe.vault.v1.VaultService/GetDatasetRoot': (to, n) => to.vault.getDatasetRoot({ name: rootOf(n) }),
  '/lethe.vault.v1.VaultService/ReadRecords': (to, n) => to.vault.readRecords({ root: rootOf(n) }),
  '/lethe.vault.v1.VaultService/ResolveSubject': (to, n) =>
    to.vault.resolveSubject({ parent: parentOf(n), subjectId: PERSON }),
  '/lethe.vault.v1.VaultService/CreateArtefactKey': (to, n) =>
    to.vault.createArtefactKey({ parent: parentOf(n), keyId: 'made-by-this-test' }),
  '/lethe.vault.v1.VaultService/GetArtefactKey': (to, n) =>
    to.vault.getArtefactKey({ parent: parentOf(n), keyId: n.keyId }),
  '/lethe.vault.v1.VaultService/DestroyArtefactKeys': (to, n) =>
    to.vault.destroyArtefactKeys({ parent: parentOf(n), keyIds: [n.keyId] }),
  '/lethe.hashing.v1.HashingService/CreateHashFunction': (to, n) =>
    to.hashing.createHashFunction({
      parent: parentOf(n),
      functionId: n.id,
      spec: { root: rootOf(n), ...HASH_OPTIONS },
    }),
  '/lethe.hashing.v1.HashingService/GetHashFunction': (to, n) => to.hashing.getHashFunction(functionOf(n)),
  '/lethe.hashing.v1.HashingService/WatchHashFunction': (to, n) =>
    to.hashing.watchHashFunction(functionOf(n)),
  '/lethe.hashing.v1.HashingService/CreateUpdate': (to, n) =>
    to.hashing.createUpdate({ ...functionOf(n), root: rootOf(n) }),
  '/lethe.hashing.v1.HashingService/PromoteHashVersion': (to, n) =>
    to.hashing.promoteHashVersion({
      ...functionOf(n),
      mode: hashing.PromoteHashVersionRequest_Mode.MODE_FORCE,
    }),
  '/lethe.hashing.v1.HashingService/Encode': (to, n) =>
    to.hashing.encode({ ...functionOf(n), payload: question }),
  '/lethe.hashing.v1.HashingService/Search': (to, n) =>
    to.hashing.search({ ...functionOf(n), query: { $case: 'payload', value: question }, k: 5 }),
  '/lethe.hashing.v1.HashingService/Predict': (to, n) =>
    to.hashing.predict({ ...functionOf(n), payloads: [question] }),
  '/lethe.hashing.v1.HashingService/ListCodes': (to, n) => to.hashing.listCodes(functionOf(n)),
  '/lethe.hashing.v1.HashingService/ListHashFunctions': (to, n) =>
    to.hashing.listHashFunctions({ parent: parentOf(n) }),
  '/lethe.hashing.v1.HashingService/GetInclusionProof': (to, n) =>
    to.hashing.getInclusionProof({ ...functionOf(n), itemId: new Uint8Array(16) }),
  '/lethe.hashing.v1.HashingService/GetErasureProof': (to, n) =>
    to.hashing.getErasureProof({ ...functionOf(n), erasure: `${parentOf(n)}/erasureRequests/none` }),
  '/lethe.hashing.v1.HashingService/ListNearDuplicates': (to, n) =>
    to.hashing.listNearDuplicates(functionOf(n)),
  '/lethe.hashing.v1.HashingService/ListQuarantine': (to, n) => to.hashing.listQuarantine(functionOf(n)),
  '/lethe.hashing.v1.HashingService/ResolveQuarantine': (to, n) =>
    to.hashing.resolveQuarantine({
      ...functionOf(n),
      itemIds: [new Uint8Array(16)],
      resolution: hashing.ResolveQuarantineRequest_Resolution.RESOLUTION_RELEASE,
    }),
  '/lethe.hashing.v1.HashingService/GetHashMetrics': (to, n) => to.hashing.getHashMetrics(functionOf(n)),
  '/lethe.hashing.v1.HashingService/CreateHashCheck': (to, n) =>
    to.hashing.createHashCheck({
      parent: parentOf(n),
      checkId: n.id,
      spec: { function: functionOf(n).name, kind: hashing.HashCheckSpec_Kind.KIND_HUBS },
    }),
  '/lethe.hashing.v1.HashingService/GetHashCheck': (to, n) => to.hashing.getHashCheck(checkOf(n)),
  '/lethe.hashing.v1.HashingService/WatchHashCheck': (to, n) => to.hashing.watchHashCheck(checkOf(n)),
  '/lethe.learning.v1.LearningService/CreateTrainingRun': (to, n) =>
    to.learning.createTrainingRun({
      parent: parentOf(n),
      runId: n.id,
      spec: { root: rootOf(n), method: { $case: 'shardedEnsemble', value: ENSEMBLE } },
    }),
  '/lethe.learning.v1.LearningService/GetTrainingRun': (to, n) => to.learning.getTrainingRun(runOf(n)),
  '/lethe.learning.v1.LearningService/WatchTrainingRun': (to, n) => to.learning.watchTrainingRun(runOf(n)),
  '/lethe.learning.v1.LearningService/ListTrainingRuns': (to, n) =>
    to.learning.listTrainingRuns({ parent: parentOf(n) }),
  '/lethe.learning.v1.LearningService/CancelTrainingRun': (to, n) => to.learning.cancelTrainingRun(runOf(n)),
  '/lethe.learning.v1.LearningService/ResumeTrainingRun': (to, n) => to.learning.resumeTrainingRun(runOf(n)),
  '/lethe.learning.v1.LearningService/GetModel': (to, n) => to.learning.getModel(modelOf(n)),
  '/lethe.learning.v1.LearningService/ListModels': (to, n) => to.learning.listModels({ parent: parentOf(n) }),
  '/lethe.learning.v1.LearningService/PromoteModel': (to, n) => to.learning.promoteModel(modelOf(n)),
  '/lethe.learning.v1.LearningService/GetPrivacyBudget': (to, n) =>
    to.learning.getPrivacyBudget({ dataset: datasetOf(n) }),
  '/lethe.learning.v1.LearningService/GetSubjectSpending': (to, n) =>
    to.learning.getSubjectSpending({ parent: parentOf(n), datasets: [datasetOf(n)] }),
  '/lethe.learning.v1.LearningService/SetPrivacyBudget': (to, n) =>
    to.learning.setPrivacyBudget({ dataset: datasetOf(n), epsilon: 10, delta: 1e-5 }),
  '/lethe.learning.v1.LearningService/Predict': (to, n) =>
    to.learning.predict({ ...modelOf(n), payloads: [question] }),
  '/lethe.learning.v1.LearningService/PlanErasure': (to, n) =>
    to.learning.planErasure({ ...modelOf(n), subjectAliases: ['a'] }),
  '/lethe.learning.v1.LearningService/GetReplay': (to, n) =>
    to.learning.getReplay({ ...modelOf(n), shard: 0 }),
  '/lethe.federation.v1.FederationService/CreateFederation': (to, n) =>
    to.federation.createFederation({
      parent: parentOf(n),
      federationId: n.id,
      spec: { root: rootOf(n), ...FEDERATION },
    }),
  '/lethe.federation.v1.FederationService/GetFederation': (to, n) =>
    to.federation.getFederation(federationOf(n)),
  '/lethe.federation.v1.FederationService/WatchFederation': (to, n) =>
    to.federation.watchFederation(federationOf(n)),
  '/lethe.federation.v1.FederationService/Join': (to, n) => to.federation.join(hello(federationOf(n).name)),
  '/lethe.federation.v1.FederationService/Predict': (to, n) =>
    to.federation.predict({ ...federationOf(n), recordIds: ['r'] }),
  '/lethe.audit.v1.AuditService/CreateAudit': (to, n) =>
    to.audit.createAudit({
      parent: parentOf(n),
      auditId: n.id,
      spec: { dataset: datasetOf(n), canaryCount: 20, model: modelOf(n).name },
    }),
  '/lethe.audit.v1.AuditService/GetAudit': (to, n) => to.audit.getAudit(auditOf(n)),
  '/lethe.audit.v1.AuditService/WatchAudit': (to, n) => to.audit.watchAudit(auditOf(n)),
  '/lethe.audit.v1.AuditService/ListExclusions': (to, n) =>
    to.audit.listExclusions({ dataset: datasetOf(n) }),
  '/lethe.erasure.v1.ErasureService/CreateErasureRequest': (to, n) =>
    to.erasure.createErasureRequest({
      parent: parentOf(n),
      subjectId: PERSON,
      requestId: 'by-another',
      policy: 'test',
    }),
  '/lethe.erasure.v1.ErasureService/GetErasureRequest': (to, n) => to.erasure.getErasureRequest(erasureOf(n)),
  '/lethe.erasure.v1.ErasureService/ListErasureRequests': (to, n) =>
    to.erasure.listErasureRequests({ parent: parentOf(n) }),
  '/lethe.erasure.v1.ErasureService/WatchErasureRequest': (to, n) =>
    to.erasure.watchErasureRequest(erasureOf(n)),
  '/lethe.erasure.v1.ErasureService/GetCertificate': (to, n) => to.erasure.getCertificate(erasureOf(n)),
  '/lethe.erasure.v1.ErasureService/GetVerifyKey': (to, n) =>
    to.erasure.getVerifyKey({ parent: parentOf(n) }),
  '/lethe.erasure.v1.ErasureService/GetLogStatement': (to, n) =>
    to.erasure.getLogStatement({ parent: parentOf(n), statementDigest: n.statementDigest }),
};

const METHODS = Object.keys(CALLS);

interface Outcome {
  readonly status: string;
  readonly code: string;
  readonly details: LetheError['details'];
  /** Messages of the answer. */
  readonly got: readonly unknown[];
}

async function outcome(answer: Answer): Promise<Outcome> {
  const got: unknown[] = [];
  try {
    if (answer instanceof Promise) got.push(await answer);
    else for await (const message of answer) got.push(message);
    return { status: 'OK', code: '', details: {}, got };
  } catch (error) {
    assert.ok(error instanceof LetheError, String(error));
    return { status: error.status, code: error.code, details: error.details, got };
  }
}

const credential = (role: Role, tenant: string): Credential => ({
  id: `${role}-of-${tenant}`,
  role,
  tenants: [tenant],
  token: base32(secureRandom().bytes(32)),
});

test('the table of calls names every method of every service, and the access table no other', () => {
  const definitions = [
    vault.VaultServiceDefinition,
    hashing.HashingServiceDefinition,
    learning.LearningServiceDefinition,
    federation.FederationServiceDefinition,
    audit.AuditServiceDefinition,
    erasure.ErasureServiceDefinition,
  ];
  const all = definitions.flatMap(({ fullName, methods }) =>
    Object.values(methods).map((method) => `/${fullName}/${method.name}`),
  );
  assert.deepEqual(Object.keys(CALLS).sort(), all.sort());
  const listed = Object.keys(ACCESS).filter((path) => !ANONYMOUS.has(path));
  assert.deepEqual(listed.sort(), all);
});

test('roles, tenants, and the same people in two of them', { timeout: 120_000 }, async (t) => {
  await withDirectory(async (directory) => {
    // Every role in each tenant, the platform's too: otherwise one would always be denied for its role.
    const both = [TENANT, OTHER].flatMap((tenant) => ROLES.map((role) => credential(role, tenant)));
    const operator: Credential = { ...credential('platform', TENANT), id: 'operator', tenants: ['*'] };
    writePrivateFile(join(directory, 'credentials.json'), JSON.stringify([operator, ...both]));
    const running = await startPlatform(directory);
    const { address } = running.host;
    const connections: Lethe[] = [];
    const as = (role: Role, tenant: string): Lethe => {
      const { token } = both.find((one) => one.role === role && one.tenants.includes(tenant))!;
      const to = lethe({ address, token });
      connections.push(to);
      return to;
    };
    const roles = (tenant: string) => new Map(ROLES.map((role) => [role, as(role, tenant)]));
    const of: Roles = { [TENANT]: roles(TENANT), [OTHER]: roles(OTHER) };
    const anyRole = (tenant: string, path: string): Lethe => of[tenant]!.get(ACCESS[path]![0]!)!;
    try {
      await t.test('every method by every role: the table decides', async () => {
        const nothing: Names = {
          tenant: TENANT,
          id: 'nothing',
          keyId: 'nothing',
          statementDigest: '00'.repeat(32),
          erasureId: 'nothing',
        };
        for (const path of METHODS) {
          for (const [role, to] of of[TENANT]!) {
            const { status, code } = await outcome(CALLS[path]!(to, nothing));
            const what = `${role} calls ${path}: ${status} ${code}`;
            if (ACCESS[path]!.includes(role)) {
              assert.ok(!['PERMISSION_DENIED', 'UNAUTHENTICATED', 'UNIMPLEMENTED'].includes(status), what);
              assert.ok(!['INTERNAL', 'UNKNOWN'].includes(status), what);
            } else {
              assert.equal(code, 'LETHE-2102', what);
              assert.equal(status, 'PERMISSION_DENIED', what);
            }
          }
        }
      });

      await t.test('nobody, and a token of nobody, may call health and reflection only', async () => {
        const nothing = { tenant: TENANT, id: 'nothing', keyId: 'k', statementDigest: '', erasureId: 'e' };
        for (const options of [{ address }, { address, token: base32(secureRandom().bytes(32)) }]) {
          const nobody = lethe(options);
          const probe = connect(options);
          for (const path of METHODS) {
            const { status, code } = await outcome(CALLS[path]!(nobody, nothing));
            assert.equal(`${status} ${code}`, 'UNAUTHENTICATED LETHE-2101', path);
          }
          const { status } = await probe.client(health.HealthDefinition).check({ service: '' });
          assert.equal(status, health.HealthCheckResponse_ServingStatus.SERVING);
          nobody.close();
          probe.close();
        }
      });

      const world = await twoTenants(running, of);
      await t.test('another tenant’s credential gets nothing of this one, method by method', async () => {
        for (const path of METHODS) {
          const { status, code, details, got } = await outcome(
            CALLS[path]!(anyRole(OTHER, path), world.names),
          );
          assert.equal(`${status} ${code}`, 'PERMISSION_DENIED LETHE-2102', path);
          assert.equal(details.tenant, TENANT, path);
          assert.deepEqual(got, [], path);
        }
      });

      await t.test('names inside a request count as well, for the operator of all tenants too', async () => {
        const mixed: readonly [string, (to: Lethe) => Answer][] = [
          ['hash function', (to) => to.hashing.createHashFunction(world.mixed.hashFunction)],
          ['update', (to) => to.hashing.createUpdate(world.mixed.update)],
          ['attack check', (to) => to.hashing.createHashCheck(world.mixed.check)],
          ['training', (to) => to.learning.createTrainingRun(world.mixed.training)],
          ['audit of a training', (to) => to.learning.createTrainingRun(world.mixed.trainingWithAudit)],
          ['audit', (to) => to.audit.createAudit(world.mixed.audit)],
          ['federation', (to) => to.federation.createFederation(world.mixed.federation)],
        ];
        for (const [what, call] of mixed) {
          for (const to of [of[OTHER]!.get('platform')!, running.operator]) {
            const { status } = await outcome(call(to));
            assert.equal(status, 'PERMISSION_DENIED', what);
          }
        }
      });

      await t.test('with its own names it finds nothing, method by method', async () => {
        const names: Names = { ...world.names, tenant: OTHER };
        /** What is no error because it is about nothing: an answer that must be empty. */
        const empty: Readonly<Record<string, (answer: unknown) => unknown>> = {
          '/lethe.vault.v1.VaultService/DestroyArtefactKeys': (answer) =>
            (answer as vault.DestroyArtefactKeysResponse).destroyed === 0n,
          '/lethe.hashing.v1.HashingService/ListHashFunctions': (answer) =>
            (answer as hashing.ListHashFunctionsResponse).hashFunctions.length === 0,
          '/lethe.learning.v1.LearningService/ListTrainingRuns': (answer) =>
            (answer as learning.ListTrainingRunsResponse).trainingRuns.length === 0,
          '/lethe.learning.v1.LearningService/ListModels': (answer) =>
            (answer as learning.ListModelsResponse).models.length === 0,
          '/lethe.learning.v1.LearningService/GetSubjectSpending': (answer) =>
            (answer as learning.PrivacySpending).epsilonUpper === 0,
          '/lethe.erasure.v1.ErasureService/ListErasureRequests': (answer) =>
            (answer as erasure.ListErasureRequestsResponse).erasureRequests.length === 0,
          '/lethe.audit.v1.AuditService/ListExclusions': (answer) =>
            (answer as audit.ListExclusionsResponse).subjectAliases.length === 0,
          // The key of its own log, which is empty.
          '/lethe.erasure.v1.ErasureService/GetVerifyKey': (answer) =>
            !new TextDecoder().decode((answer as erasure.VerifyKey).content).includes(TENANT),
        };
        const making = /\/(CreateDataset|CreateArtefactKey)$/;
        for (const path of METHODS.filter((method) => !making.test(method))) {
          const { status, got } = await outcome(CALLS[path]!(anyRole(OTHER, path), names));
          if (path in empty) {
            assert.equal(status, 'OK', path);
            assert.ok(empty[path]!(got[0]), path);
          } else assert.equal(status, 'NOT_FOUND', path);
        }
        assert.ok((await of[TENANT]!.get('platform')!.vault.getArtefactKey(world.key)).key.length === 32);
      });

      await t.test(
        'one person in two tenants: two aliases, and an erasure in one leaves the other',
        async () => {
          await world.fill(OTHER);
          const [here, there] = [of[TENANT]!, of[OTHER]!];
          const aliasIn = async (tenant: string) =>
            (
              await of[tenant]!.get('auditor')!.vault.resolveSubject({
                parent: resourceName('tenant', tenant),
                subjectId: PERSON,
              })
            ).alias;
          const aliases = { here: await aliasIn(TENANT), there: await aliasIn(OTHER) };
          assert.notEqual(aliases.here, aliases.there);
          assert.notDeepEqual(await world.state(TENANT), await world.state(OTHER));

          const before = await world.state(OTHER);
          const { erasureRequest } = await here.get('auditor')!.erasure.createErasureRequest({
            parent: resourceName('tenant', TENANT),
            subjectId: PERSON,
            requestId: 'forget-me',
            policy: 'gdpr-art-17',
          });
          await certified(here.get('auditor')!, erasureRequest!.name);
          assert.deepEqual(await world.state(OTHER), before);
          assert.equal(await aliasIn(OTHER), aliases.there);
          const again = await ingest(there.get('client')!, resourceName('dataset', OTHER, 'sensors'), [
            sent(READINGS[0]!),
          ]);
          assert.equal(again.duplicates, 1n, 'the other tenant’s record is there as it was');
          await assert.rejects(
            ingest(here.get('client')!, resourceName('dataset', TENANT, 'sensors'), [sent(READINGS[0]!)]),
            (error) => error instanceof LetheError && error.reason === 'SUBJECT_ERASED',
          );
          const list = await there
            .get('auditor')!
            .erasure.listErasureRequests({ parent: resourceName('tenant', OTHER) });
          assert.deepEqual(list.erasureRequests, []);
        },
      );
    } finally {
      for (const connection of connections) connection.close();
      await running.close();
    }
  });
});

type Roles = Readonly<Record<string, ReadonlyMap<Role, Lethe>>>;

/** The first tenant with data, a function and an erasure to its name; `fill` gives another the same people. */
async function twoTenants(running: Running, of: Roles) {
  const fill = async (tenant: string): Promise<vault.DatasetRoot> => {
    const client = of[tenant]!.get('client')!;
    const parent = resourceName('tenant', tenant);
    const dataset = resourceName('dataset', tenant, 'sensors');
    await client.vault.createDataset({ parent, datasetId: 'sensors', spec: SPEC_BYTES });
    await ingest(client, dataset, READINGS.map(sent));
    const root = await client.vault.commitDatasetRoot({ dataset, requestId: 'root' });
    await client.hashing.createHashFunction({
      parent,
      functionId: 'sensors',
      spec: { root: root.name, ...HASH_OPTIONS },
    });
    await servedFunction(client, resourceName('hashFunction', tenant, 'sensors'), 1);
    return root;
  };
  const state = async (tenant: string) => {
    const name = resourceName('hashFunction', tenant, 'sensors');
    const { latestRoot, recordCount } = await running.operator.vault.getDataset({
      name: resourceName('dataset', tenant, 'sensors'),
    });
    const records = [];
    for await (const record of running.operator.vault.readRecords({ root: latestRoot }))
      records.push([record.subjectAlias, record.recordId, hex(record.payload)]);
    const query = { $case: 'payload' as const, value: question };
    return {
      root: hex((await running.operator.vault.getDatasetRoot({ name: latestRoot })).root),
      recordCount,
      records,
      neighbours: (await running.operator.hashing.search({ name, query, k: 20 })).neighbours,
      fn: await running.operator.hashing.getHashFunction({ name }),
    };
  };
  const root = await fill(TENANT);
  const key = { parent: resourceName('tenant', TENANT), keyId: 'a-key-of-the-first' };
  await running.operator.vault.createArtefactKey(key);
  const { erasureRequest } = await of[TENANT]!.get('auditor')!.erasure.createErasureRequest({
    parent: resourceName('tenant', TENANT),
    subjectId: READINGS[399]!.subjectId,
    requestId: 'an-earlier-one',
    policy: 'test',
  });
  await certified(of[TENANT]!.get('auditor')!, erasureRequest!.name);
  const statementDigest = hex(
    sha256(
      statementBytes({
        type: 'dataset-root',
        version: 1,
        dataset: resourceName('dataset', TENANT, 'sensors'),
        root: hex(root.root),
        count: Number(root.recordCount),
        at: timestamp(root.createTime?.getTime() ?? 0),
      }),
    ),
  );
  const ownParent = resourceName('tenant', TENANT);
  await running.operator.erasure.getLogStatement({ parent: ownParent, statementDigest });
  const names: Names = {
    tenant: TENANT,
    id: 'sensors',
    keyId: key.keyId,
    statementDigest,
    erasureId: erasureRequest!.name.split('/').at(-1)!,
  };
  const parent = resourceName('tenant', OTHER);
  const foreign = { root: root.name };
  const mixed = {
    hashFunction: { parent, functionId: 'f', spec: { ...foreign, ...HASH_OPTIONS } },
    update: { name: resourceName('hashFunction', OTHER, 'f'), ...foreign },
    check: {
      parent,
      checkId: 'c',
      spec: {
        function: resourceName('hashFunction', TENANT, 'sensors'),
        kind: hashing.HashCheckSpec_Kind.KIND_HUBS,
      },
    },
    training: {
      parent,
      runId: 'r',
      spec: { ...foreign, method: { $case: 'shardedEnsemble' as const, value: ENSEMBLE } },
    },
    trainingWithAudit: {
      parent,
      runId: 'r',
      spec: {
        root: resourceName('datasetRoot', OTHER, 'sensors', '1'),
        method: {
          $case: 'shardedEnsemble' as const,
          value: { ...ENSEMBLE, audit: resourceName('audit', TENANT, 'a') },
        },
      },
    },
    audit: {
      parent,
      auditId: 'a',
      spec: {
        dataset: resourceName('dataset', TENANT, 'sensors'),
        canaryCount: 20,
        model: resourceName('model', OTHER, 'm'),
      },
    },
    federation: { parent, federationId: 'f', spec: { ...foreign, ...FEDERATION } },
  };
  return { names, key, mixed, fill, state };
}
