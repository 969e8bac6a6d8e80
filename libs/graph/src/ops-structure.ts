import { elements, type Shape, sameShape, shapeText } from '@lethe/tensor';
import type { Value } from './builder.ts';
import { GRAPH } from './errors.ts';
import { disagree, integers, operator, shapeError } from './operator.ts';
import { reshape } from './ops.ts';

/** Operators that move elements: joining, cutting, padding, and gathering by constant or by computed indices. */

/** A whole axis from one that may count from the end. @throws LETHE-3020 x has no such axis */
export function axisOf(op: string, x: Value, axis: number): number {
  const whole = axis < 0 ? axis + x.shape.length : axis;
  if (!(whole >= 0 && whole < x.shape.length)) {
    throw shapeError(op, x, `${op} finds no axis ${axis} in ${shapeText(x.shape)}`);
  }
  return whole;
}

const replaced = (shape: Shape, axis: number, ...sizes: readonly number[]): Shape => [
  ...shape.slice(0, axis),
  ...sizes,
  ...shape.slice(axis + 1),
];

/** Values one after the other along an axis; their other axes agree. */
export function concat(values: readonly Value[], axis: number): Value {
  const [first] = values as [Value, ...Value[]];
  const along = axisOf('concat', first, axis);
  const rest = (value: Value): Shape => replaced(value.shape, along, 0);
  const alike = values.every(
    (value) => value.shape.length === first.shape.length && sameShape(rest(value), rest(first)),
  );
  if (!alike) throw disagree('concat', ...values);
  if (values.length === 1) return first;
  const size = values.reduce((sum, value) => sum + value.shape[along]!, 0);
  return operator({
    op: 'concat',
    type: 'Concat',
    inputs: values,
    attributes: { axis: { int: along } },
    shape: replaced(first.shape, along, size),
  });
}

/** The elements `start, start + step, …` below `end` of one axis. */
export function slice(x: Value, axis: number, start: number, end: number, step = 1): Value {
  const along = axisOf('slice', x, axis);
  const size = x.shape[along]!;
  if (!(start >= 0 && start < end && end <= size && step >= 1)) {
    throw shapeError('slice', x, `slice cannot take ${start} to ${end} by ${step} of an axis of ${size}`);
  }
  if (start === 0 && end === size && step === 1) return x;
  const inputs = [x, ...[start, end, along, step].map((value) => integers(x, [value]))];
  const shape = replaced(x.shape, along, Math.ceil((end - start) / step));
  return operator({ op: 'slice', type: 'Slice', inputs, shape });
}

/** A number of equal elements before and after those of every axis; 0 unless a value is given. */
export function pad(x: Value, before: readonly number[], after: readonly number[], value = 0): Value {
  const { shape } = x;
  const sizes = [...before, ...after];
  if (before.length !== shape.length || after.length !== shape.length || sizes.some((size) => !(size >= 0))) {
    throw shapeError(
      'pad',
      x,
      `pad cannot add ${shapeText(before)} and ${shapeText(after)} to ${shapeText(shape)}`,
    );
  }
  if (sizes.every((size) => size === 0)) return x;
  const inputs = [x, integers(x, sizes), x.graph.number(value, x.dtype)];
  const wide = shape.map((size, axis) => before[axis]! + size + after[axis]!);
  return operator({ op: 'pad', type: 'Pad', inputs, shape: wide });
}

/**
 * Elements of one axis by constant indices, in any order and as often as they are named.
 * @param indices non-negative; one array for a new axis of its length, or a shape and its numbers in row-major order
 * @returns x with the axis replaced by the shape of the indices
 */
export function gather(
  x: Value,
  indices: readonly number[] | { readonly shape: Shape; readonly data: ArrayLike<number> },
  axis: number,
): Value {
  const along = axisOf('gather', x, axis);
  const { shape, data } = 'shape' in indices ? indices : { shape: [indices.length], data: indices };
  const size = x.shape[along]!;
  const fits = Array.from(data).every((index) => Number.isInteger(index) && index >= 0 && index < size);
  if (!fits || elements(shape) !== data.length) {
    throw shapeError(
      'gather',
      x,
      `gather finds an index outside of 0 to ${size - 1}, or not ${shapeText(shape)} of them`,
    );
  }
  const constant = x.graph.constant('int64', shape, BigInt64Array.from(Array.from(data), BigInt));
  return operator({
    op: 'gather',
    type: 'Gather',
    inputs: [x, constant],
    attributes: { axis: { int: along } },
    shape: replaced(x.shape, along, ...shape),
  });
}

/** One element of the last axis for each row, `x[i, indices[i]]`. @param x [n, k] @param indices int64 [n] @returns [n] */
export function pick(x: Value, indices: Value): Value {
  const [n] = x.shape;
  if (x.shape.length !== 2 || !sameShape(indices.shape, [n!])) throw disagree('pick', x, indices);
  if (indices.dtype !== 'int64') {
    throw GRAPH.DTYPE_DISAGREES(x.graph.located(`pick takes int64 indices, not ${indices.dtype}`));
  }
  const picked = operator({
    op: 'pick',
    type: 'GatherElements',
    inputs: [x, reshape(indices, [n!, 1])],
    attributes: { axis: { int: 1 } },
    shape: [n!, 1],
  });
  return reshape(picked, [n!]);
}

/**
 * x with `updates[i]` added to `x[i, indices[i]]`.
 * @param x [n, k] @param indices int64 [n, 1] @param updates [n, 1] @returns [n, k]
 */
export const addAtIndices = (x: Value, indices: Value, updates: Value): Value =>
  operator({
    op: 'addAtIndices',
    type: 'ScatterElements',
    inputs: [x, indices, updates],
    attributes: { axis: { int: 1 }, reduction: { string: 'add' } },
    shape: x.shape,
  });
