/**
 * Records one life of a platform for `test/golden/events.test.ts`: every event that it writes while a small table of invented
 * sensors is ingested, learned, federated, audited and forgotten, with the failures that can be had in seconds.
 *
 *     node test/tools/record-events.ts test/golden/events/v0.2.0.json
 *
 * A later release adds a recording and changes none.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { lethe } from '@lethe/client';
import { federation, hashing, learning, resourceName } from '@lethe/contracts';
import { byteMatrix, splitColumns, takeColumns, vectorWidth } from '@lethe/datasets';
import { create as createErasure } from '@lethe/erasure-service';
import { hostedErasure } from '@lethe/erasure-service/hosted';
import { STREAMS } from '@lethe/events';
import { hostedFederation } from '@lethe/federation-service/hosted';
import { createHashing } from '@lethe/hashing-service';
import { hostedHashing } from '@lethe/hashing-service/hosted';
import { RowStore, type RunningParty, runParty } from '@lethe/party';
import { ALL } from '@lethe/platform';
import { type CreateService, readConfig, startHost } from '@lethe/service';
import { sleep } from '@lethe/std';
import {
  environmentOf,
  type Running,
  startPlatform,
  TENANT,
  tokenOf,
  withDirectory,
} from '../e2e/support-small/platform.ts';
import {
  HASH_OPTIONS,
  ingest,
  questionOf,
  READINGS,
  SPEC,
  SPEC_BYTES,
  sent,
} from '../e2e/support-small/sensors.ts';
import {
  certified,
  endedErasure,
  endedRun,
  registeredAudit,
  servedFunction,
  trained,
} from '../e2e/support-small/work.ts';
import { type RecordedMessage, recordedMessage, statesOf } from '../golden/recorded.ts';

const [file] = process.argv.slice(2);
assert(file, 'usage: node test/tools/record-events.ts FILE');

const parent = resourceName('tenant', TENANT);
const dataset = resourceName('dataset', TENANT, 'sensors');
const people = [...new Set(READINGS.map(({ subjectId }) => subjectId))];
type DpSgd = Omit<
  learning.DpSgdSpec,
  'unit' | 'architecture' | 'features' | 'noiseMode' | 'cap' | 'relation' | 'clipping'
>;
const DEADLINES = { containMs: 3_000, confirmMs: 3_000, eraseMs: 6_000, auditMs: 6_000 };

/** The erasure service with less patience, for requests that cannot end well. */
const hasty: CreateService = (deps, { config }) =>
  createErasure(deps, { keyDir: join(config.dataDirectory, 'erasure'), ...DEADLINES });

/** The hashing service with windows that a hundred operators fill. */
const watchful: CreateService = (deps) =>
  createHashing(deps, {
    drift: { window: 128, stride: 64, edgeItems: 128, referenceItemsMin: 512, anchors: 16 },
  });

/** An attack check with a result, and one that the records do not allow. */
async function check({ auditor }: Running, fn: string): Promise<void> {
  const { KIND_HUBS, KIND_UNIQUENESS } = hashing.HashCheckSpec_Kind;
  const { STATE_COMPLETED, STATE_FAILED } = hashing.HashCheck_State;
  for (const [checkId, kind, falseAlarms, wanted] of [
    ['hubs', KIND_HUBS, 0.05, STATE_COMPLETED],
    ['uniqueness', KIND_UNIQUENESS, 0, STATE_FAILED],
  ] as const) {
    const spec = { function: fn, kind, falseAlarms };
    const { name } = await auditor.hashing.createHashCheck({ parent, checkId, spec, requestId: checkId });
    for await (const { state } of auditor.hashing.watchHashCheck({ name }))
      if (state !== hashing.HashCheck_State.STATE_RUNNING) assert.equal(state, wanted);
  }
}

/** Queries like everybody's, then of one kind alone, until the function says that traffic has drifted. */
async function drift(directory: string): Promise<void> {
  const services = ALL.map((service) => (service === hostedHashing ? watchful : service));
  const host = await startHost(readConfig(environmentOf(directory)), 'lethe', services);
  const client = lethe({ address: host.address, token: tokenOf(directory, 'client') });
  const name = resourceName('hashFunction', TENANT, 'states');
  const ask = async (readings: typeof READINGS, count: number): Promise<void> => {
    for (let i = 0; i < count; i++)
      await client.hashing.encode({ name, payload: questionOf(readings[i % readings.length]!) });
  };
  await ask(READINGS, 600);
  for (let drifted = false; !drifted; ) {
    await ask(
      READINGS.filter(({ label }) => label === 0),
      64,
    );
    const { conditions } = await client.hashing.getHashFunction({ name });
    drifted = conditions.some(({ type }) => type === 'Drifted');
  }
  client.close();
  await host.close();
}

