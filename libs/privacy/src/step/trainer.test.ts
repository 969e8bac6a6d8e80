import assert from 'node:assert/strict';
import { test } from 'node:test';
import { add, batchNormalize, dense, mlp, mul, reshape, softmaxCrossEntropy, type Value } from '@lethe/graph';
import { adam, initialWeights, type Optimizer, sgd } from '@lethe/optim';
import { onnxEngine } from '@lethe/runtime';
import { isError, secureRandom, seededRandom } from '@lethe/std';
import { float32, tensor, zeros } from '@lethe/tensor';
import { ACCOUNTANT_VERSION } from '../accountants/epsilon.ts';
import { PRIVACY } from '../errors.ts';
import type { NoiseGrid } from '../noise/grid.ts';
import { type DpPlan, type DpPlanFields, dpPlan, NOISE_GENERATORS } from '../plan.ts';
import { PrivacyRandomness } from '../randomness.ts';
import { mlpModel, rowUnits, type UnitRows } from './mlp-model.ts';
import { fusedGraph, type PrivateModel, type Tensors, type UnitSource } from './private-model.ts';
import { createDpTrainer, type DpTraining, type StepNoiseSource } from './trainer.ts';

const FEATURES = 12;
const spec = { widths: [FEATURES, 9, 4], activation: 'tanh' } as const;
const initial = initialWeights(spec, seededRandom('trainer', 'initial'));

const planOf = (fields: Partial<DpPlanFields> = {}): DpPlan =>
  dpPlan({
    unit: 'subject',
    relation: 'add-or-remove-one',
    sampling: { kind: 'truncated-poisson', probability: 0.5, cap: 32, population: 40 },
    steps: 6,
    expectedUnits: 20,
    clipping: { kind: 'flat', l2ClipNorm: 0.3 },
    noise: { multiplier: 1.5, generator: NOISE_GENERATORS[0], mode: 'research' },
    mechanism: 'dp-sgd',
    delta: 1e-5,
    accountant: ACCOUNTANT_VERSION,
    ...fields,
  });

/** Subjects with 0 to 3 rows; every fifth is not finite somewhere when `broken`. */
function people(count: number, broken = false): UnitRows[] {
  const random = seededRandom('trainer', 'people');
  return Array.from({ length: count }, (_, unit) => {
    const rows = random.below(4);
    const features = Float32Array.from({ length: rows * FEATURES }, () => 2 * random.uniform() - 1);
    if (broken && unit % 5 === 4 && rows > 0) features[0] = unit % 2 === 0 ? Number.NaN : Infinity;
    return { features, labels: Array.from({ length: rows }, () => random.below(4)) };
  });
}

const silence = (): StepNoiseSource => ({
  mode: 'research',
  next: () => [],
  close: () => undefined,
});

/** No noise: what a step does besides, exactly. For tests only. */
const quiet: NonNullable<DpTraining['execution']['noise']> = ({ lengths }) => ({
  ...silence(),
  next: () => lengths.map((length) => new Float32Array(length)),
});

interface Setting {
  readonly plan?: DpPlan;
  readonly unitsPerRun: number;
  readonly optimizer?: Optimizer;
  readonly noisy?: boolean;
  readonly units?: readonly UnitRows[];
  readonly seed?: string;
}

const create = ({
  plan = planOf(),
  unitsPerRun,
  optimizer = sgd(),
  noisy = false,
  units = people(40),
  seed = 'run',
}: Setting) =>
  createDpTrainer({
    plan,
    model: mlpModel(spec, 3),
    units: rowUnits(units, 3, FEATURES),
    optimizer,
    learningRate: (step) => 0.5 / (1 + step),
    initial,
    randomness: new PrivacyRandomness('research', seededRandom('trainer', seed)),
    engine: onnxEngine(),
    execution: { unitsPerRun, ...(noisy ? {} : { noise: quiet }) },
  });

