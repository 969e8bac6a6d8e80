import { shapeText } from '@lethe/tensor';
import type { Value } from '../builder.ts';
import { shapeError } from '../operator.ts';
import { add, matmul } from '../ops.ts';
import { ACTIVATIONS, type MlpSpec, mlpParameters } from './mlp.ts';

/** Names and shapes of the parameters of k perceptrons as one: `dense0.w` [k, p, d], `dense0.b` [k, 1, d], … */
export function mlpStackParameters(
  spec: MlpSpec,
  k: number,
): { readonly name: string; readonly shape: readonly number[] }[] {
  return mlpParameters(spec).map(({ name, shape }) => ({
    name,
    shape: shape.length === 1 ? [k, 1, ...shape] : [k, ...shape],
  }));
}

/**
 * k perceptrons of one architecture in one graph, each on inputs of its own: products with a batch axis in place of k runs. None sees another's
 * rows or parameters, so the gradient of the summed losses is each one's own. It pays where a step is so small that a run's overhead counts, several
 * times for 64-16-10 with 16 rows, and not at all from about 784-128-10 with 128 (`npm run bench -- stack`).
 * The bytes differ from those of a single run, whose product is another kernel: do not compare digests across the two.
 *
 * @param x [k, n, widths[0]] @returns logits [k, n, widths.at(-1)] and the parameters in layer order
 */
export function mlpStack(
  x: Value,
  spec: MlpSpec,
): { readonly logits: Value; readonly parameters: readonly Value[] } {
  const [k, , features] = x.shape;
  if (x.shape.length !== 3 || features !== spec.widths[0]) {
    throw shapeError('mlpStack', x, `a stack takes [k, n, ${spec.widths[0]}], not ${shapeText(x.shape)}`);
  }
  const parameters = mlpStackParameters(spec, k!).map(({ name, shape }) =>
    x.graph.parameter(name, shape, x.dtype),
  );
  const layers = parameters.length / 2;
  let value = x;
  for (let i = 0; i < layers; i++) {
    value = add(matmul(value, parameters[2 * i]!), parameters[2 * i + 1]!);
    if (i < layers - 1) value = ACTIVATIONS[spec.activation](value);
  }
  return { logits: value, parameters };
}
