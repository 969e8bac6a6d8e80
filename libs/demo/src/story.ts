/** The story, step by step: each function is one step of the README's tour, talks to the platform over gRPC, and returns figures. */
import { randomInt } from 'node:crypto';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { audit, federation, type hashing, learning, resourceName } from '@lethe/contracts';
import {
  byteMatrix,
  type DataRecord,
  encodePayload,
  encodeSpec,
  labelsOf,
  loadMnist,
  splitColumns,
  takeColumns,
  vectorWidth,
} from '@lethe/datasets';
import { DEFAULT_HASH_OPTIONS } from '@lethe/hashing';
import { writeRowsFile } from '@lethe/party';
import { groupEpsilon } from '@lethe/privacy';
import { base64, concatBytes, hex, LetheError } from '@lethe/std';
import { verticalPlan } from '@lethe/vertical';
import { DEMO } from './errors.ts';
import { accuracy, chunks, inFlight, meanPrecision } from './measure.ts';
import { type Platform, runToEnd, runWorker, startParty } from './platform.ts';
import type { PrivateModel, Summary } from './summary.ts';
import {
  type CertificateFiles,
  changedCodes,
  failed,
  type Issued,
  ingestRecords,
  issued,
  listCodes,
  type NamedRecord,
  plantedFound,
  type Scene,
  stateName,
  untilFinal,
  untilServing,
  verifyFiles,
} from './work.ts';
import type { FullRetrain } from './workers/full-retrain.ts';

const CANARIES = 2_500;
const PREDICT_ROWS = 500;
const IN_FLIGHT = 32;
const RECORDS_PER_SUBJECT = 4;
const FEATURES = 'hog';
/** Neighbours of a search: the service's limit, so that an item of the person is seen wherever it ranks among its class. */
const NEIGHBOURS = 1_000;
const PARTIES = ['left', 'right'] as const;
const MODEL = { subject: 'digits-dp', record: 'digits-dp-record', ensemble: 'digits-ensemble' } as const;

export interface Stage extends Scene {
  /** This run's folder: party files, replay files. */
  readonly folder: string;
  readonly summary: Summary;
}

const data = loadMnist();
const spec = data.spec;
const [firstWave, secondWave] = data.waves as readonly [readonly DataRecord[], readonly DataRecord[]];
const training = data.waves.flat();
/** Record ids are numbers of our own, the same for vault and parties: the alignment of the vertical federation. */
const recordId = (row: number): string => `digit-${String(row).padStart(5, '0')}`;

const names = (tenant: string) => ({
  parent: resourceName('tenant', tenant),
  dataset: resourceName('dataset', tenant, 'digits'),
  audit: resourceName('audit', tenant, 'canaries'),
  fn: resourceName('hashFunction', tenant, 'digits'),
  federation: resourceName('federation', tenant, 'columns'),
  ensemble: resourceName('model', tenant, MODEL.ensemble),
});

const numbered = (from: number, records: readonly DataRecord[]): NamedRecord[] =>
  records.map((record, i) => ({ ...record, recordId: recordId(from + i) }));

const ingest = ({ platform }: Stage, from: number, records: readonly DataRecord[]) =>
  ingestRecords(platform, names(platform.tenant).dataset, spec, {
    requestId: `from-${from}`,
    records: numbered(from, records),
  });

/** 1. People's records and, between them, canary subjects that belong to nobody. @returns name of the first root */
export async function ingestFirstWave(stage: Stage): Promise<string> {
  const { client, auditor, tenant } = stage.platform;
  const { parent, dataset, audit: auditName, ensemble } = names(tenant);
  await client.vault.createDataset({
    parent,
    datasetId: 'digits',
    spec: encodeSpec(spec),
    requestId: 'create',
  });
  const { stored } = await ingest(stage, 0, firstWave);
  stage.note(`${stored} records of digits 0-7 sealed, one key per subject`);
  await auditor.audit.createAudit({
    parent,
    auditId: 'canaries',
    spec: { dataset, canaryCount: CANARIES, model: ensemble },
    requestId: 'audit',
  });
  for await (const state of auditor.audit.watchAudit({ name: auditName })) {
    if (state.state === audit.Audit_State.STATE_FAILED)
      throw failed('the audit could not be registered', state.conditions);
    if (state.state === audit.Audit_State.STATE_REGISTERED) {
      stage.note(
        `${CANARIES} canary subjects ingested; hash of the coin key logged: ${state.coinKeyHash.slice(0, 16)}…`,
      );
      break;
    }
  }
  const root = await client.vault.commitDatasetRoot({ dataset, requestId: 'root-1' });
  stage.note(`dataset root logged: ${hex(root.root).slice(0, 16)}…`);
  return root.name;
}

