import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type CnnSpec,
  clippedGradientSum,
  cnn,
  cnnParameters,
  conv2d,
  dense,
  GraphBuilder,
  globalAveragePool2d,
  gradients,
  groupNormalize,
  type ParameterSpec,
  relu,
  scale,
  shift,
  silu,
  softmaxCrossEntropy,
  type TransformerSpec,
  transformer,
  transformerParameters,
  type Value,
} from '@lethe/graph';
import { initialParameters } from '@lethe/optim';
import { seededRandom } from '@lethe/std';
import { elements, type Tensor, tensor } from '@lethe/tensor';
import { Session } from './session.ts';

/**
 * Whole models against batches of one: what clipping gives for a batch has to be the sum of each example's own gradient, clipped by its own
 * norm. That holds only if no operation of the model lets an example see another.
 */
interface Model {
  readonly parameters: readonly ParameterSpec[];
  /** Inputs of `examples` examples, losses and what is trained. */
  readonly build: (
    g: GraphBuilder,
    examples: number,
  ) => { readonly losses: Value; readonly trained: readonly Value[] };
  /** Shapes of one example's inputs; whole numbers below the bound, or reals. */
  readonly inputs: Readonly<Record<string, { readonly shape: readonly number[]; readonly below?: number }>>;
}

const EXAMPLES = 3;
const CLIP = 0.4;

async function check(model: Model): Promise<void> {
  const random = seededRandom('models.oracle', JSON.stringify(model.parameters));
  const drawn = initialParameters(model.parameters, random);
  // Zeros would hide what multiplies them.
  const state = Object.fromEntries(
    Object.entries(drawn).map(([name, { shape, data }]) => [
      name,
      tensor(
        'float32',
        shape,
        Float32Array.from(data, (value) => value + 0.2 * (random.uniform() - 0.5)),
      ),
    ]),
  );
  const feeds = (examples: readonly number[]): Record<string, Tensor> =>
    Object.fromEntries(
      Object.entries(model.inputs).map(([name, { shape, below }]) => {
        const size = elements(shape);
        const whole = [shape[0]! * examples.length, ...shape.slice(1)];
        const numbers = examples.flatMap((example) => {
          const own = seededRandom('example', name, String(example));
          return Array.from({ length: size }, () => (below ? own.below(below) : own.uniform() - 0.3));
        });
        return [
          name,
          below
            ? tensor('int64', whole, BigInt64Array.from(numbers, BigInt))
            : tensor('float32', whole, Float32Array.from(numbers)),
        ];
      }),
    );

  const single = new GraphBuilder();
  const one = model.build(single, 1);
  gradients(one.losses, one.trained).forEach((gradient, i) => {
    single.output(`d${i}`, gradient);
  });
  const singleModel = single.build();
  const alone = await Session.create(singleModel);
  const used = Object.fromEntries(
    singleModel.inputs.filter(({ name }) => state[name]).map(({ name }) => [name, state[name]!]),
  );
  const own: Float32Array[][] = [];
  for (let example = 0; example < EXAMPLES; example++) {
    const out = await alone.run({ ...feeds([example]), ...used });
    own.push(one.trained.map((_, i) => out[`d${i}`]!.data as Float32Array));
  }
  const norms = own.map((parts) =>
    Math.sqrt(parts.reduce((sum, data) => sum + data.reduce((s, x) => s + x * x, 0), 0)),
  );
  assert.ok(
    norms.some((norm) => norm > CLIP),
    `nothing is clipped: ${norms}`,
  );

  for (const how of ['cheapest', 'ghost', 'instantiated'] as const) {
    const g = new GraphBuilder();
    const { losses, trained } = model.build(g, EXAMPLES);
    const clipped = clippedGradientSum(losses, trained, { subjects: EXAMPLES, l2ClipNorm: CLIP, norms: how });
    clipped.sums.forEach((sum, i) => {
      g.output(`d${i}`, sum);
    });
    g.output('norms', clipped.norms);
    const session = await Session.create(g.build());
    const out = await session.run({ ...feeds([0, 1, 2]), ...used });
    const bounds = out.norms!.data as Float32Array;
    for (const [i, norm] of norms.entries()) {
      // Ghost norms are rounded up where a subject's rows cancel; nothing may be below the example's own norm.
      const close = how === 'instantiated' ? Math.abs(bounds[i]! / norm - 1) < 1e-3 : bounds[i]! < 2 * norm;
      assert.ok(bounds[i]! >= norm * (1 - 1e-6) && close, `${how}: norm ${bounds[i]}, alone ${norm}`);
    }
    for (const [i, parameter] of trained.entries()) {
      for (const [k, value] of (out[`d${i}`]!.data as Float32Array).entries()) {
        const expected = own.reduce(
          (sum, parts, at) => sum + parts[i]![k]! * Math.min(1, CLIP / bounds[at]!),
          0,
        );
        assert.ok(
          Math.abs(value - expected) < 2e-5,
          `${how}: ${parameter.name}[${k}] is ${value}, from single examples ${expected}`,
        );
      }
    }
    await session.close();
  }
  await alone.close();
}

