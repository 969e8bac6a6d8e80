import { sameShape, shapeText } from '@lethe/tensor';
import type { Value } from './builder.ts';
import { GRAPH } from './errors.ts';
import { operator, shapeError } from './operator.ts';
import { add, div, erf, exp, greaterOrEqual, maximum, mul, sigmoid, where } from './ops.ts';

/**
 * Activations beyond relu, tanh and sigmoid. gelu and silu are written out in standard operators, whose intermediate results the
 * gradient needs again; a graph without a gradient is fused by ONNX Runtime.
 */

/** The normal distribution function, `(1 + erf(x / sqrt(2))) / 2`. */
export const normalDistribution = (x: Value): Value => mul(add(erf(mul(x, Math.SQRT1_2)), 1), 0.5);

/** `x Phi(x)` with Phi the normal distribution function, the exact form (Hendrycks and Gimpel 2016). float32 only, as ONNX Runtime's Erf. */
export function gelu(x: Value): Value {
  if (x.dtype !== 'float32') {
    throw GRAPH.DTYPE_DISAGREES(
      x.graph.located(`gelu takes float32, not ${x.dtype}: the runtime has no Erf in it`),
    );
  }
  return x.graph.composite('gelu', [x], mul(x, normalDistribution(x)));
}

/** `x sigmoid(alpha x)`. */
function swish(x: Value, alpha: number): Value {
  // Not x sigmoid(alpha x) in float64: ONNX Runtime 1.30 fuses that, too, to an operator of its own, where it has no kernel for it.
  const body =
    x.dtype === 'float32' ? mul(x, sigmoid(scaled(x, alpha))) : div(x, add(exp(scaled(x, -alpha)), 1));
  return x.graph.composite('swish', [x], body, { alpha: { float: alpha } });
}

/** `factor x`, x itself for 1. */
export const scaled = (x: Value, factor: number): Value => (factor === 1 ? x : mul(x, factor));

/** `x sigmoid(x)`, also called swish. */
export const silu = (x: Value): Value => swish(x, 1);
/** `x sigmoid(1.702 x)`: gelu to within 0.02, with a cheaper gradient. */
export const quickGelu = (x: Value): Value => swish(x, 1.702);

/** x cut off at -1 and 1. */
export const hardTanh = (x: Value): Value =>
  operator({
    op: 'hardTanh',
    type: 'Clip',
    inputs: [x, x.graph.number(-1, x.dtype), x.graph.number(1, x.dtype)],
    shape: x.shape,
  });

/** x where it is positive, else `slope x`. @param slope in [0, 1] */
export const leakyRelu = (x: Value, slope = 0.01): Value => maximum(x, mul(x, slope));

/**
 * +1 where x >= 0, else -1; the gradient is that of `hardTanh`, so it ends outside of [-1, 1] (the saturating straight-through
 * estimator of Hubara et al. 2016). `signStraightThrough` lets it pass everywhere.
 */
export const hardSign = (x: Value): Value =>
  x.graph.composite('hardSign', [x], where(greaterOrEqual(x, 0), x.graph.number(1, x.dtype), -1));

/**
 * `x mask / keep`: dropout whose mask is an input of the step, so that a step is a function of its inputs.
 * @param mask 0 or 1, of x's shape: an input of examples, or a shared one where all examples drop the same @param keep probability of a 1
 */
export function dropout(x: Value, mask: Value, keep: number): Value {
  if (!sameShape(mask.shape, x.shape)) {
    throw shapeError(
      'dropout',
      x,
      `dropout of ${shapeText(x.shape)} cannot take a mask ${shapeText(mask.shape)}`,
    );
  }
  if (!(keep > 0 && keep <= 1))
    throw shapeError('dropout', x, `dropout keeps with probability ${keep}, not in (0, 1]`);
  return mul(x, mul(mask, 1 / keep));
}
