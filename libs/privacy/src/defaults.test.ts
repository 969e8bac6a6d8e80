import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DP_SGD_ADVICE, dpSgdDefaults } from './defaults.ts';

test('defaults follow the advice at every size: delta below 1/n, large batches, a step of constant length', () => {
  for (const records of [1, 10, 600, 5_000, 60_000, 10_000_000]) {
    const { delta, samplingProbability, learningRate, l2ClipNorm } = dpSgdDefaults(records);
    assert.ok(delta > 0 && delta < 1 / records, `${records}`);
    assert.ok(samplingProbability >= 1 / 16 && samplingProbability <= 1 / 4);
    assert.ok(Number.isInteger(samplingProbability * 2 ** 53));
    assert.equal(learningRate * l2ClipNorm, 2);
  }
  assert.equal(dpSgdDefaults(60_000, 0.1).learningRate, 20);
  assert.ok(Math.abs(dpSgdDefaults(8_192).samplingProbability - 1 / 8) < 1e-9);
});

test('every default is explained', () => {
  assert.deepEqual(Object.keys(DP_SGD_ADVICE), Object.keys(dpSgdDefaults(100)));
});
