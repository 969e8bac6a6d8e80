import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isError } from '@lethe/std';
import { epsilonUpper } from './accountants/epsilon.ts';
import { type PrivacyBudget, privacyBudget, requireWithinBudget, spentEpsilon } from './budget.ts';
import { PRIVACY } from './errors.ts';
import { type DpPlan, type DpPlanFields, dpPlan } from './plan.ts';
import {
  adaptiveCost,
  calibratedPlan,
  composedCost,
  effectiveNoiseMultiplier,
  planCost,
} from './plan-cost.ts';

const fields: DpPlanFields = {
  unit: 'subject',
  relation: 'add-or-remove-one',
  sampling: { kind: 'poisson', probability: 0.25 },
  steps: 60,
  expectedUnits: 100,
  clipping: { kind: 'flat', l2ClipNorm: 1 },
  noise: { multiplier: 3, generator: 'aes-256-ctr/grid-ziggurat/1', mode: 'production' },
  mechanism: 'dp-sgd',
  delta: 1e-5,
  accountant: 'rdp+pld/1',
};
const plan = dpPlan(fields);
const relation = 'add-or-remove-one';
const part = (of: DpPlan, steps = of.steps) => ({ plan: of, steps });
const epsilon = (...parts: ReturnType<typeof part>[]): number =>
  composedCost(parts, 1e-5, relation).epsilonUpper;

test('a plan costs what the accountants say of its mechanism, and its parts together no less than the largest', () => {
  const cost = planCost(plan);
  assert.ok(
    cost.epsilonUpper >=
      epsilonUpper(
        {
          kind: 'poisson-subsampled-gaussian',
          unit: 'subject',
          neighboringRelation: relation,
          samplingProbability: 0.25,
          noiseMultiplier: 3,
          steps: 60,
        },
        1e-5,
      ) -
        2e-4,
  );
  assert.ok(cost.epsilonUpper <= cost.epsilonRdp && cost.epsilonUpper < 4);
  assert.ok(
    epsilon(part(plan, 30), part(plan, 30)) > cost.epsilonUpper,
    'that there is a second plan may have been chosen after a look at the first',
  );
  assert.equal(
    epsilon(part(plan, 30), part(plan, 30)),
    adaptiveCost([part(plan)], 1e-5, relation).epsilonUpper,
  );
  const other = dpPlan({ ...fields, noise: { ...fields.noise, multiplier: 4 } });
  assert.ok(epsilon(part(plan), part(other)) > cost.epsilonUpper);
  assert.ok(
    epsilon(part(plan), part(other)) < cost.epsilonUpper + planCost(other).epsilonUpper,
    'better than adding up',
  );
  assert.equal(epsilon(), 0);
  assert.equal(epsilon(part(plan, 0)), 0);
});

test('adaptive clipping pays for its count; clipping of any other kind costs the same', () => {
  const adaptive = (countNoise: number): DpPlan =>
    dpPlan({
      ...fields,
      clipping: { kind: 'adaptive', l2ClipNorm: 1, quantile: 0.5, learningRate: 0.2, countNoise },
    });
  assert.ok(planCost(adaptive(5)).epsilonUpper > planCost(plan).epsilonUpper);
  // Andrew et al., theorem 1: with z = 3 and b = 5 the pair is a Gaussian of multiplier (1/9 + 1/100)^-1/2.
  assert.equal(effectiveNoiseMultiplier(adaptive(5)), (1 / 9 + 1 / 100) ** -0.5);
  const automatic = dpPlan({ ...fields, clipping: { kind: 'automatic', l2ClipNorm: 7, stability: 0.01 } });
  assert.equal(planCost(automatic).epsilonUpper, planCost(plan).epsilonUpper);
});

test('a cap is charged: far above the mean next to nothing, near it a lot; one that cannot bind nothing', () => {
  const capped = (cap: number): DpPlan =>
    dpPlan({
      ...fields,
      sampling: { kind: 'truncated-poisson', probability: 0.25, cap, population: 4000 },
    });
  const free = planCost(plan).epsilonUpper;
  const cost = planCost(capped(1300)).epsilonUpper;
  assert.ok(cost >= free && cost < free + 0.01, `${cost} of ${free}`);
  assert.ok(planCost(capped(1010)).epsilonUpper > 1.2 * free);
  assert.equal(planCost(capped(4000)).epsilonUpper, free);
});

