import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isError, seededRandom, shuffle } from '@lethe/std';
import fc from 'fast-check';
import {
  type ArmScores,
  evaluate,
  normalQuantile,
  round6,
  roundScores,
  ruleDigest,
  STATISTICS,
  THREE_ARM_RULE,
} from './index.ts';

/** Quantiles of a normal distribution, so that no test depends on a draw. */
const normals = (count: number, shift: number): number[] =>
  Array.from({ length: count }, (_, i) => round6(normalQuantile((i + 0.5) / count) + shift));

const arms = (keepShift: number, deleteShift: number): ArmScores => ({
  out: normals(1500, 0),
  keep: normals(250, keepShift),
  delete: normals(750, deleteShift),
});

test('the rule, branch by branch', () => {
  const passed = evaluate(THREE_ARM_RULE, arms(2, 0));
  assert.equal(passed.verdict, 'PASS');
  assert.deepEqual(passed.reasons, ['ALL_CONDITIONS_HOLD']);
  assert.deepEqual(passed.counts, { out: 1500, keep: 250, delete: 750 });

  assert.deepEqual(evaluate(THREE_ARM_RULE, arms(0.05, 0)).reasons, ['CONTROL_NOT_SIGNIFICANT']);
  assert.equal(evaluate(THREE_ARM_RULE, arms(0.05, 2)).verdict, 'INCONCLUSIVE');

  assert.equal(evaluate(THREE_ARM_RULE, arms(2, 2)).verdict, 'FAIL');
  // Over-forgetting: scores below those of units never seen also tell the deleted apart.
  const over = evaluate(THREE_ARM_RULE, arms(2, -0.2));
  assert.deepEqual([over.verdict, over.reasons], ['FAIL', ['DELETE_DIFFERS_FROM_OUT']]);

  const drifted = evaluate(THREE_ARM_RULE, arms(2, 0.11));
  assert.deepEqual([drifted.verdict, drifted.reasons], ['INCONCLUSIVE', ['INTERVAL_NOT_WITHIN_EQUIVALENCE']]);

  const weak = evaluate(THREE_ARM_RULE, arms(0.25, 0.04));
  assert.deepEqual([weak.verdict, weak.reasons], ['INCONCLUSIVE', ['RATIO_LIMIT_EXCEEDED']]);
});

test('figures known from theory: AUC of two shifted normals, its null error, sizes of the demo', () => {
  const result = evaluate(THREE_ARM_RULE, arms(1, 0));
  // AUC = Phi(shift / sqrt 2) = 0.760250
  assert.ok(Math.abs(result.keepAuc - 0.76025) < 0.002);
  assert.ok(Math.abs(result.deleteAuc - 0.5) < 1e-6);
  assert.ok(result.deletePValue > 0.999);
  assert.equal(result.keepPValue, 0);
  // P[|Z| <= (0.05 - 1.645 s) / s] with s = 0.01291: 97.4 %.
  assert.ok(Math.abs(result.passIfErased - 0.974) < 0.003, `${result.passIfErased}`);
  assert.ok(result.power > 0.95);
  assert.ok(result.ratioUpper! < 0.1 && result.ratioUpper! > 0.05);
});

test('the order of the scores within an arm does not matter', () => {
  const random = seededRandom('order');
  const scores = arms(1, 0.05);
  const shuffled = {
    out: shuffle([...scores.out], random),
    keep: shuffle([...scores.keep], random),
    delete: shuffle([...scores.delete], random),
  };
  assert.deepEqual(evaluate(THREE_ARM_RULE, shuffled), evaluate(THREE_ARM_RULE, scores));
});

test('rounding is stable and never yields -0', () => {
  fc.assert(
    fc.property(fc.double({ min: -1e6, max: 1e6, noNaN: true }), (x) => {
      assert.equal(round6(round6(x)), round6(x));
      assert.ok(Math.abs(round6(x) - x) <= 5.1e-7);
    }),
  );
  assert.ok(Object.is(round6(-1e-9), 0));
  assert.deepEqual(roundScores({ out: [0.12345649], keep: [-0.1234565], delete: [] }).out, [0.123456]);
});

test('a rule is a canonical record; one that contradicts itself is refused', () => {
  assert.equal(ruleDigest({ ...THREE_ARM_RULE }), ruleDigest(THREE_ARM_RULE));
  assert.notEqual(ruleDigest({ ...THREE_ARM_RULE, leakAlpha: 0.02 }), ruleDigest(THREE_ARM_RULE));
  const bad = [
    { equivalence: [0.55, 0.45] as const },
    { leakAlpha: 0 },
    { ratioLimit: 1 },
    { ratioLevel: Number.NaN },
  ];
  for (const change of bad) {
    assert.throws(
      () => evaluate({ ...THREE_ARM_RULE, ...change }, arms(1, 0)),
      (e) => isError(e, STATISTICS.BAD_RULE),
    );
  }
  assert.throws(
    () => evaluate(THREE_ARM_RULE, { ...arms(1, 0), keep: [1] }),
    (e) => isError(e, STATISTICS.TOO_FEW_SCORES),
  );
});
