import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as graph from '@lethe/graph';
import {
  ancestors,
  type ClippingOptions,
  clippedGradientSum,
  GRAPH,
  GraphBuilder,
  gradients,
  mlp,
  RULES,
  type Value,
} from '@lethe/graph';
import { isError, seededRandom } from '@lethe/std';
import { elements, type Shape, type Tensor, tensor } from '@lethe/tensor';
import fc from 'fast-check';
import { Session } from './session.ts';

/**
 * The oracle for norms and clipped sums: the gradient of a batch that holds one subject alone, clipped by hand. Every row of the rule
 * table with per-example rules needs a layer here. A layer maps rows of features [n, 4] and ids [n] (0 to 2) to logits [n, 3].
 */
type Layer = (rows: Rows) => { readonly y: Value; readonly parameters: readonly Value[] };
interface Rows {
  readonly x: Value;
  readonly ids: Value;
  /** Rows of a subject. */
  readonly m: number;
}

const parameter = (x: Value, name: string, ...shape: number[]): Value =>
  x.graph.parameter(name, shape, x.dtype);
/** Whatever the features, three logits of them that no parameter is in. */
const three = (x: Value): Value => {
  const values = Array.from({ length: x.shape[1]! * 3 }, (_, i) => Math.cos(3 * i + 1));
  const mixer =
    x.dtype === 'float64'
      ? x.graph.constant('float64', [x.shape[1]!, 3], Float64Array.from(values))
      : x.graph.constant('float32', [x.shape[1]!, 3], Float32Array.from(values));
  return graph.matmul(graph.tanh(x), mixer);
};

const perceptron: Layer = ({ x }) => {
  const { logits, parameters } = mlp(x, { widths: [x.shape[1]!, 5, 4, 3], activation: 'tanh' });
  return { y: logits, parameters };
};

const LAYERS: Readonly<Record<string, readonly Layer[]>> = {
  dense: [
    ({ x }) => {
      const [w, b] = [parameter(x, 'w', 4, 3), parameter(x, 'b', 3)];
      return { y: graph.dense(x, w, b), parameters: [w, b] };
    },
    ({ x }) => {
      const w = parameter(x, 'w', 3, 4);
      return { y: graph.dense(x, w, undefined, { transposed: true }), parameters: [w] };
    },
    perceptron,
    // Only the bias learns (BiTFiT): the frozen weights have no norm.
    ({ x }) => {
      const [w, b] = [parameter(x, 'w', 4, 3), parameter(x, 'b', 3)];
      return { y: graph.dense(x, w, b), parameters: [b] };
    },
    // LoRA: x w + x a b with w frozen (Hu et al. 2021, equation 3).
    ({ x }) => {
      const [w, a, b] = [parameter(x, 'w', 4, 3), parameter(x, 'a', 4, 2), parameter(x, 'b', 2, 3)];
      return { y: graph.add(graph.dense(x, w), graph.dense(graph.dense(x, a), b)), parameters: [a, b] };
    },
    // One matrix in two layers, as in a recurrent network.
    ({ x }) => {
      const w = parameter(x, 'w', 4, 4);
      return { y: three(graph.dense(graph.tanh(graph.dense(x, w)), w)), parameters: [w] };
    },
    // One matrix in two layers, once transposed (a tied auto-encoder): no ghost rule between them.
    ({ x }) => {
      const w = parameter(x, 'w', 4, 3);
      return {
        y: three(graph.dense(graph.dense(x, w), w, undefined, { transposed: true })),
        parameters: [w],
      };
    },
  ],
  embedding: [
    ({ x, ids }) => {
      const table = parameter(x, 'table', 3, 4);
      return { y: three(graph.mul(graph.embedding(table, ids), x)), parameters: [table] };
    },
    // Tied table: embedding and head.
    ({ x, ids }) => {
      const [table, b] = [parameter(x, 'table', 3, 4), parameter(x, 'b', 3)];
      const hidden = graph.tanh(graph.mul(graph.embedding(table, ids), x));
      return { y: graph.dense(hidden, table, b, { transposed: true }), parameters: [table, b] };
    },
    // The same table for two inputs.
    ({ x, ids }) => {
      const table = parameter(x, 'table', 3, 4);
      const other = graph.embedding(
        table,
        graph.sub(ids.graph.constant('int64', [1], BigInt64Array.of(2n)), ids),
      );
      return { y: three(graph.add(graph.embedding(table, ids), graph.mul(other, x))), parameters: [table] };
    },
  ],
  scale: [
    ({ x }) => {
      const gamma = parameter(x, 'gamma', 4);
      return { y: three(graph.scale(x, gamma)), parameters: [gamma] };
    },
  ],
  shift: [
    ({ x }) => {
      const [gamma, beta] = [parameter(x, 'gamma', 4), parameter(x, 'beta', 4)];
      return { y: three(graph.shift(graph.scale(x, gamma), beta)), parameters: [gamma, beta] };
    },
    // Learned positions [m, 4] on [subjects, m, 4].
    ({ x, m }) => {
      const positions = parameter(x, 'positions', m, 4);
      const sequences = graph.shift(graph.reshape(x, [x.shape[0]! / m, m, 4]), positions);
      return { y: three(graph.reshape(sequences, x.shape)), parameters: [positions] };
    },
  ],
};

