import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { common, EVENT, type events, type learning } from '@lethe/contracts';
import { type DatasetSpec, encodePayload, fixedFeatures } from '@lethe/datasets';
import { AggregateStore, newEvent } from '@lethe/events';
import { dpPlan, openLedger, parsePlan, planBytes, reserveSteps, verifyLedger } from '@lethe/privacy';
import { hex, seededRandom, sleep, utf8 } from '@lethe/std';
import { onTrainingRequested } from './consumers/training-requested.ts';
import { LearningContext } from './context.ts';
import { filledDpSgdSpec, planFields } from './domain/dp-sgd-spec.ts';
import { trainingRun } from './domain/training-run.ts';
import {
  call,
  DATASET,
  dpSpec,
  ended,
  type FakeRecord,
  makeWorld,
  modelNamed,
  ROOT,
  runEvents,
  sagaSays,
  someRecords,
  startService,
  stopServices,
  TENANT,
  train,
} from './learning.fixture.ts';
import { chargeOf } from './training/train-dp.ts';

const MODEL = `tenants/${TENANT}/models/d`;
const charged = (spent: readonly events.PrivacySpent[]) =>
  spent.map(({ firstStep, steps }) => [firstStep, steps]);

afterEach(stopServices);

test('a DP run charges before it trains, meets its budget, learns, and claims its guarantee in an erasure', async () => {
  const world = await makeWorld(someRecords(400, 5));
  const service = await startService(world);
  const run = await train(service, 'd', {
    root: ROOT,
    method: { $case: 'dpSgd', value: { ...dpSpec().method.value, steps: 12 } },
  });
  assert.equal(run.model, MODEL);
  const model = await modelNamed(service, 'd');
  const spent = await runEvents(world, EVENT.privacySpent);
  assert.deepEqual(charged(spent), [
    [0, 3],
    [3, 3],
    [6, 3],
    [9, 3],
  ]);
  assert.ok(spent.every(({ epsilonUpper }, i) => i === 0 || epsilonUpper > spent[i - 1]!.epsilonUpper));
  assert.equal(spent.at(-1)?.epsilonUpper, model.privacy?.epsilonUpper);
  assert.ok(model.privacy!.epsilonUpper <= 8 && model.privacy!.epsilonUpper > 7.5);
  assert.deepEqual(
    [model.kind, model.privacy?.unit, model.privacy?.randomSource, model.privacy?.steps],
    ['MODEL_DP', 'subject', 'secure', 12],
  );
  const ledger = verifyLedger(parsePlan(run.plan), run.name, spent.map(chargeOf), model.privacy?.ledgerHead);
  assert.deepEqual([ledger.stepsCharged, model.privacy?.planHash], [12, run.planHash]);
  assert.equal(
    [...world.keys.keys()].filter((key) => key.includes('-start-')).length,
    0,
    'weights between blocks are dead',
  );

  const payloads = world.records.slice(0, 300).map(({ payload }) => payload);
  const { logits, classes } = await call<learning.PredictResponse>(service, 'predict', {
    name: MODEL,
    payloads,
  });
  const values = new Float32Array(logits.slice().buffer);
  const right = payloads.filter((payload, row) => {
    const own = values.subarray(row * classes, (row + 1) * classes);
    return own.indexOf(Math.max(...own)) === payload[1];
  });
  assert.ok(right.length > 0.9 * payloads.length, `${right.length} of ${payloads.length}`);
  await assert.rejects(call(service, 'getReplay', { name: MODEL, shard: 0 }), { code: 'LETHE-4312' });

  const { erased } = await sagaSays(world, 'person-3', ['canary-2']);
  const [claim] = erased.claims;
  assert.equal(claim?.claim, common.Claim.CLAIM_ERASED_CERTIFIED);
  assert.deepEqual([claim.epsilon, claim.delta, claim.unit], [model.privacy?.epsilonUpper, 1e-5, 'subject']);
  assert.deepEqual([claim.digestBefore, claim.digestAfter], [model.digest, model.digest]);
  const { plan, planHash, ledger: charges, ledgerHead } = claim.details;
  assert.equal(planHash, run.planHash);
  assert.equal(
    verifyLedger(parsePlan(utf8(plan!)), claim.details.ledgerOwner!, JSON.parse(charges!), ledgerHead).head,
    ledger.head,
  );
});

