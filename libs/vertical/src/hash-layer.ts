import { add, batchNormalize, div, signStraightThrough, sqrt, sub, type Value } from '@lethe/graph';
import type { Representation } from './networks.ts';

const EPSILON = 1e-5;

/**
 * HashVFL's hash layer (arXiv 2212.00325v2): batch normalisation, then the sign with a straight-through gradient. Normalisation keeps each bit balanced
 * over the batch and is mandatory: without it accuracy falls apart. Differences: no scale and shift, which could unbalance a bit again, and
 * +1 at 0, because a sign of 0 would be a third symbol.
 * @param v [rows, codeBits] @returns code [rows, codeBits] of +1 and -1 (or the normalised floats), the batch's mean and variance [1, codeBits]
 */
export function hashLayer(
  v: Value,
  representation: Representation,
): { code: Value; mean: Value; variance: Value } {
  const { normalized, mean, variance } = batchNormalize(v, EPSILON);
  return { code: representation === 'sign' ? signStraightThrough(normalized) : normalized, mean, variance };
}

/** The same with statistics kept from training, [1, codeBits]: a row's code depends on that row alone. */
export function hashLayerWith(v: Value, mean: Value, variance: Value, representation: Representation): Value {
  const normalized = div(sub(v, mean), sqrt(add(variance, EPSILON)));
  return representation === 'sign' ? signStraightThrough(normalized) : normalized;
}
