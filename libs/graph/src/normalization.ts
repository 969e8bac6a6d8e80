import { shapeText } from '@lethe/tensor';
import type { Value } from './builder.ts';
import { shapeError } from './operator.ts';
import { add, mul, reciprocal, reduceMean, reshape, sqrt, sub } from './ops.ts';

/**
 * Normalisations without parameters, each over axes of one example. The learned part follows as layers of its own:
 * `shift(scale(layerNormalize(x), gamma), beta)`. None of them looks at other examples, unlike batch normalisation.
 */

/** `x - mean` (or x itself) and `1 / sqrt(mean square + epsilon)` over the axes. */
export function normalizer(
  x: Value,
  axes: readonly number[],
  epsilon: number,
  centre: boolean,
): { readonly centred: Value; readonly inverse: Value } {
  const centred = centre ? sub(x, reduceMean(x, axes, true)) : x;
  const variance = reduceMean(mul(centred, centred), axes, true);
  return { centred, inverse: reciprocal(sqrt(add(variance, epsilon))) };
}

function normalize(op: string, x: Value, axes: readonly number[], epsilon: number, centre: boolean): Value {
  const { centred, inverse } = normalizer(x, axes, epsilon, centre);
  return x.graph.composite(op, [x], mul(centred, inverse), {
    axes: { ints: axes },
    epsilon: { float: epsilon },
  });
}

function trailing(op: string, x: Value, count: number): number[] {
  const rank = x.shape.length;
  if (!(count >= 1 && count < rank)) {
    throw shapeError(
      op,
      x,
      `${op} over ${count} axes of ${shapeText(x.shape)} would leave no axis of examples`,
    );
  }
  return Array.from({ length: count }, (_, i) => rank - count + i);
}

/** `(x - mean) / sqrt(variance + epsilon)` over the last `axes` axes, biased variance (Ba et al. 2016, without gain and bias). */
export const layerNormalize = (x: Value, epsilon = 1e-5, axes = 1): Value =>
  normalize('layerNormalize', x, trailing('layerNormalize', x, axes), epsilon, true);

/** `x / sqrt(mean of squares + epsilon)` over the last `axes` axes (Zhang and Sennrich 2019, without gain). */
export const rmsNormalize = (x: Value, epsilon = 1e-5, axes = 1): Value =>
  normalize('rmsNormalize', x, trailing('rmsNormalize', x, axes), epsilon, false);

/**
 * Layer normalisation of each group of channels over all pixels (Wu and He 2018, without gain and bias).
 * @param x [n, ..., c], c a multiple of `groups`
 */
export function groupNormalize(x: Value, groups: number, epsilon = 1e-5): Value {
  const [n, c] = [x.shape[0]!, x.shape.at(-1)!];
  if (x.shape.length < 2 || !(groups >= 1) || c % groups !== 0) {
    throw shapeError(
      'groupNormalize',
      x,
      `groupNormalize cannot divide the channels of ${shapeText(x.shape)} into ${groups}`,
    );
  }
  const pixels = x.shape.slice(1, -1).reduce((product, size) => product * size, 1);
  const grouped = reshape(x, [n, pixels, groups, c / groups]);
  return reshape(normalize('groupNormalize', grouped, [1, 3], epsilon, true), x.shape);
}