/** A private run that is cancelled while it trains, settles, goes on and is cancelled again. */
async function stopAndResume(client: Running['client'], root: string, dpSgd: DpSgd): Promise<void> {
  const name = resourceName('trainingRun', TENANT, 'stopped');
  const method = { $case: 'dpSgd' as const, value: dpSgd };
  await client.learning.createTrainingRun({
    parent,
    runId: 'stopped',
    requestId: 'stop',
    spec: { root, method },
  });
  await client.learning.cancelTrainingRun({ name });
  assert.equal((await endedRun(client, 'stopped')).state, learning.TrainingRun_State.STATE_CANCELLED);
  await client.learning.resumeTrainingRun({ name });
  await client.learning.cancelTrainingRun({ name });
  assert.equal((await endedRun(client, 'stopped')).state, learning.TrainingRun_State.STATE_CANCELLED);
}

async function learn(running: Running): Promise<string> {
  const { client, auditor, operator } = running;
  await client.vault.createDataset({ parent, datasetId: 'sensors', spec: SPEC_BYTES, requestId: 'create' });
  await ingest(client, dataset, READINGS.slice(0, 280).map(sent));
  const auditName = resourceName('audit', TENANT, 'canaries');
  const model = resourceName('model', TENANT, 'ensemble');
  const spec = { dataset, canaryCount: 60, model };
  await auditor.audit.createAudit({ parent, auditId: 'canaries', spec, requestId: 'audit' });
  await registeredAudit(auditor, auditName);
  const first = await client.vault.commitDatasetRoot({ dataset, requestId: 'root-1' });
  const fn = resourceName('hashFunction', TENANT, 'states');
  await client.hashing.createHashFunction({
    parent,
    functionId: 'states',
    spec: { root: first.name, ...HASH_OPTIONS },
    requestId: 'learn',
  });
  await servedFunction(client, fn, 1);
  await ingest(client, dataset, READINGS.slice(280).map(sent));
  const { name: root } = await client.vault.commitDatasetRoot({ dataset, requestId: 'root-2' });
  await client.hashing.createUpdate({ name: fn, root, requestId: 'update' });
  await servedFunction(client, fn, 2);
  await holdAndPromote(client, first.name, root);
  await check(running, fn);
  const dpSgd = {
    epsilon: 8,
    delta: 1e-3,
    samplingProbability: 0.25,
    steps: 20,
    l2ClipNorm: 1,
    learningRate: 1,
    momentum: 0.9,
    rowsPerSubjectMax: 4,
  };
  await operator.learning.setPrivacyBudget({ dataset, epsilon: 30, delta: 1e-3 });
  await trained(client, 'private', { root, method: { $case: 'dpSgd', value: dpSgd } });
  await client.learning.promoteModel({ name: resourceName('model', TENANT, 'private') });
  await stopAndResume(client, root, { ...dpSgd, steps: 20_000 });
  const shardedEnsemble = {
    shardCount: 3,
    sliceCount: 2,
    hiddenUnits: 8,
    epochs: 4,
    batchSize: 16,
    learningRate: 0.1,
    audit: auditName,
  };
  await trained(client, 'ensemble', { root, method: { $case: 'shardedEnsemble', value: shardedEnsemble } });
  return root;
}

/** A gate that no update passes, and the decision to serve it beside the version before until the stored codes are moved. */
async function holdAndPromote(client: Running['client'], first: string, root: string): Promise<void> {
  const name = resourceName('hashFunction', TENANT, 'guarded');
  const gate = { epsilon: 1e-9, require: true, reportOnly: false };
  const spec = { root: first, ...HASH_OPTIONS, gate };
  await client.hashing.createHashFunction({ parent, functionId: 'guarded', spec, requestId: 'guarded' });
  await servedFunction(client, name, 1);
  const until = async (isThere: (fn: hashing.HashFunction) => boolean): Promise<void> => {
    while (!isThere(await client.hashing.getHashFunction({ name }))) await sleep(50);
  };
  await client.hashing.createUpdate({ name, root, requestId: 'guarded-update' });
  await until(({ held }) => held !== undefined);
  const mode = hashing.PromoteHashVersionRequest_Mode.MODE_FAN_OUT;
  await client.hashing.promoteHashVersion({ name, mode, requestId: 'guarded-promotion' });
  await until(({ version, reencoding }) => version === 2 && reencoding === undefined);
}

