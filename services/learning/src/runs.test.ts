/** Lists, cancellation, resumption, aliases and budgets. */
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { common, EVENT, type events, type learning } from '@lethe/contracts';
import { AggregateStore, aggregateFilter, readEnvelope, STREAMS } from '@lethe/events';
import { parsePlan, verifyLedger } from '@lethe/privacy';
import type { Service } from '@lethe/service';
import { sleep } from '@lethe/std';
import { LearningContext } from './context.ts';
import { privacyBudget } from './domain/privacy-budget.ts';
import { LEARNING } from './errors.ts';
import {
  call,
  DATASET,
  dpSpec,
  ended,
  ensembleSpec,
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
  type World,
} from './learning.fixture.ts';
import { createTrainingRun } from './rpc/create-training-run.ts';
import { chargeOf } from './training/train-dp.ts';

const PARENT = `tenants/${TENANT}`;
const runNamed = (id: string): string => `${PARENT}/trainingRuns/${id}`;
const { STATE_SUCCEEDED, STATE_FAILED, STATE_CANCELLED, STATE_RUNNING } = {
  STATE_RUNNING: 1,
  STATE_SUCCEEDED: 2,
  STATE_FAILED: 3,
  STATE_CANCELLED: 4,
};

afterEach(stopServices);

/** Steps that take many times the waits of these tests. */
const LONG = 8_000;

/** A private run of so many steps; more steps leave time to cancel it. */
const longSpec = (steps: number, field: Partial<learning.DpSgdSpec> = {}): learning.TrainingSpec => ({
  root: ROOT,
  method: { $case: 'dpSgd', value: { ...dpSpec().method.value, samplingProbability: 0.5, steps, ...field } },
});

const create = (
  service: Service,
  runId: string,
  spec: learning.TrainingSpec,
): Promise<learning.TrainingRun> => call(service, 'createTrainingRun', { parent: PARENT, runId, spec });

const budgetOf = (service: Service): Promise<learning.PrivacyBudget> =>
  call(service, 'getPrivacyBudget', { dataset: DATASET, delta: 0 });

const setBudget = (service: Service, epsilon: number, unit = ''): Promise<learning.PrivacyBudget> =>
  call(service, 'setPrivacyBudget', { dataset: DATASET, epsilon, delta: 1e-5, unit });

async function untilCharged(world: World, blocks: number): Promise<events.PrivacySpent[]> {
  for (;;) {
    const spent = await runEvents(world, EVENT.privacySpent);
    if (spent.length >= blocks) return spent;
    await sleep(5);
  }
}

async function untilResumed(world: World): Promise<events.TrainingResumed> {
  for (;;) {
    const [resumed] = await runEvents(world, EVENT.trainingResumed);
    if (resumed) return resumed;
    await sleep(5);
  }
}

async function untilSettled(service: Service, run: string): Promise<learning.PrivacyReservation> {
  for (;;) {
    const { reservations } = await budgetOf(service);
    const found = reservations.find(({ trainingRun }) => trainingRun === runNamed(run));
    if (found?.settled) return found;
    await sleep(20);
  }
}

