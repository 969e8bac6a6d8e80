import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isError } from '@lethe/std';
import { allocateClasses, emptyCodebook, targetCode } from '../codebook.ts';
import { HASHING } from '../errors.ts';
import { type ClassRows, hadamardRows, simplexRows, simplexVertex, targetRow } from './class-rows.ts';

const leastDistance = ({ rows }: ClassRows): number =>
  Math.min(
    ...rows.flatMap((row, c) =>
      rows.slice(0, c).map((other) => row.filter((bit, k) => bit !== other[k]).length),
    ),
  );

const names = (count: number) => Array.from({ length: count }, (_, i) => `class-${i}`);

/** Prototypes at the vertices of a regular simplex, after Biondi et al. 2024 and Pernici et al. 2021 (references in `class-rows.ts`): the cosine of any two is -1/K. */
test('the simplex has K + 1 vertices of length 1 at equal angles', () => {
  const K = 16;
  for (let a = 0; a <= K; a++) {
    for (let b = 0; b <= a; b++) {
      const [u, v] = [simplexVertex(K, a), simplexVertex(K, b)];
      const product = u.reduce((sum, value, k) => sum + value * v[k]!, 0);
      assert.ok(Math.abs(product - (a === b ? 1 : -1 / K)) < 1e-12, `${a} ${b} ${product}`);
    }
  }
});

test('any two classes are at least K / 4 bits apart, in both geometries', () => {
  for (const [K, classes] of [
    [16, 18],
    [32, 40],
    [64, 100],
    [128, 124],
    [256, 100],
  ] as const) {
    assert.ok(leastDistance(simplexRows(K, classes)) >= K / 4, `simplex ${K}`);
    assert.ok(
      leastDistance(hadamardRows(allocateClasses(emptyCodebook(K), names(Math.min(classes, 2 * K - 4))))) >=
        K / 4,
      `hadamard ${K}`,
    );
  }
});

test('more classes move no row', () => {
  const few = simplexRows(64, 5);
  const many = simplexRows(64, 90);
  assert.deepEqual(many.rows.slice(0, 5), few.rows);
  assert.deepEqual(many.tie, few.tie);
});

test('targets of Hadamard rows are those of the codebook', () => {
  for (const order of ['serial', 'spread'] as const) {
    const codebook = allocateClasses(emptyCodebook(32, order), names(50));
    const rows = hadamardRows(codebook);
    for (const set of [[0], [1, 7], [2, 33], [3, 4, 5], [10, 11, 12, 13]]) {
      assert.deepEqual(targetRow(rows, set), targetCode(codebook, set));
    }
  }
});

test('a class too many and a class without a row are refused', () => {
  assert.throws(
    () => simplexRows(16, 4_000),
    (e) => isError(e, HASHING.CODEBOOK_FULL),
  );
  assert.throws(
    () => targetRow(simplexRows(16, 3), [3]),
    (e) => isError(e, HASHING.CLASS_UNKNOWN),
  );
});
