import { sameShape, shapeText } from '@lethe/tensor';
import type { Value } from './builder.ts';
import { cosineSimilarity, square } from './functions.ts';
import { disagree, shapeError } from './operator.ts';
import {
  abs,
  add,
  div,
  exp,
  log,
  logSoftmax,
  matmul,
  maximum,
  mul,
  neg,
  reduceMean,
  reduceSum,
  relu,
  sqrt,
  stopGradient,
  sub,
} from './ops.ts';
import { pick } from './ops-structure.ts';

/**
 * Losses, one value a row. Rows may be the tokens of sequences: multiply with a mask, and the trainer adds up the rows of an example.
 * Targets are given: no gradient flows into them.
 */

function alike(op: string, a: Value, b: Value): void {
  if (a.shape.length !== 2 || !sameShape(a.shape, b.shape)) throw disagree(op, a, b);
}

/**
 * Multi-label cross-entropy of sigmoid(logits), `sum_j max(z, 0) - z t + log(1 + exp(-|z|))`, which does not overflow.
 * @param logits [n, k] @param targets [n, k] in [0, 1] @returns [n]
 */
export function sigmoidCrossEntropy(logits: Value, targets: Value): Value {
  alike('sigmoidCrossEntropy', logits, targets);
  const softened = log(add(exp(neg(abs(logits))), 1));
  const body = reduceSum(add(sub(relu(logits), mul(logits, targets)), softened), [1]);
  return logits.graph.composite('sigmoidCrossEntropy', [logits, targets], body);
}

/** `sum_j max(0, margin - t s)`: binary (k = 1) or one-against-all. @param scores [n, k] @param targets [n, k], -1 or 1 @returns [n] */
export function hinge(scores: Value, targets: Value, margin = 1): Value {
  alike('hinge', scores, targets);
  return reduceSum(relu(sub(margin, mul(scores, stopGradient(targets)))), [1]);
}

/** `KL(p || softmax(logits))`, where 0 log 0 = 0 (distillation). @param probabilities [n, k], rows of sum 1 @returns [n] */
export function klDivergence(probabilities: Value, logits: Value): Value {
  alike('klDivergence', probabilities, logits);
  const p = stopGradient(probabilities);
  return reduceSum(mul(p, sub(log(maximum(p, 1e-30)), logSoftmax(logits))), [1]);
}

/** Mean of the squared differences of a row. @param predictions, targets [n, k] @returns [n] */
export function meanSquaredError(predictions: Value, targets: Value): Value {
  alike('meanSquaredError', predictions, targets);
  return reduceMean(square(sub(predictions, stopGradient(targets))), [1]);
}

/** `1 - cos(x, target)`. @param x [n, d] @param targets [n, d], or [1, d] for all rows @returns [n] */
export const cosineLoss = (x: Value, targets: Value): Value =>
  sub(1, cosineSimilarity(x, stopGradient(targets)));

/** Rows of length 1. @param x [n, d] @param epsilon added to the squared length */
export const normalizeRows = (x: Value, epsilon = 1e-12): Value =>
  div(x, sqrt(add(reduceSum(mul(x, x), [1], true), epsilon)));

/**
 * Cosines of rows and prototypes over a temperature: logits of a cosine head, and with `softmaxCrossEntropy` a proxy loss that compares an
 * example with fixed prototypes in place of other examples. Under per-example clipping the prototypes are frozen or shared inputs; learned
 * ones are the weights of `dense(normalizeRows(x), w)`.
 * @param x [n, d] @param prototypes [k, d] @returns [n, k]
 */
export function cosineLogits(x: Value, prototypes: Value, temperature = 1): Value {
  const product = { transB: true, alpha: 1 / temperature };
  return matmul(normalizeRows(x), normalizeRows(prototypes), product);
}

/** Scores of the pairs of a batch, and each row's partner, which is on the diagonal. */
export function pairScores(
  a: Value,
  b: Value,
  temperature: number,
): { readonly scores: Value; readonly own: Value } {
  const own = BigInt64Array.from({ length: a.shape[0]! }, (_, i) => BigInt(i));
  return {
    scores: matmul(a, b, { transB: true, alpha: 1 / temperature }),
    own: a.graph.constant('int64', [own.length], own),
  };
}

/**
 * Contrastive loss inside the batch: cross-entropy of `a_i . b_j / temperature` over j against j = i (van den Oord et al. 2018; SimCLR, CLIP).
 * It compares examples with each other, so it has no per-example rule; `cosineLogits` with prototypes has.
 * @param a, b [n, d]: two views of each example, usually by `normalizeRows` @returns [n]
 */
export function infoNce(a: Value, b: Value, temperature = 0.1): Value {
  alike('infoNce', a, b);
  if (!(temperature > 0)) {
    throw shapeError(
      'infoNce',
      a,
      `infoNce of ${shapeText(a.shape)} takes a positive temperature, not ${temperature}`,
    );
  }
  const { scores, own } = pairScores(a, b, temperature);
  const body = neg(pick(logSoftmax(scores), own));
  return a.graph.composite('infoNce', [a, b], body, { temperature: { float: temperature } });
}