type Float = 'float32' | 'float64';

/** Losses of rows: cross-entropy times mask. */
function losses(g: GraphBuilder, layer: Layer, rows: number, m: number, dtype: Float) {
  const x = g.examples('x', [rows, FEATURES], dtype);
  const ids = g.examples('ids', [rows], 'int64');
  const labels = g.examples('labels', [rows], 'int64');
  const mask = g.examples('mask', [rows], dtype);
  const { y, parameters } = layer({ x, ids, m });
  return { losses: graph.mul(graph.softmaxCrossEntropy(y, labels), mask), parameters };
}

const FEATURES = 4;

const fill = (dtype: Float, shape: Shape, values: readonly number[]): Tensor =>
  dtype === 'float32'
    ? tensor('float32', shape, Float32Array.from(values))
    : tensor('float64', shape, Float64Array.from(values));
const whole = (values: readonly number[]): Tensor =>
  tensor('int64', [values.length], BigInt64Array.from(values, BigInt));

const numbers = (value: Tensor | undefined): number[] => Array.from(value!.data as Float64Array);

interface Data {
  readonly x: number[];
  readonly ids: number[];
  readonly labels: number[];
  readonly mask: number[];
}

interface Comparison {
  readonly layer: Layer;
  readonly subjects: number;
  readonly m: number;
  readonly dtype: Float;
  readonly seed: string;
  readonly poison?: number;
  readonly options?: Partial<ClippingOptions>;
}

/** A graph without the inputs that a layer leaves unused. */
async function sessionOf(g: GraphBuilder) {
  const session = await Session.create(g.build());
  const run = (feeds: Record<string, Tensor>): Promise<Record<string, Tensor>> =>
    session.run(
      Object.fromEntries(
        Object.entries(feeds).filter(([name]) => session.inputs.some((port) => port.name === name)),
      ),
    );
  return { run, close: () => session.close() };
}

