import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isError, seededRandom } from '@lethe/std';
import fc from 'fast-check';
import {
  contrastVariance,
  controlsToResolve,
  delongAuc,
  delongCovariance,
  delongInterval,
  fiellerUpper,
  nullAucSe,
  rocPoints,
  STATISTICS,
  tprAtFpr,
} from './index.ts';

const OUT = [1, 2, 3, 4, 5, 6, 7, 8];
const KEEP = [3, 5, 7, 9, 9, 10];
const DELETE = [2, 4, 4, 6, 8];
const near = (actual: number, expected: number, tolerance = 1e-12) =>
  assert.ok(Math.abs(actual - expected) <= tolerance, `${actual} is not ${expected}`);

test('AUC, DeLong variance and covariance with ties: exact fractions from the definition', () => {
  const keep = delongAuc(KEEP, OUT);
  const gone = delongAuc(DELETE, OUT);
  near(keep.auc, 25 / 32);
  near(gone.auc, 43 / 80);
  near(keep.variance, 419 / 23040);
  near(gone.variance, 1367 / 44800);
  near(delongCovariance(keep, gone), 141 / 17920);
  const [low, high] = delongInterval(gone, 0.9);
  near((low + high) / 2, 43 / 80);
  near((high - low) / 2, 1.6448536269514726 * Math.sqrt(1367 / 44800));
});

test('the area under the ROC points is the Mann-Whitney AUC', () => {
  const scores = fc.array(fc.integer({ min: 0, max: 12 }), { minLength: 2, maxLength: 40 });
  fc.assert(
    fc.property(scores, scores, (up, down) => {
      const points = rocPoints(up, down);
      let area = 0;
      for (let i = 1; i < points.length; i++) {
        const [a, b] = [points[i - 1]!, points[i]!];
        area += ((b.fpr - a.fpr) * (a.tpr + b.tpr)) / 2;
      }
      near(delongAuc(up, down).auc, area, 1e-10);
      assert.deepEqual([points.at(-1)!.fpr, points.at(-1)!.tpr], [1, 1]);
    }),
  );
});

test('the null error and DeLong agree with the spread of simulated null AUCs', () => {
  const random = seededRandom('null auc');
  const draw = (count: number) => Array.from({ length: count }, () => random.uniform());
  const runs = Array.from({ length: 2000 }, () => delongAuc(draw(60), draw(90)));
  const mean = runs.reduce((sum, run) => sum + run.auc, 0) / runs.length;
  const spread = Math.sqrt(runs.reduce((sum, run) => sum + (run.auc - mean) ** 2, 0) / runs.length);
  near(mean, 0.5, 0.004);
  near(spread / nullAucSe(60, 90), 1, 0.05);
  const estimated = Math.sqrt(runs.reduce((sum, run) => sum + run.variance, 0) / runs.length);
  near(estimated / spread, 1, 0.05);
});

test('Fieller: the limit is where the one-sided test stops rejecting, and it covers as often as it says', () => {
  const input = {
    numerator: 0.02,
    denominator: 0.3,
    numeratorVariance: 0.013 ** 2,
    denominatorVariance: 0.02 ** 2,
    covariance: 0.00004,
  };
  const limit = fiellerUpper(input, 1.6448536269514726)!;
  near(
    (input.numerator - limit * input.denominator) / Math.sqrt(contrastVariance(input, limit)),
    -1.6448536269514726,
    1e-9,
  );
  assert.equal(fiellerUpper({ ...input, denominator: 0.03 }, 1.645), null);
  assert.equal(fiellerUpper({ ...input, denominator: -0.3 }, 1.645), null);
  // No variance at all: the limit is the ratio.
  const exact = { ...input, numeratorVariance: 0, denominatorVariance: 0, covariance: 0 };
  near(fiellerUpper(exact, 1.645)!, 0.02 / 0.3);

  const random = seededRandom('fieller');
  const normal = () =>
    Math.sqrt(-2 * Math.log(1 - random.uniform())) * Math.cos(2 * Math.PI * random.uniform());
  let covered = 0;
  const runs = 20_000;
  for (let run = 0; run < runs; run++) {
    const shared = 0.005 * normal();
    const sample = {
      numerator: 0.05 + shared + 0.012 * normal(),
      denominator: 0.2 + shared + 0.02 * normal(),
      numeratorVariance: 0.005 ** 2 + 0.012 ** 2,
      denominatorVariance: 0.005 ** 2 + 0.02 ** 2,
      covariance: 0.005 ** 2,
    };
    if (fiellerUpper(sample, 1.6448536269514726)! >= 0.25) covered++;
  }
  near(covered / runs, 0.95, 0.006);
});

test('TPR at a low FPR is stated only where the controls can resolve it', () => {
  assert.deepEqual(
    [0.05, 0.01, 0.001].map((f) => controlsToResolve(f)),
    [59, 299, 2995],
  );
  const down = Array.from({ length: 1000 }, (_, i) => i);
  const up = Array.from({ length: 100 }, (_, i) => 900 + 2 * i);
  assert.equal(tprAtFpr(up, down, 0.001), null);
  const at = tprAtFpr(up, down, 0.01)!;
  // Threshold 990 admits 10 of 1000 controls and every canary from 990 on: 55 of 100.
  assert.deepEqual([at.threshold, at.achievedFpr, at.tpr], [990, 0.01, 0.55]);
  assert.ok(at.tprInterval[0] < 0.55 && 0.55 < at.tprInterval[1]);
});

test('arms without a variance and scores that are no numbers are refused', () => {
  assert.throws(
    () => delongAuc([1], OUT),
    (e) => isError(e, STATISTICS.TOO_FEW_SCORES),
  );
  assert.throws(
    () => delongAuc(KEEP, [1, Number.NaN]),
    (e) => isError(e, STATISTICS.NOT_A_NUMBER),
  );
});
