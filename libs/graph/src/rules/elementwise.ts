import { type Shape, sameShape } from '@lethe/tensor';
import type { Value } from '../builder.ts';
import {
  cast,
  div,
  exp as exponential,
  greater,
  greaterOrEqual,
  mul,
  neg,
  reduceSum,
  reshape,
  sign,
  sub,
  where,
} from '../ops.ts';
import type { Mixes, Vjp } from './rule.ts';

/** Sums a cotangent over the axes along which an operand of that shape was broadcast. */
export function sumTo(cotangent: Value, shape: Shape): Value {
  if (sameShape(cotangent.shape, shape)) return cotangent;
  const lead = cotangent.shape.length - shape.length;
  const axes = cotangent.shape
    .map((size, axis) => ({ size, axis }))
    .filter(({ size, axis }) => axis < lead || (shape[axis - lead] === 1 && size !== 1))
    .map(({ axis }) => axis);
  return reshape(reduceSum(cotangent, axes), shape);
}

const binary =
  (derivatives: (g: Value, a: Value, b: Value, y: Value) => readonly [Value, Value]): Vjp =>
  (node, g) => {
    const [a, b] = node.inputs as [Value, Value];
    const [da, db] = derivatives(g, a, b, node);
    return [sumTo(da, a.shape), sumTo(db, b.shape)];
  };

export const addVjp = binary((g) => [g, g]);
export const subVjp = binary((g) => [g, neg(g)]);
export const mulVjp = binary((g, a, b) => [mul(g, b), mul(g, a)]);
export const divVjp = binary((g, _a, b, y) => [div(g, b), neg(div(mul(g, y), b))]);

/** The derivative at 0 is 0. A product, because ONNX Runtime's Where is half as fast as Cast and Mul. */
export const relu: Vjp = (y, g) => [mul(cast(greater(y, 0), y.dtype), g)];
export const tanh: Vjp = (y, g) => [mul(g, sub(1, mul(y, y)))];
export const sigmoid: Vjp = (y, g) => [mul(g, mul(y, sub(1, y)))];
export const sqrt: Vjp = (y, g) => [div(mul(g, 0.5), y)];
export const exp: Vjp = (y, g) => [mul(g, y)];
export const log: Vjp = (node, g) => [div(g, node.inputs[0]!)];
/** The derivative at 0 is 0. */
export const abs: Vjp = (node, g) => [mul(g, sign(node.inputs[0]!))];
export const reciprocal: Vjp = (y, g) => [neg(mul(g, mul(y, y)))];
export const erf: Vjp = (node, g) => {
  const x = node.inputs[0]!;
  return [mul(mul(g, 2 / Math.sqrt(Math.PI)), exponential(neg(mul(x, x))))];
};
/** Where both are equal the first one has the gradient. */
export const maximum = binary((g, a, b) => {
  const first = mul(cast(greaterOrEqual(a, b), g.dtype), g);
  return [first, sub(g, first)];
});
export const identity: Vjp = (_node, g) => [g];
export const negated: Vjp = (_node, g) => [neg(g)];

export const chosen: Vjp = (node, g) => {
  const [condition, yes, no] = node.inputs as [Value, Value, Value];
  return [undefined, sumTo(where(condition, g, 0), yes.shape), sumTo(where(condition, 0, g), no.shape)];
};

/** Numpy aligns the last axes: an operand of lower rank, or of another first axis, would meet rows of other examples. */
export const elementwiseMixes: Mixes = (node, dependsOnExamples) => {
  const astray = node.inputs.some(
    (input, i) =>
      dependsOnExamples[i] && (input.shape.length !== node.shape.length || input.shape[0] !== node.shape[0]),
  );
  return astray ? 'broadcasts values of one example over others' : undefined;
};