async function weightsAfter(setting: Setting, steps = 4): Promise<{ values: number[]; fused: boolean }> {
  const trainer = await create(setting);
  for (let step = 0; step < steps; step++) await trainer.step();
  const values = Object.values(trainer.parameters()).flatMap(({ data }) => [...data]);
  await trainer.close();
  return { values, fused: trainer.fused };
}

const largest = (a: readonly number[], b: readonly number[]): number =>
  Math.max(...a.map((value, i) => Math.abs(value - b[i]!)));

for (const [name, clipping] of [
  ['flat', { kind: 'flat', l2ClipNorm: 0.3 }],
  ['automatic', { kind: 'automatic', l2ClipNorm: 0.3, stability: 0.01 }],
  ['per-layer', { kind: 'per-layer', l2ClipNorm: 0.3, layerL2ClipNorms: [0.2, 0.2] }],
] as const) {
  test(`${name} clipping: one graph a step, chunks, and one unit at a time are the same step`, async () => {
    for (const optimizer of [sgd(), adam()]) {
      const plan = planOf({ clipping });
      const whole = await weightsAfter({ plan, optimizer, unitsPerRun: 32 });
      const chunks = await weightsAfter({ plan, optimizer, unitsPerRun: 7 });
      const single = await weightsAfter({ plan, optimizer, unitsPerRun: 1 });
      assert.ok(whole.fused && !chunks.fused && !single.fused);
      assert.ok(largest(whole.values, chunks.values) < 2e-5, `${largest(whole.values, chunks.values)}`);
      assert.ok(largest(single.values, chunks.values) < 2e-5);
      assert.ok(
        largest(
          whole.values,
          Object.values(initial).flatMap(({ data }) => [...data]),
        ) > 1e-3,
      );
    }
  });
}

test('large draws are summed in float64, so that rounding costs next to no noise', () => {
  const plan = (cap: number): DpPlan =>
    planOf({ sampling: { kind: 'truncated-poisson', probability: 0.5, cap, population: 2 * cap - 2 } });
  const deviation = (cap: number): number =>
    fusedGraph(plan(cap), mlpModel(spec, 1), cap, sgd()).grid.standardDeviation / (1.5 * 0.3);
  for (const cap of [32, 256, 400, 1_024, 4_480]) {
    assert.ok(deviation(cap) >= 1 && deviation(cap) < 1.025, `${cap} units: ${deviation(cap)}`);
  }
});

test('a unit without a finite gradient adds nothing, in one graph and in chunks', async () => {
  const broken = people(40, true);
  const emptied = broken.map((unit) =>
    unit.features.every(Number.isFinite) ? unit : { features: new Float32Array(0), labels: [] },
  );
  for (const unitsPerRun of [32, 7]) {
    const with_ = await weightsAfter({ units: broken, unitsPerRun });
    const without = await weightsAfter({ units: emptied, unitsPerRun });
    assert.ok(with_.values.every(Number.isFinite));
    assert.ok(largest(with_.values, without.values) < 1e-6);
  }
});

test('parameters that diverged release nothing', async () => {
  const trainer = await create({ unitsPerRun: 32 });
  const parameters = trainer.parameters();
  parameters['dense0.w']!.data.fill(Number.NaN);
  trainer.resume({ parameters, optimizerState: {}, steps: 2 });
  await assert.rejects(trainer.step(), (error) => isError(error, PRIVACY.SENSITIVITY_UNKNOWN));
  assert.equal(trainer.steps, 2);
  await trainer.close();
});

