import { type Shape, sameShape } from '@lethe/tensor';
import type { Value } from './builder.ts';
import { averagePool2d, conv2d, maxPool2d, type Window } from './convolution.ts';
import type { Import, ImportedNode } from './onnx-operators.ts';
import { reduceMean, transpose } from './ops.ts';
import { pad } from './ops-structure.ts';

/**
 * Convolution and pooling of imported models, which have channels first. Where nothing is trained the operator is run as it stands, which
 * is faster; else it becomes this library's, channels last, between two transposes.
 */

const toLast = (x: Value): Value => transpose(x, [0, 2, 3, 1]);
const toFirst = (x: Value): Value => transpose(x, [0, 3, 1, 2]);

type Pair = readonly [number, number];

interface Read {
  readonly window: Window;
  readonly kernel: Pair;
  /** x with channels last, padded where the two sides differ. */
  readonly x: Value;
}

/** @param filler what stands in the padding that the window does not make itself */
function windowOf(node: ImportedNode, kernel: readonly number[], filler: number): Read {
  const x = node.input(0);
  if (x.shape.length !== 4 || kernel.length !== 2)
    node.refuse('only pictures of two dimensions are trained through');
  if (node.int('ceil_mode', 0) !== 0) node.refuse('ceil_mode is not known');
  const [stride, dilation] = [node.ints('strides') ?? [1, 1], node.ints('dilations') ?? [1, 1]];
  const auto = node.string('auto_pad', 'NOTSET');
  const stated = node.ints('pads') ?? [0, 0, 0, 0];
  const pads =
    auto === 'NOTSET'
      ? stated
      : auto === 'VALID'
        ? [0, 0, 0, 0]
        : same(x.shape, kernel, stride, dilation, auto);
  const [top, left, bottom, right] = pads as [number, number, number, number];
  const pair = ([a, b]: readonly number[]): Pair => [a!, b!];
  const even = top === bottom && left === right;
  return {
    kernel: pair(kernel),
    window: {
      kernel: pair(kernel),
      stride: pair(stride),
      dilation: pair(dilation),
      padding: even ? [top, left] : 0,
    },
    x: even ? toLast(x) : pad(toLast(x), [0, top, left, 0], [0, bottom, right, 0], filler),
  };
}

/** As many positions as the stride leaves of the picture; an odd rest goes to the end (SAME_UPPER) or the beginning. */
function same(
  shape: Shape,
  kernel: readonly number[],
  stride: readonly number[],
  dilation: readonly number[],
  auto: string,
): number[] {
  const rests = [0, 1].map((axis) => {
    const size = shape[axis + 2]!;
    const reach = dilation[axis]! * (kernel[axis]! - 1) + 1;
    return Math.max(0, (Math.ceil(size / stride[axis]!) - 1) * stride[axis]! + reach - size);
  });
  const small = rests.map((rest) => Math.floor(rest / 2));
  const large = rests.map((rest, axis) => rest - small[axis]!);
  return auto === 'SAME_LOWER' ? [...large, ...small] : [...small, ...large];
}

const isTrained = (node: ImportedNode): boolean =>
  node.inputs.some((input) => input && node.isTrained(input));

export const conv: Import = (node) => {
  if (!isTrained(node)) return undefined;
  const { matrix, shape } = node.kernel(1);
  const kernel = shape.slice(2);
  if (node.int('group', 1) !== 1) node.refuse('a convolution in groups is imported frozen only');
  if (!sameShape(node.ints('kernel_shape') ?? kernel, kernel))
    node.refuse('its kernel_shape is not that of its weights');
  const { x, window } = windowOf(node, kernel, 0);
  return toFirst(conv2d(x, matrix, node.inputs[2], window));
};

export const maxPool: Import = (node) => {
  if (!isTrained(node)) return undefined;
  node.int('storage_order', 0);
  const { x, window } = windowOf(node, node.ints('kernel_shape') ?? [], Number.NEGATIVE_INFINITY);
  return toFirst(maxPool2d(x, window));
};

export const averagePool: Import = (node) => {
  if (!isTrained(node)) return undefined;
  const read = windowOf(node, node.ints('kernel_shape') ?? [], 0);
  const padded = read.window.padding !== 0 && !sameShape(read.window.padding as Pair, [0, 0]);
  const widened = read.x.shape[1] !== node.input(0).shape[2] || read.x.shape[2] !== node.input(0).shape[3];
  if ((padded || widened) && node.int('count_include_pad', 0) === 0)
    node.refuse('its mean leaves the padding out');
  node.int('count_include_pad', 0);
  return toFirst(averagePool2d(read.x, read.window));
};

export const globalAveragePool: Import = (node) => {
  const x = node.input(0);
  return reduceMean(
    x,
    x.shape.map((_, axis) => axis).filter((axis) => axis >= 2),
    true,
  );
};
