import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EVENT, type events } from '@lethe/contracts';
import { AggregateStore, ensurePlatformStreams, MemoryBus, newEvent } from '@lethe/events';
import { type DpPlan, dpPlan, NOISE_GENERATORS, planBytes, planHash } from '@lethe/privacy';
import { seededRandom } from '@lethe/std';
import { type DatasetPrivacy, heldOf, privacyBudget, reservationOf } from './privacy-budget.ts';

const dataset = 'tenants/acme/datasets/d';
const runNamed = (id: string): string => `tenants/acme/trainingRuns/${id}`;
const plan = (unit: DpPlan['unit'] = 'subject'): DpPlan =>
  dpPlan({
    unit,
    relation: 'add-or-remove-one',
    sampling: { kind: 'poisson', probability: 0.25 },
    steps: 60,
    expectedUnits: 10,
    clipping: { kind: 'flat', l2ClipNorm: 1 },
    noise: { multiplier: 3, generator: NOISE_GENERATORS[0], mode: 'production' },
    mechanism: 'dp-sgd',
    delta: 1e-5,
    accountant: 'test/1',
  });
const reserved = (id: string, attempt = 0, of = plan()) =>
  newEvent(EVENT.privacyReserved, {
    dataset,
    run: runNamed(id),
    plan: planBytes(of),
    planHash: planHash(of),
    attempt,
  });
const settled = (id: string, stepsCharged: number, attempt = 0, hash = planHash(plan())) =>
  newEvent(EVENT.privacySettled, {
    dataset,
    run: runNamed(id),
    planHash: hash,
    stepsCharged,
    ledgerHead: '',
    attempt,
  } satisfies events.PrivacySettled);

async function foldOf(
  written: readonly (ReturnType<typeof reserved> | ReturnType<typeof settled>)[],
): Promise<DatasetPrivacy> {
  const bus = new MemoryBus();
  await ensurePlatformStreams(bus);
  const store = new AggregateStore(privacyBudget, { bus, source: 'test' });
  for (const event of written) await store.propose('acme', 'd', () => [event]);
  return (await store.load('acme', 'd')).state;
}

const stepsOf = (state: DatasetPrivacy): Record<string, number> =>
  Object.fromEntries(heldOf(state, 'subject').map(({ run, steps }) => [run.split('/').at(-1), steps]));

test('a reservation counts in full until it is settled for what was charged', async () => {
  assert.deepEqual(stepsOf(await foldOf([reserved('a'), reserved('b')])), { a: 60, b: 60 });
  assert.deepEqual(stepsOf(await foldOf([reserved('a'), reserved('b'), settled('a', 15)])), { a: 15, b: 60 });
});

test('a settlement that comes late, or is about another plan, gives nothing of a resumed run back', async () => {
  const resumed = [reserved('a'), settled('a', 15), reserved('a', 1)];
  assert.deepEqual(stepsOf(await foldOf(resumed)), { a: 60 });
  assert.deepEqual(stepsOf(await foldOf([...resumed, settled('a', 15)])), { a: 60 }, 'of the attempt before');
  assert.deepEqual(stepsOf(await foldOf([...resumed, settled('a', 15, 1, 'other')])), { a: 60 });
  assert.deepEqual(stepsOf(await foldOf([reserved('a'), reserved('a', 1), settled('a', 15)])), { a: 60 });
});

test('units are counted apart, and a run that is reserved again is left out of what it is compared with', async () => {
  const state = await foldOf([reserved('a'), reserved('r', 0, plan('record'))]);
  assert.deepEqual(
    heldOf(state, 'record').map(({ run }) => run),
    [runNamed('r')],
  );
  assert.deepEqual(heldOf(state, 'subject', runNamed('a')), []);
  assert.equal(reservationOf(state, runNamed('r'))?.settledSteps, undefined);
});

test('whatever is written in whatever order, what counts is never less than what the attempt in force may have charged', async () => {
  const random = seededRandom('privacy-budget');
  for (let trial = 0; trial < 40; trial++) {
    const written = [reserved('a')];
    const all: (ReturnType<typeof reserved> | ReturnType<typeof settled>)[] = [...written];
    let [attempt, charged, isTraining] = [0, 0, true];
    for (let step = 0; step < 8; step++) {
      // The run charges, ends and is resumed; settlements of its ends arrive at any later time, and again.
      if (isTraining) charged = Math.min(60, charged + random.below(20));
      const past = settled('a', charged, attempt);
      if (isTraining && random.below(2) === 0) {
        isTraining = false;
        all.push(past);
      } else if (!isTraining && charged < 60) {
        isTraining = true;
        all.push(reserved('a', ++attempt));
        if (random.below(2) === 0) all.push(settled('a', charged, attempt - 1));
      }
      const counted = stepsOf(await foldOf(all)).a!;
      assert.ok(counted >= charged, `trial ${trial}: ${counted} of ${charged}`);
      if (isTraining) assert.equal(counted, 60);
    }
  }
});
