import { type MlpSpec, mlpParameters, type ParameterSpec } from '@lethe/graph';
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

/** Initial values by the rule that each parameter names (`ParameterSpec.start`). The same stream gives the same bytes. */
export function initialParameters(
  parameters: readonly ParameterSpec[],
  random: RandomSource,
): Record<string, Tensor<'float32'>> {
  const initial: Record<string, Tensor<'float32'>> = {};
  for (const { name, shape, start } of parameters) {
    const [p = 0, d = 0] = shape;
    const limits = {
      beforeRelu: Math.sqrt(6 / p),
      balanced: Math.sqrt(6 / (p + d)),
      embedding: 0.02 * Math.sqrt(3),
    };
    initial[name] =
      start === 'ones' || start === 'zeros'
        ? float32(shape, new Float32Array(elements(shape)).fill(start === 'ones' ? 1 : 0))
        : uniformTensor(shape, limits[start], random);
  }
  return initial;
}
