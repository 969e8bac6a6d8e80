import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bytesOf, hex, isError } from '@lethe/std';
import {
  add,
  dense,
  GRAPH,
  GraphBuilder,
  gradients,
  matmul,
  mlp,
  mul,
  reduceSum,
  relu,
  reshape,
  softmaxCrossEntropy,
} from './index.ts';

const refuses = (
  kind: { readonly spec: (typeof GRAPH)['NO_GRADIENT']['spec'] },
  build: () => unknown,
): void => assert.throws(build, (error) => isError(error, kind));

test('shapes and dtypes that disagree are refused when the graph is built', () => {
  const g = new GraphBuilder();
  const x = g.examples('x', [4, 3]);
  refuses(GRAPH.SHAPE_DISAGREES, () => dense(x, g.parameter('w', [4, 2])));
  refuses(GRAPH.SHAPE_DISAGREES, () => dense(x, g.parameter('w2', [3, 2]), g.parameter('b2', [3])));
  refuses(GRAPH.SHAPE_DISAGREES, () => matmul(x, x));
  refuses(GRAPH.SHAPE_DISAGREES, () => add(x, g.shared('y', [2])));
  refuses(GRAPH.SHAPE_DISAGREES, () => reshape(x, [5, 3]));
  refuses(GRAPH.SHAPE_DISAGREES, () => softmaxCrossEntropy(x, g.examples('few', [3], 'int64')));
  refuses(GRAPH.DTYPE_DISAGREES, () => add(x, g.examples('whole', [4, 3], 'int64')));
  refuses(GRAPH.DTYPE_DISAGREES, () => softmaxCrossEntropy(x, g.examples('floats', [4])));
  refuses(GRAPH.NAME_TAKEN, () => g.parameter('x', [1]));
  refuses(GRAPH.UNREACHABLE, () => gradients(reduceSum(x), [g.parameter('unused', [1])]));
});

test('equal nodes are built once, and what no output needs is left out', () => {
  const g = new GraphBuilder();
  const x = g.examples('x', [4, 3]);
  assert.equal(relu(mul(x, 2)), relu(mul(x, 2)));
  assert.notEqual(relu(mul(x, 2)), relu(mul(x, 3)));
  g.examples('unused', [4]);
  g.output('y', relu(x));
  const model = g.build();
  assert.deepEqual(
    model.inputs.map(({ name }) => name),
    ['x'],
  );
  assert.deepEqual(model.outputs, [{ name: 'y', dtype: 'float32', shape: [4, 3] }]);
});

test('the same program gives the same bytes', () => {
  const build = (): string => {
    const g = new GraphBuilder();
    g.output('logits', mlp(g.examples('x', [8, 5]), { widths: [5, 4, 3], activation: 'relu' }).logits);
    return hex(bytesOf(g.build().bytes));
  };
  assert.equal(build(), build());
});
