import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cnnParameters, cnnSpec, transformerParameters, transformerSpec } from '@lethe/graph';
import { isError, seededRandom } from '@lethe/std';
import { tensorsDigest } from '@lethe/tensor';
import { adamW, initialParameters, initialWeights, momentum, OPTIM } from './index.ts';

const spec = { widths: [300, 200, 10], activation: 'relu' } as const;

test('weights have the variance of He before a ReLU and of Glorot before the logits; biases are zero', () => {
  const initial = initialWeights(spec, seededRandom('weights'));
  const variance = (name: string): number => {
    const data = initial[name]!.data;
    return data.reduce((sum, value) => sum + value * value, 0) / data.length;
  };
  assert.ok(Math.abs(variance('dense0.w') / (2 / 300) - 1) < 0.03);
  assert.ok(Math.abs(variance('dense1.w') / (2 / 210) - 1) < 0.06);
  assert.equal(variance('dense0.b') + variance('dense1.b'), 0);
});

test('the same seed gives the same bytes, another seed others', () => {
  const digest = (seed: string): string => String(tensorsDigest(initialWeights(spec, seededRandom(seed))));
  assert.equal(digest('a'), digest('a'));
  assert.notEqual(digest('a'), digest('b'));
});

test('hyper-parameters outside of their range are refused', () => {
  for (const make of [
    () => momentum({ decay: 1 }),
    () => adamW({ beta2: -0.1 }),
    () => adamW({ weightDecay: Number.NaN }),
  ]) {
    assert.throws(make, (error) => isError(error, OPTIM.BAD_HYPERPARAMETER));
  }
});

test('every parameter of a model starts by the rule that it names', () => {
  const parameters = [...cnnParameters(cnnSpec), ...transformerParameters(transformerSpec)];
  const initial = initialParameters(parameters, seededRandom('models'));
  const square = (name: string): number => {
    const data = initial[name]!.data;
    return data.reduce((sum, value) => sum + value * value, 0) / data.length;
  };
  assert.deepEqual(
    Object.entries(initial).map(([name, { shape }]) => ({ name, shape })),
    parameters.map(({ name, shape }) => ({ name, shape })),
  );
  assert.ok(Math.abs(square('tokens.table') / 0.02 ** 2 - 1) < 0.03);
  assert.ok(Math.abs(square('block0.up.w') / (2 / 128) - 1) < 0.03);
  assert.ok(Math.abs(square('block0.q.w') / (2 / 256) - 1) < 0.04);
  assert.equal(square('block1.norm2.gamma'), 1);
  assert.equal(square('block1.norm2.beta') + square('conv0.b'), 0);
});
