import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { common, EVENT, type learning } from '@lethe/contracts';
import { base64, secureRandom } from '@lethe/std';
import { erase } from './consumers/erasure-started.ts';
import { LearningContext } from './context.ts';
import {
  AUDIT,
  call,
  clusters,
  dpSpec,
  ended,
  ensembleSpec,
  makeWorld,
  modelNamed,
  runEvents,
  sagaSays,
  someRecords,
  startedEvent,
  startService,
  stopServices,
  TENANT,
  train,
  type World,
} from './learning.fixture.ts';
import { type ReplayPlan, replayShard } from './replay.ts';

const MODEL = `tenants/${TENANT}/models/e`;
const COHORT = ['canary-2', 'canary-3', 'canary-4'];

/** Trains the shard in another process on the given records. */
function otherProcess(replay: learning.Replay, records: World['records']): string {
  const folder = mkdtempSync(join(tmpdir(), 'lethe-replay-'));
  const write = (name: string, content: string | Uint8Array): string => {
    writeFileSync(join(folder, name), content);
    return join(folder, name);
  };
  try {
    const plan = write('plan.json', replay.plan);
    const list = records.map(({ recordId, payload }) => ({ recordId, payload: base64(payload) }));
    const main = fileURLToPath(new URL('./replay-main.ts', import.meta.url));
    const args = [main, plan, write('records.json', JSON.stringify(list))];
    return execFileSync(process.execPath, args, { encoding: 'utf8' }).trim();
  } finally {
    rmSync(folder, { recursive: true });
  }
}

afterEach(stopServices);

test('train, unlearn a person and canaries, and equal by digest what another process trains without them', async () => {
  const world = await makeWorld();
  const service = await startService(world);
  const run = await train(service, 'e', ensembleSpec());
  assert.equal(run.model, MODEL);
  const before = await modelNamed(service, 'e');
  assert.equal(before.version, 1);
  assert.equal(before.shardDigests.length, 3);
  const keysBefore = new Set(world.keys.keys());

  const person = 'person-7';
  const cost = await call<learning.ErasurePlan>(service, 'planErasure', {
    name: MODEL,
    subjectAliases: [person],
  });
  const { contained, erased } = await sagaSays(world, person, COHORT);
  assert.deepEqual(contained.artefacts, [MODEL]);
  const [claim] = erased.claims;
  const after = await modelNamed(service, 'e');
  assert.equal(claim?.claim, common.Claim.CLAIM_ERASED_EXACT);
  assert.deepEqual([claim.artefact, claim.method, claim.owner], [MODEL, 'sisa-resume', 'learning']);
  assert.deepEqual([claim.digestBefore, claim.digestAfter], [before.digest, after.digest]);
  assert.notEqual(after.digest, before.digest);
  assert.equal(after.version, 2, 'only the final version is published');
  assert.equal(claim.details.stepsSubjects, String(cost.optimizerSteps));
  assert.equal(claim.details.subjectsApart, 'true');
  assert.deepEqual([claim.details.subjectsInModel, claim.details.cohortInModel], ['1', '3']);

  const changed = before.shardDigests.filter((digest, shard) => after.shardDigests[shard] !== digest).length;
  assert.equal(claim.details.shardsAffected, String(changed));
  const old = [...keysBefore].filter((key) => key.startsWith('learning-e-v1'));
  const dead = old.filter((key) => world.destroyedKeys.has(key));
  assert.equal(
    dead.length,
    changed + 1,
    'old checkpoints of the affected shards and the old manifest are dead',
  );

  for (let shard = 0; shard < 3; shard++) {
    const replay = await call<learning.Replay>(service, 'getReplay', { name: MODEL, shard });
    assert.equal(replay.expectedDigest, after.shardDigests[shard]);
    const plan = JSON.parse(new TextDecoder().decode(replay.plan)) as ReplayPlan;
    const named = new Set(plan.slices.flat());
    const gone = new Set([person, ...COHORT, 'canary-0', 'canary-1']);
    const survivors = world.records.filter(({ subjectAlias }) => !gone.has(subjectAlias));
    assert.ok([...named].every((id) => survivors.some(({ recordId }) => recordId === id)));
    assert.equal(await replayShard(plan, survivors), replay.expectedDigest);
    if (shard > 0) continue;
    assert.equal(otherProcess(replay, survivors), replay.expectedDigest);
    const flipped = survivors.map((record) =>
      record.recordId === plan.slices[0]![0]
        ? { ...record, payload: record.payload.with(5, record.payload[5]! ^ 1) }
        : record,
    );
    assert.notEqual(await replayShard(plan, flipped), replay.expectedDigest, 'one bit of one record');
  }
});

