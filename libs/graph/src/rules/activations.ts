import type { Value } from '../builder.ts';
import { abs, add, cast, erf, exp, less, mul, neg, sigmoid, sub } from '../ops.ts';
import type { Vjp } from './rule.ts';

/** d gelu = Phi(x) + x phi(x) = (1 + erf(u) + 2 / sqrt(pi) u exp(-u^2)) / 2, u = x / sqrt(2). */
export const gelu: Vjp = (node, g) => {
  const u = mul(node.inputs[0]!, Math.SQRT1_2);
  const bell = mul(mul(u, 2 / Math.sqrt(Math.PI)), exp(neg(mul(u, u))));
  return [mul(mul(g, 0.5), add(add(erf(u), bell), 1))];
};

/** With s = sigmoid(alpha x): d = s + alpha y (1 - s). */
export const swish: Vjp = (y, g) => {
  const x = y.inputs[0] as Value;
  const { alpha: attribute } = y.attributes;
  const alpha = attribute && 'float' in attribute ? attribute.float : 1;
  const s = sigmoid(alpha === 1 ? x : mul(x, alpha));
  const scaled = alpha === 1 ? y : mul(y, alpha);
  return [mul(g, add(s, mul(scaled, sub(1, s))))];
};

/** Cast and Mul, because ONNX Runtime's Where takes twice the time. */
export const insideUnit: Vjp = (node, g) => [mul(cast(less(abs(node.inputs[0]!), 1), g.dtype), g)];
