/** What a caller can get wrong: each refusal has its code, and afterwards everything that was stored is still there. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Lethe } from '@lethe/client';
import { erasure, hashing, learning, resourceName, type vault } from '@lethe/contracts';
import { hostedErasure } from '@lethe/erasure-service/hosted';
import { ALL } from '@lethe/platform';
import { type CreateService, readConfig, startHost } from '@lethe/service';
import { hex, LetheError } from '@lethe/std';
import {
  asRole,
  environmentOf,
  type Running,
  startPlatform,
  TENANT,
  temporaryDirectory,
  withDirectory,
} from './support-small/platform.ts';
import {
  changed,
  HASH_OPTIONS,
  ingest,
  payloadOf,
  questionOf,
  READINGS,
  SPEC_BYTES,
  sent,
} from './support-small/sensors.ts';
import { certified, endedRun, servedFunction } from './support-small/work.ts';

const parent = resourceName('tenant', TENANT);
const dataset = resourceName('dataset', TENANT, 'sensors');
const fn = resourceName('hashFunction', TENANT, 'sensors');
const ENSEMBLE = {
  shardCount: 2,
  sliceCount: 1,
  hiddenUnits: 4,
  epochs: 1,
  batchSize: 16,
  learningRate: 0.1,
};
const ensembleOn = (root: string, audit = '') => ({
  root,
  method: { $case: 'shardedEnsemble' as const, value: { ...ENSEMBLE, audit } },
});

/** @returns the error, for what else it says */
async function refused(call: Promise<unknown>, code: string, status: string): Promise<LetheError> {
  try {
    await call;
  } catch (error) {
    assert.ok(error instanceof LetheError, String(error));
    assert.deepEqual([error.code, error.status], [code, status], error.message);
    assert.ok(error.remedy.length > 0, 'what to do about it');
    return error;
  }
  assert.fail(`${code} was expected`);
}

/** An ingestion of whatever is given, to break its rules. */
const stream = (client: Lethe, messages: readonly vault.IngestRequest['message'][]) =>
  client.vault.ingest(
    (async function* () {
      for (const message of messages) yield message ? { message } : {};
    })(),
  );
const header = { $case: 'header' as const, value: { dataset, requestId: '' } };
const record = (sequence: number, row: number, more: Partial<vault.IngestRecord> = {}) => ({
  $case: 'record' as const,
  value: { sequence: BigInt(sequence), ...sent(READINGS[row]!), ...more },
});

const countOf = async (client: Lethe): Promise<bigint> =>
  (await client.vault.getDataset({ name: dataset })).recordCount;

const directory = temporaryDirectory();
let running: Running;
let client: Lethe;
let auditor: Lethe;
before(async () => {
  running = await startPlatform(directory);
  ({ client, auditor } = running);
  await client.vault.createDataset({ parent, datasetId: 'sensors', spec: SPEC_BYTES, requestId: 'c' });
});
after(async () => {
  await running.close();
});

