import { type DType, elements, type Shape, sameShape, shapeText } from '@lethe/tensor';
import type { Operator, Value } from './builder.ts';
import { GRAPH } from './errors.ts';
import { ONNX_DTYPE } from './onnx.ts';

/**
 * Constructors of ONNX operators, one a function. Each checks shapes and dtypes and names its row of the rule table.
 * Where an operand may be a number it becomes a scalar constant of the other operand's dtype. Elementwise operators
 * broadcast as numpy does.
 */

const disagree = (op: string, ...values: readonly Value[]): Error =>
  GRAPH.SHAPE_DISAGREES(`${op} cannot take ${values.map((value) => shapeText(value.shape)).join(' and ')}`, {
    details: { op, shapes: values.map((value) => shapeText(value.shape)).join(' ') },
  });

/** One operator of the graph that its first input belongs to. */
const operator = (spec: Operator): Value => spec.inputs[0]!.graph.operator(spec);

const integers = (value: Value, items: readonly number[]): Value =>
  value.graph.constant('int64', [items.length], BigInt64Array.from(items, BigInt));

/** The shape that two shapes broadcast to, or undefined. */
function broadcast(a: Shape, b: Shape): Shape | undefined {
  const rank = Math.max(a.length, b.length);
  const out: number[] = [];
  for (let axis = 0; axis < rank; axis++) {
    const left = a[a.length - rank + axis] ?? 1;
    const right = b[b.length - rank + axis] ?? 1;
    if (left !== right && left !== 1 && right !== 1) return undefined;
    out.push(left === 1 ? right : left);
  }
  return out;
}

type Operand = Value | number;

function pair(op: string, a: Operand, b: Operand): [Value, Value] {
  const known = typeof a === 'number' ? b : a;
  if (typeof known === 'number') throw GRAPH.SHAPE_DISAGREES(`${op} of two numbers is not a graph`);
  const lift = (operand: Operand): Value =>
    typeof operand === 'number' ? known.graph.number(operand, known.dtype) : operand;
  return [lift(a), lift(b)];
}

const elementwise =
  (op: string, type: string, result?: DType) =>
  (a: Operand, b: Operand): Value => {
    const inputs = pair(op, a, b);
    const shape = broadcast(inputs[0].shape, inputs[1].shape);
    if (!shape) throw disagree(op, ...inputs);
    if (inputs[0].dtype !== inputs[1].dtype) {
      throw GRAPH.DTYPE_DISAGREES(`${op} cannot take ${inputs[0].dtype} and ${inputs[1].dtype}`);
    }
    return operator({ op, type, inputs, shape, dtype: result ?? inputs[0].dtype });
  };

const unary =
  (op: string, type: string) =>
  (x: Value): Value =>
    operator({ op, type, inputs: [x], shape: x.shape });

export const add = elementwise('add', 'Add');
export const sub = elementwise('sub', 'Sub');
export const mul = elementwise('mul', 'Mul');
export const div = elementwise('div', 'Div');
export const minimum = elementwise('minimum', 'Min');
export const less = elementwise('less', 'Less', 'bool');
export const greater = elementwise('greater', 'Greater', 'bool');
export const greaterOrEqual = elementwise('greaterOrEqual', 'GreaterOrEqual', 'bool');
export const equal = elementwise('equal', 'Equal', 'bool');

export const neg = unary('neg', 'Neg');
export const sqrt = unary('sqrt', 'Sqrt');
export const exp = unary('exp', 'Exp');
export const log = unary('log', 'Log');
export const relu = unary('relu', 'Relu');
export const tanh = unary('tanh', 'Tanh');
export const sigmoid = unary('sigmoid', 'Sigmoid');
/** The same value; no gradient flows back through it. */
export const stopGradient = unary('stopGradient', 'Identity');

/** Softmax over the last axis. */
export const softmax = unary('softmax', 'Softmax');
/** Logarithm of the softmax over the last axis. */
export const logSoftmax = unary('logSoftmax', 'LogSoftmax');

/** `condition ? a : b` elementwise, with broadcasting. */
export function where(condition: Value, a: Operand, b: Operand): Value {
  const [yes, no] = pair('where', a, b);
  const both = broadcast(yes.shape, no.shape);
  const shape = both && broadcast(condition.shape, both);
  if (!shape) throw disagree('where', condition, yes, no);
  return operator({ op: 'where', type: 'Where', inputs: [condition, yes, no], shape, dtype: yes.dtype });
}

export const cast = (x: Value, dtype: DType): Value =>
  operator({
    op: 'cast',
    type: 'Cast',
    inputs: [x],
    attributes: { to: { int: ONNX_DTYPE[dtype] } },
    shape: x.shape,
    dtype,
  });

const reduce =
  (op: string, type: string) =>
  (x: Value, axes: readonly number[] = x.shape.map((_, axis) => axis), keepDims = false): Value => {
    const whole = axes.map((axis) => (axis < 0 ? axis + x.shape.length : axis));
    if (whole.some((axis) => axis < 0 || axis >= x.shape.length)) throw disagree(op, x);
    const shape = keepDims
      ? x.shape.map((size, axis) => (whole.includes(axis) ? 1 : size))
      : x.shape.filter((_, axis) => !whole.includes(axis));
    const inputs = [x, integers(x, whole)];
    return operator({ op, type, inputs, attributes: { keepdims: { int: keepDims ? 1 : 0 } }, shape });
  };

