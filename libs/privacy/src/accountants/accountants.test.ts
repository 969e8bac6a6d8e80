import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isError } from '@lethe/std';
import { PRIVACY } from '../errors.ts';
import { normalCdf } from '../special.ts';
import { calibrateNoiseMultiplier, epsilonUpper } from './epsilon.ts';
import { pldEpsilonUpper } from './pld.ts';
import { rdpEpsilonUpper, rdpOfStep } from './rdp.ts';

/**
 * Truth: closed forms (one_step, q1_1step) and an independent contour integral of the loss's transform, made outside of this repository.
 * rdp: what the orders prove, as other libraries report it. slack: how far above the truth the exact accountant may be.
 */
const ROWS = [
  {
    id: 'mnist_tfp',
    sigma: 1.1,
    q: 256 / 60_000,
    steps: 14_062,
    delta: 1e-5,
    truth: 2.3815969,
    rdp: 2.59656,
    slack: 2e-4,
  },
  { id: 'one_step', sigma: 1, q: 0.01, steps: 1, delta: 1e-5, truth: 0.19945045, rdp: 0.95555, slack: 1e-5 },
  { id: 'q1_1step', sigma: 1, q: 1, steps: 1, delta: 1e-5, truth: 4.3771781, rdp: 4.72851, slack: 1e-5 },
  {
    id: 'tiny_delta',
    sigma: 1,
    q: 0.001,
    steps: 10_000,
    delta: 1e-12,
    truth: 1.1844838,
    rdp: 2.13083,
    slack: 3e-3,
  },
] as const;

for (const { id, sigma, q, steps, delta, truth, rdp, slack } of ROWS) {
  test(`${id}: truth <= loss distribution <= truth + ${slack}, and RDP as published`, () => {
    const mechanism = { samplingProbability: q, noiseMultiplier: sigma, steps };
    const byOrders = rdpEpsilonUpper(mechanism, delta).epsilonUpper;
    const byLoss = pldEpsilonUpper(mechanism, delta, byOrders);
    assert.ok(Math.abs(byOrders - rdp) < 1e-4, `RDP ${byOrders}`);
    assert.ok(byLoss >= truth - 1e-7 && byLoss <= truth + slack, `loss distribution ${byLoss}`);
  });
}

test('q = 1: T steps are one Gaussian with noise sigma / sqrt(T), whose delta has a closed form', () => {
  for (const [sigma, steps] of [
    [3, 9],
    [2, 16],
    [5, 50],
  ] as const) {
    const mechanism = { samplingProbability: 1, noiseMultiplier: sigma, steps };
    const epsilon = pldEpsilonUpper(mechanism, 1e-5, rdpEpsilonUpper(mechanism, 1e-5).epsilonUpper);
    const mu = Math.sqrt(steps) / sigma;
    const deltaAt = (e: number) => normalCdf(mu / 2 - e / mu) - Math.exp(e) * normalCdf(-mu / 2 - e / mu);
    assert.ok(deltaAt(epsilon) <= 1e-5, 'valid');
    assert.ok(deltaAt(epsilon * (1 - 1e-4)) > 1e-5, 'tight');
  }
});

test('RDP: the integral of fractional orders meets the series of integer orders', () => {
  for (const [q, sigma] of [
    [0.01, 1],
    [0.25, 2],
    [0.6, 0.8],
    [0.004, 1.1],
  ] as const) {
    for (const alpha of [2, 5, 10]) {
      const series = rdpOfStep(q, sigma, alpha);
      assert.ok(
        Math.abs(rdpOfStep(q, sigma, alpha + 1e-9) / series - 1) < 1e-7,
        `q ${q} sigma ${sigma} alpha ${alpha}`,
      );
    }
  }
});

test('RDP keeps its digits where A - 1 is 1e-9: the first term of the series dominates', () => {
  const [q, sigma] = [1e-6, 8];
  const expected = Math.log1p(q * q * Math.expm1(1 / (sigma * sigma)));
  assert.ok(Math.abs(rdpOfStep(q, sigma, 2) / expected - 1) < 1e-12);
});

test('calibration never overspends and does not waste', () => {
  const plan = { samplingProbability: 0.25, steps: 60, delta: 1e-5 };
  for (const target of [1, 4]) {
    const noiseMultiplier = calibrateNoiseMultiplier(plan, target);
    const price = (sigma: number) =>
      epsilonUpper(
        {
          ...plan,
          noiseMultiplier: sigma,
          kind: 'poisson-subsampled-gaussian',
          unit: 'subject',
          neighboringRelation: 'add-or-remove-one',
        },
        plan.delta,
      );
    assert.ok(price(noiseMultiplier) <= target);
    assert.ok(price(noiseMultiplier * 0.998) > target);
  }
});

test('bad parameters and unknown mechanisms are refused', () => {
  const good = {
    kind: 'poisson-subsampled-gaussian',
    unit: 'subject',
    neighboringRelation: 'add-or-remove-one',
    samplingProbability: 0.25,
    noiseMultiplier: 1,
    steps: 1,
  } as const;
  const refused = (error: unknown) => isError(error, PRIVACY.INVALID_MECHANISM);
  for (const delta of [0, 1, -1, Number.NaN]) assert.throws(() => epsilonUpper(good, delta), refused);
  assert.throws(() => epsilonUpper({ ...good, neighboringRelation: 'replace-one' as never }, 1e-5), refused);
  assert.throws(
    () => calibrateNoiseMultiplier({ samplingProbability: 0.5, steps: 10, delta: 1e-5 }, 0),
    refused,
  );
});
