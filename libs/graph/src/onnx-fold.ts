import { elements, type Shape } from '@lethe/tensor';
import type { GraphBuilder, Value } from './builder.ts';

/**
 * Shape arithmetic of imported graphs. Exporters write "reshape to (first size of x, -1)" as a chain of Shape, Gather, Concat and the
 * like. Shapes are static here, so these chains are numbers when the graph is built, and are computed instead of imported.
 */

/** Small integer tensors whose numbers are known. */
interface Known {
  readonly shape: Shape;
  readonly items: readonly number[];
}

export interface FoldNode {
  readonly type: string;
  readonly inputs: readonly (Value | undefined)[];
  /** An integer or integers of the node; undefined when absent. */
  int(name: string): number | undefined;
  ints(name: string): readonly number[] | undefined;
}

const LARGEST = 4_096;

/** The numbers of an int64 constant, as far as a double holds them; undefined for everything else. */
export function knownIntegers(value: Value | undefined): Known | undefined {
  if (value?.source.kind !== 'constant' || value.dtype !== 'int64' || elements(value.shape) > LARGEST) return;
  return { shape: value.shape, items: Array.from(value.source.tensor.data as BigInt64Array, Number) };
}

const vector = (items: readonly number[]): Known => ({ shape: [items.length], items });

/** First, past-the-last and step of a slice of an axis, as ONNX clamps them. */
export function sliceBounds(
  size: number,
  start: number,
  end: number,
  step: number,
): { readonly first: number; readonly count: number } {
  const from = start < 0 ? start + size : start;
  const to = end < 0 ? end + size : end;
  const clamp = (at: number, low: number, high: number): number => Math.min(Math.max(at, low), high);
  const first = step > 0 ? clamp(from, 0, size) : clamp(from, 0, size - 1);
  const last = step > 0 ? clamp(to, 0, size) : clamp(to, -1, size - 1);
  return { first, count: Math.max(0, Math.ceil((last - first) / step)) };
}

const axisOf = (axis: number, rank: number): number => (axis < 0 ? axis + rank : axis);

const pairwise =
  (compute: (a: number, b: number) => number) =>
  (_node: FoldNode, [a, b]: readonly Known[]): Known | undefined => {
    if (!a || !b) return;
    const longer = a.items.length >= b.items.length ? a : b;
    const fits = (part: Known): boolean =>
      part.items.length === longer.items.length || part.items.length === 1;
    if (longer.shape.length > 1 || !fits(a) || !fits(b)) return;
    const at = (part: Known, i: number): number => part.items[part.items.length === 1 ? 0 : i]!;
    return { shape: longer.shape, items: longer.items.map((_, i) => compute(at(a, i), at(b, i))) };
  };

const FOLDS: Readonly<Record<string, (node: FoldNode, known: readonly Known[]) => Known | undefined>> = {
  Add: pairwise((a, b) => a + b),
  Sub: pairwise((a, b) => a - b),
  Mul: pairwise((a, b) => a * b),
  Div: pairwise((a, b) => Math.trunc(a / b)),
  Identity: (_node, [x]) => x,
  Neg: (_node, [x]) => x && { ...x, items: x.items.map((item) => -item) },
  Gather: (node, [data, at]) =>
    data?.shape.length === 1 && at && axisOf(node.int('axis') ?? 0, 1) === 0
      ? { shape: at.shape, items: at.items.map((i) => data.items[axisOf(i, data.items.length)]!) }
      : undefined,
  Concat: (_node, known) =>
    known.every(({ shape }) => shape.length === 1) ? vector(known.flatMap(({ items }) => items)) : undefined,
  Squeeze: (_node, [x]) => (x && x.items.length === 1 ? { shape: [], items: x.items } : undefined),
  Unsqueeze: (_node, [x]) => (x?.shape.length === 0 ? vector(x.items) : undefined),
  Reshape: (_node, [x, shape]) =>
    x && shape?.items.length === 1 && (shape.items[0] === -1 || shape.items[0] === x.items.length)
      ? vector(x.items)
      : undefined,
  Slice: (_node, [data, starts, ends, axes, steps]) => {
    if (data?.shape.length !== 1 || starts?.items.length !== 1 || !ends || (axes && axes.items[0] !== 0))
      return;
    const step = steps?.items[0] ?? 1;
    const { first, count } = sliceBounds(data.items.length, starts.items[0]!, ends.items[0]!, step);
    return vector(Array.from({ length: count }, (_, i) => data.items[first + i * step]!));
  },
  Range: (_node, [start, limit, delta]) => {
    if (!start || !limit || !delta) return;
    const count = Math.ceil((limit.items[0]! - start.items[0]!) / delta.items[0]!);
    if (!(count <= LARGEST)) return;
    return vector(
      Array.from({ length: Math.max(0, count) }, (_, i) => start.items[0]! + i * delta.items[0]!),
    );
  },
  ReduceProd: (node, [x]) => {
    if (x?.shape.length !== 1) return;
    const items = [x.items.reduce((product, item) => product * item, 1)];
    return { shape: node.int('keepdims') === 0 ? [] : [1], items };
  },
};

/** The constant that a node of shape arithmetic amounts to; undefined where the node is not one. */
export function fold(graph: GraphBuilder, node: FoldNode): Value | undefined {
  const constant = ({ shape, items }: Known): Value | undefined =>
    items.every(Number.isSafeInteger) && elements(shape) === items.length
      ? graph.constant('int64', shape, BigInt64Array.from(items, BigInt))
      : undefined;
  const [x] = node.inputs;
  if (node.type === 'Shape' && x) {
    return constant(vector(x.shape.slice(node.int('start') ?? 0, node.int('end') ?? x.shape.length)));
  }
  if (node.type === 'Size' && x) return constant({ shape: [], items: [elements(x.shape)] });
  const rule = FOLDS[node.type];
  const known = node.inputs.map(knownIntegers);
  if (!rule || known.length === 0 || known.some((item) => !item)) return undefined;
  const found = rule(node, known as Known[]);
  return found && constant(found);
}
