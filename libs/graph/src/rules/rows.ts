import type { Value } from '../builder.ts';
import { add, matmul, mul, reduceSum, reshape, sqrt } from '../ops.ts';

/** What the rules of layers compute from the rows of a subject. */

/** [n, d] as [subjects, n / subjects, d]. */
export const rowsOf = (value: Value, subjects: number): Value =>
  reshape(value, [subjects, value.shape[0]! / subjects, value.shape.at(-1)!]);

/** Smallest normal number of a float dtype: below it a product may lose all its bits. */
export const smallestNormal = (dtype: Value['dtype']): number =>
  dtype === 'float64' ? 2 ** -1022 : 2 ** -126;

/**
 * What is added to a squared length for all that underflow may have taken from it: a row of 1e-23 has the squared length 0 in float32, and with an
 * output gradient of 1e18 its gradient has a norm of 1e-5. It is the smallest normal number over the unit roundoff, so that the share of it
 * in the bound on the rounding (4 terms u reach^2) covers the entries of Gram matrices too. As a length it is 4e-16 in float32.
 */
const lengthFloor = (dtype: Value['dtype']): number =>
  smallestNormal(dtype) * (dtype === 'float64' ? 2 ** 53 : 2 ** 24);

/**
 * Upper bound of the squared length of every row, up to rounding, [n, 1]. Not ReduceSumSquare, which takes twice the time of Mul and
 * ReduceSum in ONNX Runtime 1.30.
 */
export const squaredLengths = (rows: Value): Value =>
  add(reduceSum(mul(rows, rows), [1], true), lengthFloor(rows.dtype));

/** Inner products of the rows of each subject, [subjects, T, T]. */
export function gram(rows: Value, subjects: number): Value {
  const grouped = rowsOf(rows, subjects);
  return matmul(grouped, grouped, { transB: true });
}

/**
 * The sum over two Gram-like matrices' products of each subject [subjects, T, S], as [subjects, 1]. One axis after the other: a sum of T S terms in one
 * go has a rounding error in proportion to T S, not T + S, and nearly equal rows reach it.
 */
export const sumOfProducts = (a: Value, b: Value): Value =>
  reshape(reduceSum(reduceSum(mul(a, b), [2]), [1]), [a.shape[0]!, 1]);

/**
 * Upper bound of `sum_t |a_t| |g_t|` of each subject [subjects, 1], up to rounding, from the diagonals of the Gram matrices of a and g
 * [subjects, T, T].
 */
export function reachOf(...grams: readonly Value[]): Value {
  const [subjects, t] = grams[0]!.shape as [number, number, number];
  const diagonal = (matrix: Value): Value => {
    const identity = Float32Array.from({ length: t * t }, (_, i) => (i % (t + 1) === 0 ? 1 : 0));
    const g = matrix.graph;
    const eye =
      matrix.dtype === 'float64'
        ? g.constant('float64', [1, t, t], Float64Array.from(identity))
        : g.constant('float32', [1, t, t], identity);
    return add(reduceSum(mul(matrix, eye), [2]), lengthFloor(matrix.dtype));
  };
  const lengths = grams.map(diagonal).reduce((product, lengths) => mul(product, lengths));
  return reshape(reduceSum(sqrt(lengths), [1]), [subjects, 1]);
}