const decoder = (change: Partial<TransformerSpec>): Model => {
  const spec: TransformerSpec = {
    vocabulary: 7,
    sequence: 4,
    width: 8,
    heads: 2,
    blocks: 2,
    activation: 'gelu',
    tied: false,
    ...change,
  };
  const t = spec.sequence;
  return {
    parameters: transformerParameters(spec),
    inputs: {
      ids: { shape: [t], below: 7 },
      next: { shape: [t], below: 7 },
      ...(spec.keep === undefined
        ? {}
        : Object.fromEntries(
            [0, 1].flatMap((block) =>
              ['attentionMask', 'mlpMask'].map((name) => [`block${block}.${name}`, { shape: [t, 8] }]),
            ),
          )),
    },
    build: (g, examples) => {
      const model = transformer(g.examples('ids', [examples * t], 'int64'), spec);
      const next = g.examples('next', [examples * t], 'int64');
      return { losses: softmaxCrossEntropy(model.logits, next), trained: model.parameters };
    },
  };
};

test('a decoder transformer', () => check(decoder({})));
test('a decoder transformer with a tied head', () => check(decoder({ tied: true, activation: 'quickGelu' })));
test('a decoder transformer with LoRA and dropout', () =>
  check(decoder({ lora: { rank: 2, alpha: 4, on: ['q', 'v', 'down'] }, keep: 0.8 })));

test('a convolutional network with pooling', () => {
  const spec: CnnSpec = {
    picture: [8, 8, 2],
    convolutions: [
      { filters: 4, kernel: 3, stride: 2, padding: 1, pool: { kernel: 2, stride: 1 } },
      { filters: 3, kernel: 2 },
    ],
    widths: [5, 3],
  };
  return check({
    parameters: cnnParameters(spec),
    inputs: { x: { shape: [1, 8, 8, 2] }, labels: { shape: [1], below: 3 } },
    build: (g, examples) => {
      const { logits, parameters } = cnn(g.examples('x', [examples, 8, 8, 2]), spec);
      const labels = g.examples('labels', [examples], 'int64');
      return { losses: softmaxCrossEntropy(logits, labels), trained: parameters };
    },
  });
});

test('grouped convolution, group normalisation and global pooling', () => {
  const parameters: ParameterSpec[] = [
    { name: 'w0', shape: [8, 3], start: 'balanced' },
    { name: 'w1', shape: [8, 3], start: 'balanced' },
    { name: 'b', shape: [6], start: 'zeros' },
    { name: 'gamma', shape: [6], start: 'ones' },
    { name: 'beta', shape: [6], start: 'zeros' },
    { name: 'head', shape: [6, 3], start: 'balanced' },
  ];
  return check({
    parameters,
    inputs: { x: { shape: [1, 5, 5, 4] }, labels: { shape: [1], below: 3 } },
    build: (g, examples) => {
      const trained = parameters.map(({ name, shape }) => g.parameter(name, shape));
      const [w0, w1, b, gamma, beta, head] = trained as [Value, Value, Value, Value, Value, Value];
      const x = relu(conv2d(g.examples('x', [examples, 5, 5, 4]), [w0, w1], b, { kernel: 2 }));
      const normal = silu(shift(scale(groupNormalize(x, 2), gamma), beta));
      const logits = dense(globalAveragePool2d(normal), head);
      return { losses: softmaxCrossEntropy(logits, g.examples('labels', [examples], 'int64')), trained };
    },
  });
});