test('an empty draw is a step of noise, of the deviation that the plan says', async () => {
  const empty: UnitSource = { ...rowUnits([], 3, FEATURES) };
  const plan = planOf({
    steps: 300,
    sampling: { kind: 'truncated-poisson', probability: 0.5, cap: 32, population: 1 } as never,
  });
  assert.ok(plan);
  for (const unitsPerRun of [32, 7]) {
    const trainer = await createDpTrainer({
      plan,
      model: mlpModel(spec, 3),
      units: empty,
      optimizer: sgd(),
      learningRate: 1,
      initial,
      randomness: new PrivacyRandomness('research', seededRandom('trainer', 'empty')),
      engine: onnxEngine(),
      execution: { unitsPerRun },
    });
    let squares = 0;
    let count = 0;
    for (let step = 0; step < 300; step++) {
      const before = Object.values(trainer.parameters()).flatMap(({ data }) => [...data]);
      await trainer.step();
      const after = Object.values(trainer.parameters()).flatMap(({ data }) => [...data]);
      for (const [i, value] of after.entries()) squares += (value - before[i]!) ** 2;
      count += after.length;
    }
    await trainer.close();
    // Sum / expectedUnits, so a deviation of multiplier x clip norm / 20; rounding is charged on top and is below 2 %.
    const ratio = Math.sqrt(squares / count) / ((1.5 * 0.3) / 20);
    assert.ok(ratio > 1 - 5 / Math.sqrt(2 * count) && ratio < 1.02 + 5 / Math.sqrt(2 * count), `${ratio}`);
  }
});

test('the plan is the limit: steps, population, mode of randomness', async () => {
  const trainer = await create({ plan: planOf({ steps: 1 }), unitsPerRun: 32 });
  await trainer.step();
  await assert.rejects(trainer.step(), (error) => isError(error, PRIVACY.BUDGET_EXHAUSTED));
  await trainer.close();
  const refused = (error: unknown) => isError(error, PRIVACY.PLAN_REFUSED);
  await assert.rejects(create({ units: people(41), unitsPerRun: 32 }), refused);
  const noise = { multiplier: 1, generator: NOISE_GENERATORS[0], mode: 'production' } as const;
  await assert.rejects(create({ plan: planOf({ noise }), unitsPerRun: 32 }), refused);
});

test('what cannot be private is refused before a unit is read, with the node and the way out', async () => {
  const untouchable: UnitSource = { population: 40, feeds: () => assert.fail('a unit was read') };
  const model: PrivateModel = {
    build(g, units) {
      const x = g.examples('x', [units, FEATURES]);
      const labels = g.examples('labels', [units], 'int64');
      const w = g.parameter('w', [FEATURES, 4]);
      return { losses: softmaxCrossEntropy(dense(batchNormalize(x).normalized, w), labels), parameters: [w] };
    },
  };
  await assert.rejects(
    createDpTrainer({
      plan: planOf(),
      model,
      units: untouchable,
      optimizer: sgd(),
      learningRate: 1,
      initial: { w: zeros('float32', [FEATURES, 4]) },
      randomness: new PrivacyRandomness('research', secureRandom()),
      engine: onnxEngine(),
      execution: { unitsPerRun: 32 },
    }),
    (error: unknown) =>
      error instanceof Error && /reduces over the examples of the batch/.test(error.message),
  );
});

test('a resumed trainer goes on where the state was, to the last bit but for fresh noise', async () => {
  for (const unitsPerRun of [32, 7]) {
    const first = await create({ unitsPerRun, optimizer: adam() });
    await first.step();
    await first.step();
    const state = {
      parameters: first.parameters(),
      optimizerState: first.optimizerState(),
      steps: first.steps,
    };
    const second = await create({ unitsPerRun, optimizer: adam(), seed: 'other' });
    second.resume(state);
    assert.deepEqual(second.parameters(), state.parameters);
    assert.equal(second.steps, 2);
    for (let step = 2; step < 6; step++) await second.step();
    await assert.rejects(second.step(), (error) => isError(error, PRIVACY.BUDGET_EXHAUSTED));
    await first.close();
    await second.close();
  }
});

