import type { Value } from '../builder.ts';
import { matmul, transposed } from '../ops.ts';
import { crossWithHead } from './embedding.ts';
import { rowsOf, sumOfProducts } from './rows.ts';
import type { ParametrisedUse } from './rule.ts';

/**
 * Cross terms of the squared norm where several layers share a parameter: <gradient through a, gradient through b> of each subject,
 * [subjects, 1]. Without them the norm of a tied weight is wrong in either direction. Undefined where there is no rule; the subjects'
 * gradients are then added up themselves.
 */
export function crossOf(a: ParametrisedUse, b: ParametrisedUse): (() => Value) | undefined {
  const kinds = `${a.node.op} ${b.node.op}`;
  if (kinds === 'dense dense') {
    const alike = transposed(a.node).transB === transposed(b.node).transB && a.at === 1 && b.at === 1;
    return alike ? () => betweenProducts(a, b) : undefined;
  }
  if (kinds === 'embedding dense') return transposed(b.node).transB ? () => crossWithHead(a, b) : undefined;
  if (kinds === 'dense embedding') return transposed(a.node).transB ? () => crossWithHead(b, a) : undefined;
  return undefined;
}

/** sum_{t,s} (a_t . a'_s) (g_t . g'_s): both uses as one layer whose rows are those of the two. */
function betweenProducts(one: ParametrisedUse, other: ParametrisedUse): Value {
  const { subjects } = one;
  const products = (a: Value, b: Value): Value =>
    matmul(rowsOf(a, subjects), rowsOf(b, subjects), { transB: true });
  const inputs = products(one.node.inputs[0]!, other.node.inputs[0]!);
  const outputs = products(one.outputGradient, other.outputGradient);
  return sumOfProducts(inputs, outputs);
}