test('a run that dies in a block goes on behind it: charged once, never more than planned, with fewer steps', async () => {
  const world = await makeWorld();
  const context = new LearningContext(world.deps, { logWaitMs: 0 });
  const store = new AggregateStore(trainingRun, { bus: world.bus, source: 'test' });
  // Dies when the third block is to be charged: two were charged and have run, and what the second did is lost.
  let puts = 0;
  const put = context.state.put.bind(context.state);
  context.state.put = async (...args) => {
    if (puts++ === 1) throw new Error('killed');
    return await put(...args);
  };
  const data = { run: `tenants/${TENANT}/trainingRuns/d`, spec: dpSpec() };
  const requested = newEvent(EVENT.trainingRequested, data);
  const { events: accepted } = await store.propose(TENANT, 'd', () => [requested]);
  const event = accepted[0] as Parameters<typeof onTrainingRequested>[1];
  await assert.rejects(onTrainingRequested(context, event, 1), /killed/);
  assert.deepEqual(charged(await runEvents(world, EVENT.privacySpent)), [
    [0, 2],
    [2, 2],
  ]);

  const resumed = await startService(world);
  await ended(resumed, 'd');
  assert.deepEqual(charged(await runEvents(world, EVENT.privacySpent)), [
    [0, 2],
    [2, 2],
    [4, 2],
    [6, 2],
  ]);
  const model = await modelNamed(resumed, 'd');
  assert.equal(model.privacy?.steps, 8, 'the lost block is paid for');
  assert.equal(model.optimizerSteps, 6n, 'and is not in the model');
  assert.ok(model.privacy.epsilonUpper <= 8);
});

test('two processes that train one run at once charge each block once, in one chain; one of them steps back', async () => {
  const world = await makeWorld();
  const contexts = [1, 2].map(() => new LearningContext(world.deps, { logWaitMs: 0 }));
  const store = new AggregateStore(trainingRun, { bus: world.bus, source: 'test' });
  const run = `tenants/${TENANT}/trainingRuns/d`;
  const fields = planFields(filledDpSgdSpec(dpSpec().method.value, world.records.length), 180);
  const plan = planBytes(dpPlan({ ...fields, noise: { ...fields.noise, multiplier: 3 } }));
  const requested = newEvent(EVENT.trainingRequested, { run, spec: dpSpec(), plan });
  const { events: accepted } = await store.propose(TENANT, 'd', () => [requested]);
  const event = accepted[0] as Parameters<typeof onTrainingRequested>[1];
  const outcomes = await Promise.allSettled(
    contexts.map((context) => onTrainingRequested(context, event, 1)),
  );
  const refused = outcomes.filter((outcome) => outcome.status === 'rejected');
  assert.ok(refused.every(({ reason }) => (reason as { code?: string }).code === 'LETHE-4314'));
  // Whoever stepped back is called again; by then the other has finished, or both have gone on from what was charged.
  for (let turn = 0; turn < 4; turn++)
    await onTrainingRequested(contexts[0]!, event, 1).catch(() => undefined);
  const spent = await runEvents(world, EVENT.privacySpent);
  assert.equal(verifyLedger(parsePlan(plan), run, spent.map(chargeOf)).stepsCharged, 8);
  const { reservations } = await contexts[0]!.privacy.state(TENANT, DATASET);
  assert.equal(reservations.length, 1);
  assert.equal((await runEvents(world, EVENT.modelTrained)).length, 1);
});

