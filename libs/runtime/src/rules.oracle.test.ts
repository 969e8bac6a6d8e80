import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as graph from '@lethe/graph';
import { GraphBuilder, gradients, RULES, type Value } from '@lethe/graph';
import { isError, type RandomSource, seededRandom } from '@lethe/std';
import { elements, type Shape, type Tensor, tensor } from '@lethe/tensor';
import { Session } from './session.ts';

/**
 * The oracle for every vector-Jacobian product: central differences in float64. A row of the rule table without a case here fails
 * the test, so an operation is tested by being listed.
 */
interface Case {
  /** Shapes of the inputs x0, x1, …, each filled with numbers of magnitude 0.2 to 1.5. */
  readonly inputs: readonly Shape[];
  readonly build: (...inputs: readonly Value[]) => Value;
  /** What the gradient is that of, where the operation states another one than its own (straight-through). */
  readonly surrogate?: (...inputs: readonly Value[]) => Value;
  /** Inputs are made positive (roots, logarithms, divisors). */
  readonly positive?: boolean;
  /** For operators that ONNX Runtime has in float32 only: a wider difference of fourth order, and 2e-4 in place of 1e-8. */
  readonly dtype?: 'float32' | 'float64';
}

const labels = (x: Value): Value => x.graph.constant('int64', [3], BigInt64Array.of(1n, 0n, 3n));

/** Targets [3, 4] of two values by turns. */
const targets = (x: Value, even: number, odd: number): Value =>
  x.graph.constant(
    'float64',
    [3, 4],
    Float64Array.from({ length: 12 }, (_, i) => ((i + (i >> 2)) % 2 === 0 ? even : odd)),
  );

