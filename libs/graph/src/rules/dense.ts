import type { Value } from '../builder.ts';
import { matmul, mul, reduceSum, transposed } from '../ops.ts';
import { gram, reachOf, rowsOf, squaredLengths, sumOfProducts } from './rows.ts';
import { type GhostNorm, type LayerRules, type Mixes, none, type ParametrisedUse, type Vjp } from './rule.ts';

/**
 * The fully connected layer `s = a w + b`, with a [n, p], w [p, d], and G = dL/ds [n, d].
 *
 * Ghost norm: Goodfellow, "Efficient per-example gradient computations" (2015), for one row a subject; Li et al., "Large
 * language models can be strong differentially private learners" (2022), section 4, for T rows a subject, where a subject's
 * gradient is the sum over its rows and
 *     |sum_t a_t g_t^T|^2 = sum_{t,t'} (a_t . a_t') (g_t . g_t').
 * The rows of a subject may be tokens, pixels, or several records.
 *
 * Unsafe regime: for T > 1 the terms cancel when a subject's rows pull in opposite directions, and the rounding error is
 * relative to `magnitude` = (sum_t |a_t| |g_t|)^2, not to the result. The caller adds a bound on it, which can only over-clip.
 */
export const vjp: Vjp = (node, g) => {
  const [x, w, b] = node.inputs as [Value, Value, Value?];
  const { transB } = transposed(node);
  const dw = transB ? matmul(g, x, { transA: true }) : matmul(x, g, { transA: true });
  const gradients = [matmul(g, w, { transB: !transB }), dw];
  return b ? [...gradients, reduceSum(g, [0])] : gradients;
};

const WEIGHTS = 1;

function ghostNorm({
  node,
  at,
  outputGradient,
  subjects,
}: ParametrisedUse): ReturnType<LayerRules['ghostNorm']> {
  if (at !== WEIGHTS)
    return none('the bias has a gradient as short as a row, which is summed for each subject');
  const x = node.inputs[0]!;
  const terms = x.shape[0]! / subjects + x.shape[1]! + node.shape[1]!;
  if (x.shape[0] === subjects) {
    const squared = mul(squaredLengths(x), squaredLengths(outputGradient));
    return { squared, magnitude: squared, terms };
  }
  return ofGrams(gram(x, subjects), gram(outputGradient, subjects), terms);
}

/** The norm from both Gram matrices [subjects, T, T], whose diagonals bound its rounding. */
function ofGrams(inputs: Value, outputs: Value, terms: number): GhostNorm {
  const reach = reachOf(inputs, outputs);
  return { squared: sumOfProducts(inputs, outputs), magnitude: mul(reach, reach), terms };
}

function subjectGradients({ node, at, outputGradient, subjects }: ParametrisedUse): Value {
  const g = rowsOf(outputGradient, subjects);
  if (at !== WEIGHTS) return reduceSum(g, [1]);
  const x = rowsOf(node.inputs[0]!, subjects);
  return transposed(node).transB ? matmul(g, x, { transA: true }) : matmul(x, g, { transA: true });
}

function clippedSum({ node, at, outputGradient }: ParametrisedUse, input: Value): Value {
  return at === WEIGHTS
    ? (vjpOfWeights(node, input, outputGradient) as Value)
    : reduceSum(outputGradient, [0]);
}

const vjpOfWeights = (node: Value, x: Value, g: Value): Value =>
  transposed(node).transB ? matmul(g, x, { transA: true }) : matmul(x, g, { transA: true });

export const perExample: LayerRules = {
  parameters: [1, 2],
  ghostNorm,
  subjectGradients,
  clippedSum,
};

export const mixes: Mixes = (_node, [, weights, bias]) =>
  weights || bias ? 'takes weights that are computed from examples' : undefined;