test('a cancelled private run stops, settles for what it has charged, and goes on from its weights when it is resumed', async () => {
  const world = await makeWorld();
  const service = await startService(world);
  await create(service, 'd', longSpec(4_000));
  await untilCharged(world, 2);
  const asked = await call<learning.TrainingRun>(service, 'cancelTrainingRun', { name: runNamed('d') });
  assert.equal(asked.state, STATE_RUNNING);
  assert.equal(asked.conditions[0]?.reason, 'Cancelling');
  await assert.rejects(
    call(service, 'resumeTrainingRun', { name: runNamed('d') }),
    { code: 'LETHE-4321' },
    'not lost in silence',
  );
  const cancelled = await ended(service, 'd');
  assert.equal(cancelled.state, STATE_CANCELLED);
  const [stopped] = await runEvents(world, EVENT.trainingCancelled);
  const spent = await runEvents(world, EVENT.privacySpent);
  const charged = spent.at(-1)!.firstStep + spent.at(-1)!.steps;
  assert.ok(
    charged < 4_000 &&
      stopped!.optimizerSteps <= charged &&
      stopped!.optimizerSteps >= spent.at(-1)!.firstStep,
  );
  assert.equal((await untilSettled(service, 'd')).steps, charged, 'the rest of the plan is given back');
  const before = (await budgetOf(service)).spending[0]!.epsilonUpper;
  assert.equal(
    [...world.keys.keys()].filter((key) => /-start-|-stop-/.test(key)).length,
    1,
    'its last weights live',
  );

  const again = await call<learning.TrainingRun>(service, 'cancelTrainingRun', { name: runNamed('d') });
  assert.equal(again.state, STATE_CANCELLED, 'a run that has ended stays as it is');

  const resumed = await call<learning.TrainingRun>(service, 'resumeTrainingRun', { name: runNamed('d') });
  assert.equal(resumed.state, STATE_RUNNING);
  assert.ok((await budgetOf(service)).spending[0]!.epsilonUpper > before, 'the whole plan is reserved again');
  assert.equal((await ended(service, 'd')).state, STATE_SUCCEEDED);
  const all = await runEvents(world, EVENT.privacySpent);
  const model = await modelNamed(service, 'd');
  const ledger = verifyLedger(
    parsePlan(resumed.plan),
    runNamed('d'),
    all.map(chargeOf),
    model.privacy?.ledgerHead,
  );
  assert.equal(ledger.stepsCharged, 4_000, 'no step is charged twice, and none runs that is not');
  assert.equal(all[spent.length]?.firstStep, charged);
  assert.equal(Number(model.optimizerSteps), 4_000 - (charged - stopped!.optimizerSteps));
  assert.ok(model.privacy!.epsilonUpper <= 8);
  assert.equal([...world.keys.keys()].filter((key) => /-start-|-stop-/.test(key)).length, 0);
});

test('a private run that failed between blocks goes on behind the lost one', async () => {
  const world = await makeWorld();
  const service = await startService(world);
  // The vault refuses the key for the weights from which the third block would start, once and for good until it is asked again.
  const { createArtefactKey } = world.deps.peers.vault;
  let refusals = 1;
  const refusing: typeof createArtefactKey = async (request) => {
    if (request.keyId?.includes('-start-4') && refusals-- > 0) throw LEARNING.RECORDS_UNFIT('a test');
    return await createArtefactKey(request);
  };
  Object.assign(world.deps.peers.vault, { createArtefactKey: refusing });
  const failed = await train(service, 'd', dpSpec());
  assert.deepEqual([failed.state, failed.conditions[0]?.reason], [STATE_FAILED, 'LETHE-4307']);
  assert.equal((await untilSettled(service, 'd')).steps, 4);
  await call(service, 'resumeTrainingRun', { name: runNamed('d') });
  assert.equal((await ended(service, 'd')).state, STATE_SUCCEEDED);
  const spent = await runEvents(world, EVENT.privacySpent);
  assert.deepEqual(
    spent.map(({ firstStep }) => firstStep),
    [0, 2, 4, 6],
  );
  const model = await modelNamed(service, 'd');
  assert.equal(model.optimizerSteps, 6n, 'the second block was paid for and lost');
  assert.equal(model.privacy?.steps, 8);
});

test('an erasure claims the guarantee of the stored weights of a cancelled run', async () => {
  const world = await makeWorld();
  const service = await startService(world);
  await create(service, 'd', longSpec(4_000));
  await untilCharged(world, 2);
  await call(service, 'cancelTrainingRun', { name: runNamed('d') });
  await ended(service, 'd');
  await untilSettled(service, 'd');
  const spent = await runEvents(world, EVENT.privacySpent);
  const { contained, erased } = await sagaSays(world, 'person-1');
  assert.deepEqual(contained.artefacts, [`${PARENT}/models/d`]);
  const [claim] = erased.claims;
  assert.deepEqual(
    [claim?.claim, claim?.kind, claim?.epsilon, claim?.digestBefore],
    [common.Claim.CLAIM_ERASED_CERTIFIED, 'CHECKPOINT', spent.at(-1)!.epsilonUpper, claim?.digestAfter],
  );
  assert.equal(JSON.parse(claim!.details.ledger!).length, spent.length);
  assert.match(claim!.details.secondOpinion!, /^(agreed|not-possible)$/u);
  assert.ok(Number(claim!.details.epsilonRdp) > 0 && claim!.details.epsilonIndependent !== undefined);
});

