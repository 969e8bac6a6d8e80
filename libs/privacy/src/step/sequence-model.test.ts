import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  exportOnnx,
  GraphBuilder,
  importOnnx,
  reduceSum,
  type TransformerSpec,
  transformer,
  transformerParameters,
} from '@lethe/graph';
import { adam, initialParameters, sgd } from '@lethe/optim';
import { onnxEngine, Session } from '@lethe/runtime';
import { isError, seededRandom } from '@lethe/std';
import { type Tensor, tensor } from '@lethe/tensor';
import { ACCOUNTANT_VERSION } from '../accountants/epsilon.ts';
import { PRIVACY } from '../errors.ts';
import { dpPlan, NOISE_GENERATORS } from '../plan.ts';
import { PrivacyRandomness } from '../randomness.ts';
import type { UnitSource } from './private-model.ts';
import { tokenUnits, transformerModel, type Windows } from './sequence-model.ts';
import { createDpTrainer, type DpTrainer } from './trainer.ts';

const T = 6;
const VOCABULARY = 7;
const POPULATION = 48;
const plain: TransformerSpec = {
  vocabulary: VOCABULARY,
  sequence: T,
  width: 8,
  heads: 2,
  blocks: 1,
  activation: 'gelu',
  tied: false,
};
const tied: TransformerSpec = { ...plain, tied: true };
const lora: TransformerSpec = { ...plain, lora: { rank: 2, alpha: 4, on: ['q', 'v', 'up'] } };

const planOf = (steps: number, l2ClipNorm: number, multiplier: number) =>
  dpPlan({
    unit: 'record',
    relation: 'add-or-remove-one',
    sampling: { kind: 'truncated-poisson', probability: 0.5, cap: 40, population: POPULATION },
    steps,
    expectedUnits: 24,
    clipping: { kind: 'flat', l2ClipNorm },
    noise: { multiplier, generator: NOISE_GENERATORS[0], mode: 'research' },
    mechanism: 'dp-sgd',
    delta: 1e-3,
    accountant: ACCOUNTANT_VERSION,
  });

/** Text in which each token says the next: t, t + 2, t + 4, … modulo the vocabulary; every third window is short. */
const windows: Windows & { readonly tokens: Uint8Array } = {
  length: T,
  tokens: Uint8Array.from(
    { length: POPULATION * (T + 1) },
    (_, i) => (Math.floor(i / (T + 1)) + 2 * (i % (T + 1))) % VOCABULARY,
  ),
  lengths: Array.from({ length: POPULATION }, (_, window) => (window % 3 === 2 ? 1 + (window % T) : T)),
};

const start = (spec: TransformerSpec) =>
  initialParameters(transformerParameters(spec), seededRandom('sequence'));

interface Setting {
  readonly spec: TransformerSpec;
  readonly unitsPerRun: number;
  readonly noisy?: boolean;
  readonly steps?: number;
  readonly units?: UnitSource;
  readonly windowsPerUnit?: number;
}

const create = (setting: Setting): Promise<DpTrainer> => {
  const {
    spec,
    unitsPerRun,
    noisy = false,
    steps = 3,
    units = tokenUnits(windows),
    windowsPerUnit = 1,
  } = setting;
  return createDpTrainer({
    plan: planOf(steps, 0.5, 1),
    model: transformerModel(spec, windowsPerUnit),
    units,
    optimizer: noisy ? adam() : sgd(),
    learningRate: noisy ? 0.03 : 0.5,
    initial: start(spec),
    randomness: new PrivacyRandomness('research', seededRandom('sequence', 'run')),
    engine: onnxEngine(),
    execution: {
      unitsPerRun,
      ...(noisy
        ? {}
        : {
            noise: ({ lengths }: { readonly lengths: readonly number[] }) => ({
              mode: 'research' as const,
              next: () => lengths.map((length) => new Float32Array(length)),
              close: () => undefined,
            }),
          }),
    },
  });
};