const CASES: Readonly<Record<string, readonly Case[]>> = {
  dense: [
    { inputs: [[3, 4], [4, 2], [2]], build: (x, w, b) => graph.dense(x!, w!, b) },
    {
      inputs: [
        [3, 4],
        [4, 2],
      ],
      build: (x, w) => graph.dense(x!, w!),
    },
    { inputs: [[3, 4], [2, 4], [2]], build: (x, w, b) => graph.dense(x!, w!, b, { transposed: true }) },
  ],
  embedding: [{ inputs: [[4, 2]], build: (table) => graph.embedding(table!, labels(table!)) }],
  scale: [{ inputs: [[3, 4], [4]], build: (x, gamma) => graph.scale(x!, gamma!) }],
  shift: [
    {
      inputs: [
        [3, 2, 4],
        [2, 4],
      ],
      build: (x, positions) => graph.shift(x!, positions!),
    },
  ],
  add: [
    { inputs: [[3, 2], [2]], build: (a, b) => graph.add(a!, b!) },
    {
      inputs: [
        [3, 1],
        [1, 2],
      ],
      build: (a, b) => graph.add(a!, b!),
    },
    { inputs: [[3]], build: (a) => graph.add(a!, a!) },
  ],
  sub: [{ inputs: [[3, 1], [2]], build: (a, b) => graph.sub(a!, b!) }],
  mul: [
    { inputs: [[3, 2], []], build: (a, b) => graph.mul(a!, b!) },
    { inputs: [[3, 2]], build: (a) => graph.mul(a!, a!) },
  ],
  div: [{ inputs: [[2], [3, 2]], build: (a, b) => graph.div(a!, b!), positive: true }],
  neg: [{ inputs: [[3]], build: (x) => graph.neg(x!) }],
  sqrt: [{ inputs: [[3]], build: (x) => graph.sqrt(x!), positive: true }],
  exp: [{ inputs: [[3]], build: (x) => graph.exp(x!) }],
  log: [{ inputs: [[3]], build: (x) => graph.log(x!), positive: true }],
  relu: [{ inputs: [[3, 4]], build: (x) => graph.relu(x!) }],
  tanh: [{ inputs: [[3]], build: (x) => graph.tanh(x!) }],
  sigmoid: [{ inputs: [[3]], build: (x) => graph.sigmoid(x!) }],
  abs: [{ inputs: [[3, 4]], build: (x) => graph.abs(x!) }],
  reciprocal: [{ inputs: [[3]], build: (x) => graph.reciprocal(x!) }],
  erf: [{ inputs: [[3, 4]], build: (x) => graph.erf(x!), dtype: 'float32' }],
  maximum: [{ inputs: [[3, 2], [2]], build: (a, b) => graph.maximum(a!, b!) }],
  where: [{ inputs: [[3, 2], [2]], build: (a, b) => graph.where(graph.greater(a!, 0), a!, b!) }],
  reduceSum: [
    { inputs: [[3, 2, 2]], build: (x) => graph.reduceSum(x!, [1]) },
    { inputs: [[3, 2]], build: (x) => graph.reduceSum(x!) },
  ],
  reduceMean: [{ inputs: [[3, 2]], build: (x) => graph.reduceMean(x!, [0], true) }],
  reduceSumSquare: [{ inputs: [[3, 2]], build: (x) => graph.reduceSumSquare(x!, [-1]) }],
  reduceMax: [
    { inputs: [[3, 2, 4]], build: (x) => graph.reduceMax(x!, [2]) },
    { inputs: [[3, 2, 4]], build: (x) => graph.reduceMax(x!, [0, 1], true) },
  ],
  reshape: [{ inputs: [[3, 4]], build: (x) => graph.reshape(x!, [2, 6]) }],
  expand: [{ inputs: [[3, 1]], build: (x) => graph.expand(x!, [2, 3, 4]) }],
  transpose: [
    { inputs: [[2, 3, 4]], build: (x) => graph.transpose(x!) },
    { inputs: [[2, 3, 4, 2]], build: (x) => graph.transpose(x!, [2, 0, 3, 1]) },
  ],
  concat: [
    {
      inputs: [
        [2, 3, 2],
        [2, 1, 2],
      ],
      build: (a, b) => graph.concat([a!, b!, a!], 1),
    },
  ],
  slice: [
    { inputs: [[3, 5, 2]], build: (x) => graph.slice(x!, 1, 1, 4) },
    { inputs: [[2, 7, 2]], build: (x) => graph.slice(x!, 1, 1, 6, 2) },
    { inputs: [[2, 8]], build: (x) => graph.slice(x!, -1, 0, 8, 3) },
  ],
  pad: [{ inputs: [[2, 3]], build: (x) => graph.pad(x!, [1, 0], [0, 2]) }],
  gather: [
    { inputs: [[2, 4, 3]], build: (x) => graph.gather(x!, [3, 1, 1, 0], 1) },
    { inputs: [[4, 3]], build: (x) => graph.gather(x!, [3, 0, 2, 1], 0) },
    { inputs: [[3, 2]], build: (x) => graph.gather(x!, { shape: [2, 2], data: [0, 2, 2, 1] }, 0) },
    // One position is read far more often than the others: the gradient takes another way.
    { inputs: [[2, 90]], build: (x) => graph.gather(x!, [7, 7, 7, 7, 7, 7, 3], 1) },
  ],
  pick: [{ inputs: [[3, 4]], build: (x) => graph.pick(x!, labels(x!)) }],
  matmul: [false, true].flatMap((transA) =>
    [false, true].flatMap((transB) =>
      [[], [2], [2, 2]].map(
        (batch): Case => ({
          inputs: [
            [...batch, ...(transA ? [4, 3] : [3, 4])],
            [...batch, ...(transB ? [2, 4] : [4, 2])],
          ],
          build: (a, b) => graph.matmul(a!, b!, { transA, transB, alpha: 0.3 }),
        }),
      ),
    ),
  ),
  addProduct: [
    {
      inputs: [
        [4, 3],
        [4, 2],
        [3, 2],
      ],
      build: (a, b, c) => graph.addProduct(c!, a!, b!, { transA: true }),
    },
    { inputs: [[3, 4], [4, 2], [2]], build: (a, b, c) => graph.addProduct(c!, a!, b!) },
  ],
  softmax: [{ inputs: [[3, 4]], build: (x) => graph.softmax(x!) }],
  logSoftmax: [{ inputs: [[3, 4]], build: (x) => graph.logSoftmax(x!) }],
  unfold2d: [
    { inputs: [[2, 4, 5, 1]], build: (x) => graph.unfold2d(x!, { kernel: [3, 2], stride: 2, padding: 1 }) },
    { inputs: [[2, 5, 4, 2]], build: (x) => graph.unfold2d(x!, { kernel: 2, padding: [1, 0], dilation: 2 }) },
    { inputs: [[1, 4, 4, 4]], build: (x) => graph.unfold2d(x!, { kernel: 2, stride: 2 }) },
    { inputs: [[1, 3, 4, 4]], build: (x) => graph.unfold2d(x!, { kernel: [3, 2] }) },
  ],
  layerNormalize: [
    { inputs: [[3, 5]], build: (x) => graph.layerNormalize(x!) },
    { inputs: [[2, 3, 4]], build: (x) => graph.layerNormalize(x!, 1e-3, 2) },
  ],
  rmsNormalize: [{ inputs: [[3, 5]], build: (x) => graph.rmsNormalize(x!) }],
  groupNormalize: [{ inputs: [[2, 2, 2, 6]], build: (x) => graph.groupNormalize(x!, 3) }],
  multiHeadAttention: [
    {
      inputs: [
        [6, 4],
        [6, 4],
        [6, 4],
      ],
      build: (q, k, v) => graph.multiHeadAttention(q!, k!, v!, { heads: 2, sequence: 3, causal: true }),
    },
    {
      inputs: [
        [6, 2],
        [6, 2],
        [6, 2],
      ],
      build: (q, k, v) =>
        graph.multiHeadAttention(
          q!,
          k!,
          v!,
          { heads: 1, sequence: 3 },
          q!.graph.constant('float64', [2, 3], Float64Array.of(1, 1, 0, 1, 1, 1)),
        ),
    },
  ],
  gelu: [{ inputs: [[3, 4]], build: (x) => graph.gelu(x!), dtype: 'float32' }],
  swish: [
    { inputs: [[3, 4]], build: (x) => graph.silu(x!) },
    { inputs: [[3, 4]], build: (x) => graph.quickGelu(x!), dtype: 'float32' },
    { inputs: [[3, 4]], build: (x) => graph.quickGelu(x!) },
  ],
  hardTanh: [{ inputs: [[3, 4]], build: (x) => graph.hardTanh(x!) }],
  hardSign: [{ inputs: [[3, 4]], build: (x) => graph.hardSign(x!), surrogate: (x) => graph.hardTanh(x!) }],
  sigmoidCrossEntropy: [
    { inputs: [[3, 4]], build: (x) => graph.sigmoidCrossEntropy(x!, targets(x!, 0.1, 0.9)) },
  ],
  infoNce: [
    {
      inputs: [
        [3, 4],
        [3, 4],
      ],
      build: (a, b) => graph.infoNce(a!, b!, 0.7),
    },
  ],
  softmaxCrossEntropy: [{ inputs: [[3, 4]], build: (x) => graph.softmaxCrossEntropy(x!, labels(x!)) }],
  signStraightThrough: [
    { inputs: [[3, 4]], build: (x) => graph.signStraightThrough(x!), surrogate: (x) => graph.mul(x!, 1) },
  ],
  stopGradient: [
    {
      inputs: [[3]],
      build: (x) => graph.mul(x!, graph.stopGradient(graph.add(graph.mul(x!, 0), 2))),
      surrogate: (x) => graph.mul(x!, 2),
    },
  ],
  // Compositions that other parts train through.
  conv2d: [
    {
      inputs: [[2, 4, 4, 2], [8, 3], [3]],
      build: (x, w, b) => graph.conv2d(x!, w!, b!, { kernel: 2, stride: 2, padding: 1 }),
    },
    {
      inputs: [[2, 3, 3, 4], [8, 1], [8, 1], [2]],
      build: (x, w, v, b) => graph.conv2d(x!, [w!, v!], b!, { kernel: 2 }),
    },
  ],
  maxPool2d: [
    { inputs: [[2, 4, 4, 2]], build: (x) => graph.maxPool2d(x!, { kernel: 2 }) },
    { inputs: [[2, 5, 4, 2]], build: (x) => graph.maxPool2d(x!, { kernel: 3, stride: 2, padding: 1 }) },
  ],
  averagePool2d: [
    {
      inputs: [[2, 4, 5, 2]],
      build: (x) => graph.averagePool2d(x!, { kernel: [2, 3], stride: 2, padding: 1 }),
    },
  ],
  globalAveragePool2d: [{ inputs: [[2, 3, 2, 2]], build: (x) => graph.globalAveragePool2d(x!) }],
  leakyRelu: [{ inputs: [[3, 4]], build: (x) => graph.leakyRelu(x!, 0.2) }],
  dropout: [
    {
      inputs: [[2, 3]],
      build: (x) =>
        graph.dropout(x!, x!.graph.constant('float64', [2, 3], Float64Array.of(1, 0, 1, 1, 1, 0)), 0.8),
    },
  ],
  hinge: [{ inputs: [[3, 4]], build: (x) => graph.hinge(x!, targets(x!, -1, 1)) }],
  klDivergence: [{ inputs: [[3, 4]], build: (x) => graph.klDivergence(targets(x!, 0, 0.5), x!) }],
  meanSquaredError: [{ inputs: [[3, 4]], build: (x) => graph.meanSquaredError(x!, targets(x!, 0, 1)) }],
  cosineLoss: [{ inputs: [[3, 4]], build: (x) => graph.cosineLoss(x!, targets(x!, -1, 1)) }],
  cosineLogits: [
    {
      inputs: [
        [3, 4],
        [2, 4],
      ],
      build: (x, prototypes) => graph.cosineLogits(x!, prototypes!, 0.5),
    },
  ],
  batchNormalize: [{ inputs: [[4, 3]], build: (x) => graph.batchNormalize(x!).normalized }],
  cosineSimilarity: [
    {
      inputs: [
        [3, 4],
        [1, 4],
      ],
      build: (a, b) => graph.cosineSimilarity(a!, b!),
    },
  ],
};