test('records: malformed, oversized, out of order, taken; everything before the offending one is stored', async () => {
  type Case = readonly [what: string, code: string, status: string, bad: vault.IngestRequest['message']];
  const malformed = payloadOf(READINGS[0]!).slice(1);
  const cases: readonly Case[] = [
    ['a payload of another length', 'LETHE-2302', 'INVALID_ARGUMENT', record(3, 2, { payload: malformed })],
    ['a record without a subject', 'LETHE-4005', 'INVALID_ARGUMENT', record(3, 2, { subjectId: '' })],
    ['a record id too long', 'LETHE-4005', 'INVALID_ARGUMENT', record(3, 2, { recordId: 'x'.repeat(129) })],
    [
      'an oversized payload',
      'LETHE-4006',
      'INVALID_ARGUMENT',
      record(3, 2, { payload: new Uint8Array(256 * 1024 + 1) }),
    ],
    ['a gap', 'LETHE-4004', 'INVALID_ARGUMENT', record(4, 2)],
    ['a step back', 'LETHE-4004', 'INVALID_ARGUMENT', record(2, 2)],
    ['a second header', 'LETHE-4004', 'INVALID_ARGUMENT', header],
    ['an empty message', 'LETHE-4004', 'INVALID_ARGUMENT', undefined],
    [
      'a record id with other content',
      'LETHE-4007',
      'ALREADY_EXISTS',
      record(3, 2, { ...sent(changed(READINGS[0]!)), recordId: READINGS[0]!.recordId }),
    ],
  ];
  for (const [round, [what, code, status, bad]] of cases.entries()) {
    const rows = [2 * round + 20, 2 * round + 21] as const;
    // For the last case the id must be taken: rows 0 and 1 are stored first.
    if (code === 'LETHE-4007') await ingest(client, dataset, READINGS.slice(0, 2).map(sent));
    const stored = await countOf(client);
    const messages = [header, record(1, rows[0]), record(2, rows[1]), bad, record(4, 390)];
    const { details } = await refused(stream(client, messages), code, status);
    assert.equal(details.stored, '2', `${what}: the error says how many are stored`);
    assert.equal(details.sequence, '3', `${what}: and where it stopped`);
    assert.equal(await countOf(client), stored + 2n, what);
  }
  // Without a header nobody knows whose it is: refused at the door.
  await refused(stream(client, [record(1, 0)]), 'LETHE-2104', 'INVALID_ARGUMENT');
  const unknown = { ...header, value: { ...header.value, dataset: `${dataset}-none` } };
  await refused(stream(client, [unknown, record(1, 0)]), 'LETHE-4001', 'NOT_FOUND');
  // Larger than a message may be at all.
  const huge = record(1, 300, { payload: new Uint8Array(17 * 1024 * 1024) });
  await assert.rejects(
    stream(client, [header, huge]),
    (error) => error instanceof LetheError && error.status === 'RESOURCE_EXHAUSTED',
  );

  const all = await ingest(client, dataset, READINGS.map(sent));
  assert.equal(all.stored + all.duplicates, 400n, 'what was refused can be sent again');
  const again = await ingest(client, dataset, READINGS.map(sent));
  assert.deepEqual([again.stored, again.duplicates], [0n, 400n]);
  const root = await client.vault.commitDatasetRoot({ dataset, requestId: 'root-1' });
  assert.equal(root.recordCount, 400n);
  const read = new Map<string, string>();
  for await (const { recordId, payload } of running.operator.vault.readRecords({ root: root.name })) {
    assert.ok(!read.has(recordId), 'a record is there once');
    read.set(recordId, hex(payload));
  }
  assert.deepEqual(read, new Map(READINGS.map((reading) => [reading.recordId, hex(payloadOf(reading))])));
});

test('datasets and roots: another specification, one that is none, unknown names', async () => {
  const create = (spec: Uint8Array, datasetId = 'sensors') =>
    client.vault.createDataset({ parent, datasetId, spec, requestId: '' });
  const other = new TextEncoder().encode(new TextDecoder().decode(SPEC_BYTES).replace('normal', 'ordinary'));
  await refused(create(other), 'LETHE-4002', 'ALREADY_EXISTS');
  await refused(create(new TextEncoder().encode('{"no":"spec"}'), 'x'), 'LETHE-2301', 'INVALID_ARGUMENT');
  await refused(create(SPEC_BYTES, 'Not an id'), 'LETHE-1101', 'INVALID_ARGUMENT');
  await refused(client.vault.getDataset({ name: `${dataset}-none` }), 'LETHE-4001', 'NOT_FOUND');
  await refused(client.vault.getDatasetRoot({ name: `${dataset}/roots/99` }), 'LETHE-4003', 'NOT_FOUND');
  await refused(client.vault.getDataset({ name: 'sensors' }), 'LETHE-2104', 'INVALID_ARGUMENT');
  assert.equal(await countOf(client), 400n);
});