async function compare({ layer, subjects, m, dtype, seed, poison, options = {} }: Comparison) {
  const rows = subjects * m;
  const clip = 0.4;
  const random = seededRandom('per-example.oracle', seed);
  const signed = (): number => 2 * random.uniform() - 1;
  const data: Data = {
    x: Array.from({ length: rows * FEATURES }, signed),
    ids: Array.from({ length: rows }, () => random.below(3)),
    labels: Array.from({ length: rows }, () => random.below(3)),
    mask: Array.from({ length: rows }, () => (random.uniform() < 0.25 ? 0 : 1)),
  };
  const feeds = (from: number, count: number): Record<string, Tensor> => ({
    x: fill(dtype, [count, FEATURES], data.x.slice(from * FEATURES, (from + count) * FEATURES)),
    ids: whole(data.ids.slice(from, from + count)),
    labels: whole(data.labels.slice(from, from + count)),
    mask: fill(dtype, [count], data.mask.slice(from, from + count)),
  });

  const batch = new GraphBuilder();
  const all = losses(batch, layer, rows, m, dtype);
  const clipped = clippedGradientSum(all.losses, all.parameters, { subjects, l2ClipNorm: clip, ...options });
  batch.output('norms', clipped.norms);
  clipped.sums.forEach((sum, i) => {
    batch.output(`sum${i}`, sum);
  });
  const single = new GraphBuilder();
  const one = losses(single, layer, m, m, dtype);
  gradients(one.losses, one.parameters).forEach((g, i) => {
    single.output(`g${i}`, g);
  });
  const parameters = Object.fromEntries(
    ['w', 'b', 'a', 'table', 'gamma', 'beta', 'positions']
      .flatMap((name) =>
        [...ancestors([all.losses])].filter((value) => value.op === 'parameter' && value.name === name),
      )
      .concat(all.parameters)
      .map(({ name, shape }) => [name, fill(dtype, shape, Array.from({ length: elements(shape) }, signed))]),
  );

  const subjectGradients: number[][][] = [];
  const alone = await sessionOf(single);
  for (let subject = 0; subject < subjects; subject++) {
    const out = await alone.run({ ...feeds(subject * m, m), ...parameters });
    subjectGradients.push(all.parameters.map((_, i) => numbers(out[`g${i}`])));
  }
  await alone.close();
  if (poison !== undefined)
    data.x[poison * m * FEATURES + 1] = poison % 2 === 0 ? Number.NaN : Number.POSITIVE_INFINITY;
  const together = await sessionOf(batch);
  const out = await together.run({ ...feeds(0, rows), ...parameters });
  await together.close();

  const loose = dtype === 'float32' ? 2e-4 : 1e-11;
  const close = (a: number, b: number, what: string): void =>
    assert.ok(Math.abs(a - b) <= loose * (1 + Math.abs(b)), `${what}: ${a} and ${b}`);
  const reference = all.parameters.map(({ shape }) => new Array<number>(elements(shape)).fill(0));
  const groups = options.clipping?.kind === 'per-layer' ? all.parameters.length : 1;
  const share = clip / Math.sqrt(groups);
  const mayRoundUp = clipped.plan.some(({ rule, sum }) => rule === 'ghost' && sum === 'float32');
  for (const [subject, parts] of subjectGradients.entries()) {
    if (subject === poison) continue;
    const exact = Math.hypot(...parts.flat());
    const norm = numbers(out.norms)[subject]!;
    assert.ok(norm >= exact * (1 - 1e-7), `norm of subject ${subject} is rounded down: ${norm} < ${exact}`);
    // Rows that cancel may count for more than their sum where they are summed in float32 (reachMax).
    if (!(m > 1 && mayRoundUp)) close(norm, exact, `norm of subject ${subject}`);
    for (const [i, part] of parts.entries()) {
      const own = groups > 1 ? Math.hypot(...part) : norm;
      const factor = options.clipping?.kind === 'automatic' ? share / (own + 0.01) : Math.min(1, share / own);
      for (const [k, value] of part.entries()) reference[i]![k]! += factor * value;
    }
  }
  for (const [i, sum] of reference.entries()) {
    for (const [k, value] of numbers(out[`sum${i}`]).entries())
      close(value, sum[k]!, `sum ${i} element ${k}`);
  }
  return clipped.plan;
}