/** Magnitudes stay away from 0, where relu and where have a kink. */
const draw = (random: RandomSource, shape: Shape, positive: boolean): Float64Array =>
  Float64Array.from({ length: elements(shape) }, () => {
    const magnitude = 0.2 + 1.3 * random.uniform();
    return positive || random.uniform() < 0.5 ? magnitude : -magnitude;
  });

const declare = (g: GraphBuilder, { inputs, dtype = 'float64' }: Case): Value[] =>
  inputs.map((shape, i) => g.shared(`x${i}`, shape, dtype));

/** Weights of f(x + k h) in the derivative, by k. */
const DIFFERENCE = {
  float64: { h: 1e-5, tolerance: 1e-8, weights: [[1, 1 / 2]] },
  float32: {
    h: 0.05,
    tolerance: 2e-4,
    weights: [
      [1, 2 / 3],
      [2, -1 / 12],
    ],
  },
} as const;

const dot = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Array.from(a).reduce((sum, value, i) => sum + value * b[i]!, 0);

async function check(name: string, item: Case): Promise<void> {
  const random = seededRandom('rules.oracle', name, JSON.stringify(item.inputs));
  const { dtype = 'float64' } = item;
  const backward = new GraphBuilder();
  const inputs = declare(backward, item);
  const output = item.build(...inputs);
  const cotangent = backward.shared('cotangent', output.shape, dtype);
  gradients(output, inputs, cotangent).forEach((g, i) => {
    backward.output(`d${i}`, g);
  });
  const forward = new GraphBuilder();
  forward.output('y', (item.surrogate ?? item.build)(...declare(forward, item)));

  const values = item.inputs.map((shape) => draw(random, shape, item.positive ?? false));
  const weights = draw(random, output.shape, false);
  const typed = (shape: Shape, data: Float64Array): Tensor =>
    dtype === 'float64' ? tensor(dtype, shape, data) : tensor(dtype, shape, Float32Array.from(data));
  const feeds = (model: graph.Model, at: readonly Float64Array[]): Record<string, Tensor> =>
    Object.fromEntries(
      model.inputs.map(({ name, shape }) => [
        name,
        typed(shape, name === 'cotangent' ? weights : at[Number(name.slice(1))]!),
      ]),
    );

  const model = backward.build();
  const backwardSession = await Session.create(model);
  const analytic = await backwardSession.run(feeds(model, values));
  const forwardModel = forward.build();
  const forwardSession = await Session.create(forwardModel);
  const objective = async (at: readonly Float64Array[]): Promise<number> =>
    dot((await forwardSession.run(feeds(forwardModel, at))).y!.data as Float64Array, weights);
  const { h, tolerance, weights: difference } = DIFFERENCE[dtype];
  for (const [i, value] of values.entries()) {
    for (let k = 0; k < value.length; k++) {
      const moved = (by: number): Float64Array[] =>
        values.map((other, j) => (j === i ? other.map((x, at) => (at === k ? x + by : x)) : other));
      let numeric = 0;
      for (const [steps, weight] of difference) {
        numeric +=
          (weight * ((await objective(moved(steps * h))) - (await objective(moved(-steps * h))))) / h;
      }
      const exact = (analytic[`d${i}`]!.data as Float64Array)[k]!;
      assert.ok(
        Math.abs(numeric - exact) <= tolerance * (1 + Math.abs(exact)),
        `${name} input ${i} element ${k}: finite difference ${numeric}, rule ${exact}`,
      );
    }
  }
  await backwardSession.close();
  await forwardSession.close();
}