test('an erasure stops a private run that is long, claims what it has released, and lets it go on without the person', async () => {
  const world = await makeWorld();
  const service = await startService(world, { runWaitMs: 1_000 });
  const seen: string[][] = [];
  world.beforeRead = () => {
    seen.push(
      world.records.map(({ subjectAlias }) => subjectAlias).filter((alias) => !world.suppressed.has(alias)),
    );
  };
  await create(service, 'd', longSpec(LONG));
  await untilCharged(world, 1);
  const { erased } = await sagaSays(world, 'person-1');
  const [claim] = erased.claims;
  assert.deepEqual([claim?.claim, claim?.kind], [common.Claim.CLAIM_ERASED_CERTIFIED, 'CHECKPOINT']);
  const [stopped] = await runEvents(world, EVENT.trainingCancelled);
  assert.ok(stopped!.optimizerSteps < LONG, 'stopped before its end');
  assert.equal((await untilResumed(world)).run, runNamed('d'));
  assert.equal((await ended(service, 'd')).state, STATE_SUCCEEDED);
  assert.ok(seen[0]!.includes('person-1') && !seen.at(-1)!.includes('person-1'));
  const [asked] = await runEvents(world, EVENT.trainingCancelRequested);
  assert.equal(asked!.erasure, erased.erasure);
});

test('a run that a caller cancels while an erasure stops it stays cancelled', async () => {
  const world = await makeWorld();
  const service = await startService(world, { runWaitMs: 1_000 });
  await create(service, 'd', longSpec(LONG));
  await untilCharged(world, 1);
  const saga = sagaSays(world, 'person-1');
  while ((await runEvents(world, EVENT.trainingCancelRequested)).length === 0) await sleep(5);
  await call(service, 'cancelTrainingRun', { name: runNamed('d') });
  await saga;
  await sleep(300);
  assert.equal((await runEvents(world, EVENT.trainingResumed)).length, 0);
  const { state, conditions } = await call<learning.TrainingRun>(service, 'getTrainingRun', {
    name: runNamed('d'),
  });
  assert.deepEqual([state, conditions[0]?.reason], [STATE_CANCELLED, 'Cancelled']);
});

test('an ensemble is cancelled between segments; resumed it trains the same weights', async () => {
  const world = await makeWorld();
  const service = await startService(world, { parallelism: 1 });
  const twin = await train(service, 'twin', ensembleSpec());
  const release = Promise.withResolvers<void>();
  world.beforeRead = () => release.promise;
  await create(service, 'e', ensembleSpec());
  await call(service, 'cancelTrainingRun', { name: runNamed('e') });
  await sleep(400);
  release.resolve();
  assert.equal((await ended(service, 'e')).state, STATE_CANCELLED);
  await assert.rejects(modelNamed(service, 'e'), { code: 'LETHE-4304' });
  world.beforeRead = () => undefined;
  await call(service, 'resumeTrainingRun', { name: runNamed('e') });
  assert.equal((await ended(service, 'e')).state, STATE_SUCCEEDED);
  assert.equal(twin.state, STATE_SUCCEEDED);
  const { runs } = {
    runs: await call<learning.ListTrainingRunsResponse>(service, 'listTrainingRuns', {
      parent: PARENT,
      pageSize: 1,
      pageToken: '',
    }),
  };
  assert.deepEqual(
    runs.trainingRuns.map(({ name }) => name),
    [runNamed('twin')],
  );
  const rest = await call<learning.ListTrainingRunsResponse>(service, 'listTrainingRuns', {
    parent: PARENT,
    pageSize: 10,
    pageToken: runs.nextPageToken,
  });
  assert.deepEqual([rest.trainingRuns.map(({ name }) => name), rest.nextPageToken], [[runNamed('e')], '']);
  const { models } = await call<learning.ListModelsResponse>(service, 'listModels', {
    parent: PARENT,
    pageSize: 0,
    pageToken: '',
  });
  assert.deepEqual(
    models.map(({ name }) => name),
    [`${PARENT}/models/twin`, `${PARENT}/models/e`],
  );

  const alias = `${DATASET}/aliases/serving`;
  const payloads = world.records.slice(0, 4).map(({ payload }) => payload);
  await assert.rejects(call(service, 'predict', { name: alias, payloads }), { code: 'LETHE-4316' });
  const promote = (model: string) =>
    call<learning.ModelAlias>(service, 'promoteModel', { name: `${PARENT}/models/${model}`, aliasId: '' });
  assert.equal((await promote('twin')).name, alias);
  const own = await call<learning.PredictResponse>(service, 'predict', {
    name: `${PARENT}/models/twin`,
    payloads,
  });
  assert.deepEqual(await call(service, 'predict', { name: alias, payloads }), own);
  assert.equal((await promote('e')).previousModel, `${PARENT}/models/twin`);
  assert.equal((await call<learning.Model>(service, 'getModel', { name: alias })).name, `${PARENT}/models/e`);
});

