import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isError } from '@lethe/std';
import * as graph from './index.ts';
import { GRAPH, GraphBuilder, type Value } from './index.ts';

/**
 * What treats each example on its own, and what is refused. An operation that is wrongly let through would break the bound on every
 * subject's contribution, so whatever moves, cuts, joins or multiplies along the first axis has a line here.
 */
const N = 6;

/** A model of 6 examples with a layer in front and `through` behind it. */
function clipped(through: (x: Value) => Value, subjects = N): void {
  const g = new GraphBuilder();
  const w = g.parameter('w', [4, 4]);
  const y = through(graph.dense(g.examples('x', [N, 4]), w));
  const losses =
    y.shape.length === 1
      ? y
      : graph.reduceSum(
          y,
          Array.from({ length: y.shape.length - 1 }, (_, i) => i + 1),
        );
  graph.clippedGradientSum(losses, [w], { subjects, l2ClipNorm: 1 });
}

const allowed: readonly (readonly [string, (x: Value) => Value, number?])[] = [
  ['transpose that keeps the first axis', (x) => graph.transpose(graph.reshape(x, [N, 2, 2]), [0, 2, 1])],
  ['concat of channels', (x) => graph.concat([x, x], 1)],
  ['slice of channels', (x) => graph.slice(x, 1, 1, 3)],
  ['pad of channels', (x) => graph.pad(x, [0, 1], [0, 1])],
  ['gather of channels', (x) => graph.gather(x, [3, 3, 0], 1)],
  ['gather of rows inside of each subject', (x) => graph.gather(x, [1, 0, 3, 3, 5, 4], 0), 3],
  ['product for each example', (x) => graph.matmul(graph.reshape(x, [N, 2, 2]), graph.reshape(x, [N, 2, 2]))],
  ['layer normalisation', (x) => graph.layerNormalize(x)],
  ['group normalisation', (x) => graph.groupNormalize(graph.reshape(x, [N, 1, 1, 4]), 2)],
  ['pooling', (x) => graph.maxPool2d(graph.reshape(x, [N, 2, 2, 1]), { kernel: 2 })],
  [
    'unfolding',
    (x) => graph.reshape(graph.unfold2d(graph.reshape(x, [N, 2, 2, 1]), { kernel: 2, padding: 1 }), [N, 36]),
  ],
  [
    'attention inside of each subject',
    (x) => graph.multiHeadAttention(x, x, x, { heads: 2, sequence: 2 }),
    3,
  ],
  ['activations', (x) => graph.hardTanh(graph.silu(graph.gelu(x)))],
  ['a proxy loss', (x) => graph.cosineLogits(x, x.graph.shared('prototypes', [3, 4]))],
];

const refused: readonly (readonly [string, RegExp, (x: Value) => Value, number?])[] = [
  [
    'transpose that moves the example axis',
    /moves the example axis/,
    (x) => graph.transpose(graph.matmul(x, x.graph.shared('v', [4, N]))),
  ],
  ['concat of examples', /joins values along the example axis/, (x) => graph.concat([x, x], 0)],
  ['slice of examples', /cuts the example axis|first axis/, (x) => graph.slice(x, 0, 0, 3), 3],
  [
    'shift of the examples by one',
    /cuts the example axis|first axis/,
    (x) => graph.concat([graph.slice(x, 0, 1, 6), graph.slice(x, 0, 0, 1)], 0),
  ],
  ['pad of examples', /pads the example axis/, (x) => graph.pad(x, [0, 0], [6, 0])],
  [
    'gather that reverses the examples',
    /reads rows of other examples/,
    (x) => graph.gather(x, [5, 4, 3, 2, 1, 0], 0),
  ],
  [
    'gather of rows across subjects',
    /reads rows of other examples/,
    (x) => graph.gather(x, [0, 2, 1, 3, 4, 5], 0),
    3,
  ],
  ['maximum over examples', /reduces over the examples/, (x) => graph.sub(x, graph.reduceMax(x, [0], true))],
  [
    'addend as long as the batch',
    /multiplies examples/,
    (x) => graph.addProduct(graph.reduceSum(x, [1]), x, x.graph.shared('v', [4, N])),
  ],
  [
    'attention across examples',
    /first axis does not count subjects/,
    (x) => graph.multiHeadAttention(x, x, x, { heads: 2, sequence: 2 }),
  ],
  [
    'attention whose sequences cut subjects',
    /first axis does not count subjects/,
    (x) => graph.multiHeadAttention(x, x, x, { heads: 2, sequence: 3 }),
    3,
  ],
  ['batch normalisation', /reduces over the examples/, (x) => graph.batchNormalize(x).normalized],
  ['contrast inside the batch', /proxy loss/, (x) => graph.infoNce(x, x)],
  [
    'labels as long as the batch, on the wrong axis',
    /broadcasts/,
    (x) => {
      const wide = graph.matmul(x, x.graph.shared('v', [4, N]));
      return graph.mul(wide, x.graph.examples('weights', [N]));
    },
  ],
];

