import { attentionOf, join, optionsOf, split } from '../attention.ts';
import { matmul, mul, reduceSum, sub } from '../ops.ts';
import type { Vjp } from './rule.ts';

/**
 * With P the weights, o the attended values and do their gradient: dV = P^T do, dP = do V^T, dS = P (dP - rowsum(dP P)). The row sums are
 * those of do o (Dao et al., "FlashAttention", 2022, appendix B), which is t / (d / heads) times as short.
 */
export const multiHeadAttention: Vjp = (node, g) => {
  const options = optionsOf(node);
  const { q, k, v, weights, attended, factor: alpha } = attentionOf(node.inputs, options);
  const outer = split(g, options);
  const rowSums = reduceSum(mul(outer, attended), [3], true);
  const scores = mul(weights, sub(matmul(outer, v, { transB: true }), rowSums));
  const gradients = [
    matmul(scores, k, { alpha }),
    matmul(scores, q, { transA: true, alpha }),
    matmul(weights, outer, { transA: true }),
  ].map(join);
  return node.inputs.length === 4 ? [...gradients, undefined] : gradients;
};