test('search: wrong code length, k out of range, no query, a payload that is none', async () => {
  const root = `${dataset}/roots/1`;
  const spec = { root, ...HASH_OPTIONS };
  await client.hashing.createHashFunction({ parent, functionId: 'sensors', spec, requestId: '' });
  await servedFunction(client, fn, 1);
  const code = (bytes: number) => ({ $case: 'code' as const, value: new Uint8Array(bytes) });
  const search = (query: hashing.SearchRequest['query'], k = 5, name = fn) =>
    client.hashing.search({ name, k, ...(query ? { query } : {}) });
  for (const bytes of [0, 3, 5, 32]) await refused(search(code(bytes)), 'LETHE-3406', 'INVALID_ARGUMENT');
  for (const k of [0, 1001, 0xffff_ffff]) await refused(search(code(4), k), 'LETHE-4207', 'INVALID_ARGUMENT');
  await refused(search(undefined), 'LETHE-4207', 'INVALID_ARGUMENT');
  await refused(search({ $case: 'payload', value: new Uint8Array(3) }), 'LETHE-2302', 'INVALID_ARGUMENT');
  await refused(search(code(4), 5, `${fn}-none`), 'LETHE-4201', 'NOT_FOUND');
  await refused(client.hashing.predict({ name: fn, payloads: [] }), 'LETHE-4207', 'INVALID_ARGUMENT');
  await refused(
    client.hashing.predict({ name: fn, payloads: [questionOf(READINGS[0]!)], k: 1001 }),
    'LETHE-4207',
    'INVALID_ARGUMENT',
  );
  await refused(
    client.hashing.createHashFunction({
      parent,
      functionId: 'sensors',
      spec: { ...spec, codeBits: 16 },
      requestId: '',
    }),
    'LETHE-4202',
    'ALREADY_EXISTS',
  );
  await refused(
    client.hashing.createHashFunction({
      parent,
      functionId: 'odd',
      spec: { ...spec, codeBits: 33 },
      requestId: '',
    }),
    'LETHE-3410',
    'INVALID_ARGUMENT',
  );
  assert.equal((await search(code(4), 400)).neighbours.length, 400, 'and a good one is answered');
});

test('training: unknown root, unknown audit, no method, a budget that cannot be met', async () => {
  const create = (runId: string, spec: Parameters<Lethe['learning']['createTrainingRun']>[0]['spec']) =>
    client.learning.createTrainingRun({ parent, runId, requestId: '', ...(spec ? { spec } : {}) });
  const root = `${dataset}/roots/1`;
  await refused(create('a', ensembleOn(`${dataset}/roots/99`)), 'LETHE-4003', 'NOT_FOUND');
  await refused(create('a', ensembleOn('nothing')), 'LETHE-1101', 'INVALID_ARGUMENT');
  await refused(create('a', ensembleOn(root, `${parent}/audits/none`)), 'LETHE-4401', 'NOT_FOUND');
  await refused(create('a', { root }), 'LETHE-4301', 'INVALID_ARGUMENT');
  const dpSgd = {
    epsilon: 1e-6,
    delta: 1e-5,
    samplingProbability: 0.5,
    steps: 1000,
    l2ClipNorm: 1,
    learningRate: 1,
    momentum: 0,
    rowsPerSubjectMax: 4,
  };
  await refused(
    create('a', { root, method: { $case: 'dpSgd', value: dpSgd } }),
    'LETHE-4301',
    'INVALID_ARGUMENT',
  );
  await refused(
    client.learning.getTrainingRun({ name: `${parent}/trainingRuns/a` }),
    'LETHE-4303',
    'NOT_FOUND',
  );
  await refused(client.learning.getModel({ name: `${parent}/models/a` }), 'LETHE-4304', 'NOT_FOUND');

  await create('small', ensembleOn(root));
  const run = await endedRun(client, 'small');
  assert.equal(run.state, learning.TrainingRun_State.STATE_SUCCEEDED, 'and a good one is trained');
  await refused(
    create('small', {
      ...ensembleOn(`${dataset}/roots/1`, ''),
      root: `${dataset}/roots/1`,
      method: { $case: 'shardedEnsemble', value: { ...ENSEMBLE, audit: '', epochs: 2 } },
    }),
    'LETHE-4302',
    'ALREADY_EXISTS',
  );
});

