import { type Shape, shapeText } from '@lethe/tensor';
import type { Value } from './builder.ts';
import { dense, shift } from './layers.ts';
import { shapeError } from './operator.ts';
import { add, maximum, mul, reduceMean, reshape } from './ops.ts';
import { concat, gather, pad, slice } from './ops-structure.ts';

/**
 * Convolution and pooling of pictures [n, h, w, c], channels last. A convolution is a fully connected layer on the rows of an unfolded
 * picture, so the rules of `dense` for single examples hold for it as they stand.
 */

/** A window that moves over a picture; a pair is height and width. */
export interface Window {
  readonly kernel: number | readonly [number, number];
  /** 1 when absent. */
  readonly stride?: number | readonly [number, number];
  /** Rows and columns of zeros on each side, 0 when absent. */
  readonly padding?: number | readonly [number, number];
  /** Distance of the kernel's elements, 1 when absent. */
  readonly dilation?: number | readonly [number, number];
}

/** A window on one axis of a picture. */
interface Reach {
  readonly size: number;
  readonly kernel: number;
  readonly stride: number;
  readonly padding: number;
  readonly dilation: number;
  /** Positions of the window. */
  readonly steps: number;
}

const pairOf = (value: number | readonly [number, number]): readonly [number, number] =>
  typeof value === 'number' ? [value, value] : value;

/** Height and width of the window on a picture. @throws LETHE-3020 it does not fit */
function reaches(op: string, x: Value, window: Window): readonly [Reach, Reach] {
  if (x.shape.length !== 4) {
    throw shapeError(op, x, `${op} takes pictures [n, h, w, c], not ${shapeText(x.shape)}`);
  }
  const on = (axis: 0 | 1): Reach => {
    const of = (value: Window['stride'], fallback: number): number => pairOf(value ?? fallback)[axis];
    const [size, kernel] = [x.shape[axis + 1]!, of(window.kernel, 1)];
    const [stride, padding, dilation] = [of(window.stride, 1), of(window.padding, 0), of(window.dilation, 1)];
    const steps = Math.floor((size + 2 * padding - dilation * (kernel - 1) - 1) / stride) + 1;
    const whole = [kernel, stride, dilation].every((value) => Number.isInteger(value) && value >= 1);
    if (!(whole && Number.isInteger(padding) && padding >= 0 && steps >= 1)) {
      const text = `kernel ${kernel}, stride ${stride}, padding ${padding}, dilation ${dilation}`;
      throw shapeError(op, x, `${op}: ${text} does not fit ${shapeText(x.shape)}`);
    }
    return { size, kernel, stride, padding, dilation, steps };
  };
  return [on(0), on(1)];
}

/** Where a window reads: [positions, kernel elements] in row-major order, -1 in the padding. */
export function readsOf(height: Reach, width: Reach): Int32Array {
  const reads: number[] = [];
  const inside = (at: number, { size }: Reach): boolean => at >= 0 && at < size;
  for (let top = 0; top < height.steps; top++) {
    for (let left = 0; left < width.steps; left++) {
      for (let i = 0; i < height.kernel; i++) {
        const y = top * height.stride - height.padding + i * height.dilation;
        for (let j = 0; j < width.kernel; j++) {
          const x = left * width.stride - width.padding + j * width.dilation;
          reads.push(inside(y, height) && inside(x, width) ? y * width.size + x : -1);
        }
      }
    }
  }
  return Int32Array.from(reads);
}

/** The window that a composite was built with. */
export function windowOf(node: Value): readonly [Reach, Reach] {
  const { window } = node.attributes;
  const [kh, kw, sh, sw, ph, pw, dh, dw] = (window && 'ints' in window ? window.ints : []) as number[];
  return reaches(node.op, node.inputs[0]!, {
    kernel: [kh!, kw!],
    stride: [sh!, sw!],
    padding: [ph!, pw!],
    dilation: [dh!, dw!],
  });
}

const windowAttribute = (height: Reach, width: Reach): { readonly window: { readonly ints: number[] } } => ({
  window: {
    ints: (['kernel', 'stride', 'padding', 'dilation'] as const).flatMap((key) => [height[key], width[key]]),
  },
});

/** Below this number of channels a gather copies too few elements at a time: the first layer of MNIST took 24 ms in place of 5. */
const FEW_CHANNELS = 4;

/**
 * The pixels under each position of a window, one row a position ("im2col").
 * @param x [n, h, w, c] @returns [n * oh * ow, kh * kw * c], columns ordered by kernel row, kernel column, channel
 */