for (const [op, { perExample }] of Object.entries(RULES)) {
  if ('none' in perExample) {
    test(`${op} states why it has no per-example rules`, () => {
      assert.ok(perExample.none.length > 20);
    });
    continue;
  }
  for (const m of [1, 4]) {
    for (const norms of ['cheapest', 'ghost', 'instantiated'] as const) {
      test(`${op}: ${norms} norms and clipped sums equal those of batches of one, ${m} rows a subject`, async () => {
        assert.ok(LAYERS[op], `the rule table has per-example rules for ${op}: give it a layer here`);
        for (const [i, layer] of LAYERS[op].entries()) {
          for (const dtype of ['float32', 'float64'] as const)
            await compare({ layer, subjects: 5, m, dtype, seed: `${op}${i}${m}`, options: { norms } });
        }
      });
    }
  }
}

test('a batch whose sum is taken in blocks', async () => {
  for (const layer of [perceptron, LAYERS.embedding![1]!, LAYERS.shift![0]!]) {
    await compare({ layer, subjects: 1_100, m: 1, dtype: 'float32', seed: 'blocks' });
  }
});

test('automatic clipping scales by C / (norm + 0.01)', async () => {
  await compare({
    layer: perceptron,
    subjects: 5,
    m: 2,
    dtype: 'float64',
    seed: 'auto',
    options: { clipping: { kind: 'automatic', stability: 0.01 } },
  });
});

test('per-layer clipping gives each of L layers C / sqrt(L)', async () => {
  const two: Layer = ({ x }) => {
    const [v, w] = [parameter(x, 'a', 4, 4), parameter(x, 'w', 4, 3)];
    return { y: graph.dense(graph.tanh(graph.dense(x, v)), w), parameters: [v, w] };
  };
  await compare({
    layer: two,
    subjects: 5,
    m: 2,
    dtype: 'float64',
    seed: 'per-layer',
    options: { clipping: { kind: 'per-layer' } },
  });
});

test('the cheaper rule is chosen, and says why', async () => {
  const planned = async (norms: ClippingOptions['norms'], m: number) =>
    (
      await compare({
        layer: LAYERS.embedding![1]!,
        subjects: 2,
        m,
        dtype: 'float64',
        seed: 'plan',
        options: norms ? { norms } : {},
      })
    )[0]!;
  assert.equal((await planned('ghost', 2)).rule, 'ghost');
  assert.deepEqual((await planned(undefined, 64)).layers, ['embedding', 'dense']);
  assert.equal((await planned(undefined, 64)).rule, 'instantiated');
  assert.match((await planned(undefined, 64)).reason, /128 rows/);
  const tiedBothWays = await compare({
    layer: LAYERS.dense![6]!,
    subjects: 2,
    m: 2,
    dtype: 'float64',
    seed: 'plan',
    options: { norms: 'ghost' },
  });
  assert.match(tiedBothWays[0]!.reason, /different kinds share it/);
});

test('a subject with NaN or infinity adds exactly nothing', async () => {
  for (const poison of [0, 1]) {
    for (const m of [1, 3]) {
      for (const norms of ['ghost', 'instantiated'] as const)
        await compare({
          layer: perceptron,
          subjects: 4,
          m,
          dtype: 'float64',
          seed: `poison${m}`,
          poison,
          options: { norms },
        });
    }
  }
});

test('any number of subjects and rows', async () => {
  const shapes = fc.record({ subjects: fc.integer({ min: 1, max: 6 }), m: fc.integer({ min: 1, max: 5 }) });
  await fc.assert(
    fc.asyncProperty(shapes, async ({ subjects, m }) => {
      await compare({ layer: perceptron, subjects, m, dtype: 'float64', seed: `${subjects}x${m}` });
    }),
    { numRuns: 12, seed: 7 },
  );
});