/** Digits 8 and 9 arrive. @returns name of the second root */
export async function ingestSecondWave(stage: Stage): Promise<string> {
  const { dataset } = names(stage.platform.tenant);
  const { stored } = await ingest(stage, firstWave.length, secondWave);
  const root = await stage.platform.client.vault.commitDatasetRoot({ dataset, requestId: 'root-2' });
  stage.note(`${stored} records of digits 8 and 9 arrived; root logged: ${hex(root.root).slice(0, 16)}…`);
  return root.name;
}

/** 3a. The function learns digits 0-7 and indexes their codes. */
export async function learnHashFunction(stage: Stage, root: string): Promise<void> {
  const { parent } = names(stage.platform.tenant);
  const { codeBits, featureDim, lambda, seed } = DEFAULT_HASH_OPTIONS;
  await stage.platform.client.hashing.createHashFunction({
    parent,
    functionId: 'digits',
    spec: { root, codeBits, featureDim, lambda, featureSeed: seed },
    requestId: 'learn',
  });
  await untilServing(stage, names(stage.platform.tenant).fn, 1);
}

async function encodeAll(
  { platform }: Stage,
  rows: readonly { values: DataRecord['values'] }[],
): Promise<Uint8Array> {
  const { fn } = names(platform.tenant);
  const answers = await inFlight(rows, IN_FLIGHT, (row) =>
    platform.client.hashing.encode({ name: fn, payload: encodePayload(spec, { values: row.values }) }),
  );
  return concatBytes(...answers.map((answer) => answer.code));
}

const asCodes = (entries: readonly hashing.CodeEntry[]) => ({
  codes: concatBytes(...entries.map((entry) => entry.code)),
  labels: Int32Array.from(entries, (entry) => entry.label),
});

/** 3b. The function is updated from digits 8 and 9 alone, and compared with one that was trained on everything. */
export async function updateHashFunction(stage: Stage, root: string): Promise<void> {
  const { platform, note } = stage;
  const { fn } = names(platform.tenant);
  const { codeBits } = DEFAULT_HASH_OPTIONS;
  const newClasses = data.waveClasses[1]!;
  const labels = labelsOf(data.test);
  const stale = {
    codes: concatBytes(
      asCodes(await listCodes(stage.platform, names(stage.platform.tenant).fn)).codes,
      await encodeAll(stage, secondWave),
    ),
    labels: Int32Array.from([
      ...asCodes(await listCodes(stage.platform, names(stage.platform.tenant).fn)).labels,
      ...labelsOf(secondWave),
    ]),
  };
  const before = meanPrecision(
    { codes: await encodeAll(stage, data.test), labels },
    stale,
    codeBits,
    newClasses,
  );
  const old = await listCodes(stage.platform, names(stage.platform.tenant).fn);
  await platform.client.hashing.createUpdate({ name: fn, root, requestId: 'update' });
  const updated = await untilServing(stage, fn, 2);
  const now = await listCodes(stage.platform, names(stage.platform.tenant).fn);
  const changed = changedCodes(old, now);
  const after = meanPrecision(
    { codes: await encodeAll(stage, data.test), labels },
    asCodes(now),
    codeBits,
    newClasses,
  );
  note('another process learns everything from nothing, in shuffled order');
  const full = await runWorker<FullRetrain>('libs/demo/src/workers/full-retrain.ts');
  stage.summary.hashing = {
    mapBefore: before.all,
    mapAfter: after.all,
    mapFullRetrain: full.map,
    mapNewClasses: after.of,
    oldCodesChanged: changed,
    weightsEqualFullRetrain: updated.weightsDigest === full.weightsDigest,
    timeSaved: 1 - (updated.statisticsMs + updated.solveMs) / (full.statisticsMs + full.solveMs),
  };
}