async function trained(setting: Setting) {
  const trainer = await create(setting);
  for (let step = 0; step < (setting.steps ?? 3); step++) await trainer.step();
  await trainer.close();
  return { parameters: trainer.parameters(), fused: trainer.fused, norms: trainer.norms };
}

const valuesOf = (parameters: Readonly<Record<string, Tensor<'float32'>>>): number[] =>
  Object.values(parameters).flatMap(({ data }) => [...data]);
const largest = (a: readonly number[], b: readonly number[]): number =>
  Math.max(...a.map((value, i) => Math.abs(value - b[i]!)));

/** Sum of the losses of units. */
async function lossOf(
  spec: TransformerSpec,
  parameters: Readonly<Record<string, Tensor>>,
  units: UnitSource,
  windowsPerUnit = 1,
  which = Array.from({ length: units.population }, (_, unit) => unit),
): Promise<number> {
  const g = new GraphBuilder();
  g.output('loss', reduceSum(transformerModel(spec, windowsPerUnit).build(g, which.length).losses));
  const session = await Session.create(g.build());
  const { loss } = await session.run({
    ...parameters,
    ...units.feeds(Uint32Array.from(which), which.length),
  });
  await session.close();
  return loss!.data[0] as number;
}

test('a decoder learns the next token privately, with a tied head and without', async () => {
  for (const spec of [plain, tied]) {
    const units = tokenUnits(windows);
    const before = (await lossOf(spec, start(spec), units)) / POPULATION;
    const { parameters } = await trained({ spec, unitsPerRun: 40, noisy: true, steps: 60 });
    const after = (await lossOf(spec, parameters, units)) / POPULATION;
    assert.ok(before > 1.5 && after < 0.6 * before, `${before} to ${after}`);
  }
});

test('without noise, one graph a step, chunks, and one window at a time are the same step', async () => {
  for (const [name, spec] of Object.entries({ plain, tied, lora })) {
    const whole = await trained({ spec, unitsPerRun: 40 });
    const chunks = await trained({ spec, unitsPerRun: 7 });
    const single = await trained({ spec, unitsPerRun: 1 });
    assert.ok(whole.fused && !chunks.fused && !single.fused);
    const [a, b, c] = [whole, chunks, single].map(({ parameters }) => valuesOf(parameters)) as [
      number[],
      number[],
      number[],
    ];
    assert.ok(largest(a, b) < 2e-5 && largest(b, c) < 2e-5, `${name}: ${largest(a, b)}, ${largest(b, c)}`);
    const still = Object.entries(whole.parameters)
      .filter(([parameter, { data }]) => largest([...data], [...start(spec)[parameter]!.data]) < 1e-4)
      .map(([parameter]) => parameter);
    // A bias of the keys adds the same to all scores of a query, which the softmax takes out again.
    assert.deepEqual(still, name === 'lora' ? [] : ['block0.k.b'], name);
  }
});

test('the tied table has one gradient, of the embedding and of the head, clipped together', async () => {
  const { norms } = await trained({ spec: tied, unitsPerRun: 40 });
  const table = norms.find(({ parameter }) => parameter === 'tokens.table');
  assert.equal(table?.layers.length, 2);
  assert.ok(!norms.some(({ parameter }) => parameter === 'head.w'));
});