test('the sensitivity of the clipped sum is the clip norm, however large the gradients', async () => {
  const g = new GraphBuilder();
  const { losses: rows, parameters } = losses(g, perceptron, 8, 4, 'float32');
  const { sums } = clippedGradientSum(rows, parameters, { subjects: 2, l2ClipNorm: 0.1 });
  sums.forEach((sum, i) => {
    g.output(`sum${i}`, sum);
  });
  const session = await Session.create(g.build());
  const random = seededRandom('sensitivity');
  const normal = (scale: number) => (): number => scale * (2 * random.uniform() - 1);
  let worst = 0;
  for (let trial = 0; trial < 300; trial++) {
    const scale = 10 ** (4 * random.uniform() - 1);
    const weights = Object.fromEntries(
      parameters.map(({ name, shape }) => [
        name,
        fill('float32', shape, Array.from({ length: elements(shape) }, normal(scale))),
      ]),
    );
    const x = Array.from({ length: 32 }, normal(scale));
    const labels = tensor(
      'int64',
      [8],
      BigInt64Array.from({ length: 8 }, () => BigInt(random.below(3))),
    );
    const run = async (mask: readonly number[]): Promise<number[]> => {
      const out = await session.run({
        ...weights,
        x: fill('float32', [8, 4], x),
        labels,
        mask: fill('float32', [8], mask),
      });
      return sums.flatMap((_, i) => numbers(out[`sum${i}`]));
    };
    const both = await run([1, 1, 1, 1, 1, 1, 1, 1]);
    const without = await run([1, 1, 1, 1, 0, 0, 0, 0]);
    worst = Math.max(worst, Math.hypot(...both.map((value, i) => value - without[i]!)) / 0.1);
  }
  await session.close();
  assert.ok(worst <= 1 + 1e-6, `a subject moved the sum by ${worst} clip norms`);
  assert.ok(worst >= 0.99, `no trial was clipped: ${worst}`);
});

const refused: Readonly<Record<string, (x: Value, w: Value) => Value>> = {
  'a composite whose body mixes': (x, w) => {
    const mean = graph.sub(x, graph.reduceMean(x, [0], true));
    return graph.reduceSum(graph.dense(x.graph.composite('signStraightThrough', [x], mean), w), [1]);
  },
  'batch normalisation': (x, w) => graph.reduceSum(graph.dense(graph.batchNormalize(x).normalized, w), [1]),
  'products of examples': (x, w) =>
    graph.reduceSum(graph.matmul(graph.dense(x, w), x, { transB: true }), [1]),
  'a reduction over the batch': (x, w) =>
    graph.reduceSum(graph.dense(graph.sub(x, graph.reduceSum(x, [0], true)), w), [1]),
  'broadcast of per-example values along another axis': (x, w) =>
    graph.reduceSum(graph.add(graph.dense(x, w), graph.reduceSum(x, [1])), [1]),
  'a softmax over the batch': (x, w) => graph.softmax(graph.reduceSum(graph.dense(x, w), [1])),
  'a parameter outside of a layer': (x, w) => graph.reduceSum(graph.matmul(x, w), [1]),
  'a layer on values that are the same for all examples': (x, w) =>
    graph.reduceSum(
      graph.mul(x, graph.dense(x.graph.constant('float32', [4, 4], new Float32Array(16)), w)),
      [1],
    ),
  'weights that are computed from parameters': (x, w) =>
    graph.reduceSum(graph.dense(x, graph.mul(w, 2)), [1]),
  'inputs whose first axis counts something else': (x, w) =>
    graph.reduceSum(graph.mul(graph.dense(x, w), x.graph.examples('row', [1, 4])), [1]),
};

for (const [name, build] of Object.entries(refused)) {
  test(`per-example norms are refused for ${name}`, () => {
    const g = new GraphBuilder();
    const x = g.examples('x', [4, 4]);
    const w = g.parameter('w', [4, 4]);
    assert.throws(
      () => clippedGradientSum(build(x, w), [w], { subjects: 4, l2ClipNorm: 1 }),
      (error) => isError(error, GRAPH.NO_PER_EXAMPLE_RULE),
    );
    const again = new GraphBuilder();
    const parameter = again.parameter('w', [4, 4]);
    gradients(build(again.examples('x', [4, 4]), parameter), [parameter]);
  });
}

