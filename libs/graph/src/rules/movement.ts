import { elements, type Shape } from '@lethe/tensor';
import type { Value } from '../builder.ts';
import { integers, operator } from '../operator.ts';
import { add, expand, reshape, transpose } from '../ops.ts';
import { addAtIndices, gather, pad, slice } from '../ops-structure.ts';
import type { Mixes, Vjp } from './rule.ts';

/** Rules of operators that move elements (ops-structure.ts). */

/** The numbers of a constant input. */
export const numbers = (value: Value): readonly number[] =>
  value.source.kind === 'constant' ? Array.from(value.source.tensor.data, Number) : [];

const axisOf = (node: Value): number => {
  const { axis } = node.attributes;
  return axis && 'int' in axis ? axis.int : 0;
};

export const concatVjp: Vjp = (node, g) => {
  const axis = axisOf(node);
  let start = 0;
  return node.inputs.map((input) => {
    const end = start + input.shape[axis]!;
    const part = slice(g, axis, start, end);
    start = end;
    return part;
  });
};
export const concatMixes: Mixes = (node) =>
  axisOf(node) === 0 ? 'joins values along the example axis' : undefined;

/** Puts a slice back in its place: zeros between its elements for a step, then zeros around them. */
export const sliceVjp: Vjp = (node, g) => {
  const [x, ...rest] = node.inputs as [Value, ...Value[]];
  const [start, , axis, step] = rest.map((value) => numbers(value)[0]!) as [number, number, number, number];
  const size = x.shape[axis]!;
  let whole = g;
  if (step > 1) {
    const [lead, along, tail] = [g.shape.slice(0, axis), g.shape[axis]!, g.shape.slice(axis + 1)];
    const apart = pad(
      reshape(g, [elements(lead), along, 1, elements(tail)]),
      [0, 0, 0, 0],
      [0, 0, step - 1, 0],
    );
    whole = slice(
      reshape(apart, [...lead, along * step, ...tail]),
      axis,
      0,
      Math.min(along * step, size - start),
    );
  }
  const at = (length: number): number[] => x.shape.map((_, i) => (i === axis ? length : 0));
  return [pad(whole, at(start), at(size - start - whole.shape[axis]!))];
};
export const sliceMixes: Mixes = (node) =>
  numbers(node.inputs[3]!)[0] === 0 ? 'cuts the example axis' : undefined;

export const padVjp: Vjp = (node, g) => {
  const x = node.inputs[0]!;
  const before = numbers(node.inputs[1]!);
  return [x.shape.reduce((cut, size, axis) => slice(cut, axis, before[axis]!, before[axis]! + size), g)];
};
export const padMixes: Mixes = (node) =>
  node.shape[0] === node.inputs[0]!.shape[0] ? undefined : 'pads the example axis';

/**
 * Sums the elements of an axis of g by where they came from: `result[j] = sum of g[i] over indices[i] = j`.
 * Where the positions were read about equally often that is a gather, too: the first read of each, the second, … added up, a row of
 * zeros where there is none. ScatterND remains for very unequal counts.
 * @param indices of axis `axis` of g; negative ones came from nowhere @param size length of the result's axis
 */
export function gatherBack(g: Value, indices: ArrayLike<number>, axis: number, size: number): Value {
  const readers: number[][] = Array.from({ length: size }, () => []);
  for (let i = 0; i < indices.length; i++) if (indices[i]! >= 0) readers[indices[i]!]!.push(i);
  const most = Math.max(...readers.map((list) => list.length));
  if (most * size > 4 * indices.length + 64) return scatterBack(g, indices, axis, size);
  const even = readers.every((list) => list.length === most);
  const zeros = g.shape.map((_, i) => (i === axis ? 1 : 0));
  const source = even
    ? g
    : pad(
        g,
        g.shape.map(() => 0),
        zeros,
      );
  // One gather for each read and sums in place of one gather and ReduceSum over a short axis in the middle, which took twice the time.
  const reads = Array.from({ length: most }, (_, k) =>
    gather(
      source,
      readers.map((list) => list[k] ?? indices.length),
      axis,
    ),
  );
  return reads.reduce((sum, read) => add(sum, read));
}

function scatterBack(g: Value, indices: ArrayLike<number>, axis: number, size: number): Value {
  const rank = g.shape.length;
  const order = [axis, ...Array.from({ length: rank }, (_, i) => i).filter((i) => i !== axis)];
  const kept = Array.from(indices, (index, i) => (index >= 0 ? i : -1)).filter((i) => i >= 0);
  const first = reorder(kept.length === indices.length ? g : gather(g, kept, axis), order);
  const shape: Shape = [size, ...first.shape.slice(1)];
  const rows = integers(
    g,
    kept.map((i) => indices[i]!),
  );
  const sums = operator({
    op: 'scatterAdd',
    type: 'ScatterND',
    inputs: [expand(g.graph.number(0, g.dtype), shape), reshape(rows, [kept.length, 1]), first],
    attributes: { reduction: { string: 'add' } },
    shape,
  });
  return reorder(
    sums,
    order.map((_, i) => order.indexOf(i)),
  );
}

const reorder = (x: Value, order: readonly number[]): Value =>
  order.every((axis, i) => axis === i) ? x : transpose(x, order);

export const gatherVjp: Vjp = (node, g) => {
  const [x, indices] = node.inputs as [Value, Value];
  const axis = axisOf(node);
  const { shape } = x;
  const count = elements(indices.shape);
  const flat = reshape(g, [...shape.slice(0, axis), count, ...shape.slice(axis + 1)]);
  return [gatherBack(flat, numbers(indices), axis, shape[axis]!), undefined];
};

/** Along the example axis each subject has to read from its own block and nowhere else. */
export const gatherMixes: Mixes = (node, [, indices], subjects) => {
  if (indices) return 'reads at positions that are computed from examples';
  if (axisOf(node) !== 0) return undefined;
  const read = numbers(node.inputs[1]!);
  const [own, block] = [read.length / subjects, node.inputs[0]!.shape[0]! / subjects];
  const apart =
    node.inputs[1]!.shape[0]! % subjects === 0 &&
    read.every((index, i) => Math.floor(index / block) === Math.floor(i / own));
  return apart ? undefined : 'reads rows of other examples';
};

export const pickVjp: Vjp = (node, g) => {
  const [x, indices] = node.inputs as [Value, Value];
  const blank = expand(g.graph.number(0, g.dtype), x.shape);
  return [addAtIndices(blank, indices, g), undefined];
};
/** Row i reads row i; both operands have as many rows by construction. */
export const rowByRow: Mixes = () => undefined;