test('both relations have a price, and where the accountants agree it is said', () => {
  const replace = planCost(dpPlan({ ...fields, relation: 'replace-one' }));
  assert.ok(replace.epsilonUpper > planCost(plan).epsilonUpper);
  for (const cost of [planCost(plan), replace]) {
    assert.ok(
      cost.epsilonIndependent !== null && Math.abs(cost.epsilonIndependent - cost.epsilonUpper) < 1e-3,
    );
  }
});

test('calibration meets its target under every kind of clipping and sampling, and not by much', () => {
  for (const change of [
    {},
    {
      clipping: {
        kind: 'adaptive' as const,
        l2ClipNorm: 1,
        quantile: 0.5,
        learningRate: 0.2,
        countNoise: 10,
      },
    },
    { sampling: { kind: 'truncated-poisson' as const, probability: 0.25, cap: 1300, population: 4000 } },
  ]) {
    const { plan: found, cost } = calibratedPlan({ ...fields, ...change }, 3);
    assert.ok(cost.epsilonUpper <= 3 && cost.epsilonUpper > 2.99, `${cost.epsilonUpper}`);
    assert.deepEqual(planCost(found), cost);
  }
  const drowned = {
    kind: 'adaptive' as const,
    l2ClipNorm: 1,
    quantile: 0.5,
    learningRate: 0.2,
    countNoise: 0.5,
  };
  assert.throws(
    () => calibratedPlan({ ...fields, clipping: drowned }, 3),
    (error: unknown) => isError(error, PRIVACY.EPSILON_OUT_OF_REACH),
  );
});

test('a budget takes plans until the next one would pass it, and says the numbers', () => {
  const one = planCost(plan).epsilonUpper;
  const budget: PrivacyBudget = privacyBudget({ epsilon: 1.8 * one, delta: 1e-5, unit: 'subject', relation });
  const none = { parts: [], opaque: [] };
  assert.equal(requireWithinBudget(budget, none, part(plan)).epsilonUpper, one);
  const two = requireWithinBudget(budget, { parts: [part(plan)], opaque: [] }, part(plan));
  assert.ok(two.epsilonUpper > one && two.epsilonUpper <= budget.epsilon);
  assert.throws(
    () => requireWithinBudget(budget, { parts: [part(plan), part(plan)], opaque: [] }, part(plan)),
    (error: unknown) =>
      isError(error, PRIVACY.BUDGET_EXCEEDED) &&
      error.details.epsilonSpent === two.epsilonUpper &&
      error.details.epsilonBudget === budget.epsilon &&
      Number(error.details.epsilonAfter) > budget.epsilon,
  );
  assert.throws(
    () => requireWithinBudget(budget, none, part(dpPlan({ ...fields, unit: 'record' }))),
    (error: unknown) => isError(error, PRIVACY.PLAN_REFUSED) && error.details.field === 'unit',
  );
});

test('the first plan is priced by its distribution, and whether another may follow is settled before it starts', () => {
  const one = planCost(plan).epsilonUpper;
  const orders = adaptiveCost([part(plan)], 1e-5, relation).epsilonUpper;
  const tiny = dpPlan({ ...fields, steps: 1, noise: { ...fields.noise, multiplier: 100 } });
  const budgetOf = (epsilon: number) => privacyBudget({ epsilon, delta: 1e-5, unit: 'subject', relation });
  const between = budgetOf((one + orders) / 2);
  const none = { parts: [], opaque: [] };
  assert.equal(requireWithinBudget(between, none, part(plan)).epsilonUpper, one);
  // However little of it was run: stopping may have been chosen after a look, and only the distribution's price holds for the whole.
  for (const held of [part(plan), part(plan, 1)]) {
    for (const wanted of [part(tiny), part(plan, 1)]) {
      assert.throws(
        () => requireWithinBudget(between, { parts: [held], opaque: [] }, wanted),
        (error: unknown) =>
          isError(error, PRIVACY.BUDGET_EXCEEDED) && Number(error.details.epsilonAfter) >= orders,
      );
    }
  }
  // What ran not at all was not released.
  assert.ok(
    requireWithinBudget(between, { parts: [part(plan, 0)], opaque: [] }, part(tiny)).epsilonUpper < 1,
  );
  const room = budgetOf(orders + 0.1);
  const both = requireWithinBudget(room, { parts: [part(plan)], opaque: [] }, part(tiny)).epsilonUpper;
  assert.ok(both > orders && both <= room.epsilon);
});