test('a run that lost every block fails; it never trains on steps that are not paid for', async () => {
  const world = await makeWorld();
  const store = new AggregateStore(trainingRun, { bus: world.bus, source: 'test' });
  const run = `tenants/${TENANT}/trainingRuns/d`;
  const service = await startService(world);
  await train(service, 'twin', dpSpec());
  const [twin] = await runEvents(world, EVENT.privacySpent);
  const [{ plan } = {}] = await runEvents(world, EVENT.trainingRequested);
  await service.close();
  const whole = reserveSteps(openLedger(parsePlan(plan!), run), 8);
  const spent: events.PrivacySpent = { ...twin!, ...whole, run, start: undefined };
  await store.propose(TENANT, 'd', () => [
    { definition: EVENT.trainingRequested, data: { run, spec: dpSpec(), plan } },
    { definition: EVENT.privacySpent, data: spent },
  ]);
  const again = await startService(world);
  const failed = await ended(again, 'd');
  assert.equal(failed.conditions[0]?.reason, 'LETHE-4308');
});

test('DP runs are refused for a budget out of reach, a subject with too many rows, and a seeded source', async () => {
  const world = await makeWorld();
  const service = await startService(world);
  const value = dpSpec().method.value;
  const make = (runId: string, field: Partial<learning.DpSgdSpec>) =>
    call(service, 'createTrainingRun', {
      parent: `tenants/${TENANT}`,
      runId,
      spec: { root: ROOT, method: { $case: 'dpSgd', value: { ...value, ...field } } },
    });
  await assert.rejects(make('a', { epsilon: 1e-9 }), { code: 'LETHE-4301' });
  await assert.rejects(make('a', { delta: 1 }), { code: 'LETHE-4301' });
  await assert.rejects(make('a', { steps: 20_000_000 }), { code: 'LETHE-3307' });
  await assert.rejects(make('a', { clipping: 'per-layer' }), { code: 'LETHE-4301' });
  await assert.rejects(make('a', { architecture: 'cnn' }), { code: 'LETHE-4301' });
  await assert.rejects(make('a', { samplingProbability: 0.5, cap: 50 }), { code: 'LETHE-3307' });
  await assert.rejects(make('a', { features: 'hog' }), { code: 'LETHE-2309' });
  await assert.rejects(make('a', { momentum: 1 }), { code: 'LETHE-4301' });
  await assert.rejects(make('a', { samplingProbability: 2 }), { code: 'LETHE-4301' });
  assert.equal((await runEvents(world, EVENT.trainingRequested)).length, 0);

  await make('rows', { rowsPerSubjectMax: 2 });
  const [refusal] = (await ended(service, 'rows')).conditions;
  assert.equal(refusal?.reason, 'LETHE-4306');
  assert.match(refusal.message, /at least one subject has more than 2 records/u);
  assert.doesNotMatch(refusal.message, /60/u, 'how many subjects is theirs');
  await service.close();

  const seeded = { ...world, deps: { ...world.deps, random: seededRandom('not secure') } };
  const unsafe = await startService(seeded);
  await call(unsafe, 'createTrainingRun', { parent: `tenants/${TENANT}`, runId: 'seeded', spec: dpSpec() });
  assert.equal((await ended(unsafe, 'seeded')).conditions[0]?.reason, 'LETHE-3303');
  assert.equal((await runEvents(world, EVENT.privacySpent)).length, 0, 'none of these was charged');
});

