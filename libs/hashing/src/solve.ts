import { dots2x4 } from './dots.ts';
import { HASHING } from './errors.ts';
import type { HeadStatistics } from './statistics.ts';

/**
 * Lower Cholesky factor in place, left-looking, four columns at a time. The order of every sum is fixed, so equal input bits
 * give equal output bits on every machine.
 * @param m [dim, dim] row-major, lower triangle read and overwritten; dim a multiple of 4  @throws LETHE-3409
 */
function factor(m: Float64Array, dim: number): void {
  const sums = new Float64Array(8);
  for (let j = 0; j < dim; j += 4) {
    for (let i = j; i < dim; i += 2) {
      dots2x4(m, i * dim, dim, m, j * dim, dim, j, sums);
      for (let r = 0; r < 2; r++) {
        const row = (i + r) * dim;
        const last = Math.min(3, i + r - j);
        for (let c = 0; c <= last; c++) {
          const column = (j + c) * dim;
          let value = m[row + j + c]! - sums[4 * r + c]!;
          for (let k = j; k < j + c; k++) value -= m[row + k]! * m[column + k]!;
          if (row !== column) m[row + j + c] = value / m[column + j + c]!;
          else if (value > 0) m[row + j + c] = Math.sqrt(value);
          else
            throw HASHING.NOT_POSITIVE_DEFINITE('the Gram matrix cannot be factored', {
              details: { row: j + c },
            });
        }
      }
    }
  }
}

/**
 * Ridge regression onto the codebook: W = (gram + lambda I)⁻¹ cross, by Cholesky in float64 in a fixed order. Equal statistics
 * give bit-equal weights; that is what makes "updated" equal "retrained" and "erased" equal "never seen" by digest.
 * @returns W [D, K] row-major  @throws LETHE-3409 not positive definite  @throws LETHE-3410 lambda is not positive
 */
export function solveWeights(statistics: HeadStatistics, lambda: number): Float64Array {
  if (!(lambda > 0 && Number.isFinite(lambda)))
    throw HASHING.OPTION_INVALID('lambda is not a positive number');
  const { featureDim: dim, codeBits } = statistics;
  const lower = statistics.gram.slice();
  for (let i = 0; i < dim; i++) lower[i * dim + i]! += lambda;
  factor(lower, dim);
  const w = statistics.cross.slice();
  for (let i = 0; i < dim; i++) {
    eliminate(w, codeBits, i, 0, i, lower, i * dim, 1);
    divide(w, codeBits, i, lower[i * dim + i]!);
  }
  for (let i = dim - 1; i >= 0; i--) {
    eliminate(w, codeBits, i, i + 1, dim, lower, i, dim);
    divide(w, codeBits, i, lower[i * dim + i]!);
  }
  return w;
}

/** w[row] -= sum over by in [from, to) of m[at + by * step] * w[by], four rows at a time, in this order. */
function eliminate(
  w: Float64Array,
  width: number,
  row: number,
  from: number,
  to: number,
  m: Float64Array,
  at: number,
  step: number,
): void {
  const target = row * width;
  let by = from;
  for (; by + 4 <= to; by += 4) {
    const m0 = m[at + by * step]!;
    const m1 = m[at + (by + 1) * step]!;
    const m2 = m[at + (by + 2) * step]!;
    const m3 = m[at + (by + 3) * step]!;
    const source = by * width;
    for (let k = 0; k < width; k++) {
      w[target + k]! -=
        m0 * w[source + k]! +
        m1 * w[source + width + k]! +
        m2 * w[source + 2 * width + k]! +
        m3 * w[source + 3 * width + k]!;
    }
  }
  for (; by < to; by++) {
    const scale = m[at + by * step]!;
    for (let k = 0; k < width; k++) w[target + k]! -= scale * w[by * width + k]!;
  }
}

function divide(w: Float64Array, width: number, row: number, by: number): void {
  for (let k = row * width; k < (row + 1) * width; k++) w[k]! /= by;
}