export function unfold2d(x: Value, window: Window): Value {
  const [height, width] = reaches('unfold2d', x, window);
  const [n, h, w, c] = x.shape as [number, number, number, number];
  const rows: Shape = [n * height.steps * width.steps, height.kernel * width.kernel * c];
  const strips = c < FEW_CHANNELS && width.dilation === 1 && width.steps > 1;
  let body: Value;
  if (strips) {
    // Rows of pixels first, then strips of columns: every copy is as long as a strip is wide.
    const framed = pad(x, [0, height.padding, width.padding, 0], [0, height.padding, width.padding, 0]);
    const [tall, wide] = [h + 2 * height.padding, w + 2 * width.padding];
    const lines = Array.from({ length: height.steps * height.kernel }, (_, at) => {
      const [top, i] = [Math.floor(at / height.kernel), at % height.kernel];
      return top * height.stride + i * height.dilation;
    });
    const under = reshape(gather(reshape(framed, [n, tall, wide * c]), lines, 1), [
      n,
      height.steps,
      height.kernel,
      wide * c,
    ]);
    const strip = height.kernel * width.kernel * c;
    const columns = Array.from({ length: width.steps }, (_, left) => {
      const start = left * width.stride * c;
      return reshape(slice(under, 3, start, start + width.kernel * c), [n, height.steps, strip]);
    });
    body = concat(columns, 2);
  } else {
    const reads = readsOf(height, width);
    const outside = reads.includes(-1);
    const pixels = reshape(x, [n, h * w, c]);
    body = gather(
      outside ? pad(pixels, [0, 0, 0], [0, 1, 0]) : pixels,
      Array.from(reads, (at) => (at < 0 ? h * w : at)),
      1,
    );
  }
  return x.graph.composite('unfold2d', [x], reshape(body, rows), windowAttribute(height, width));
}

/**
 * Two-dimensional convolution (cross-correlation, as everywhere in deep learning).
 * @param x [n, h, w, c] @param w [kh * kw * c, o], rows ordered as the columns of `unfold2d`; or one [kh * kw * c / groups, o / groups]
 * for each of several groups of channels @param b [o], or none @returns [n, oh, ow, o]
 */
export function conv2d(x: Value, w: Value | readonly Value[], b: Value | undefined, window: Window): Value {
  const weights = 'graph' in w ? [w] : w;
  const [height, width] = reaches('conv2d', x, window);
  const [n, , , c] = x.shape as [number, number, number, number];
  const groups = weights.length;
  const share = c / groups;
  const taps = height.kernel * width.kernel * share;
  for (const weight of weights) {
    if (weight.shape.length !== 2 || weight.shape[0] !== taps || weight.shape[1] !== weights[0]!.shape[1]) {
      const shapes = weights.map((each) => shapeText(each.shape)).join(' and ');
      const needed = `${height.kernel} x ${width.kernel} x ${share}`;
      throw shapeError(
        'conv2d',
        x,
        `conv2d of ${shapeText(x.shape)} in ${groups} group(s) takes weights of ${needed} rows each, not ${shapes}`,
      );
    }
  }
  const outputs = weights.map((weight, i) => {
    const part = slice(x, 3, i * share, (i + 1) * share);
    return dense(unfold2d(part, window), weight, groups === 1 ? b : undefined);
  });
  const joined = concat(outputs, 1);
  const rows = b && groups > 1 ? shift(joined, b) : joined;
  return reshape(rows, [n, height.steps, width.steps, rows.shape[1]!]);
}

/** Combines the elements under a window by an associative operation, first along rows, then along columns. */
function pooled(
  x: Value,
  [height, width]: readonly [Reach, Reach],
  outside: number,
  combine: (a: Value, b: Value) => Value,
): Value {
  const margin = [0, height.padding, width.padding, 0];
  const framed = pad(x, margin, margin, outside);
  const along = (value: Value, axis: number, { kernel, stride, dilation, steps }: Reach): Value =>
    Array.from({ length: kernel }, (_, i) => {
      const start = i * dilation;
      return slice(value, axis, start, start + (steps - 1) * stride + 1, stride);
    }).reduce(combine);
  return along(along(framed, 2, width), 1, height);
}

/** Largest element under the window; the first of those that tie has the gradient. @param x [n, h, w, c] @returns [n, oh, ow, c] */
export const maxPool2d = (x: Value, window: Window): Value =>
  pooled(x, reaches('maxPool2d', x, window), Number.NEGATIVE_INFINITY, maximum);

/** Mean of the elements under the window; padding counts as zeros. @param x [n, h, w, c] @returns [n, oh, ow, c] */
export function averagePool2d(x: Value, window: Window): Value {
  const both = reaches('averagePool2d', x, window);
  return mul(pooled(x, both, 0, add), 1 / (both[0].kernel * both[1].kernel));
}

/** Mean over height and width. @param x [n, h, w, c] @returns [n, c] */
export const globalAveragePool2d = (x: Value): Value => {
  const [n, h, w, c] = x.shape;
  if (x.shape.length !== 4) {
    throw shapeError(
      'globalAveragePool2d',
      x,
      `globalAveragePool2d takes [n, h, w, c], not ${shapeText(x.shape)}`,
    );
  }
  return reduceMean(reshape(x, [n!, h! * w!, c!]), [1]);
};