/** Sum over the axes (all of them when absent). */
export const reduceSum = reduce('reduceSum', 'ReduceSum');
/** Mean over the axes (all of them when absent). */
export const reduceMean = reduce('reduceMean', 'ReduceMean');
/** Sum of squares over the axes (all of them when absent). */
export const reduceSumSquare = reduce('reduceSumSquare', 'ReduceSumSquare');

/** The same elements in row-major order under another shape. */
export function reshape(x: Value, shape: Shape): Value {
  if (elements(shape) !== elements(x.shape)) {
    throw GRAPH.SHAPE_DISAGREES(`reshape cannot make ${shapeText(shape)} of ${shapeText(x.shape)}`);
  }
  if (sameShape(shape, x.shape)) return x;
  return operator({ op: 'reshape', type: 'Reshape', inputs: [x, integers(x, shape)], shape });
}

/** Repeats along axes of size 1 (and missing leading axes) up to `shape`. */
export function expand(x: Value, shape: Shape): Value {
  const wide = broadcast(x.shape, shape);
  if (!wide || !sameShape(wide, shape)) {
    throw GRAPH.SHAPE_DISAGREES(`expand cannot make ${shapeText(shape)} of ${shapeText(x.shape)}`);
  }
  if (sameShape(shape, x.shape)) return x;
  return operator({ op: 'expand', type: 'Expand', inputs: [x, integers(x, shape)], shape });
}

/** Swaps the last two axes. */
export function transpose(x: Value): Value {
  const rank = x.shape.length;
  if (rank < 2) throw disagree('transpose', x);
  const order = x.shape.map((_, axis) => axis);
  [order[rank - 2], order[rank - 1]] = [rank - 1, rank - 2];
  return operator({
    op: 'transpose',
    type: 'Transpose',
    inputs: [x],
    attributes: { perm: { ints: order } },
    shape: order.map((axis) => x.shape[axis]!),
  });
}

export interface Transposed {
  readonly transA?: boolean;
  readonly transB?: boolean;
}

/**
 * `op(a) op(b)` with op the identity or the transpose of the last two axes; ranks 2 and 2, or 3 and 3 with equal first axes.
 * Rank 2 is Gemm; rank 3 in float32 is ONNX Runtime's FusedMatMul, which reads transposed operands without a copy.
 */
export function matmul(a: Value, b: Value, { transA = false, transB = false }: Transposed = {}): Value {
  const rank = a.shape.length;
  const [n, inner] = transA ? [a.shape.at(-1), a.shape.at(-2)] : [a.shape.at(-2), a.shape.at(-1)];
  const [rows, d] = transB ? [b.shape.at(-1), b.shape.at(-2)] : [b.shape.at(-2), b.shape.at(-1)];
  const batched = rank === 3 && a.shape[0] === b.shape[0];
  if (b.shape.length !== rank || !(rank === 2 || batched) || inner !== rows) throw disagree('matmul', a, b);
  const flags = { transA: { int: transA ? 1 : 0 }, transB: { int: transB ? 1 : 0 } };
  if (rank === 2) {
    return operator({ op: 'matmul', type: 'Gemm', inputs: [a, b], attributes: flags, shape: [n!, d!] });
  }
  const shape = [a.shape[0]!, n!, d!];
  if (a.dtype === 'float32') {
    return operator({
      op: 'matmul',
      type: 'FusedMatMul',
      domain: 'com.microsoft',
      inputs: [a, b],
      attributes: flags,
      shape,
    });
  }
  const inputs = [transA ? transpose(a) : a, transB ? transpose(b) : b];
  return operator({ op: 'matmul', type: 'MatMul', inputs, shape });
}

/** How a product that was built reads its operands. */
export function transposed(product: Value): Required<Transposed> {
  const flag = (name: string): boolean => {
    const attribute = product.attributes[name];
    return attribute !== undefined && 'int' in attribute && attribute.int === 1;
  };
  return { transA: flag('transA'), transB: flag('transB') };
}

/**
 * `c + op(a) op(b)`, one Gemm that reads its addend instead of writing the product first.
 * @param c [n, d], or a shape that broadcasts to it @returns [n, d]
 */
export function addProduct(c: Value, a: Value, b: Value, flags: Transposed = {}): Value {
  const product = matmul(a, b, flags);
  const shape = broadcast(c.shape, product.shape);
  if (product.shape.length !== 2 || !shape || !sameShape(shape, product.shape))
    throw disagree('addProduct', c, a, b);
  const { attributes } = product;
  return operator({ op: 'addProduct', type: 'Gemm', inputs: [a, b, c], attributes, shape });
}

/**
 * A fully connected layer, `x w + b`.
 * @param x [n, p] @param w [p, d] @param b [d], or none @returns [n, d]
 */
export function dense(x: Value, w: Value, b?: Value): Value {
  const [n, p] = x.shape;
  const [rows, d] = w.shape;
  const fits = x.shape.length === 2 && w.shape.length === 2 && p === rows && (!b || sameShape(b.shape, [d!]));
  if (!fits) throw disagree('dense', x, w, ...(b ? [b] : []));
  return operator({ op: 'dense', type: 'Gemm', inputs: b ? [x, w, b] : [x, w], shape: [n!, d!] });
}