test('audits: unknown, on an unknown dataset, with too few canaries', async () => {
  const create = (of: string, canaryCount: number) =>
    auditor.audit.createAudit({
      parent,
      auditId: 'a',
      spec: { dataset: of, canaryCount, model: `${parent}/models/m` },
      requestId: '',
    });
  await refused(auditor.audit.getAudit({ name: `${parent}/audits/none` }), 'LETHE-4401', 'NOT_FOUND');
  await refused(create(`${dataset}-none`, 200), 'LETHE-4404', 'NOT_FOUND');
  for (const count of [0, 19, 20_001])
    await refused(create(dataset, count), 'LETHE-4403', 'INVALID_ARGUMENT');
  assert.equal(await countOf(client), 400n, 'no canary was stored');
});

test('erasures: unknown subject, twice for the same, a request id that stands for another', async () => {
  const subjectId = READINGS[100]!.subjectId;
  const create = (subject: string, requestId: string, policy = 'gdpr-art-17') =>
    auditor.erasure.createErasureRequest({ parent, subjectId: subject, requestId, policy });
  await refused(create('nobody-we-know', 'r1'), 'LETHE-4501', 'NOT_FOUND');
  await refused(create('', 'r1'), 'LETHE-4504', 'INVALID_ARGUMENT');
  await refused(create(subjectId, ''), 'LETHE-4504', 'INVALID_ARGUMENT');
  await refused(create(subjectId, 'r1', 'Please, for Jane Doe'), 'LETHE-4504', 'INVALID_ARGUMENT');
  const none = { name: `${parent}/erasureRequests/none` };
  await refused(auditor.erasure.getErasureRequest(none), 'LETHE-4505', 'NOT_FOUND');
  await refused(auditor.erasure.getCertificate(none), 'LETHE-4505', 'NOT_FOUND');
  assert.deepEqual((await auditor.erasure.listErasureRequests({ parent })).erasureRequests, []);

  const [one, other] = await Promise.all([create(subjectId, 'r1'), create(subjectId, 'r1')]);
  const name = one.erasureRequest!.name;
  assert.equal(other.erasureRequest!.name, name, 'the same request, asked twice at once');
  const lengths = [one.opening.length, other.opening.length].sort((a, b) => a - b);
  assert.deepEqual(lengths, [0, 32], 'the opening is given once');
  for (const when of ['while it runs', 'when it has ended']) {
    const again = await create(subjectId, 'r1');
    assert.equal(again.erasureRequest!.name, name, when);
    assert.equal(again.opening.length, 0, when);
    const { details, message } = await refused(create(subjectId, 'r2'), 'LETHE-4502', 'ALREADY_EXISTS');
    assert.equal(details.erasureRequest, name, when);
    assert.ok(!message.includes(subjectId));
    await refused(create(READINGS[200]!.subjectId, 'r1'), 'LETHE-4503', 'ALREADY_EXISTS');
    await certified(auditor, name);
  }
  const list = await auditor.erasure.listErasureRequests({ parent });
  assert.deepEqual(
    list.erasureRequests.map((request) => request.name),
    [name],
  );
  assert.equal(await countOf(client), 396n);
});