test('what cannot go on is not resumed', async () => {
  const world = await makeWorld();
  const service = await startService(world);
  await assert.rejects(call(service, 'resumeTrainingRun', { name: runNamed('none') }), {
    code: 'LETHE-4303',
  });
  world.logged = false;
  const failed = await train(service, 'e', ensembleSpec());
  assert.equal(failed.state, STATE_FAILED);
  world.logged = true;
  await call(service, 'resumeTrainingRun', { name: runNamed('e') });
  const done = await ended(service, 'e');
  assert.equal(done.state, STATE_SUCCEEDED, 'a failed run goes on once its trouble has passed');
  const unchanged = await call<learning.TrainingRun>(service, 'resumeTrainingRun', { name: runNamed('e') });
  assert.equal(unchanged.state, STATE_SUCCEEDED);
});

test('a budget is kept before a run starts: of two that race for the last of it one is accepted; what was spent stays spent', async () => {
  const world = await makeWorld();
  const service = await startService(world);
  // Room for one run of epsilon 8 and not for two of them.
  await setBudget(service, 10);
  const outcomes = await Promise.allSettled([create(service, 'a', dpSpec()), create(service, 'b', dpSpec())]);
  const refused = outcomes.filter((outcome) => outcome.status === 'rejected');
  assert.equal(refused.length, 1);
  const { code, details } = refused[0]!.reason as { code: string; details: Record<string, number> };
  assert.equal(code, 'LETHE-3309');
  assert.equal(details.epsilonBudget, 10);
  assert.ok(details.epsilonSpent! <= 8 && details.epsilonAfter! > 10);
  const accepted = outcomes[0].status === 'fulfilled' ? 'a' : 'b';
  assert.equal((await ended(service, accepted)).state, STATE_SUCCEEDED);
  const { spending, epsilon } = await budgetOf(service);
  assert.equal(epsilon, 10);
  assert.deepEqual(
    spending.map(({ unit }) => unit),
    ['subject'],
  );
  assert.ok(spending[0]!.epsilonUpper <= 8 && spending[0]!.epsilonUpper > 7.5);
  await assert.rejects(create(service, 'c', dpSpec()), { code: 'LETHE-3309' });
  await assert.rejects(
    create(service, 'r', longSpec(8, { unit: 'record' })),
    { code: 'LETHE-3307' },
    'another unit than that of the limit',
  );
  await assert.rejects(setBudget(service, 10, 'record'), { code: 'LETHE-4310' });
  await assert.rejects(setBudget(service, -1), { code: 'LETHE-3301' });
  await assert.rejects(
    call(service, 'setPrivacyBudget', { dataset: DATASET, epsilon: 10, delta: 1e-300, unit: '' }),
    { code: 'LETHE-4310' },
  );
  assert.equal((await budgetOf(service)).delta, 1e-5, 'nothing was written');
  // Not even a fold of what somebody else writes gives anything back: the trainer reserves again before it charges.
  assert.equal(
    (await runEvents(world, EVENT.privacySpent)).filter(({ run }) => run !== runNamed(accepted)).length,
    0,
  );
});

