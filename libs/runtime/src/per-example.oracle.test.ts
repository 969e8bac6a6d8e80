import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as graph from '@lethe/graph';
import { clippedGradientSum, GRAPH, GraphBuilder, gradients, mlp, RULES, type Value } from '@lethe/graph';
import { isError, seededRandom } from '@lethe/std';
import { elements, type Shape, type Tensor, tensor } from '@lethe/tensor';
import fc from 'fast-check';
import { Session } from './session.ts';

/**
 * The oracle for ghost norms and clipped sums: the gradient of a batch that holds one subject alone, clipped by hand. Every row of
 * the rule table with a ghost norm needs a layer here.
 */
const LAYERS: Readonly<Record<string, readonly ((x: Value) => { y: Value; parameters: Value[] })[]>> = {
  dense: [
    (x) => {
      const w = x.graph.parameter('w', [x.shape[1]!, 3], x.dtype);
      const b = x.graph.parameter('b', [3], x.dtype);
      return { y: graph.dense(x, w, b), parameters: [w, b] };
    },
    (x) => {
      const w = x.graph.parameter('w', [x.shape[1]!, 3], x.dtype);
      return { y: graph.dense(x, w), parameters: [w] };
    },
    (x) => {
      const { logits, parameters } = mlp(x, { widths: [x.shape[1]!, 5, 4, 3], activation: 'tanh' });
      return { y: logits, parameters: [...parameters] };
    },
  ],
};

type Layer = (typeof LAYERS)[string][number];
type Float = 'float32' | 'float64';

/** Losses of rows: cross-entropy times mask. */
function losses(g: GraphBuilder, layer: Layer, rows: number, features: number, dtype: Float) {
  const x = g.examples('x', [rows, features], dtype);
  const labels = g.examples('labels', [rows], 'int64');
  const mask = g.examples('mask', [rows], dtype);
  const { y, parameters } = layer(x);
  return { losses: graph.mul(graph.softmaxCrossEntropy(y, labels), mask), parameters };
}

const fill = (dtype: Float, shape: Shape, values: readonly number[]): Tensor =>
  dtype === 'float32'
    ? tensor('float32', shape, Float32Array.from(values))
    : tensor('float64', shape, Float64Array.from(values));

const numbers = (value: Tensor | undefined): number[] => Array.from(value!.data as Float64Array);

interface Data {
  readonly x: number[];
  readonly labels: number[];
  readonly mask: number[];
}

async function compare(
  layer: Layer,
  subjects: number,
  m: number,
  dtype: Float,
  seed: string,
  poison?: number,
) {
  const features = 4;
  const rows = subjects * m;
  const clip = 0.4;
  const random = seededRandom('per-example.oracle', seed);
  const signed = (): number => 2 * random.uniform() - 1;
  const data: Data = {
    x: Array.from({ length: rows * features }, signed),
    labels: Array.from({ length: rows }, () => random.below(3)),
    mask: Array.from({ length: rows }, () => (random.uniform() < 0.25 ? 0 : 1)),
  };
  const feeds = (from: number, count: number): Record<string, Tensor> => ({
    x: fill(dtype, [count, features], data.x.slice(from * features, (from + count) * features)),
    labels: tensor('int64', [count], BigInt64Array.from(data.labels.slice(from, from + count), BigInt)),
    mask: fill(dtype, [count], data.mask.slice(from, from + count)),
  });

  const whole = new GraphBuilder();
  const all = losses(whole, layer, rows, features, dtype);
  const clipped = clippedGradientSum(all.losses, all.parameters, { subjects, l2ClipNorm: clip });
  whole.output('norms', clipped.norms);
  clipped.sums.forEach((sum, i) => {
    whole.output(`sum${i}`, sum);
  });
  const single = new GraphBuilder();
  const one = losses(single, layer, m, features, dtype);
  gradients(one.losses, one.parameters).forEach((g, i) => {
    single.output(`g${i}`, g);
  });
  const parameters = Object.fromEntries(
    all.parameters.map(({ name, shape }) => [
      name,
      fill(dtype, shape, Array.from({ length: elements(shape) }, signed)),
    ]),
  );

  const reference = all.parameters.map(({ shape }) => new Array<number>(elements(shape)).fill(0));
  const trueNorms: number[] = [];
  const alone = await Session.create(single.build());
  for (let subject = 0; subject < subjects; subject++) {
    const out = await alone.run({ ...feeds(subject * m, m), ...parameters });
    const parts = all.parameters.map((_, i) => numbers(out[`g${i}`]));
    const norm = Math.hypot(...parts.flat());
    trueNorms.push(norm);
    if (subject === poison) continue;
    const factor = Math.min(1, clip / norm);
    for (const [i, part] of parts.entries()) {
      for (const [k, value] of part.entries()) reference[i]![k]! += factor * value;
    }
  }
  await alone.close();
  if (poison !== undefined)
    data.x[poison * m * features + 1] = poison % 2 === 0 ? Number.NaN : Number.POSITIVE_INFINITY;
  const together = await Session.create(whole.build());
  const out = await together.run({ ...feeds(0, rows), ...parameters });
  await together.close();

  const loose = dtype === 'float32' ? 2e-4 : 1e-12;
  const close = (a: number, b: number, what: string): void =>
    assert.ok(Math.abs(a - b) <= loose * (1 + Math.abs(b)), `${what}: ${a} and ${b}`);
  for (const [subject, norm] of numbers(out.norms).entries()) {
    if (subject === poison) continue;
    const exact = trueNorms[subject]!;
    assert.ok(norm >= exact * (1 - 1e-7), `norm of subject ${subject} is rounded down: ${norm} < ${exact}`);
    if (dtype === 'float64') close(norm, exact, `norm of subject ${subject}`);
  }
  for (const [i, sum] of reference.entries()) {
    for (const [k, value] of numbers(out[`sum${i}`]).entries())
      close(value, sum[k]!, `sum ${i} element ${k}`);
  }
}

