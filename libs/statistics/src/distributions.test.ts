import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isError } from '@lethe/std';
import { clopperPearson, normalCdf, normalQuantile, normalSf, STATISTICS } from './index.ts';

/** Computed with 50 digits by another library (mpmath's erfc and root finding). */
const CDF: readonly (readonly [number, number])[] = [
  [-20, 2.7536241186062337e-89],
  [-8, 6.220960574271784e-16],
  [-5, 2.866515718791939e-7],
  [-3, 0.0013498980316300946],
  [-2.9, 0.001865813300384038],
  [-2, 0.02275013194817921],
  [-1, 0.15865525393145705],
  [-0.1, 0.460172162722971],
  [0.5, 0.691462461274013],
  [2, 0.9772498680518208],
  [5, 0.9999997133484281],
];
const QUANTILE: readonly (readonly [number, number])[] = [
  [1e-300, -37.0470962993612],
  [1e-20, -9.262340089798409],
  [0.001, -3.090232306167813],
  [0.005, -2.575829303548901],
  [0.05, -1.6448536269514726],
  [0.25, -0.6744897501960817],
  [0.4999, -0.0002506628300880351],
  [0.95, 1.6448536269514726],
  [0.995, 2.575829303548901],
];

const near = (actual: number, expected: number, relative: number) =>
  assert.ok(Math.abs(actual - expected) <= relative * Math.abs(expected), `${actual} is not ${expected}`);

test('the normal distribution keeps 12 digits in both tails', () => {
  for (const [z, p] of CDF) {
    near(normalCdf(z), p, 1e-12);
    near(normalSf(-z), p, 1e-12);
  }
  for (const [p, z] of QUANTILE) near(normalQuantile(p), z, 1e-11);
  assert.equal(normalCdf(0), 0.5);
  assert.ok(Math.abs(normalQuantile(0.5)) < 1e-17);
  for (const p of [0, 1, -1, Number.NaN]) {
    assert.throws(
      () => normalQuantile(p),
      (e) => isError(e, STATISTICS.NOT_A_NUMBER),
    );
  }
});

test('Clopper-Pearson agrees with exact binomial tails to 1e-9', () => {
  // [successes, trials, level, lower, upper]: 50-digit bisection on the binomial sums themselves.
  const expected = [
    [0, 10, 0.95, 0, 0.308497107818761],
    [1, 10, 0.95, 0.00252857854446178, 0.445016117028195],
    [5, 10, 0.9, 0.222441101008129, 0.777558898991871],
    [10, 10, 0.95, 0.691502892181239, 1],
    [37, 1000, 0.95, 0.0261827088437373, 0.0506411230599249],
    [499, 500, 0.99, 0.985234928610311, 0.999989974966604],
    [120, 250, 0.95, 0.416631629218103, 0.543848128847945],
  ] as const;
  for (const [successes, trials, level, lower, upper] of expected) {
    const [a, b] = clopperPearson(successes, trials, level);
    assert.ok(Math.abs(a - lower) < 1e-9 && Math.abs(b - upper) < 1e-9, `${successes}/${trials}: ${a} ${b}`);
  }
  assert.throws(
    () => clopperPearson(3, 2, 0.95),
    (e) => isError(e, STATISTICS.NOT_A_NUMBER),
  );
});
