import { normalDistribution, scaled } from '../activations.ts';
import type { Value } from '../builder.ts';
import { abs, add, cast, exp, less, mul, sigmoid, sub } from '../ops.ts';
import type { Vjp } from './rule.ts';

/** d gelu = Phi(x) + x phi(x), phi the density `exp(-x^2 / 2) / sqrt(2 pi)`; Phi is that of the forward pass. */
export const gelu: Vjp = (node, g) => {
  const x = node.inputs[0] as Value;
  const bell = mul(mul(exp(mul(mul(x, -0.5), x)), x), 1 / Math.sqrt(2 * Math.PI));
  return [mul(g, add(normalDistribution(x), bell))];
};

/** With t = alpha x and s = sigmoid(t): d = s (1 + t (1 - s)). */
export const swish: Vjp = (node, g) => {
  const { alpha } = node.attributes;
  const t = scaled(node.inputs[0]!, alpha && 'float' in alpha ? alpha.float : 1);
  const s = sigmoid(t);
  return [mul(g, mul(s, add(mul(t, sub(1, s)), 1)))];
};

/** Cast and Mul, because ONNX Runtime's Where takes twice the time. */
export const insideUnit: Vjp = (node, g) => [mul(cast(less(abs(node.inputs[0]!), 1), g.dtype), g)];
