import type { Value } from '../builder.ts';
import { labelled } from '../functions.ts';
import { cast, mul, reshape, softmax, sub } from '../ops.ts';
import type { Vjp } from './rule.ts';

/** dz = g (softmax(z) - onehot(label)). */
export const softmaxCrossEntropy: Vjp = (node, g) => {
  const [logits, labels] = node.inputs as [Value, Value];
  const [n, classes] = logits.shape as [number, number];
  const target = cast(labelled(labels, classes), logits.dtype);
  return [mul(reshape(g, [n, 1]), sub(softmax(logits), target)), undefined];
};
