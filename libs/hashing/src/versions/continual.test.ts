import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isError } from '@lethe/std';
import { HASHING } from '../errors.ts';
import { averageScore, backwardTransfer, forgetting, forwardTransfer } from './continual.ts';

const near = (a: number, b: number) => assert.ok(Math.abs(a - b) < 1e-12, `${a} against ${b}`);
// Three steps, three tasks; worked by hand in the comments.
const scores = [
  [0.9, 0.2, 0.1],
  [0.95, 0.8, 0.3],
  [0.7, 0.85, 0.6],
];

test('Lopez-Paz and Ranzato 2017: ACC, BWT and FWT', () => {
  near(averageScore(scores), (0.7 + 0.85 + 0.6) / 3);
  near(backwardTransfer(scores), (0.7 - 0.9 + (0.85 - 0.8)) / 2);
  near(forwardTransfer(scores, [0.5, 0.1, 0.1]), (0.2 - 0.1 + (0.3 - 0.1)) / 2);
});

test('Chaudhry et al. 2018: the best earlier score counts, not the first one', () => {
  // Task 0 was best after step 1 (0.95), task 1 at 0.8; a task that improves has negative forgetting.
  near(forgetting(scores), (0.95 - 0.7 + (0.8 - 0.85)) / 2);
});

test('what was not measured is refused where it is needed, and only there', () => {
  const lower = [
    [0.9, Number.NaN],
    [0.8, 0.7],
  ];
  near(averageScore(lower), 0.75);
  near(forgetting(lower), 0.1);
  const refused = (e: unknown) => isError(e, HASHING.SCORES_INCOMPLETE);
  assert.throws(() => forwardTransfer(lower, [0, 0]), refused);
  assert.throws(() => forgetting([[0.9]]), refused);
  assert.throws(() => averageScore([[0.9], [0.8]]), refused, 'more steps than tasks');
  assert.throws(() => averageScore([]), refused);
});