test('an id from the end, or outside of the table, is one row to every rule and stays within its subject', async () => {
  for (const norms of ['ghost', 'instantiated'] as const) {
    const g = new GraphBuilder();
    const ids = g.examples('ids', [6], 'int64');
    const table = g.parameter('table', [4, 3]);
    const losses = graph.reduceSum(graph.mul(graph.embedding(table, ids), g.examples('x', [6, 3])), [1]);
    const { sums } = clippedGradientSum(losses, [table], { subjects: 2, l2ClipNorm: 0.5, norms });
    g.output('sum', sums[0]!);
    const session = await Session.create(g.build());
    const run = async (own: readonly number[]): Promise<number[]> => {
      const out = await session.run({
        ids: whole([...own, 1, 1, 2]),
        x: fill(
          'float32',
          [6, 3],
          Array.from({ length: 18 }, (_, i) => (i < 9 ? 1 : 0)),
        ),
      });
      return numbers(out.sum);
    };
    for (const [odd, even] of [
      [
        [-1, 3, -1],
        [3, 3, 3],
      ],
      [
        [-9, 0, 2],
        [0, 0, 2],
      ],
      [
        [99, 3, 1],
        [3, 3, 1],
      ],
    ] as const) {
      const sum = await run(odd);
      assert.deepEqual(sum, await run(even), `${norms}: ids ${odd}`);
      assert.ok(Math.hypot(...sum) <= 0.5 && Math.hypot(...sum) > 0.49);
    }
    await session.close();
  }
});

test('a parameter counts by its uses that reach the losses', () => {
  const g = new GraphBuilder();
  const x = g.examples('x', [4, 4]);
  const w = g.parameter('w', [4, 4]);
  const hidden = graph.add(graph.dense(x, w), graph.stopGradient(graph.dense(graph.tanh(x), w)));
  const { plan } = clippedGradientSum(graph.reduceSum(hidden, [1]), [w], { subjects: 4, l2ClipNorm: 1 });
  assert.deepEqual(
    plan.map(({ layers }) => layers),
    [['dense']],
  );
  assert.throws(
    () =>
      clippedGradientSum(graph.reduceSum(graph.stopGradient(graph.dense(x, w)), [1]), [w], {
        subjects: 4,
        l2ClipNorm: 1,
      }),
    (error) => isError(error, GRAPH.UNREACHABLE),
  );
});

test('a reduction over no axes is none', () => {
  const g = new GraphBuilder();
  const x = g.examples('x', [4, 4]);
  for (const reduce of [graph.reduceSum, graph.reduceMean, graph.reduceMax]) assert.equal(reduce(x, []), x);
  assert.equal(graph.reduceSumSquare(x, []), graph.mul(x, x));
});

test('many parameters: the contribution stays below the clip norm', async () => {
  const g = new GraphBuilder();
  const parameters = Array.from({ length: 400 }, (_, i) => g.parameter(`p${i}`, [1]));
  let y = g.examples('x', [1, 1]);
  const seen: Value[] = [];
  for (const parameter of parameters) seen.push(graph.scale(y, parameter));
  y = seen.reduce((sum, each) => graph.add(sum, each));
  const { sums } = clippedGradientSum(graph.reduceSum(y, [1]), parameters, { subjects: 1, l2ClipNorm: 1 });
  sums.forEach((sum, i) => {
    g.output(`sum${i}`, sum);
  });
  const session = await Session.create(g.build());
  const random = seededRandom('many');
  for (let trial = 0; trial < 20; trial++) {
    const feeds = Object.fromEntries(
      session.inputs.map(({ name, shape }) => [name, fill('float32', shape, [1 + random.uniform()])]),
    );
    const out = await session.run(feeds);
    const norm = Math.hypot(...sums.flatMap((_, i) => numbers(out[`sum${i}`])));
    assert.ok(norm <= 1 && norm > 0.999, `${norm}`);
  }
  await session.close();
});