test('parameters that are not trained stay, and have no norm', async () => {
  const model: PrivateModel = {
    build(g, units) {
      const x = g.examples('x', [units, FEATURES]);
      const labels = g.examples('labels', [units], 'int64');
      const mask = g.examples('mask', [units]);
      const frozen = g.parameter('frozen', [FEATURES, 5]);
      const head = g.parameter('head', [5, 4]);
      return {
        losses: mul(softmaxCrossEntropy(dense(dense(x, frozen), head), labels), mask),
        parameters: [head],
      };
    },
  };
  const units: UnitSource = {
    population: 40,
    feeds: (taken, capacity) => ({
      x: float32([capacity, FEATURES], new Float32Array(capacity * FEATURES).fill(0.1)),
      labels: tensor('int64', [capacity], new BigInt64Array(capacity), 'labels'),
      mask: float32(
        [capacity],
        Float32Array.from({ length: capacity }, (_, i) => (i < taken.length ? 1 : 0)),
      ),
    }),
  };
  for (const unitsPerRun of [32, 7]) {
    const trainer = await createDpTrainer({
      plan: planOf(),
      model,
      units,
      optimizer: sgd(),
      learningRate: 1,
      initial: {
        frozen: float32([FEATURES, 5], new Float32Array(FEATURES * 5).fill(0.2)),
        head: zeros('float32', [5, 4]),
      },
      randomness: new PrivacyRandomness('research', secureRandom()),
      engine: onnxEngine(),
      execution: { unitsPerRun, noise: quiet },
    });
    await trainer.step();
    assert.deepEqual(Object.keys(trainer.parameters()), ['head']);
    assert.deepEqual(
      trainer.norms.map(({ parameter }) => parameter),
      ['head'],
    );
    assert.ok(trainer.parameters().head!.data.some((value) => value !== 0));
    await trainer.close();
  }
});

test('adaptive clipping follows the quantile of the norms, by a noisy count', async () => {
  const units = people(40).map((unit) => (unit.labels.length > 0 ? unit : people(40)[1]!));
  const clipping = {
    kind: 'adaptive',
    l2ClipNorm: 50,
    quantile: 0.5,
    learningRate: 0.5,
    countNoise: 1,
  } as const;
  const plan = planOf({ clipping, steps: 60 });
  const trainer = await create({ plan, unitsPerRun: 32, units, noisy: true });
  assert.equal(trainer.fused, false);
  const bounds: number[] = [];
  for (let step = 0; step < 60; step++) {
    await trainer.step();
    bounds.push(trainer.l2ClipNorm);
  }
  await trainer.close();
  assert.ok(bounds[5]! < 50 && bounds.at(-1)! < 5 && bounds.at(-1)! > 0.05, `${bounds.at(-1)}`);
});

const refusedPlan = (error: unknown): boolean => isError(error, PRIVACY.PLAN_REFUSED);

/** A model whose losses `build` makes of logits' losses and a mask, on units of one row. */
function trainerFor(
  losses: (losses: Value, mask: Value) => Value,
  feeds: (given: Tensors) => Tensors,
  unitsPerRun: number,
) {
  const units = rowUnits(people(40), 1, FEATURES);
  return createDpTrainer({
    plan: planOf(),
    model: {
      build(g, count) {
        const x = reshape(g.examples('x', [count, 1, FEATURES]), [count, FEATURES]);
        const labels = g.examples('labels', [count], 'int64');
        const mask = g.examples('mask', [count]);
        const { logits, parameters } = mlp(x, spec);
        return { losses: losses(softmaxCrossEntropy(logits, labels), mask), parameters };
      },
    },
    units: { population: 40, feeds: (taken, capacity) => feeds(units.feeds(taken, capacity)) },
    optimizer: sgd(),
    learningRate: 1,
    initial,
    randomness: new PrivacyRandomness('research', seededRandom('trainer')),
    engine: onnxEngine(),
    execution: { unitsPerRun },
  });
}

test('units feed inputs of examples and nothing else, and padding has no gradient', async () => {
  for (const unitsPerRun of [32, 7]) {
    const same = (given: Tensors): Tensors => given;
    await (await trainerFor(mul, same, unitsPerRun)).close();
    await assert.rejects(
      trainerFor((losses, mask) => add(losses, mul(mask, 0)), same, unitsPerRun),
      refusedPlan,
    );
    const scaled = (losses: Value, mask: Value): Value =>
      mul(mul(losses, mask), losses.graph.shared('scale', []));
    const withScale = (given: Tensors): Tensors => ({ ...given, scale: float32([], Float32Array.of(3)) });
    await assert.rejects(trainerFor(scaled, withScale, unitsPerRun), refusedPlan);
    const overWeights = (given: Tensors): Tensors => ({ ...given, 'dense0.b': zeros('float32', [9]) });
    await assert.rejects(trainerFor(mul, overWeights, unitsPerRun), refusedPlan);
  }
});