/** 2. Two parties, each with a file that holds half of every image's columns, train with the service over binary codes. */
export async function federate(stage: Stage, root: string): Promise<() => Promise<void>> {
  const { platform, folder, note } = stage;
  const { parent, federation: name } = names(platform.tenant);
  const plan = verticalPlan({
    classes: spec.label.classes.length,
    parties: PARTIES.length,
    rows: training.length,
  });
  const width = vectorWidth(spec);
  const rows = [...training, ...data.test];
  const matrix = byteMatrix(spec, rows);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  await platform.client.federation.createFederation({
    parent,
    federationId: 'columns',
    spec: {
      root,
      parties: [...PARTIES],
      codeBits: plan.codeBits,
      hiddenUnits: plan.bottomHidden,
      topHiddenUnits: plan.topHidden,
      epochs: plan.epochs,
      batchSize: plan.batchRows,
      learningRate: plan.learningRate,
      consistencyWeight: plan.consistencyWeight,
      seed: platform.tenant,
    },
    requestId: 'federate',
  });
  const stops = splitColumns(spec, PARTIES.length).map((columns, p) => {
    const party = PARTIES[p]!;
    const own = takeColumns(matrix, width, columns);
    const rowsFile = join(folder, `party-${party}.rows`);
    const held = rows.map((_, i): [string, Uint8Array] => [
      recordId(i),
      own.subarray(i * columns.length, (i + 1) * columns.length),
    ]);
    writeRowsFile(rowsFile, { element: 'uint8', columns: columns.length, rows: new Map(held) });
    const config = join(folder, `party-${party}.json`);
    const { address, credentialsFile: tokenFile } = platform;
    const keyFile = join(folder, `party-${party}.key`);
    writeFileSync(
      config,
      JSON.stringify({ address, tokenFile, federation: name, party, rowsFile, keyFile }),
      { mode: 0o600 },
    );
    return startParty(config);
  });
  const ready = await untilReady(stage, 1);
  note(`${ready.bytesPerSampleUp} bytes up and ${ready.bytesPerSampleDown} down per row, party and step`);
  const { accuracy: withoutHashing } = await runWorker<{ accuracy: number }>(
    'libs/demo/src/workers/float-federation.ts',
  );
  stage.summary.federation = {
    accuracy: await federationAccuracy(stage),
    accuracyWithoutHashing: withoutHashing,
    bytesPerSampleUp: ready.bytesPerSampleUp,
    bytesPerSampleDown: ready.bytesPerSampleDown,
  };
  return async () => {
    await Promise.all(stops.map((stop) => stop()));
  };
}

async function untilReady({ platform, note }: Stage, version: number): Promise<federation.Federation> {
  const { federation: name } = names(platform.tenant);
  let shown = '';
  for await (const state of platform.client.federation.watchFederation({ name })) {
    if (state.state === federation.Federation_State.STATE_FAILED)
      throw failed('the federation failed', state.conditions);
    if (state.state === federation.Federation_State.STATE_READY && state.version >= version) return state;
    const phase = state.progress?.phase ?? '';
    if (phase !== shown) note(phase || 'waiting for the parties');
    shown = phase;
  }
  throw DEMO.WORK_FAILED('the federation is not ready');
}

async function federationAccuracy({ platform }: Stage): Promise<number> {
  const { federation: name } = names(platform.tenant);
  const ids = data.test.map((_, i) => recordId(training.length + i));
  const answers = [];
  for (const recordIds of chunks(ids, PREDICT_ROWS))
    answers.push(await platform.client.federation.predict({ name, recordIds }));
  return accuracy(
    answers.map((answer) => answer.logits),
    spec.label.classes.length,
    data.test,
  );
}

async function train(
  stage: Stage,
  runId: string,
  trainingSpec: Parameters<Platform['client']['learning']['createTrainingRun']>[0]['spec'],
) {
  const { parent } = names(stage.platform.tenant);
  const { client, tenant } = stage.platform;
  await client.learning.createTrainingRun({
    parent,
    runId,
    requestId: runId,
    ...(trainingSpec ? { spec: trainingSpec } : {}),
  });
  for await (const run of client.learning.watchTrainingRun({
    name: resourceName('trainingRun', tenant, runId),
  })) {
    if (run.state === learning.TrainingRun_State.STATE_FAILED)
      throw failed('the training failed', run.conditions);
    if (run.state === learning.TrainingRun_State.STATE_SUCCEEDED)
      return await client.learning.getModel({ name: run.model });
  }
  throw DEMO.WORK_FAILED('the training did not end');
}

