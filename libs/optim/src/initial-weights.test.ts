import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isError, seededRandom } from '@lethe/std';
import { tensorsDigest } from '@lethe/tensor';
import { adamW, initialWeights, momentum, OPTIM } from './index.ts';

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