for (const [name, through, subjects] of allowed) {
  test(`${name} treats each example on its own`, () => clipped(through, subjects));
}

for (const [name, reason, through, subjects] of refused) {
  test(`${name} is refused with the reason`, () => {
    assert.throws(
      () => clipped(through, subjects),
      (error) => isError(error, GRAPH.NO_PER_EXAMPLE_RULE) && reason.test((error as Error).message),
    );
  });
}

test('a composite whose body reads examples that are no input of it is refused', () => {
  assert.throws(
    () =>
      clipped((x) => {
        const hidden = x.graph.examples('hidden', [N, 4]);
        return x.graph.composite('hardSign', [x], graph.add(x, hidden));
      }),
    /no input of it/,
  );
});

test('an error of shapes says in which layer it arose', () => {
  const g = new GraphBuilder();
  const x = g.examples('x', [2, 5, 5, 1]);
  assert.throws(
    () => g.scope('block0', () => g.scope('conv1', () => graph.unfold2d(x, { kernel: 8 }))),
    /block0\.conv1: unfold2d: kernel 8, stride 1, padding 0, dilation 1 does not fit \[2, 5, 5, 1\]/,
  );
  assert.throws(
    () => graph.cnn(g.examples('small', [2, 9, 9, 1]), { ...graph.cnnSpec, picture: [9, 9, 1] }),
    (error) => isError(error, GRAPH.SHAPE_DISAGREES) && /conv1: conv2d/.test((error as Error).message),
  );
});

test('what mixes examples is refused with the layer that it is in', () => {
  assert.throws(
    () => clipped((x) => x.graph.scope('block1', () => graph.batchNormalize(x).normalized)),
    /block1: reduceMean has no per-example norm/,
  );
});

test('models declare the parameters that they list', () => {
  const names = (values: readonly Value[]): unknown => values.map(({ name, shape }) => ({ name, shape }));
  const listed = (
    parameters: readonly { readonly name: string; readonly shape: readonly number[] }[],
  ): unknown => parameters.map(({ name, shape }) => ({ name, shape }));
  const size = (parameters: readonly { readonly shape: readonly number[] }[]): number =>
    parameters.reduce((sum, { shape }) => sum + shape.reduce((product, each) => product * each, 1), 0);

  const pictures = graph.cnn(new GraphBuilder().examples('x', [2, 784]), graph.cnnSpec);
  assert.deepEqual(names(pictures.parameters), listed(graph.cnnParameters(graph.cnnSpec)));
  assert.equal(size(pictures.parameters), 26_010);

  const spec = {
    ...graph.transformerSpec,
    tied: true,
    lora: { rank: 4, alpha: 8, on: ['q', 'v'] as const },
    keep: 0.9,
  };
  const model = graph.transformer(new GraphBuilder().examples('ids', [128], 'int64'), spec);
  const declared = graph.transformerParameters(spec);
  assert.deepEqual(names(model.parameters), listed(declared.filter(({ frozen }) => !frozen)));
  assert.deepEqual(names(model.frozen), listed(declared.filter(({ frozen }) => frozen)));
  assert.equal(size(model.parameters), 2 * 2 * 4 * (128 + 128));
});

test('a model may stand inside of a scope', () => {
  const g = new GraphBuilder();
  const ids = g.examples('ids', [64], 'int64');
  const { parameters } = g.scope('student', () => graph.transformer(ids, graph.transformerSpec));
  assert.equal(parameters[0]!.name, 'student.tokens.table');
});

test('the models have per-example rules: pictures, sequences, tied weights, LoRA', () => {
  const g = new GraphBuilder();
  const pictures = graph.cnn(g.examples('x', [4, 784]), graph.cnnSpec);
  const losses = graph.softmaxCrossEntropy(pictures.logits, g.examples('labels', [4], 'int64'));
  graph.clippedGradientSum(losses, pictures.parameters, { subjects: 4, l2ClipNorm: 1 });
  for (const change of [
    {},
    { tied: true },
    { lora: { rank: 2, alpha: 4, on: ['q', 'up'] as const }, keep: 0.5 },
  ]) {
    const h = new GraphBuilder();
    const model = graph.transformer(h.examples('ids', [128], 'int64'), {
      ...graph.transformerSpec,
      ...change,
    });
    const tokens = graph.softmaxCrossEntropy(model.logits, h.examples('next', [128], 'int64'));
    graph.clippedGradientSum(tokens, model.parameters, { subjects: 2, l2ClipNorm: 1 });
  }
});