async function modelAccuracy({ platform }: Stage, name: string): Promise<number> {
  const answers = [];
  for (const rows of chunks(data.test, PREDICT_ROWS)) {
    const payloads = rows.map((row) => encodePayload(spec, { values: row.values }));
    answers.push(await platform.client.learning.predict({ name, payloads }));
  }
  return accuracy(
    answers.map((answer) => answer.logits),
    spec.label.classes.length,
    data.test,
  );
}

/**
 * 4. Two classifiers by DP-SGD on fixed features: one hides everything of a person, the other a single record, which is a weaker promise. What is
 * not said here is the service's default for this number of records.
 */
export async function trainPrivately(stage: Stage, root: string): Promise<void> {
  const [subject, record] = [await trainOne(stage, root, 'subject'), await trainOne(stage, root, 'record')];
  const { samplingProbability, noiseMultiplier, steps, delta } = record;
  const runs = [{ samplingProbability, noiseMultiplier, steps }];
  const ofPerson = groupEpsilon(runs, 'add-remove', delta, RECORDS_PER_SUBJECT);
  const epsilonOfPerson = Math.ceil(100 * ofPerson) / 100;
  stage.summary.dp = { ...subject, record: { ...record, epsilonOfPerson } };
}

async function trainOne(stage: Stage, root: string, unit: 'subject' | 'record'): Promise<PrivateModel> {
  const defaults = { steps: 0, l2ClipNorm: 0, learningRate: 0 };
  const dpSgd = {
    ...defaults,
    epsilon: 3,
    delta: 1e-5,
    samplingProbability: 0.25,
    momentum: 0.9,
    rowsPerSubjectMax: RECORDS_PER_SUBJECT,
    features: FEATURES,
    unit,
  };
  const model = await train(stage, MODEL[unit], { root, method: { $case: 'dpSgd', value: dpSgd } });
  const { privacy } = model;
  if (!privacy) throw DEMO.WORK_FAILED('the private model names no guarantee');
  const { epsilonUpper, delta, noiseMultiplier, samplingProbability, steps, neighboringRelation } = privacy;
  const { epsilonIndependent, secondOpinion } = privacy;
  stage.note(
    `per ${privacy.unit}: epsilon at most ${epsilonUpper} at delta ${delta}, second opinion ${epsilonIndependent?.toFixed(4) ?? 'none'} (${secondOpinion}), ${privacy.randomSource} noise`,
  );
  return {
    accuracy: await modelAccuracy(stage, model.name),
    unit: privacy.unit,
    features: FEATURES,
    epsilonUpper,
    ...(epsilonIndependent === undefined ? {} : { epsilonIndependent }),
    secondOpinion: secondOpinion ?? 'not-possible',
    delta,
    noiseMultiplier,
    samplingProbability,
    steps,
    neighboringRelation,
  };
}

/** 5. A sharded, sliced ensemble with checkpoints. @returns its accuracy */
export async function trainEnsemble(stage: Stage, root: string): Promise<number> {
  const { audit: auditName } = names(stage.platform.tenant);
  const shardedEnsemble = {
    shardCount: 8,
    sliceCount: 4,
    hiddenUnits: 64,
    epochs: 8,
    batchSize: 32,
    learningRate: 0.05,
    audit: auditName,
  };
  const model = await train(stage, MODEL.ensemble, {
    root,
    method: { $case: 'shardedEnsemble', value: shardedEnsemble },
  });
  stage.note(`${model.shardDigests.length} shards, ${model.optimizerSteps} optimizer steps`);
  return await modelAccuracy(stage, model.name);
}