test('of two requests for one run that share a reservation, the one that is refused does not give it back', async () => {
  for (const winner of [0, 1]) {
    const world = await makeWorld();
    const contexts = [1, 2].map(() => new LearningContext(world.deps, {}));
    const gates = contexts.map(() => Promise.withResolvers<void>());
    const reserved = contexts.map(() => Promise.withResolvers<string>());
    for (const [i, { privacy }] of contexts.entries()) {
      const reserve = privacy.reserve.bind(privacy);
      privacy.reserve = async (wanted) => {
        const how = await reserve(wanted);
        reserved[i]!.resolve(how);
        await gates[i]!.promise;
        return how;
      };
    }
    // The same plan, and a field beside it that is another.
    const outcomes: Promise<unknown>[] = [];
    for (const [i, context] of contexts.entries()) {
      const spec = longSpec(8, { learningRate: i + 1 });
      outcomes.push(createTrainingRun(context, { parent: PARENT, runId: 'd', spec, requestId: '' }));
      outcomes[i]!.catch(() => undefined);
      assert.equal(await reserved[i]!.promise, i === 0 ? 'made' : 'stood');
    }
    gates[winner]!.resolve();
    await outcomes[winner];
    gates[1 - winner]!.resolve();
    await assert.rejects(outcomes[1 - winner]!, { code: 'LETHE-4302' });
    const [held] = (await contexts[0]!.privacy.state(TENANT, DATASET)).reservations;
    assert.equal(held?.settledSteps, undefined, 'the winner trains under it');
    const service = await startService(world);
    assert.equal((await ended(service, 'd')).state, STATE_SUCCEEDED);
    assert.ok((await budgetOf(service)).spending[0]!.epsilonUpper > 7);
    await service.close();
  }
});

test('what was charged and is not counted is counted again: before the next charge, and at a restart', async () => {
  const world = await makeWorld();
  const service = await startService(world);
  const store = new AggregateStore(privacyBudget, { bus: world.bus, source: 'test' });
  const giveBack = () =>
    store.propose(TENANT, 'clusters', ({ reservations: [held] }) => [
      {
        definition: EVENT.privacySettled,
        data: { ...held!, dataset: DATASET, stepsCharged: 0, ledgerHead: '' },
      },
    ]);
  await create(service, 'd', longSpec(4_000));
  await untilCharged(world, 1);
  await giveBack();
  assert.equal((await ended(service, 'd')).state, STATE_SUCCEEDED);
  const [trained] = (await budgetOf(service)).reservations;
  assert.deepEqual([trained?.steps, trained?.settled], [4_000, false], 'the trainer has reserved again');
  await giveBack();
  assert.equal((await budgetOf(service)).spending[0]?.epsilonUpper, 0);
  await service.close();
  const again = await startService(world);
  assert.equal((await budgetOf(again)).reservations[0]?.steps, 4_000);
});

test('somebody in several datasets has spent at most what they have together', async () => {
  const world = await makeWorld();
  const service = await startService(world);
  await train(service, 'd', dpSpec());
  const read = (datasets: readonly string[]) =>
    call<learning.PrivacySpending>(service, 'getSubjectSpending', { parent: PARENT, datasets, delta: 0 });
  const one = await read([DATASET]);
  assert.equal(one.epsilonUpper, (await budgetOf(service)).spending[0]?.epsilonUpper);
  const other = `${PARENT}/datasets/other`;
  assert.equal((await read([DATASET, other])).epsilonUpper, one.epsilonUpper);
  assert.equal((await read([other])).epsilonUpper, 0);
  const store = new AggregateStore(privacyBudget, { bus: world.bus, source: 'test' });
  const [reservation] = (await store.load(TENANT, 'clusters')).state.reservations;
  await store.propose(TENANT, 'other', () => [
    { definition: EVENT.privacyReserved, data: { ...reservation!, dataset: other, run: runNamed('x') } },
  ]);
  const both = (await read([DATASET, other])).epsilonUpper;
  assert.ok(both > one.epsilonUpper && both < 2 * one.epsilonUpper);
  await assert.rejects(read([]), { code: 'LETHE-4310' });
  await assert.rejects(read(['tenants/foreign/datasets/x']), { code: 'LETHE-4310' });
});

test('a failed run gives back what it has not charged, and a reservation without a run dies at a restart', async () => {
  const world = await makeWorld();
  const service = await startService(world);
  world.logged = false;
  const failed = await train(service, 'd', dpSpec());
  assert.equal(failed.state, STATE_FAILED);
  assert.equal((await untilSettled(service, 'd')).steps, 0);
  assert.deepEqual((await budgetOf(service)).spending[0]?.epsilonUpper, 0);

  const plan = failed.plan;
  const store = new AggregateStore(privacyBudget, {
    bus: world.bus,
    source: 'test',
    clock: { ...world.deps.clock, nowMs: () => 0 },
  });
  const orphan = { dataset: DATASET, run: runNamed('lost'), plan, planHash: failed.planHash, attempt: 0 };
  await store.propose(TENANT, 'clusters', () => [{ definition: EVENT.privacyReserved, data: orphan }]);
  assert.ok((await budgetOf(service)).spending[0]!.epsilonUpper > 7, 'it counts until then');
  await service.close();
  const again = await startService(world);
  assert.equal((await untilSettled(again, 'lost')).steps, 0);
});

