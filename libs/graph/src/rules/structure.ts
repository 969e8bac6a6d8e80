import type { Value } from '../builder.ts';
import {
  cast,
  div,
  equal,
  expand,
  matmul,
  mul,
  reduceSum,
  reshape,
  softmax,
  sub,
  transpose,
  transposed,
} from '../ops.ts';
import { sumTo } from './elementwise.ts';
import type { Mixes, Vjp } from './rule.ts';

/** Rules of operations that move, reduce or multiply axes. */

/** Axes of a reduction, from its second input. */
const axesOf = (node: Value): readonly number[] => {
  const { source } = node.inputs[1]!;
  return source.kind === 'constant' ? Array.from(source.tensor.data as BigInt64Array, Number) : [];
};

/** Puts reduced axes back with size 1 and repeats along them. */
function restore(node: Value, g: Value): Value {
  const { shape } = node.inputs[0]!;
  const axes = axesOf(node);
  return expand(
    reshape(
      g,
      shape.map((size, axis) => (axes.includes(axis) ? 1 : size)),
    ),
    shape,
  );
}

const count = (node: Value): number =>
  axesOf(node).reduce((product, axis) => product * node.inputs[0]!.shape[axis]!, 1);

export const reduceSumVjp: Vjp = (node, g) => [restore(node, g), undefined];
export const reduceMeanVjp: Vjp = (node, g) => [mul(restore(node, g), 1 / count(node)), undefined];
export const reduceSumSquareVjp: Vjp = (node, g) => [
  mul(restore(node, g), mul(node.inputs[0]!, 2)),
  undefined,
];

export const reduceMaxVjp: Vjp = (node, g) => {
  const x = node.inputs[0]!;
  const largest = cast(equal(x, restore(node, node)), g.dtype);
  return [
    mul(
      largest,
      restore(node, div(g, reduceSum(largest, axesOf(node), node.shape.length === x.shape.length))),
    ),
    undefined,
  ];
};

export const reduceMixes: Mixes = (node) =>
  axesOf(node).includes(0) || axesOf(node).length === 0
    ? 'reduces over the examples of the batch'
    : undefined;

export const reshapeVjp: Vjp = (node, g) => [reshape(g, node.inputs[0]!.shape), undefined];

/** Row-major order keeps a subject's elements together as long as the first axis counts subjects or their rows. */
export const reshapeMixes: Mixes = (node, _depends, subjects) =>
  node.inputs[0]!.shape[0]! % subjects === 0 && node.shape[0]! % subjects === 0
    ? undefined
    : 'its first axis does not count subjects or their rows';

export const expandVjp: Vjp = (node, g) => [sumTo(g, node.inputs[0]!.shape), undefined];

const orderOf = (node: Value): readonly number[] => {
  const { perm } = node.attributes;
  return perm && 'ints' in perm ? perm.ints : [];
};

export const transposeVjp: Vjp = (node, g) => {
  const order = orderOf(node);
  return [
    transpose(
      g,
      order.map((_, axis) => order.indexOf(axis)),
    ),
  ];
};
export const transposeMixes: Mixes = (node) =>
  orderOf(node)[0] === 0 ? undefined : 'moves the example axis';

export const matmulVjp: Vjp = (node, g) => {
  const [a, b] = node.inputs as [Value, Value];
  const { transA, transB, alpha } = transposed(node);
  return [
    transA ? matmul(b, g, { transA: transB, transB: true, alpha }) : matmul(g, b, { transB: !transB, alpha }),
    transB ? matmul(g, a, { transA: true, transB: transA, alpha }) : matmul(a, g, { transA: !transA, alpha }),
  ];
};

export const addProduct: Vjp = (node, g) => [...matmulVjp(node, g), sumTo(g, node.inputs[2]!.shape)];

export const matmulMixes: Mixes = (node, [, right, addend]) => {
  // From rank 3 on the first axis of both operands and of the product is the same: one product for each of its elements.
  if (node.shape.length >= 3) return undefined;
  const moved = transposed(node).transA;
  const aligned =
    !addend || (node.inputs[2]!.shape.length === 2 && node.inputs[2]!.shape[0] === node.shape[0]);
  return moved || right || !aligned ? 'multiplies examples with each other' : undefined;
};

/** d softmax: y (g - sum(g y)), over the last axis. */
export const softmaxVjp: Vjp = (y, g) => {
  const along = [y.shape.length - 1];
  return [mul(y, sub(g, reduceSum(mul(g, y), along, true)))];
};

export const logSoftmaxVjp: Vjp = (node, g) => {
  const along = [node.shape.length - 1];
  return [sub(g, mul(softmax(node.inputs[0]!), reduceSum(g, along, true)))];
};

export const lastAxisMixes: Mixes = (node) =>
  node.shape.length < 2 ? 'normalises over the example axis' : undefined;