/** 6-8. One person is forgotten; the DELETE canaries go the same way; the audit looks; the certificate is issued. */
export async function forget(stage: Stage, accuracyBefore: number): Promise<Issued> {
  const { platform, note } = stage;
  const { auditor, client, tenant } = platform;
  const { parent, fn, ensemble, federation: federationName } = names(tenant);
  const start = randomInt(firstWave.length / RECORDS_PER_SUBJECT) * RECORDS_PER_SUBJECT;
  const person = firstWave[start]!;
  const subject = await auditor.vault.resolveSubject({ parent, subjectId: person.subjectId });
  const own = firstWave.slice(start, start + RECORDS_PER_SUBJECT);
  const search = async (): Promise<number> => {
    const found = new Set<string>();
    for (const record of own) {
      const payload = encodePayload(spec, { values: record.values });
      const query = { $case: 'payload' as const, value: payload };
      const { neighbours } = await client.hashing.search({ name: fn, query, k: NEIGHBOURS });
      for (const { subjectAlias, itemId } of neighbours)
        if (subjectAlias === subject.alias) found.add(hex(itemId));
    }
    return found.size;
  };
  const itemsFoundBefore = await search();
  const plan = await auditor.learning.planErasure({ name: ensemble, subjectAliases: [subject.alias] });
  note(
    `one synthetic subject of four digits; the plan: ${plan.optimizerSteps} of ${plan.optimizerStepsFullRetrain} optimizer steps`,
  );
  const startedMs = performance.now();
  const requested = await auditor.erasure.createErasureRequest({
    parent,
    subjectId: person.subjectId,
    requestId: 'forget-me',
    policy: 'gdpr-art-17',
  });
  const name = requested.erasureRequest!.name;
  const final = await untilFinal(stage, name);
  const secondsToCertificate = (performance.now() - startedMs) / 1000;
  const claim = final.claims.find((candidate) => candidate.artefact === ensemble);
  const steps = (key: string): number => Number(claim?.details[key]);
  const itemsFoundAfter = await search();
  stage.summary.unlearning = {
    accuracy: accuracyBefore,
    costVsRetrain: steps('stepsSubjects') / steps('stepsFullRetrain'),
    costVsRetrainOfCanaries: steps('stepsCohort') / steps('stepsFullRetrain'),
    equalsNeverSeen: await equalsNeverSeen(stage),
    accuracyAfter: await modelAccuracy(stage, ensemble),
  };
  const reingestionRefused = await ingest(stage, start, own).then(
    () => false,
    (error: unknown) => error instanceof LetheError && error.reason === 'SUBJECT_ERASED',
  );
  const { certificate, keyFile, body } = await issued(platform, name);
  stage.summary.erasure = {
    status: stateName(final.state),
    secondsToCertificate,
    residualBytes: Number(final.residualBytes),
    plantedFound: plantedFound(body),
    itemsFoundBefore,
    itemsFoundAfter,
    reingestionRefused,
  };
  if (body.audit) {
    const { verdict, keepAuc, deleteAuc, power } = body.audit.result;
    stage.summary.audit = { verdict, keepAuc, deleteAuc, power };
  }
  note(
    `federation after the erasure: accuracy ${(await federationAccuracy(stage)).toFixed(4)} (${federationName.split('/').at(-1)})`,
  );
  return { certificate, keyFile };
}

/** Another process trains every shard from nothing on the survivors' records and must arrive at the digests on record. */
async function equalsNeverSeen({ platform, folder, note }: Stage): Promise<boolean> {
  const { ensemble } = names(platform.tenant);
  const { operator, auditor } = platform;
  const model = await operator.learning.getModel({ name: ensemble });
  const records: { recordId: string; payload: string }[] = [];
  const root = (await operator.vault.getDataset({ name: names(platform.tenant).dataset })).latestRoot;
  for await (const record of operator.vault.readRecords({ root })) {
    records.push({ recordId: record.recordId, payload: base64(record.payload) });
  }
  const recordsFile = join(folder, 'replay-records.json');
  writeFileSync(recordsFile, JSON.stringify(records), { mode: 0o600 });
  const planFiles: string[] = [];
  note(`another process trains all ${model.shardDigests.length} shards from nothing on the survivors`);
  try {
    for (const shard of model.shardDigests.keys()) {
      const { plan } = await auditor.learning.getReplay({ name: ensemble, shard });
      const planFile = join(folder, `replay-plan-${shard}.json`);
      planFiles.push(planFile);
      writeFileSync(planFile, plan, { mode: 0o600 });
    }
    const { output, code } = await runToEnd('services/learning/src/replay-main.ts', [
      ...planFiles,
      recordsFile,
    ]);
    return code === 0 && output.trim() === model.shardDigests.join('\n');
  } finally {
    for (const file of [recordsFile, ...planFiles]) rmSync(file, { force: true });
  }
}

/** 9. An outsider verifies the files with the stand-alone verifier, then a changed copy. */
export async function verify(stage: Stage, files: CertificateFiles): Promise<void> {
  stage.summary.certificate = await verifyFiles(stage.folder, files);
}