/** Nothing can be learned from records without labels. @returns their root */
async function failToLearn({ client }: Running): Promise<string> {
  const unlabelled = resourceName('dataset', TENANT, 'unlabelled');
  await client.vault.createDataset({
    parent,
    datasetId: 'unlabelled',
    spec: SPEC_BYTES,
    requestId: 'create',
  });
  const records = READINGS.slice(0, 160).map((reading) => ({
    ...sent(reading),
    payload: questionOf(reading),
  }));
  await ingest(client, unlabelled, records);
  const { name: root } = await client.vault.commitDatasetRoot({ dataset: unlabelled, requestId: 'root' });
  await client.hashing.createHashFunction({
    parent,
    functionId: 'nothing',
    spec: { root, ...HASH_OPTIONS },
    requestId: 'learn',
  });
  await assert.rejects(servedFunction(client, resourceName('hashFunction', TENANT, 'nothing'), 1));
  const shardedEnsemble = {
    shardCount: 1,
    sliceCount: 1,
    hiddenUnits: 8,
    epochs: 1,
    batchSize: 4,
    learningRate: 0.1,
  };
  const method = { $case: 'shardedEnsemble' as const, value: shardedEnsemble };
  await client.learning.createTrainingRun({
    parent,
    runId: 'nothing',
    requestId: 'train',
    spec: { root, method },
  });
  const run = await endedRun(client, 'nothing');
  assert.equal(run.state, learning.TrainingRun_State.STATE_FAILED);
  return root;
}

async function federate(
  { client, host, directory }: Running,
  federationId: string,
  root: string,
): Promise<RunningParty[]> {
  const parties = ['left', 'right'];
  await client.federation.createFederation({
    parent,
    federationId,
    spec: { root, parties, epochs: 2, seed: 'sensors' },
    requestId: 'federate',
  });
  const name = resourceName('federation', TENANT, federationId);
  const width = vectorWidth(SPEC);
  const matrix = byteMatrix(SPEC, READINGS);
  const running = splitColumns(SPEC, parties.length).map((columns, p) => {
    const own = takeColumns(matrix, width, columns);
    const held = READINGS.map(({ recordId }, i): [string, Uint8Array] => [
      recordId,
      own.subarray(i * columns.length, (i + 1) * columns.length),
    ]);
    return runParty({
      address: host.address,
      token: tokenOf(directory, 'party'),
      federation: name,
      party: parties[p]!,
      rows: new RowStore({ element: 'uint8', columns: columns.length, rows: new Map(held) }),
      keyFile: join(directory, `${federationId}-${parties[p]}.key`),
    });
  });
  for await (const { state } of client.federation.watchFederation({ name })) {
    const { STATE_READY, STATE_FAILED } = federation.Federation_State;
    if (state === STATE_READY || state === STATE_FAILED) break;
  }
  return running;
}

/** Asks to forget one person. @returns name of the request */
async function forget(auditor: Running['auditor'], person: string): Promise<string> {
  const policy = 'gdpr-art-17';
  const request = { parent, subjectId: person, requestId: `forget-${person}`, policy };
  return (await auditor.erasure.createErasureRequest(request)).erasureRequest!.name;
}

/** A platform that cannot end an erasure well: asks for one and waits for its end. */
async function failToForget(
  directory: string,
  services: readonly CreateService[],
  person: string,
): Promise<RecordedMessage[]> {
  const host = await startHost(readConfig(environmentOf(directory)), 'lethe', services);
  const auditor = lethe({ address: host.address, token: tokenOf(directory, 'auditor') });
  await endedErasure(auditor, await forget(auditor, person));
  const events: RecordedMessage[] = [];
  for await (const message of host.bus.read(STREAMS.events, '>')) events.push(recordedMessage(message));
  auditor.close();
  await host.close();
  return events;
}

await withDirectory(async (directory) => {
  const running = await startPlatform(directory);
  const root = await learn(running);
  const unlabelled = await failToLearn(running);
  const parties = [
    ...(await federate(running, 'columns', root)),
    ...(await federate(running, 'nothing', unlabelled)),
  ];
  await certified(running.auditor, await forget(running.auditor, people[3]!));
  for (const party of parties) await party.stop();
  await running.close();
  await drift(directory);
  const impatient = ALL.map((service) => (service === hostedErasure ? hasty : service));
  // Without a federation service an owner never contains; with it but without the parties, one never erases.
  const alone = impatient.filter((service) => service !== hostedFederation);
  await failToForget(directory, alone, people[4]!);
  const events = await failToForget(directory, impatient, people[5]!);
  const states = await statesOf(events);
  const lines = (values: readonly string[]): string => values.join(',\n    ');
  writeFileSync(
    file,
    `{
  "events": [
    ${lines(events.map((event) => JSON.stringify(event)))}
  ],
  "states": {
    ${lines(Object.entries(states).map(([key, digest]) => `${JSON.stringify(key)}: "${digest}"`))}
  }
}
`,
  );
  console.log(
    `${events.length} events, ${new Set(events.map(({ headers }) => headers['ce-type'])).size} types`,
  );
});
process.exit();
