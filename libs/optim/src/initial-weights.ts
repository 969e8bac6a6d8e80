import { type MlpSpec, mlpParameters } from '@lethe/graph';
import type { RandomSource } from '@lethe/std';
import { elements, float32, type Tensor } from '@lethe/tensor';

/** Uniform in [-limit, limit). */
export function uniformTensor(
  shape: readonly number[],
  limit: number,
  random: RandomSource,
): Tensor<'float32'> {
  const data = new Float32Array(elements(shape));
  for (let i = 0; i < data.length; i++) data[i] = (2 * random.uniform() - 1) * limit;
  return float32(shape, data);
}

/**
 * Initial parameters of a perceptron: weights uniform in ±sqrt(6 / p) before a ReLU (He et al. 2015) and in
 * ±sqrt(6 / (p + d)) elsewhere (Glorot and Bengio 2010); biases zero. The same stream gives the same bytes.
 */
export function initialWeights(spec: MlpSpec, random: RandomSource): Record<string, Tensor<'float32'>> {
  const parameters = mlpParameters(spec);
  const initial: Record<string, Tensor<'float32'>> = {};
  for (const [i, { name, shape }] of parameters.entries()) {
    const [p, d] = shape;
    if (d === undefined) {
      initial[name] = uniformTensor(shape, 0, random);
      continue;
    }
    const beforeRelu = spec.activation === 'relu' && i < parameters.length - 2;
    initial[name] = uniformTensor(shape, Math.sqrt(6 / (beforeRelu ? p! : p! + d)), random);
  }
  return initial;
}
