import { sameShape, shapeText } from '@lethe/tensor';
import type { Value } from './builder.ts';
import { GRAPH } from './errors.ts';
import { add, less, maximum, minimum, where } from './ops.ts';

/**
 * Layers: the operations through which parameters reach examples. Everything with parameters is made of these, so these rows of the
 * rule table are all that per-example clipping has to know. A sequence [n, t, p] is a matrix of rows [n t, p] to them, and so is a picture.
 */

function refuse(op: string, ...values: readonly Value[]): never {
  const shapes = values.map((value) => `${value.name} ${shapeText(value.shape)}`).join(', ');
  const message = values[0]!.graph.located(`${op} cannot take ${shapes}`);
  throw GRAPH.SHAPE_DISAGREES(message, { details: { op, shapes } });
}

/**
 * A fully connected layer, `x w + b`.
 * @param x [n, p] @param w [p, d], or [d, p] when `transposed` (a head that shares an embedding's table) @param b [d], or none
 * @returns [n, d]
 */
export function dense(
  x: Value,
  w: Value,
  b?: Value,
  { transposed = false }: { readonly transposed?: boolean } = {},
): Value {
  const [n, p] = x.shape;
  const [rows, d] = transposed ? w.shape.toReversed() : w.shape;
  const fits = x.shape.length === 2 && w.shape.length === 2 && p === rows && (!b || sameShape(b.shape, [d!]));
  if (!fits) refuse('dense', x, w, ...(b ? [b] : []));
  const inputs = b ? [x, w, b] : [x, w];
  const attributes = transposed ? { transB: { int: 1 } } : {};
  return x.graph.operator({ op: 'dense', type: 'Gemm', inputs, attributes, shape: [n!, d!] });
}

/**
 * Rows of a table.
 * @param table [v, d] @param ids int64 [n], 0 <= id < v; -1 is the last row, and what lies outside is taken as the nearer end, so that one row has one
 * id to every rule and no id reaches another subject's part of a table @returns [n, d]
 */
export function embedding(table: Value, ids: Value): Value {
  if (table.shape.length !== 2 || ids.shape.length !== 1) refuse('embedding', table, ids);
  if (ids.dtype !== 'int64')
    throw GRAPH.DTYPE_DISAGREES(`the ids of an embedding are ${ids.dtype}, not int64`);
  const [v, d] = table.shape as [number, number];
  const whole = (value: number): Value => ids.graph.constant('int64', [], BigInt64Array.of(BigInt(value)));
  const counted = where(less(ids, whole(0)), add(ids, whole(v)), ids);
  const inside = minimum(maximum(counted, whole(0)), whole(v - 1));
  return table.graph.operator({
    op: 'embedding',
    type: 'Gather',
    inputs: [table, inside],
    shape: [ids.shape[0]!, d],
    dtype: table.dtype,
  });
}

const trailing =
  (op: string, type: string) =>
  (x: Value, parameter: Value): Value => {
    const axes = parameter.shape.length;
    const fits = axes >= 1 && axes < x.shape.length && sameShape(x.shape.slice(-axes), parameter.shape);
    if (!fits) refuse(op, x, parameter);
    return x.graph.operator({ op, type, inputs: [x, parameter], shape: x.shape });
  };

/** `x * gamma`, the same for every row. @param x [..., s] @param gamma [s] (or several trailing axes of x) */
export const scale = trailing('scale', 'Mul');
/** `x + beta`, the same for every row: a bias, or learned positions [t, d] on [n, t, d]. @param beta trailing axes of x */
export const shift = trailing('shift', 'Add');
