/** The small data set, and a whole platform's work on it: what an erasure finds. */
import { readFileSync } from 'node:fs';
import { audit, federation, hashing, learning, resourceName } from '@lethe/contracts';
import { csvRecords, type DataRecord, decodeSpec, encodePayload, encodeSpec } from '@lethe/datasets';
import { utf8 } from '@lethe/std';
import { type Clients, TENANT } from './platform.ts';

const fixture = (name: string): string =>
  readFileSync(new URL(`../../../libs/datasets/fixtures/${name}`, import.meta.url), 'utf8');

export const spec = decodeSpec(utf8(fixture('sensors.json')));
export const readings: readonly DataRecord[] = csvRecords(spec, fixture('sensors.csv'));
export const recordIdOf = (row: number): string => `reading-${String(row).padStart(6, '0')}`;

export const PARENT = resourceName('tenant', TENANT);
export const NAME = {
  dataset: resourceName('dataset', TENANT, 'sensors'),
  audit: resourceName('audit', TENANT, 'canaries'),
  fn: resourceName('hashFunction', TENANT, 'sensors'),
  dp: resourceName('model', TENANT, 'sensors-dp'),
  ensemble: resourceName('model', TENANT, 'sensors-ensemble'),
  federation: resourceName('federation', TENANT, 'columns'),
} as const;

const CANARIES = 300;

export async function createDataset({ client }: Clients): Promise<void> {
  const request = { parent: PARENT, datasetId: 'sensors', spec: encodeSpec(spec), requestId: 'create' };
  await client.vault.createDataset(request);
}

export async function ingest(
  { client }: Clients,
  records: readonly DataRecord[],
  requestId: string,
): Promise<{ stored: bigint; duplicates: bigint; suppressed: bigint }> {
  return await client.vault.ingest(
    (async function* () {
      yield { message: { $case: 'header' as const, value: { dataset: NAME.dataset, requestId } } };
      for (const [row, record] of records.entries()) {
        const value = {
          sequence: BigInt(row + 1),
          subjectId: record.subjectId,
          recordId: recordIdOf(row),
          payload: encodePayload(spec, record),
        };
        yield { message: { $case: 'record' as const, value } };
      }
    })(),
  );
}

export async function commitRoot({ client }: Clients, requestId: string): Promise<string> {
  return (await client.vault.commitDatasetRoot({ dataset: NAME.dataset, requestId })).name;
}

export async function registerAudit({ auditor }: Clients): Promise<void> {
  const auditSpec = { dataset: NAME.dataset, canaryCount: CANARIES, model: NAME.ensemble };
  const request = { parent: PARENT, auditId: 'canaries', spec: auditSpec, requestId: 'audit' };
  await auditor.audit.createAudit(request);
  for await (const { state, conditions } of auditor.audit.watchAudit({ name: NAME.audit })) {
    if (state === audit.Audit_State.STATE_FAILED) throw failed('the audit', conditions);
    if (state === audit.Audit_State.STATE_REGISTERED) return;
  }
  throw new Error('the audit was not registered');
}

const failed = (what: string, conditions: readonly { readonly message: string }[]): Error =>
  new Error(`${what} failed: ${conditions.map(({ message }) => message).join('; ')}`);

export async function createHashFunction({ client }: Clients, root: string, featureDim = 64): Promise<void> {
  const fnSpec = { root, codeBits: 32, featureDim, lambda: 1024, featureSeed: 'sensors' };
  const request = { parent: PARENT, functionId: 'sensors', spec: fnSpec, requestId: 'learn' };
  await client.hashing.createHashFunction(request);
}

export async function untilServing({ client }: Clients): Promise<hashing.HashFunction> {
  for await (const fn of client.hashing.watchHashFunction({ name: NAME.fn })) {
    if (fn.state === hashing.HashFunction_State.STATE_FAILED)
      throw failed('the hash function', fn.conditions);
    if (fn.state === hashing.HashFunction_State.STATE_SERVING) return fn;
  }
  throw new Error('the hash function is not served');
}

type Method = NonNullable<learning.TrainingSpec['method']>;

export const dpSgd = (steps: number): Method => ({
  $case: 'dpSgd',
  value: {
    epsilon: 3,
    delta: 1e-5,
    samplingProbability: 0.25,
    steps,
    l2ClipNorm: 1,
    learningRate: 1,
    momentum: 0.9,
    rowsPerSubjectMax: 4,
  },
});

export const ensemble = (change: Partial<learning.ShardedEnsembleSpec> = {}): Method => ({
  $case: 'shardedEnsemble',
  value: {
    shardCount: 4,
    sliceCount: 3,
    hiddenUnits: 16,
    epochs: 4,
    batchSize: 16,
    learningRate: 0.05,
    audit: NAME.audit,
    ...change,
  },
});

export async function createRun(
  { client }: Clients,
  runId: string,
  root: string,
  method: Method,
): Promise<void> {
  await client.learning.createTrainingRun({
    parent: PARENT,
    runId,
    requestId: runId,
    spec: { root, method },
  });
}

export async function untilTrained({ client }: Clients, runId: string): Promise<learning.Model> {
  const name = resourceName('trainingRun', TENANT, runId);
  for await (const run of client.learning.watchTrainingRun({ name })) {
    if (run.state === learning.TrainingRun_State.STATE_FAILED) throw failed('the training', run.conditions);
    if (run.state === learning.TrainingRun_State.STATE_SUCCEEDED)
      return await client.learning.getModel({ name: run.model });
  }
  throw new Error('the training did not end');
}

export async function createFederation({ client }: Clients, root: string): Promise<void> {
  await client.federation.createFederation({
    parent: PARENT,
    federationId: 'columns',
    spec: {
      root,
      parties: ['left', 'right'],
      codeBits: 16,
      hiddenUnits: 16,
      topHiddenUnits: 16,
      epochs: 2,
      batchSize: 64,
      learningRate: 4e-3,
      consistencyWeight: 3,
      seed: 'sensors',
    },
    requestId: 'federate',
  });
}

export async function untilReady({ client }: Clients): Promise<federation.Federation> {
  for await (const state of client.federation.watchFederation({ name: NAME.federation })) {
    if (state.state === federation.Federation_State.STATE_FAILED)
      throw failed('the federation', state.conditions);
    if (state.state === federation.Federation_State.STATE_READY) return state;
  }
  throw new Error('the federation is not ready');
}

/** Everything that can be learned from one root. The parties of the federation must be running. */
export async function learnEverything(clients: Clients, root: string): Promise<void> {
  await createHashFunction(clients, root);
  await createRun(clients, 'sensors-ensemble', root, ensemble());
  await createRun(clients, 'sensors-dp', root, dpSgd(40));
  await createFederation(clients, root);
  await untilServing(clients);
  await untilTrained(clients, 'sensors-ensemble');
  await untilTrained(clients, 'sensors-dp');
  await untilReady(clients);
}