test('an erasure whose canaries can no longer be read ends in the same weights, and says how the cost was found', async () => {
  const digests: string[] = [];
  const dealing = new Map(['sisa-shard-e', 'sisa-slice-e'].map((id) => [id, secureRandom().bytes(32)]));
  for (const readable of [true, false]) {
    const world = await makeWorld();
    for (const [id, key] of dealing) world.keys.set(id, key);
    const service = await startService(world);
    await train(service, 'e', ensembleSpec());
    if (!readable) for (const alias of COHORT) world.suppressed.add(alias);
    const { erased } = await sagaSays(world, 'person-3', COHORT);
    assert.equal(erased.claims[0]?.details.subjectsApart, String(readable));
    assert.ok(Number(erased.claims[0]?.details.stepsSubjects) > 0);
    digests.push(erased.claims[0]!.digestAfter);
    await service.close();
  }
  assert.equal(digests[0], digests[1]);
});

test('a redelivered erasure answers with the committed claim and trains nothing', async () => {
  const world = await makeWorld();
  const service = await startService(world);
  await train(service, 'e', ensembleSpec());
  const { erased } = await sagaSays(world, 'person-5', COHORT);
  world.beforeRead = () => assert.fail('nothing is read again');
  const again = await erase(new LearningContext(world.deps, {}), TENANT, startedEvent('person-5', COHORT));
  assert.deepEqual(again.claims, erased.claims);
  assert.equal((await modelNamed(service, 'e')).version, 2);
});

test('an erasure that dies before its fact is committed ends, on redelivery, in the same digest', async () => {
  const world = await makeWorld();
  const service = await startService(world);
  await train(service, 'e', ensembleSpec());
  await service.close();
  world.suppressed.add('person-9');
  const started = startedEvent('person-9', COHORT);
  const dying = new LearningContext(world.deps, {});
  dying.runs.propose = () => Promise.reject(new Error('killed'));
  await assert.rejects(erase(dying, TENANT, started), /killed/);
  const left = [...world.keys.keys()].filter((key) => key.startsWith('learning-e-v2'));
  assert.ok(left.length > 0, 'it had stored its shards');
  const first = await erase(new LearningContext(world.deps, {}), TENANT, started);
  const keysAfter = [...world.keys.keys()].filter((key) => key.startsWith('learning-e-v2'));
  assert.deepEqual(
    keysAfter.sort(),
    left.sort(),
    'the second attempt uses the same keys, so none is left over',
  );
  const [trained] = (await runEvents(world, EVENT.modelTrained)).slice(-1);
  assert.equal(trained?.claim?.digestAfter, first.claims[0]?.digestAfter);
});

test('erasures follow one another: each starts from what the one before has left, and kills it', async () => {
  const world = await makeWorld();
  const service = await startService(world);
  await train(service, 'e', ensembleSpec());
  const { erased } = await sagaSays(world, 'person-5', COHORT);
  const context = new LearningContext(world.deps, {});
  const second = {
    ...startedEvent('person-6', []),
    erasure: `tenants/${TENANT}/erasureRequests/e2`,
    seed: 'cd'.repeat(32),
  };
  world.suppressed.add('person-6');
  const [claim] = (await erase(context, TENANT, second)).claims;
  assert.equal(claim?.digestBefore, erased.claims[0]?.digestAfter);
  assert.equal(claim?.details.subjectsInModel, '1');
  const model = await modelNamed(service, 'e');
  assert.deepEqual([model.version, model.digest], [3, claim?.digestAfter]);
  assert.ok(world.destroyedKeys.has('learning-e-v2'));
  const redelivered = await erase(context, TENANT, startedEvent('person-5', COHORT));
  assert.deepEqual(redelivered.claims, erased.claims);
  for (let shard = 0; shard < 3; shard++) {
    const replay = await call<learning.Replay>(service, 'getReplay', { name: MODEL, shard });
    const plan = JSON.parse(new TextDecoder().decode(replay.plan)) as ReplayPlan;
    const survivors = world.records.filter(({ subjectAlias }) => !world.suppressed.has(subjectAlias));
    assert.equal(await replayShard(plan, survivors), replay.expectedDigest);
  }
});

