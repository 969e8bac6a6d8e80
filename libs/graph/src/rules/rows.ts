import type { Value } from '../builder.ts';
import { matmul, mul, reduceSum, reshape, sqrt } from '../ops.ts';

/** What the rules of layers compute from the rows of a subject. */

/** [n, d] as [subjects, n / subjects, d]. */
export const rowsOf = (value: Value, subjects: number): Value =>
  reshape(value, [subjects, value.shape[0]! / subjects, value.shape.at(-1)!]);

/** Squared length of every row, [n, 1]. Not ReduceSumSquare, which takes twice the time of Mul and ReduceSum in ONNX Runtime 1.30. */
export const squaredLengths = (rows: Value): Value => reduceSum(mul(rows, rows), [1], true);

/** Inner products of the rows of each subject, [subjects, T, T]. */
export function gram(rows: Value, subjects: number): Value {
  const grouped = rowsOf(rows, subjects);
  return matmul(grouped, grouped, { transB: true });
}

/** `sum_t |a_t| |g_t|` of each subject [subjects, 1], from the diagonals of the Gram matrices of a and g [subjects, T, T]. */
export function reachOf(...grams: readonly Value[]): Value {
  const [subjects, t] = grams[0]!.shape as [number, number, number];
  const diagonal = (matrix: Value): Value => {
    const identity = Float32Array.from({ length: t * t }, (_, i) => (i % (t + 1) === 0 ? 1 : 0));
    const g = matrix.graph;
    const eye =
      matrix.dtype === 'float64'
        ? g.constant('float64', [1, t, t], Float64Array.from(identity))
        : g.constant('float32', [1, t, t], identity);
    return reduceSum(mul(matrix, eye), [2]);
  };
  const lengths = grams.map(diagonal).reduce((product, lengths) => mul(product, lengths));
  return reshape(reduceSum(sqrt(lengths), [1]), [subjects, 1]);
}
