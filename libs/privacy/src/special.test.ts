import assert from 'node:assert/strict';
import { test } from 'node:test';
import { erfc, logErfc, logNormalCdf, normalCdf } from './special.ts';

// Values of CPython's math.erfc, whose error is below one unit in the last place.
const ERFC: readonly (readonly [x: number, value: number])[] = [
  [0.5, 0.4795001221869535],
  [1.99, 0.004888586800383003],
  [2, 0.004677734981047265],
  [2.01, 0.004475150644751763],
  [3, 2.2090496998585438e-5],
  [10, 2.088487583762545e-45],
];

test('erfc has relative accuracy on both branches and in the far tail', () => {
  for (const [x, value] of ERFC) {
    assert.ok(Math.abs(erfc(x) / value - 1) < 5e-14, `erfc(${x})`);
    assert.ok(Math.abs(logErfc(x) - Math.log(value)) < 5e-14 * Math.max(1, x * x), `logErfc(${x})`);
    assert.ok(Math.abs(erfc(-x) - (2 - value)) < 1e-15);
  }
});

test('the normal tail stays finite in logarithms where the probability underflows', () => {
  assert.equal(normalCdf(-40), 0);
  // Mills' ratio: log Phi(-x) = -x^2/2 - log(x sqrt(2 pi)) + log(1 - 1/x^2 + ...)
  assert.ok(
    Math.abs(logNormalCdf(-40) - (-800 - Math.log(40 * Math.sqrt(2 * Math.PI)) + Math.log1p(-1 / 1600))) <
      1e-5,
  );
  assert.ok(Math.abs(logNormalCdf(6) - Math.log1p(-normalCdf(-6))) < 1e-18);
});