test('a person who left with somebody else is claimed by the version that did it, also after a later one', async () => {
  const world = await makeWorld();
  const service = await startService(world);
  await train(service, 'e', ensembleSpec());
  const before = await modelNamed(service, 'e');
  world.suppressed.add('person-6');
  const { erased } = await sagaSays(world, 'person-5', COHORT);
  assert.equal(erased.claims[0]?.details.alsoLeftOut, '1');
  const { digest } = await modelNamed(service, 'e');
  const other = (subject: string, id: string) => ({
    ...startedEvent(subject, []),
    erasure: `tenants/${TENANT}/erasureRequests/${id}`,
  });
  const context = new LearningContext(world.deps, {});
  const [claim] = (await erase(context, TENANT, other('person-6', 'e2'))).claims;
  assert.equal(claim?.claim, common.Claim.CLAIM_ERASED_EXACT);
  assert.deepEqual([claim.digestBefore, claim.digestAfter], [before.digest, digest]);
  assert.deepEqual([claim.details.erasedWith, claim.details.stepsRun], ['version 2', '0']);
  assert.equal(claim.details.reason, undefined, 'it is not said to be untouched');
  assert.equal((await modelNamed(service, 'e')).version, 2);
  world.suppressed.add('person-8');
  await erase(context, TENANT, other('person-8', 'e3'));
  assert.equal((await modelNamed(service, 'e')).version, 3);
  assert.deepEqual((await erase(context, TENANT, other('person-6', 'e2'))).claims, [claim]);
});

test('a subject that is in no model leaves it as it is, with the reason', async () => {
  const world = await makeWorld();
  const service = await startService(world);
  await train(service, 'e', ensembleSpec());
  const { erased } = await sagaSays(world, 'nobody', []);
  const [claim] = erased.claims;
  assert.equal(claim?.claim, common.Claim.CLAIM_ERASED_EXACT);
  assert.equal(claim.digestAfter, claim.digestBefore);
  assert.match(claim.details.reason!, /no record/);
});

test('exclusions: the audited ensemble trains KEEP and DELETE canaries, another one none', async () => {
  const world = await makeWorld();
  const service = await startService(world);
  await train(service, 'e', ensembleSpec());
  await train(service, 'plain', ensembleSpec(''));
  const trainedRecords = async (model: string): Promise<Set<string>> => {
    const ids = new Set<string>();
    for (let shard = 0; shard < 3; shard++) {
      const name = `tenants/${TENANT}/models/${model}`;
      const replay = await call<learning.Replay>(service, 'getReplay', { name, shard });
      const plan = JSON.parse(new TextDecoder().decode(replay.plan)) as ReplayPlan;
      for (const id of plan.slices.flat()) ids.add(id);
    }
    return ids;
  };
  const canaries = world.records.filter(({ subjectAlias }) => subjectAlias.startsWith('canary'));
  const audited = await trainedRecords('e');
  assert.deepEqual(
    canaries.filter(({ recordId }) => !audited.has(recordId)).map(({ subjectAlias }) => subjectAlias),
    ['canary-0', 'canary-1'],
  );
  const plain = await trainedRecords('plain');
  assert.equal(canaries.filter(({ recordId }) => plain.has(recordId)).length, 0);
  assert.equal(plain.size, world.records.length - canaries.length);
});