test('adaptive clipping under a cap with replace-one, a hidden layer, and automatic clipping, are planned, trained and asked', async () => {
  const world = await makeWorld(someRecords(200, 0));
  const service = await startService(world);
  const value = { ...dpSpec().method.value, samplingProbability: 0.5, steps: 30 };
  const of = (field: Partial<learning.DpSgdSpec>) =>
    ({ root: ROOT, method: { $case: 'dpSgd', value: { ...value, ...field } } }) as const;
  const capped = await train(
    service,
    'capped',
    of({ clipping: 'adaptive', cap: 400, relation: 'replace-one', architecture: 'mlp', hiddenUnits: 8 }),
  );
  assert.equal(capped.state, 2, capped.conditions[0]?.message);
  const plan = parsePlan(capped.plan);
  assert.deepEqual(
    [plan.clipping.kind, plan.sampling.kind, plan.relation],
    ['adaptive', 'truncated-poisson', 'replace-one'],
  );
  const { privacy } = await modelNamed(service, 'capped');
  assert.ok(privacy!.epsilonUpper <= 8 && privacy!.neighboringRelation === 'replace-one');
  const payloads = world.records.slice(0, 20).map(({ payload }) => payload);
  const name = `tenants/${TENANT}/models/capped`;
  const { logits } = await call<learning.PredictResponse>(service, 'predict', { name, payloads });
  assert.ok(new Float32Array(logits.slice().buffer).every(Number.isFinite));
  const automatic = await train(service, 'automatic', of({ clipping: 'automatic' }));
  assert.equal(automatic.state, 2, automatic.conditions[0]?.message);
});

test('pictures are trained and asked through fixed features, which the plan names', async () => {
  const side = 12;
  const stripes: DatasetSpec = {
    format: 'lethe-dataset-v1',
    name: 'clusters',
    provenance: 'stripes, made for tests',
    subjectField: 'subject',
    fields: [{ kind: 'numeric-vector', name: 'x', element: 'float32', shape: [side, side], min: 0, max: 1 }],
    label: { name: 'direction', classes: ['across', 'along'] },
  };
  const random = seededRandom('stripes');
  const records = Array.from({ length: 160 }, (_, i): FakeRecord => {
    const label = i % 2;
    const x = Float32Array.from({ length: side * side }, (_, at) => {
      const line = label === 0 ? Math.floor(at / side) : at % side;
      return Math.min(1, (line % 4 < 2 ? 0.7 : 0) + 0.3 * random.uniform());
    });
    const payload = encodePayload(stripes, { values: [x], label });
    return { position: BigInt(i + 1), subjectAlias: `person-${i}`, recordId: `record-${i}`, payload };
  });
  const world = await makeWorld(records, stripes);
  const service = await startService(world);
  const value = {
    ...dpSpec().method.value,
    samplingProbability: 0.5,
    steps: 20,
    rowsPerSubjectMax: 1,
    learningRate: 8,
  };
  const run = await train(service, 'd', {
    root: ROOT,
    method: { $case: 'dpSgd', value: { ...value, features: 'hog' } },
  });
  assert.equal(run.state, 2, run.conditions[0]?.message);
  const { name, digest } = fixedFeatures('hog', stripes);
  assert.deepEqual(parsePlan(run.plan).features, { name, digest: hex(digest) });
  const payloads = records.map(({ payload }) => payload);
  const { logits } = await call<learning.PredictResponse>(service, 'predict', { name: MODEL, payloads });
  const values = new Float32Array(logits.slice().buffer);
  const right = payloads.filter((_, row) => Number(values[2 * row + 1]! > values[2 * row]!) === row % 2);
  assert.ok(right.length > 0.9 * payloads.length, `${right.length} of ${payloads.length}`);
});

test('an erasure waits for a training that began before it', async () => {
  const world = await makeWorld();
  const service = await startService(world);
  const { promise, resolve } = Promise.withResolvers<void>();
  world.beforeRead = () => promise;
  await call(service, 'createTrainingRun', { parent: `tenants/${TENANT}`, runId: 'd', spec: dpSpec() });
  const saga = sagaSays(world, 'person-1');
  await sleep(300);
  resolve();
  const { contained, erased } = await saga;
  assert.deepEqual(contained.artefacts, [MODEL]);
  assert.equal(erased.claims[0]?.claim, common.Claim.CLAIM_ERASED_CERTIFIED);
});
