import {
  div,
  maximum,
  mul,
  reduceSum,
  reshape,
  softmaxCrossEntropy,
  type TransformerSpec,
  transformer,
} from '@lethe/graph';
import { assert } from '@lethe/std';
import { float32, tensor } from '@lethe/tensor';
import { PRIVACY } from '../errors.ts';
import { knownLabels } from './mlp-model.ts';
import type { PrivateModel, UnitSource } from './private-model.ts';

/**
 * A decoder that predicts each token of a window from those before it. Inputs: `ids` and `labels` int64 [units m T], `mask` [units, m T] with 1 for a
 * token that is predicted: what `tokenUnits` gives. Starts from `initialParameters(transformerParameters(spec), random)`.
 *
 * A unit's loss is the mean of the cross-entropies of its tokens, so that a clip norm means the same for a short window, a full one, and an author
 * with m of them. With `lora` only the `*.lora.a` and `*.lora.b` are trained; all other parameters stay as the trainer's `initial` has them.
 * @param windowsPerUnit m: 1 where a unit is a window, more where it is an author
 * @throws LETHE-3307 the specification asks for dropout, whose masks no unit source here draws
 */
export function transformerModel(spec: TransformerSpec, windowsPerUnit = 1): PrivateModel {
  if (spec.keep !== undefined) {
    throw PRIVACY.PLAN_REFUSED(
      'keep is set; the noise regularizes already: leave dropout out, or write a model whose units feed the masks',
      { details: { field: 'keep' } },
    );
  }
  const perUnit = windowsPerUnit * spec.sequence;
  return {
    build(g, units) {
      const ids = g.examples('ids', [units * perUnit], 'int64');
      const labels = g.examples('labels', [units * perUnit], 'int64');
      const mask = g.examples('mask', [units, perUnit]);
      const { logits, parameters } = transformer(ids, spec);
      // A unit without a token has the sum 0.
      const known = knownLabels(labels, spec.vocabulary);
      const present = mul(mask, reshape(known.valid, [units, perUnit]));
      const shares = div(present, maximum(reduceSum(mask, [1], true), 1));
      const losses = mul(softmaxCrossEntropy(logits, known.labels), reshape(shares, [units * perUnit]));
      return { losses, parameters };
    },
  };
}

/** Consecutive pieces of texts; `TokenWindows` of @lethe/datasets is one. */
export interface Windows {
  /** T: a model reads the first T tokens of a window and predicts the last T. */
  readonly length: number;
  /** [count, T + 1], row-major; each a token's number. */
  readonly tokens: ArrayLike<number>;
  /** [count], tokens to predict in a window; what stands behind them is padding and never read. Absent: T in each. */
  readonly lengths?: ArrayLike<number>;
}

/**
 * Units of a language model, held in memory.
 * @param units the windows of each unit by their numbers, for an author with several; of more than `windowsPerUnit` the first ones count.
 * Absent: every window is a unit
 */
export function tokenUnits(
  windows: Windows,
  {
    units: grouped,
    windowsPerUnit = 1,
  }: { units?: readonly ArrayLike<number>[]; windowsPerUnit?: number } = {},
): UnitSource {
  const { length, tokens, lengths } = windows;
  const count = tokens.length / (length + 1);
  assert(Number.isInteger(count), `${tokens.length} tokens are not windows of ${length} and one`);
  assert(grouped !== undefined || windowsPerUnit === 1, 'without groups a unit is one window');
  const perUnit = windowsPerUnit * length;
  return {
    population: grouped?.length ?? count,
    feeds(taken, capacity) {
      assert(taken.length <= capacity, `${taken.length} units do not fit into a run of ${capacity}`);
      const ids = new BigInt64Array(capacity * perUnit);
      const labels = new BigInt64Array(capacity * perUnit);
      const mask = new Float32Array(capacity * perUnit);
      for (const [at, unit] of taken.entries()) {
        const own = grouped ? grouped[unit]! : [unit];
        for (let w = 0; w < Math.min(own.length, windowsPerUnit); w++) {
          const from = own[w]! * (length + 1);
          const to = at * perUnit + w * length;
          const present = Math.min(length, lengths?.[own[w]!] ?? length);
          for (let i = 0; i < present; i++) {
            ids[to + i] = BigInt(tokens[from + i]!);
            labels[to + i] = BigInt(tokens[from + i + 1]!);
          }
          mask.fill(1, to, to + present);
        }
      }
      const shape = [capacity * perUnit];
      return {
        ids: tensor('int64', shape, ids, 'ids'),
        labels: tensor('int64', shape, labels, 'labels'),
        mask: float32([capacity, perUnit], mask),
      };
    },
  };
}
