import { shapeText } from '@lethe/tensor';
import type { Value } from './builder.ts';
import { shapeError } from './operator.ts';
import { add, matmul, mul, reshape, softmax, sub, transpose } from './ops.ts';

/** Scaled dot-product attention (Vaswani et al. 2017) on rows [n * t, d], the layout of every other layer. */
export interface AttentionOptions {
  readonly heads: number;
  /** Tokens t of a sequence; consecutive rows. */
  readonly sequence: number;
  /** A token attends to itself and those before it only. */
  readonly causal?: boolean;
}

/** Added to the score of what must not be attended to: exp of it is 0, and a row without any token left stays finite. */
const MASKED = -1e9;

/** [n * t, d] as [n, heads, t, d / heads]. */
export function split(x: Value, { heads, sequence }: AttentionOptions): Value {
  const [rows, d] = x.shape as [number, number];
  return transpose(reshape(x, [rows / sequence, sequence, heads, d / heads]), [0, 2, 1, 3]);
}

/** The inverse of `split`. */
export function join(x: Value): Value {
  const [n, heads, t, d] = x.shape as [number, number, number, number];
  return reshape(transpose(x, [0, 2, 1, 3]), [n * t, heads * d]);
}

function causalMask(at: Value, t: number): Value {
  const data = { length: t * t };
  const masked = (_: unknown, i: number): number => (i % t > Math.floor(i / t) ? MASKED : 0);
  return at.dtype === 'float64'
    ? at.graph.constant('float64', [1, 1, t, t], Float64Array.from(data, masked))
    : at.graph.constant('float32', [1, 1, t, t], Float32Array.from(data, masked));
}

/** What attention and its gradient share; building it again finds the same nodes. */
export interface Attention {
  readonly q: Value;
  readonly k: Value;
  readonly v: Value;
  /** Weights [n, heads, t, t], rows of sum 1. */
  readonly weights: Value;
  /** [n, heads, t, d / heads] */
  readonly attended: Value;
  readonly factor: number;
}

export function attentionOf([q, k, v, mask]: readonly Value[], options: AttentionOptions): Attention {
  const heads = { q: split(q!, options), k: split(k!, options), v: split(v!, options) };
  const factor = 1 / Math.sqrt(q!.shape[1]! / options.heads);
  let scores = matmul(heads.q, heads.k, { transB: true, alpha: factor });
  if (options.causal) scores = add(scores, causalMask(q!, options.sequence));
  if (mask) {
    const [n, t] = mask.shape as [number, number];
    scores = add(scores, reshape(mul(sub(1, mask), MASKED), [n, 1, 1, t]));
  }
  const weights = softmax(scores);
  return { ...heads, weights, attended: matmul(weights, heads.v), factor };
}

/**
 * Multi-head attention without its projections, which are `dense` layers.
 * @param q, k, v [n * t, d], d a multiple of `heads` @param mask [n, t], 1 for a token and 0 for padding that nothing attends to
 * @returns [n * t, d]
 */
export function multiHeadAttention(
  q: Value,
  k: Value,
  v: Value,
  options: AttentionOptions,
  mask?: Value,
): Value {
  const { heads, sequence, causal = false } = options;
  const [rows, d] = q.shape;
  const fits =
    q.shape.length === 2 &&
    shapeText(k.shape) === shapeText(q.shape) &&
    shapeText(v.shape) === shapeText(q.shape) &&
    rows! % sequence === 0 &&
    d! % heads === 0 &&
    (!mask || shapeText(mask.shape) === shapeText([rows! / sequence, sequence]));
  if (!fits) {
    const shapes = [q, k, v, ...(mask ? [mask] : [])].map((value) => shapeText(value.shape)).join(', ');
    throw shapeError(
      'multiHeadAttention',
      q,
      `multiHeadAttention with ${heads} heads and sequences of ${sequence} cannot take ${shapes}`,
    );
  }
  const inputs = [q, k, v, ...(mask ? [mask] : [])];
  return q.graph.composite('multiHeadAttention', inputs, join(attentionOf(inputs, options).attended), {
    heads: { int: heads },
    sequence: { int: sequence },
    causal: { int: causal ? 1 : 0 },
  });
}

/** The options that a node was built with. */
export function optionsOf({ attributes }: Value): AttentionOptions {
  const int = (name: string): number => {
    const attribute = attributes[name];
    return attribute && 'int' in attribute ? attribute.int : 0;
  };
  return { heads: int('heads'), sequence: int('sequence'), causal: int('causal') === 1 };
}