for (const [op, rule] of Object.entries(RULES)) {
  if ('none' in rule.ghostNorm) {
    const { none } = rule.ghostNorm;
    test(`${op} states why it has no ghost norm`, () => {
      assert.ok(none.length > 20);
      assert.ok('none' in rule.clippedSum);
    });
  } else {
    for (const m of [1, 4]) {
      test(`${op}: ghost norm and clipped sum equal those of batches of one, ${m} rows a subject`, async () => {
        assert.ok(LAYERS[op], `the rule table has a ghost norm for ${op}: give it a layer here`);
        for (const [i, layer] of LAYERS[op].entries()) {
          for (const dtype of ['float32', 'float64'] as const)
            await compare(layer, 5, m, dtype, `${op}${i}${m}`);
        }
      });
    }
  }
}

test('a subject with NaN or infinity adds exactly nothing', async () => {
  for (const poison of [0, 1]) {
    for (const m of [1, 3]) await compare(LAYERS.dense![2]!, 4, m, 'float64', `poison${m}`, poison);
  }
});

test('any number of subjects and rows', async () => {
  const shapes = fc.record({ subjects: fc.integer({ min: 1, max: 6 }), m: fc.integer({ min: 1, max: 5 }) });
  await fc.assert(
    fc.asyncProperty(shapes, ({ subjects, m }) =>
      compare(LAYERS.dense![2]!, subjects, m, 'float64', `${subjects}x${m}`),
    ),
    { numRuns: 12, seed: 7 },
  );
});

test('the sensitivity of the clipped sum is the clip norm, however large the gradients', async () => {
  const g = new GraphBuilder();
  const { losses: rows, parameters } = losses(g, LAYERS.dense![2]!, 8, 4, 'float32');
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
  'batch normalisation': (x, w) => graph.reduceSum(graph.dense(graph.batchNormalize(x).normalized, w), [1]),
  'products of examples': (x, w) =>
    graph.reduceSum(graph.matmul(graph.dense(x, w), x, { transB: true }), [1]),
  'a reduction over the batch': (x, w) =>
    graph.reduceSum(graph.dense(graph.sub(x, graph.reduceSum(x, [0], true)), w), [1]),
  'broadcast of per-example values along another axis': (x, w) =>
    graph.reduceSum(graph.add(graph.dense(x, w), graph.reduceSum(x, [1])), [1]),
  'a softmax over the batch': (x, w) => graph.softmax(graph.reduceSum(graph.dense(x, w), [1])),
  'a parameter outside of a layer': (x, w) => graph.reduceSum(graph.matmul(x, w), [1]),
  'a parameter that two layers share': (x, w) => graph.reduceSum(graph.dense(graph.dense(x, w), w), [1]),
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
    gradients(build(x, w), [w]);
  });
}
