import type { Value } from '../builder.ts';
import { pairScores } from '../losses.ts';
import { matmul, mul, neg, reshape, sigmoid, softmax, sub } from '../ops.ts';
import { addAtIndices } from '../ops-structure.ts';
import type { Mixes, Vjp } from './rule.ts';

/**
 * g (softmax(z) - onehot(label)). The label's element is subtracted where it stands, in place of comparing all columns with the labels.
 */
function crossEntropyGradient(logits: Value, labels: Value, g: Value): Value {
  const rows = [logits.shape[0]!, 1];
  const weight = reshape(g, rows);
  return addAtIndices(mul(softmax(logits), weight), reshape(labels, rows), neg(weight));
}

export const softmaxCrossEntropy: Vjp = (node, g) => {
  const [logits, labels] = node.inputs as [Value, Value];
  return [crossEntropyGradient(logits, labels, g), undefined];
};

/** dz = g (sigmoid(z) - t). */
export const sigmoidCrossEntropy: Vjp = (node, g) => {
  const [logits, targets] = node.inputs as [Value, Value];
  return [mul(sub(sigmoid(logits), targets), reshape(g, [logits.shape[0]!, 1])), undefined];
};

export const infoNce: Vjp = (node, g) => {
  const [a, b] = node.inputs as [Value, Value];
  const { temperature: attribute } = node.attributes;
  const temperature = attribute && 'float' in attribute ? attribute.float : 1;
  const { scores, own } = pairScores(a, b, temperature);
  const gradient = crossEntropyGradient(scores, own, g);
  const alpha = 1 / temperature;
  return [matmul(gradient, b, { alpha }), matmul(gradient, a, { transA: true, alpha })];
};

export const infoNceMixes: Mixes = () =>
  'compares each example with the others of the batch; a proxy loss compares it with prototypes (cosineLogits and softmaxCrossEntropy)';