test('certificate and key files that are not such', async () => {
  const [request] = (await auditor.erasure.listErasureRequests({ parent })).erasureRequests;
  assert.equal(request?.state, erasure.ErasureRequest_State.STATE_CERTIFIED);
  const { content } = await auditor.erasure.getCertificate({ name: request.name });
  const key = (await auditor.erasure.getVerifyKey({ parent })).content;
  const put = (name: string, bytes: Uint8Array | string): string => {
    writeFileSync(join(directory, name), bytes);
    return join(directory, name);
  };
  const files = {
    certificate: put('certificate.json', content),
    key: put('verify-key.json', key),
    empty: put('empty', ''),
    text: put('text', 'this is no certificate'),
    json: put('some.json', '{"a":1}'),
    pretty: put('pretty.json', JSON.stringify(JSON.parse(new TextDecoder().decode(content)), null, 2)),
    cut: put('cut.json', content.subarray(0, content.length - 10)),
    binary: put('binary', Uint8Array.of(0xff, 0xfe, 0, 1, 2)),
  };
  const script = new URL('../../libs/certificate/src/verify-cli.ts', import.meta.url).pathname;
  const verify = (certificate: string, keyFile: string) => {
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [script, certificate, '--key', keyFile, '--json'],
      { encoding: 'utf8' },
    );
    const said = stdout === '' ? {} : (JSON.parse(stdout) as { code?: string; failedCheck?: string });
    return { status, code: said.code, check: said.failedCheck, stderr };
  };
  assert.equal(verify(files.certificate, files.key).status, 0);
  for (const file of [
    files.empty,
    files.text,
    files.json,
    files.pretty,
    files.cut,
    files.binary,
    files.key,
  ]) {
    const { status, code } = verify(file, files.key);
    assert.deepEqual([status, code], [1, 'LETHE-1301'], file);
  }
  for (const file of [files.empty, files.json, files.certificate]) {
    const { status, code, check } = verify(files.certificate, file);
    assert.deepEqual([status, code, check], [1, 'LETHE-1302', 'key-file'], file);
  }
  const missing = verify(join(directory, 'nowhere'), files.key);
  assert.equal(missing.status, 2);
  assert.match(missing.stderr, /cannot read/);
});

/** A log that has not caught up, and never will: everything else of the erasure service is as it is. */
const deafLog: CreateService = async (deps, facts) => {
  const service = await hostedErasure(deps, facts);
  const missing = new LetheError(
    'STATEMENT_UNKNOWN',
    { code: 'LETHE-4507', status: 'NOT_FOUND', remedy: 'Wait.' },
    'the log holds no statement with this digest',
  );
  const bindings = service.bindings.map(({ definition, handlers }) => ({
    definition,
    handlers: { ...handlers, getLogStatement: () => Promise.reject(missing) },
  }));
  return { ...service, bindings };
};

test('a root that the log does not hold: nothing learns from it; later it does', async () => {
  await withDirectory(async (own) => {
    const services = ALL.map((create) => (create === hostedErasure ? deafLog : create));
    assert.ok(services.includes(deafLog));
    const host = await startHost(readConfig(environmentOf(own)), 'lethe', services);
    const to = asRole(host.address, own, 'client');
    try {
      await to.vault.createDataset({ parent, datasetId: 'sensors', spec: SPEC_BYTES, requestId: '' });
      await ingest(to, dataset, READINGS.map(sent));
      const { name: root } = await to.vault.commitDatasetRoot({ dataset, requestId: 'root' });
      const spec = { root, ...HASH_OPTIONS };
      await to.hashing.createHashFunction({ parent, functionId: 'sensors', spec, requestId: '' });
      await to.learning.createTrainingRun({ parent, runId: 'early', spec: ensembleOn(root), requestId: '' });
      const run = await endedRun(to, 'early');
      assert.equal(run.state, learning.TrainingRun_State.STATE_FAILED);
      assert.equal(run.conditions[0]?.reason, 'LETHE-4305');
      await assert.rejects(servedFunction(to, fn, 1), /transparency log does not hold the root/);
      const state = await to.hashing.getHashFunction({ name: fn });
      assert.equal(state.state, hashing.HashFunction_State.STATE_FAILED);
    } finally {
      to.close();
      await host.close();
    }
    const later = await startPlatform(own);
    try {
      const root = `${dataset}/roots/1`;
      await later.client.learning.createTrainingRun({
        parent,
        runId: 'late',
        spec: ensembleOn(root),
        requestId: '',
      });
      const run = await endedRun(later.client, 'late');
      assert.equal(run.state, learning.TrainingRun_State.STATE_SUCCEEDED);
    } finally {
      await later.close();
    }
  });
});