test('a run per record, with defaults in place of zeros, is planned as that and is no model of subjects', async () => {
  const world = await makeWorld(someRecords(40, 0));
  const service = await startService(world);
  const zeros = {
    ...{
      epsilon: 0,
      delta: 0,
      samplingProbability: 0,
      steps: 0,
      l2ClipNorm: 0,
      learningRate: 0,
      momentum: 0,
    },
    rowsPerSubjectMax: 0,
  };
  const run = await train(service, 'd', {
    root: ROOT,
    method: { $case: 'dpSgd', value: { ...zeros, unit: 'record', noiseMode: 'research' } },
  });
  assert.equal(run.state, STATE_SUCCEEDED);
  const plan = parsePlan(run.plan);
  assert.deepEqual(
    [plan.unit, plan.sampling, plan.steps, plan.clipping, plan.expectedUnits, plan.noise.mode],
    [
      'record',
      { kind: 'poisson', probability: 0.25 },
      120,
      { kind: 'flat', l2ClipNorm: 0.5 },
      30,
      'research',
    ],
  );
  assert.ok(plan.delta < 1 / 120);
  const { privacy } = await modelNamed(service, 'd');
  assert.deepEqual([privacy?.unit, privacy?.secondOpinion === undefined], ['record', false]);
  assert.ok(privacy!.epsilonUpper <= 3);
  await assert.rejects(
    call(service, 'promoteModel', { name: `${PARENT}/models/d`, aliasId: '' }),
    { code: 'LETHE-4317' },
    'a model of research is not for release',
  );
  const { erased } = await sagaSays(world, 'person-1');
  assert.equal(
    erased.claims[0]?.claim,
    common.Claim.CLAIM_NOT_ERASED,
    'and no certificate quotes its epsilon',
  );
  assert.match(erased.claims[0]!.details.reason!, /research/u);
});

test('no event, log line or resource of a private run tells what was drawn, lost or measured', async () => {
  const world = await makeWorld();
  const lines: unknown[] = [];
  const log = (...line: unknown[]): void => void lines.push(line);
  const logger = { ...world.deps.logger, debug: log, info: log, warn: log, error: log };
  const service = await startService({ ...world, deps: { ...world.deps, logger } });
  const run = await train(service, 'd', longSpec(24));
  const text = JSON.stringify([run, await modelNamed(service, 'd'), lines], (_, value: unknown) =>
    typeof value === 'bigint' ? String(value) : value,
  );
  // Names that would carry a drawn size, a loss or a norm. l2ClipNorm, steps and noise are public parts of the plan.
  assert.doesNotMatch(
    text.replaceAll('l2ClipNorm', ''),
    /loss|norm(?!al)|drawn|sampledCount|batchSize|gradient/iu,
  );
  const types = new Set<string>();
  const fields = new Set<string>();
  for await (const message of world.bus.read(STREAMS.events, aggregateFilter({ tenant: TENANT }))) {
    const { type } = readEnvelope(message);
    types.add(type);
    const definition = Object.values(EVENT).find((known) => known.type === type)!;
    for (const field of Object.keys(definition.codec.decode(message.data))) fields.add(`${type}:${field}`);
  }
  assert.deepEqual([...types].sort(), [
    'model.trained',
    'privacy.reserved',
    'privacy.spent',
    'training.requested',
  ]);
  assert.deepEqual([...fields].filter((field) => field.startsWith('privacy.spent')).sort(), [
    'privacy.spent:block',
    'privacy.spent:delta',
    'privacy.spent:digest',
    'privacy.spent:epsilonUpper',
    'privacy.spent:firstStep',
    'privacy.spent:mechanismDigest',
    'privacy.spent:planHash',
    'privacy.spent:previous',
    'privacy.spent:run',
    'privacy.spent:start',
    'privacy.spent:steps',
  ]);
});
