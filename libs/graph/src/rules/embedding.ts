import type { Value } from '../builder.ts';
import { add, cast, equal, expand, matmul, mul, reshape } from '../ops.ts';
import { gram, reachOf, rowsOf, sumOfProducts } from './rows.ts';
import type { LayerRules, Mixes, ParametrisedUse, Vjp } from './rule.ts';

/**
 * Rows of a table [v, d] by ids [n]. A subject's gradient has its row i where the id is i, so
 *     |grad|^2 = sum_{t,t'} [id_t = id_t'] g_t . g_t'      (Li et al. 2022, section 4; rows of one token add up before squaring).
 */

/** The rows of g added up by id: [v, d]. */
function scatterAdd(ids: Value, g: Value, rows: number): Value {
  const [n, d] = g.shape as [number, number];
  const blank = expand(g.graph.number(0, g.dtype), [rows, d]);
  return g.graph.operator({
    op: 'scatterAdd',
    type: 'ScatterND',
    inputs: [blank, reshape(ids, [n, 1]), g],
    attributes: { reduction: { string: 'add' } },
    shape: [rows, d],
    dtype: g.dtype,
  });
}

export const vjp: Vjp = (node, g) => {
  const [table, ids] = node.inputs as [Value, Value];
  return [scatterAdd(ids, g, table.shape[0]!), undefined];
};

function subjectGradients({ node, outputGradient, subjects }: ParametrisedUse): Value {
  const [table, ids] = node.inputs as [Value, Value];
  const [v, d] = table.shape as [number, number];
  const n = ids.shape[0]!;
  // One scatter into all subjects' tables: subject s has the rows from s v on.
  const first = BigInt64Array.from({ length: n }, (_, row) => BigInt(Math.floor(row / (n / subjects)) * v));
  const moved = add(ids, ids.graph.constant('int64', [n], first));
  return reshape(scatterAdd(moved, outputGradient, subjects * v), [subjects, v, d]);
}

export const perExample: LayerRules = {
  parameters: [0],
  ghostNorm: ({ node, outputGradient, subjects }) => {
    const ids = node.inputs[1]!;
    const t = ids.shape[0]! / subjects;
    const same = cast(
      equal(reshape(ids, [subjects, t, 1]), reshape(ids, [subjects, 1, t])),
      outputGradient.dtype,
    );
    const products = gram(outputGradient, subjects);
    const reach = reachOf(products);
    return {
      squared: sumOfProducts(products, same),
      magnitude: mul(reach, reach),
      terms: t + node.shape[1]!,
    };
  },
  subjectGradients,
  clippedSum: ({ node, outputGradient }, ids) => scatterAdd(ids, outputGradient, node.inputs[0]!.shape[0]!),
};

export const mixes: Mixes = (_node, [table]) =>
  table ? 'looks up rows that are computed from examples' : undefined;

/**
 * Inner products of the gradients by a table E [v, d] that an embedding and a head `dense(a, E, { transposed })` share:
 *     sum_{t,s} gh_s[id_t] (ge_t . ah_s),
 * with ge the embedding's output gradient, ah and gh the head's input and output gradient. [subjects, 1]; `reach` bounds it as in dense.ts.
 */
export function crossWithHead(use: ParametrisedUse, head: ParametrisedUse): Value {
  const { subjects } = use;
  const ids = use.node.inputs[1]!;
  const t = ids.shape[0]! / subjects;
  const hidden = rowsOf(head.node.inputs[0]!, subjects);
  const products = matmul(rowsOf(use.outputGradient, subjects), hidden, { transB: true });
  const v = head.node.shape[1]!;
  const classes = BigInt64Array.from({ length: v }, (_, i) => BigInt(i));
  const oneHot = cast(
    equal(reshape(ids, [subjects, t, 1]), ids.graph.constant('int64', [1, 1, v], classes)),
    products.dtype,
  );
  const chosen = matmul(oneHot, rowsOf(head.outputGradient, subjects), { transB: true });
  return sumOfProducts(products, chosen);
}