test('steps and entries of no meaning are refused, none is a way to spend nothing or to get something back', () => {
  const budget = privacyBudget({ epsilon: 0.01, delta: 1e-5, unit: 'subject', relation });
  const refused = (field: string) => (error: unknown) =>
    isError(error, PRIVACY.INVALID_MECHANISM) && error.details.field === field;
  for (const steps of [Number.NaN, -6, 0.5, plan.steps + 1, Infinity]) {
    assert.throws(
      () => requireWithinBudget(budget, { parts: [], opaque: [] }, part(plan, steps)),
      refused('steps'),
    );
    assert.throws(
      () => spentEpsilon({ parts: [part(plan), part(plan, steps)], opaque: [] }, 1e-5, relation),
      refused('steps'),
    );
  }
  for (const [entry, field] of [
    [{ epsilon: -100, delta: 1e-9 }, 'opaque.epsilon'],
    [{ epsilon: Number.NaN, delta: 1e-9 }, 'opaque.epsilon'],
    [{ epsilon: Infinity, delta: 1e-9 }, 'opaque.epsilon'],
    [{ epsilon: 1, delta: -1e-5 }, 'opaque.delta'],
    [{ epsilon: 1, delta: 1 }, 'opaque.delta'],
    [{ epsilon: 1, delta: Number.NaN }, 'opaque.delta'],
  ] as const) {
    assert.throws(
      () => requireWithinBudget(budget, { parts: [], opaque: [entry] }, part(plan, 6)),
      refused(field),
    );
  }
});

test('above epsilon 50, where the charge of the sampler is not proven, nothing is quoted and nothing admitted', () => {
  const loud = dpPlan({ ...fields, noise: { ...fields.noise, multiplier: 0.4 } });
  assert.throws(
    () => planCost(loud),
    (error: unknown) => isError(error, PRIVACY.PLAN_REFUSED) && error.details.field === 'noise.multiplier',
  );
  assert.equal(epsilon(part(loud)), Infinity);
  assert.equal(epsilon(part(loud), part(plan)), Infinity);
  const budget = privacyBudget({ epsilon: 1e6, delta: 1e-5, unit: 'subject', relation });
  assert.throws(
    () => requireWithinBudget(budget, { parts: [], opaque: [] }, part(loud)),
    (error: unknown) => isError(error, PRIVACY.BUDGET_EXCEEDED),
  );
  assert.ok(calibratedPlan(fields, 60).cost.epsilonUpper <= 50);
});

test('guarantees of which only epsilon and delta are known add up, and may use delta up', () => {
  const opaque = [{ epsilon: 1, delta: 4e-6 }];
  const reading = (parts: readonly ReturnType<typeof part>[], known: typeof opaque): number =>
    spentEpsilon({ parts, opaque: known }, 1e-5, relation).epsilonUpper;
  assert.equal(reading([], opaque), 1);
  assert.ok(reading([part(plan)], opaque) > 1 + planCost(plan).epsilonUpper, 'at the rest of delta');
  assert.equal(reading([part(plan)], [...opaque, ...opaque, ...opaque]), Infinity);
  assert.equal(reading([], [...opaque, ...opaque, ...opaque]), Infinity);
});

test('a budget of no meaning is refused by field', () => {
  const good = { epsilon: 1, delta: 1e-5, unit: 'subject', relation } as const;
  for (const bad of [
    { epsilon: 0 },
    { epsilon: Infinity },
    { delta: 0 },
    { delta: 1 },
    { relation: 'replace-one' as const },
  ]) {
    assert.throws(
      () => privacyBudget({ ...good, ...bad }),
      (error: unknown) =>
        isError(error, PRIVACY.INVALID_MECHANISM) && error.details.field === Object.keys(bad)[0],
    );
  }
});