test('LoRA trains a and b, all else stays, and what was trained loads again', async () => {
  const initial = start(lora);
  const { parameters, norms } = await trained({ spec: lora, unitsPerRun: 7, noisy: true, steps: 12 });
  const expected = ['q', 'v', 'up'].flatMap((layer) =>
    ['a', 'b'].map((part) => `block0.${layer}.lora.${part}`),
  );
  assert.deepEqual(Object.keys(parameters).sort(), expected.sort());
  assert.deepEqual(norms.map(({ parameter }) => parameter).sort(), expected);
  for (const [name, { data }] of Object.entries(parameters))
    assert.ok(largest([...data], [...initial[name]!.data]) > 1e-3, `${name} has not moved`);
  const untouched = start(lora);
  for (const name of Object.keys(initial))
    assert.deepEqual(initial[name], untouched[name], `${name} is frozen`);

  // A second trainer goes on from them, and a file of them computes what the graph computes.
  const again = await create({ spec: lora, unitsPerRun: 40, noisy: true, steps: 13 });
  again.resume({ parameters, optimizerState: again.optimizerState(), steps: 12 });
  assert.deepEqual(again.parameters(), parameters);
  await again.step();
  assert.equal(again.steps, 13);
  await again.close();

  const logitsOf = async (values: Readonly<Record<string, Tensor>>): Promise<number[]> => {
    const written = new GraphBuilder();
    const { logits } = transformer(written.examples('ids', [2 * T], 'int64'), lora);
    const { bytes } = exportOnnx({ logits }, values);
    const g = new GraphBuilder();
    g.output('logits', importOnnx(g, bytes, { batch: 2 * T }).outputs.logits!);
    const session = await Session.create(g.build());
    const ids = tensor(
      'int64',
      [2 * T],
      BigInt64Array.from({ length: 2 * T }, (_, i) => BigInt(i % VOCABULARY)),
      'ids',
    );
    const out = await session.run({ ids });
    await session.close();
    return [...(out.logits!.data as Float32Array)];
  };
  const before = await logitsOf(initial);
  const after = await logitsOf({ ...initial, ...parameters });
  assert.ok(largest(before, after) > 1e-2, 'the trained parts reach the logits of the file');
});

test('a unit is the mean of its tokens: padding, length and further windows of an author do not add up', async () => {
  const initial = start(plain);
  const same: Windows = {
    length: T,
    tokens: [...windows.tokens.slice(0, T + 1), ...windows.tokens.slice(0, T + 1)],
  };
  const once = await lossOf(plain, initial, tokenUnits({ ...same, tokens: windows.tokens.slice(0, T + 1) }));
  const twice = await lossOf(plain, initial, tokenUnits(same, { units: [[0, 1]], windowsPerUnit: 2 }), 2);
  const oneOfTwo = await lossOf(plain, initial, tokenUnits(same, { units: [[1]], windowsPerUnit: 2 }), 2);
  assert.ok(
    Math.abs(once - twice) < 1e-5 && Math.abs(once - oneOfTwo) < 1e-5,
    `${once}, ${twice}, ${oneOfTwo}`,
  );

  const noisyTail = [...windows.tokens.slice(0, 4), 6, 6, 6];
  const [short, other] = [windows.tokens.slice(0, T + 1), noisyTail].map((tokens) =>
    tokenUnits({ length: T, tokens, lengths: [3] }),
  );
  assert.equal(await lossOf(plain, initial, short!), await lossOf(plain, initial, other!));
  const first = { ...same, tokens: [...windows.tokens.slice(0, 2 * (T + 1))] };
  const capped = tokenUnits(first, { units: [[0, 1]], windowsPerUnit: 1 });
  assert.equal(
    await lossOf(plain, initial, capped),
    once,
    'of more windows than the plan has the first count',
  );
  const nobody = await lossOf(plain, initial, tokenUnits({ ...same, lengths: [0, 0] }));
  assert.equal(nobody, 0);
});

test('authors are units, fused and in chunks', async () => {
  const byAuthor = Array.from({ length: POPULATION / 4 }, (_, author) =>
    Array.from({ length: 1 + (author % 4) }, (_, w) => 4 * author + w),
  );
  const units = tokenUnits(windows, { units: byAuthor, windowsPerUnit: 3 });
  assert.equal(units.population, 12);
  const whole = await trained({ spec: plain, units, windowsPerUnit: 3, unitsPerRun: 40 });
  const chunks = await trained({ spec: plain, units, windowsPerUnit: 3, unitsPerRun: 2 });
  assert.ok(whole.fused && !chunks.fused);
  assert.ok(largest(valuesOf(whole.parameters), valuesOf(chunks.parameters)) < 2e-5);
});

test('dropout is refused by name', () => {
  assert.throws(
    () => transformerModel({ ...plain, keep: 0.9 }),
    (error) => isError(error, PRIVACY.PLAN_REFUSED) && /keep/.test(String(error)),
  );
});
