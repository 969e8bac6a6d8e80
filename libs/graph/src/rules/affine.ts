import type { Value } from '../builder.ts';
import { mul, reduceSum, reshape } from '../ops.ts';
import { sumTo } from './elementwise.ts';
import { type LayerRules, type Mixes, none, type ParametrisedUse, type Vjp } from './rule.ts';

/**
 * `x * gamma` and `x + beta` with a parameter on trailing axes: the learned part of every normalisation, biases, learned positions.
 * Their gradients for one subject are no larger than the parameter, so they are formed: sum_t x_t g_t and sum_t g_t.
 */

export const scaleVjp: Vjp = (node, g) => {
  const [x, gamma] = node.inputs as [Value, Value];
  return [mul(g, gamma), sumTo(mul(g, x), gamma.shape)];
};
export const shiftVjp: Vjp = (node, g) => [g, sumTo(g, node.inputs[1]!.shape)];

const rules = (rowGradient: (node: Value, g: Value) => Value): LayerRules => ({
  parameters: [1],
  ghostNorm: () => none('its gradients are as short as the parameter and are summed for each subject'),
  subjectGradients: ({ node, outputGradient, subjects }: ParametrisedUse) => {
    const { shape } = node.inputs[1]!;
    const size = shape.reduce((product, n) => product * n, 1);
    const rows = rowGradient(node, outputGradient);
    const count = rows.shape.reduce((product, n) => product * n, 1) / (subjects * size);
    const grouped = reshape(rows, [subjects, count, size]);
    return reshape(count === 1 ? grouped : reduceSum(grouped, [1]), [subjects, ...shape]);
  },
  clippedSum: ({ node, outputGradient }) => sumTo(rowGradient(node, outputGradient), node.inputs[1]!.shape),
});

export const scale = rules((node, g) => mul(g, node.inputs[0]!));
export const shift = rules((_node, g) => g);

export const mixes: Mixes = (node, [, parameter], subjects) => {
  if (parameter) return 'takes a parameter that is computed from examples';
  const rows = node.shape[0]!;
  return rows % subjects === 0 ? undefined : 'its first axis does not count subjects or their rows';
};