for (const [op, rule] of Object.entries(RULES)) {
  if ('none' in rule.vjp) {
    const { none } = rule.vjp;
    test(`${op} states why it has no gradient`, () => assert.ok(none.length > 20));
  } else {
    test(`${op} agrees with finite differences`, async () => {
      assert.ok(CASES[op], `the rule table has ${op}: give it a case here`);
      for (const item of CASES[op]) await check(op, item);
    });
  }
}

for (const op of Object.keys(CASES).filter((name) => !Object.hasOwn(RULES, name))) {
  test(`the composition ${op} agrees with finite differences`, async () => {
    for (const item of CASES[op]!) await check(op, item);
  });
}

test('subtractScaled gives the same with and without the fused product', async () => {
  const item = (fused: boolean): Case => ({
    inputs: [[4, 3], [4, 2], [3, 2], []],
    build: (a, b, c, scale) => {
      const product = graph.matmul(a!, b!, { transA: true });
      const x = fused
        ? graph.mul(product, 0.5)
        : graph.reshape(graph.mul(graph.reshape(product, [6]), 0.5), [3, 2]);
      return graph.subtractScaled(c!, x, scale!);
    },
  });
  await check('subtractScaled', item(true));
  await check('subtractScaled', { ...item(false), surrogate: item(true).build });
});

