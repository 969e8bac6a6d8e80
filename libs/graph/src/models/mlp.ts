import type { Value } from '../builder.ts';
import { dense } from '../layers.ts';
import { relu, sigmoid, tanh } from '../ops.ts';

export const ACTIVATIONS = { relu, tanh, sigmoid } as const;

/** A multi-layer perceptron: `widths[0]` features, hidden layers, `widths.at(-1)` outputs. */
export interface MlpSpec {
  /** At least two; two make a linear model. */
  readonly widths: readonly number[];
  readonly activation: keyof typeof ACTIVATIONS;
}

/** Names and shapes of the parameters in layer order: `dense0.w` [p, d], `dense0.b` [d], … */
export function mlpParameters(spec: MlpSpec): { readonly name: string; readonly shape: readonly number[] }[] {
  return spec.widths.slice(1).flatMap((d, i) => [
    { name: `dense${i}.w`, shape: [spec.widths[i]!, d] },
    { name: `dense${i}.b`, shape: [d] },
  ]);
}

/** @param x [n, widths[0]] @returns logits [n, widths.at(-1)] and the parameters in layer order */
export function mlp(
  x: Value,
  spec: MlpSpec,
): { readonly logits: Value; readonly parameters: readonly Value[] } {
  const parameters = mlpParameters(spec).map(({ name, shape }) => x.graph.parameter(name, shape, x.dtype));
  const layers = parameters.length / 2;
  let value = x;
  for (let i = 0; i < layers; i++) {
    value = dense(value, parameters[2 * i]!, parameters[2 * i + 1]!);
    if (i < layers - 1) value = ACTIVATIONS[spec.activation](value);
  }
  return { logits: value, parameters };
}
