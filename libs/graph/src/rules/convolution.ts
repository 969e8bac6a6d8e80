import type { Value } from '../builder.ts';
import { readsOf, windowOf } from '../convolution.ts';
import { reshape } from '../ops.ts';
import { gatherBack } from './movement.ts';
import type { Vjp } from './rule.ts';

/** Every pixel adds up the gradients of the rows that read it ("col2im"). */
export const unfold2d: Vjp = (node, g) => {
  const x = node.inputs[0] as Value;
  const [n, h, w, c] = x.shape as [number, number, number, number];
  const reads = readsOf(...windowOf(node));
  return [reshape(gatherBack(reshape(g, [n, reads.length, c]), reads, 1, h * w), x.shape)];
};
