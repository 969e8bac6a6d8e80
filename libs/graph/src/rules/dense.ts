import type { Value } from '../builder.ts';
import { add, matmul, mul, reduceSum, reshape, sqrt } from '../ops.ts';
import type { GhostNorm, Mixes, ParametrisedUse, Vjp } from './rule.ts';

/**
 * The fully connected layer `s = a w + b`, with a [n, p], w [p, d], and G = dL/ds [n, d].
 *
 * Ghost norm: Goodfellow, "Efficient per-example gradient computations" (2015), for one row a subject; Li et al., "Large
 * language models can be strong differentially private learners" (2022), section 4, for T rows a subject, where a subject's
 * gradient is the sum over its rows and
 *     |sum_t a_t g_t^T|^2 = sum_{t,t'} (a_t . a_t') (g_t . g_t').
 * The bias is a further input that is always 1, so it adds 1 to every a_t . a_t'. Unlike both papers the rows of a subject are
 * whole examples, not tokens: this is subject-level clipping.
 *
 * Unsafe regime: for T > 1 the terms cancel when a subject's rows pull in opposite directions, and the rounding error is
 * relative to `magnitude` = (sum_t |a_t| |g_t|)^2, not to the result. The caller adds a bound on it, which can only over-clip.
 */
export const vjp: Vjp = (node, g) => {
  const [x, w, b] = node.inputs as [Value, Value, Value?];
  const gradients = [matmul(g, w, { transB: true }), matmul(x, g, { transA: true })];
  return b ? [...gradients, reduceSum(g, [0])] : gradients;
};

export function ghostNorm({ node, outputGradient, subjects }: ParametrisedUse): GhostNorm {
  const [x, , b] = node.inputs as [Value, Value, Value?];
  const [n, d] = node.shape as [number, number];
  const p = x.shape[1]!;
  const perSubject = n / subjects;
  const terms = perSubject + p + d;
  const withBias = (inner: Value): Value => (b ? add(inner, 1) : inner);
  // Not ReduceSumSquare, which takes twice the time of Mul and ReduceSum in ONNX Runtime 1.30.
  const squaredLength = (rows: Value): Value => reduceSum(mul(rows, rows), [1], true);
  const lengths = mul(withBias(squaredLength(x)), squaredLength(outputGradient));
  if (perSubject === 1) return { squared: lengths, magnitude: lengths, terms };
  const gram = (rows: Value, width: number): Value => {
    const grouped = reshape(rows, [subjects, perSubject, width]);
    return matmul(grouped, grouped, { transB: true });
  };
  const products = mul(withBias(gram(x, p)), gram(outputGradient, d));
  const reach = reduceSum(reshape(sqrt(lengths), [subjects, perSubject]), [1], true);
  return {
    squared: reshape(reduceSum(products, [1, 2]), [subjects, 1]),
    magnitude: mul(reach, reach),
    terms,
  };
}

export function clippedSum(node: Value, input: Value, outputGradient: Value): readonly Value[] {
  const weights = matmul(input, outputGradient, { transA: true });
  return node.inputs.length === 3 ? [weights, reduceSum(outputGradient, [0])] : [weights];
}

export const mixes: Mixes = (_node, [, weights, bias]) =>
  weights || bias ? 'takes weights that are computed from examples' : undefined;