test('a resumption is held to the plan, and steps that are asked for at once run in turn', async () => {
  for (const unitsPerRun of [32, 7]) {
    const trainer = await create({ plan: planOf({ steps: 3 }), unitsPerRun });
    const state = { parameters: trainer.parameters(), optimizerState: {} };
    await trainer.step();
    for (const steps of [Number.NaN, Number.NEGATIVE_INFINITY, -5, 0, 0.5, 4]) {
      assert.throws(() => trainer.resume({ ...state, steps }), refusedPlan);
    }
    for (const l2ClipNorm of [3e5, Number.NaN]) {
      assert.throws(() => trainer.resume({ ...state, steps: 1, l2ClipNorm }), refusedPlan);
    }
    const results = await Promise.allSettled([
      trainer.step(),
      trainer.step(),
      trainer.step(),
      trainer.step(),
    ]);
    assert.deepEqual(
      results.map(({ status }) => status),
      ['fulfilled', 'fulfilled', 'rejected', 'rejected'],
    );
    assert.ok(
      results.every(
        (result) => result.status === 'fulfilled' || isError(result.reason, PRIVACY.BUDGET_EXHAUSTED),
      ),
    );
    assert.equal(trainer.steps, 3);
    await trainer.close();
  }
});

test('without a cap the noise is the same for neighbouring data sets', async () => {
  const plan = planOf({
    sampling: { kind: 'poisson', probability: 0.5 },
    clipping: { kind: 'flat', l2ClipNorm: 1.999539858 },
  });
  const grids: NoiseGrid[] = [];
  for (const population of [0, 40, 41, 3_000]) {
    const units = rowUnits(people(population), 3, FEATURES);
    const trainer = await createDpTrainer({
      plan,
      model: mlpModel(spec, 3),
      units,
      optimizer: sgd(),
      learningRate: 1,
      initial,
      randomness: new PrivacyRandomness('research', seededRandom('trainer')),
      engine: onnxEngine(),
      execution: {
        unitsPerRun: 32,
        noise: (order) => {
          grids.push(order.grid);
          return quiet(order);
        },
      },
    });
    await trainer.close();
  }
  assert.equal(grids.length, 4);
  for (const grid of grids) assert.deepEqual(grid, grids[0]);
  const paid = grids[0]!.standardDeviation / (1.5 * 1.999539858);
  assert.ok(paid >= 1 && paid < 1.01, `rounding of the largest draw there can be costs ${paid}`);
});

test('a label that is none of the classes makes its row missing', async () => {
  const odd = people(40).map((unit, i) =>
    i % 4 === 0 ? { ...unit, labels: unit.labels.map(() => (i % 8 === 0 ? 99 : -3)) } : unit,
  );
  const emptied = odd.map((unit, i) => (i % 4 === 0 ? { features: new Float32Array(0), labels: [] } : unit));
  for (const unitsPerRun of [32, 7]) {
    const a = await weightsAfter({ units: odd, unitsPerRun });
    const b = await weightsAfter({ units: emptied, unitsPerRun });
    assert.ok(largest(a.values, b.values) < 1e-6);
  }
});

test('noise of another mode than the run is refused', async () => {
  const production = planOf({
    noise: { multiplier: 1.5, generator: NOISE_GENERATORS[0], mode: 'production' },
  });
  await assert.rejects(
    createDpTrainer({
      plan: production,
      model: mlpModel(spec, 3),
      units: rowUnits(people(40), 3, FEATURES),
      optimizer: sgd(),
      learningRate: 1,
      initial,
      randomness: new PrivacyRandomness('production', secureRandom()),
      engine: onnxEngine(),
      execution: { unitsPerRun: 32, noise: quiet },
    }),
    (error) => isError(error, PRIVACY.SEEDED_SOURCE),
  );
});