test('a new instance on the same bus gives the same predictions, and shards answer auditors only', async () => {
  const world = await makeWorld();
  const first = await startService(world);
  await train(first, 'e', ensembleSpec());
  const payloads = world.records.slice(0, 20).map(({ payload }) => payload);
  const subjectAliases = world.records.slice(0, 20).map(({ subjectAlias }) => subjectAlias);
  const ask = (service: typeof first, more = {}, role: 'platform' | 'auditor' | 'client' = 'client') =>
    call<learning.PredictResponse>(service, 'predict', { name: MODEL, payloads, ...more }, role);
  const before = await ask(first);
  const beforeOwn = await ask(first, { subjectAliases }, 'auditor');
  await first.close();
  const second = await startService(world);
  assert.deepEqual(await ask(second), before);
  assert.deepEqual(await ask(second, { subjectAliases }, 'auditor'), beforeOwn);
  assert.notDeepEqual(beforeOwn.logits, before.logits);
  assert.equal(before.classes, 3);
  assert.equal(before.logits.length, 20 * 3 * 4);
  await assert.rejects(ask(second, { subjectAliases }), { code: 'LETHE-4309' });
  await assert.rejects(ask(second, { subjectAliases: ['one'] }, 'auditor'), { code: 'LETHE-4310' });
  await assert.rejects(ask(second, { payloads: [new Uint8Array(5)] }), { code: 'LETHE-2302' });
  await assert.rejects(ask(second, { payloads: [] }), { code: 'LETHE-4310' });
  await assert.rejects(ask(second, { name: `tenants/${TENANT}/models/none` }), { code: 'LETHE-4304' });
});

test('a dataset of several labels, or with fields that may be absent, is refused before a run is there', async () => {
  const [x] = clusters.fields;
  const unfit = [
    { ...clusters, label: { ...clusters.label, multiple: true as const } },
    { ...clusters, fields: [{ ...x!, optional: true as const }] },
  ];
  for (const dataset of unfit) {
    const world = await makeWorld(someRecords(), dataset);
    const service = await startService(world);
    for (const spec of [ensembleSpec(), dpSpec()]) {
      const made = call(service, 'createTrainingRun', { parent: `tenants/${TENANT}`, runId: 'r', spec });
      await assert.rejects(made, { code: 'LETHE-2317' });
    }
    assert.deepEqual(await runEvents(world, EVENT.trainingRequested), []);
  }
});

test('runs are created once per specification, and refused before any work where they cannot be run', async () => {
  const world = await makeWorld();
  const service = await startService(world);
  const parent = `tenants/${TENANT}`;
  const make = (spec: unknown, runId = 'r') => call(service, 'createTrainingRun', { parent, runId, spec });
  const value = ensembleSpec().method.value;
  const wrong = (field: object) => ({
    ...ensembleSpec(),
    method: { $case: 'shardedEnsemble', value: { ...value, ...field } },
  });
  await assert.rejects(make(wrong({ shardCount: 0 })), { code: 'LETHE-3600' });
  await assert.rejects(make(wrong({ learningRate: -1 })), { code: 'LETHE-4301' });
  await assert.rejects(make(wrong({ hiddenUnits: 0 })), { code: 'LETHE-4301' });
  await assert.rejects(make(wrong({ audit: 'first' })), { code: 'LETHE-1101' });
  await assert.rejects(make(wrong({ audit: `${AUDIT}x` })), { status: 'NOT_FOUND' });
  await assert.rejects(make(wrong({ shardCount: 4096, sliceCount: 4096 })), { code: 'LETHE-4301' });
  await assert.rejects(make({ ...ensembleSpec(), root: `tenants/${TENANT}/datasets/none/roots/1` }), {
    status: 'NOT_FOUND',
  });
  await assert.rejects(make({ ...ensembleSpec(), method: undefined }), { code: 'LETHE-4301' });
  assert.deepEqual(await runEvents(world, EVENT.trainingRequested), []);

  await train(service, 'r', ensembleSpec());
  await make(ensembleSpec());
  assert.equal((await runEvents(world, EVENT.trainingRequested)).length, 1);
  await assert.rejects(make(wrong({ epochs: 3 })), { code: 'LETHE-4302' });
  await assert.rejects(call(service, 'getTrainingRun', { name: `${parent}/trainingRuns/none` }), {
    code: 'LETHE-4303',
  });
});

test('nothing is trained on a root that the log does not hold', async () => {
  const world = await makeWorld();
  world.logged = false;
  world.beforeRead = () => assert.fail('no record is read');
  const service = await startService(world);
  const parent = `tenants/${TENANT}`;
  await call(service, 'createTrainingRun', { parent, runId: 'e', spec: ensembleSpec() });
  const run = await ended(service, 'e');
  assert.equal(run.conditions[0]?.reason, 'LETHE-4305');
});
