/**
 * The code of every class, chosen before its first item and never moved: rows of a Hadamard matrix (`codebook.ts`), or vertices of a simplex, turned and
 * cut to signs. Both keep any two classes at least K / 4 bits apart.
 *
 * The simplex is that of Pernici, Bruni, Baecchi, Del Bimbo, "Regular Polytope Networks" (2021) and of "Stationary Representations" (Biondi, Pernici,
 * Ricci, Del Bimbo, CVPR 2024): class prototypes are fixed beforehand, those of classes to come included. K + 1 vertices of K dimensions have
 * equal angles; their signs after a rotation do not exactly, so a row that comes nearer than K / 4 to an earlier one is passed over, and further
 * rotations follow. That makes rows a prefix: more classes never move those there are.
 */
import { seededRandom } from '@lethe/std';
import { type Codebook, classCode, emptyCodebook } from '../codebook.ts';
import { HASHING } from '../errors.ts';

export interface ClassRows {
  readonly kind: 'hadamard' | 'simplex';
  readonly codeBits: number;
  /** Of class 0, 1, …, each [K] of +1 and -1. */
  readonly rows: readonly Int8Array[];
  /** Breaks the ties of items of several classes, [K]. */
  readonly tie: Int8Array;
}

/** @throws LETHE-3402 */
export function hadamardRows(codebook: Codebook): ClassRows {
  const { codeBits, classes } = codebook;
  const whole = { ...codebook, classes: Array.from({ length: codeBits - 2 }, (_, c) => String(c)) };
  const last = classCode(whole, codeBits - 3);
  // Row K - 1 of the matrix, which no class has: the product of row K - 2, the last in either order, and row 1, the first.
  const tie = classCode(whole, 0).map((bit, k) => bit * last[k]!);
  return { kind: 'hadamard', codeBits, rows: classes.map((_, c) => classCode(codebook, c)), tie };
}

const ROTATIONS = 64;

/** Rows of an orthogonal matrix by Gram and Schmidt; sums, products and roots only, so equal on every machine. */
function rotation(K: number, number: number): Float64Array {
  const random = seededRandom('lethe-simplex', K, number);
  const m = Float64Array.from(
    { length: K * K },
    () => random.uniform() + random.uniform() + random.uniform() - 1.5,
  );
  for (let i = 0; i < K; i++) {
    for (let j = 0; j < i; j++) {
      let product = 0;
      for (let k = 0; k < K; k++) product += m[i * K + k]! * m[j * K + k]!;
      for (let k = 0; k < K; k++) m[i * K + k]! -= product * m[j * K + k]!;
    }
    let square = 0;
    for (let k = 0; k < K; k++) square += m[i * K + k]! ** 2;
    const size = Math.sqrt(square);
    for (let k = 0; k < K; k++) m[i * K + k]! /= size;
  }
  return m;
}

/** Vertex v of the regular simplex of K + 1 vertices around the origin, of length 1 each: [K]. */
export function simplexVertex(K: number, v: number): Float64Array {
  const last = (1 - Math.sqrt(1 + K)) / K;
  const centre = (1 + last) / (K + 1);
  const row = Float64Array.from({ length: K }, (_, k) => (v === K ? last : Number(k === v)) - centre);
  const size = Math.sqrt(row.reduce((sum, value) => sum + value * value, 0));
  return row.map((value) => value / size);
}

/** @throws LETHE-3401 no further row is far enough from all earlier ones  @throws LETHE-3410 */
export function simplexRows(codeBits: number, classes: number): ClassRows {
  emptyCodebook(codeBits);
  const rows: Int8Array[] = [];
  for (let r = 0; r < ROTATIONS && rows.length <= classes; r++) {
    const turn = rotation(codeBits, r);
    for (let v = 0; v <= codeBits && rows.length <= classes; v++) {
      const vertex = simplexVertex(codeBits, v);
      const row = Int8Array.from({ length: codeBits }, (_, k) => {
        let value = 0;
        for (let l = 0; l < codeBits; l++) value += turn[k * codeBits + l]! * vertex[l]!;
        return value > 0 ? 1 : -1;
      });
      if (rows.every((other) => distanceOf(row, other) >= codeBits / 4)) rows.push(row);
    }
  }
  if (rows.length <= classes) {
    throw HASHING.CODEBOOK_FULL(`a simplex of ${codeBits} bits has rows for ${rows.length - 1} classes`, {
      details: { most: rows.length - 1 },
    });
  }
  // The first row is the tie breaker, so that it does not move either.
  return { kind: 'simplex', codeBits, rows: rows.slice(1), tie: rows[0]! };
}

const distanceOf = (a: Int8Array, b: Int8Array): number =>
  a.reduce((sum, bit, k) => sum + Number(bit !== b[k]), 0);

/** Sign of the sum of the classes' rows, the tie row where it is 0. @returns [K]  @throws LETHE-3402 */
export function targetRow({ rows, codeBits, tie }: ClassRows, classes: readonly number[]): Int8Array {
  const own = classes.map((c) => {
    const row = rows[c];
    if (!row) throw HASHING.CLASS_UNKNOWN('the class has no row', { details: { classes: rows.length } });
    return row;
  });
  return Int8Array.from({ length: codeBits }, (_, k) => {
    const sum = own.reduce((total, row) => total + row[k]!, 0);
    return Math.sign(sum) || tie[k]!;
  });
}