test('a narrow product over many rows takes another way to the same numbers', async () => {
  const random = seededRandom('narrow');
  const g = new GraphBuilder();
  const [a, b] = [g.shared('a', [4096, 3]), g.shared('b', [4096, 2])];
  g.output('narrow', graph.matmul(a, b, { transA: true, alpha: 0.5 }));
  g.output('wide', graph.matmul(graph.transpose(a), b, { alpha: 0.5 }));
  const session = await Session.create(g.build());
  const filled = (shape: Shape): Tensor =>
    tensor('float32', shape, Float32Array.from(draw(random, shape, false)));
  const { narrow, wide } = await session.run({ a: filled([4096, 3]), b: filled([4096, 2]) });
  for (const [i, value] of (narrow!.data as Float32Array).entries()) {
    assert.ok(Math.abs(value - (wide!.data[i] as number)) < 1e-2);
  }
  assert.deepEqual(narrow!.shape, [3, 2]);
  await session.close();
});

test('a gradient through a comparison is refused with the reason', () => {
  const g = new GraphBuilder();
  const x = g.examples('x', [3]);
  assert.throws(
    () => gradients(graph.cast(graph.greater(x, 0), 'float32'), [x]),
    (error) => isError(error, graph.GRAPH.NO_GRADIENT),
  );
});

test('sign is +1 at zero and never 0', async () => {
  const g = new GraphBuilder();
  g.output('y', graph.signStraightThrough(g.examples('x', [4])));
  const session = await Session.create(g.build());
  const { y } = await session.run({ x: tensor('float32', [4], Float32Array.of(-2, -0, 0, 3)) });
  assert.deepEqual([...(y!.data as Float32Array)], [-1, 1, 1, 1]);
  await session.close();
});
