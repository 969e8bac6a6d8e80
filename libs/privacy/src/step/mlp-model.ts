import {
  cast,
  equal,
  type MlpSpec,
  maximum,
  minimum,
  mlp,
  mul,
  reshape,
  softmaxCrossEntropy,
  type Value,
} from '@lethe/graph';
import { assert } from '@lethe/std';
import { float32, tensor } from '@lethe/tensor';
import type { PrivateModel, UnitSource } from './private-model.ts';

/** Takes rows [n, p] to logits [n, classes], each row by itself. */
export type Network = (x: Value) => { readonly logits: Value; readonly parameters: readonly Value[] };

/**
 * A classifier of rows. Inputs: `x` [units, rows, p], `labels` int64 [units rows], `mask` [units rows] with 1 for a row that is there: what
 * `rowUnits` gives. A unit's loss is the sum of the cross-entropies of its rows.
 * @param features p, the values of a row
 */
export function rowClassifier(features: number, rowsPerUnit: number, network: Network): PrivateModel {
  return {
    build(g, units) {
      const rows = units * rowsPerUnit;
      const x = g.examples('x', [units, rowsPerUnit, features]);
      const labels = g.examples('labels', [rows], 'int64');
      const mask = g.examples('mask', [rows]);
      const { logits, parameters } = network(reshape(x, [rows, features]));
      const known = knownLabels(labels, logits.shape[1]!);
      const counted = mul(mask, known.valid);
      return { losses: mul(softmaxCrossEntropy(logits, known.labels), counted), parameters };
    },
  };
}

/**
 * Labels as a graph can take them. A row whose label is none of the classes counts as missing: a run that failed for it would tell that its unit was
 * drawn. @returns labels within 0..classes-1, and 1 for the rows whose label was there, else 0
 */
export function knownLabels(
  labels: Value,
  classes: number,
): { readonly labels: Value; readonly valid: Value } {
  const { graph } = labels;
  const whole = (value: number): Value => graph.constant('int64', [], BigInt64Array.of(BigInt(value)));
  const inside = minimum(maximum(labels, whole(0)), whole(classes - 1));
  return { labels: inside, valid: cast(equal(inside, labels), 'float32') };
}

/** A perceptron classifier of rows (two widths make softmax regression); `initialWeights` of @lethe/optim starts it. */
export const mlpModel = (spec: MlpSpec, rowsPerUnit: number): PrivateModel =>
  rowClassifier(spec.widths[0]!, rowsPerUnit, (x) => mlp(x, spec));

/** One unit's rows: features row-major [rows, p], one label each. */
export interface UnitRows {
  readonly features: Float32Array;
  readonly labels: readonly number[];
}

/**
 * Units held in memory. Of a unit with more than `rowsPerUnit` rows the first ones count.
 * @param features columns of a row
 */
export function rowUnits(rows: readonly UnitRows[], rowsPerUnit: number, features: number): UnitSource {
  let kept:
    | { x: Float32Array<ArrayBuffer>; labels: BigInt64Array<ArrayBuffer>; mask: Float32Array<ArrayBuffer> }
    | undefined;
  return {
    population: rows.length,
    feeds(units, capacity) {
      assert(units.length <= capacity, `${units.length} units do not fit into a run of ${capacity}`);
      const size = capacity * rowsPerUnit;
      if (kept?.mask.length !== size) {
        kept = {
          x: new Float32Array(size * features),
          labels: new BigInt64Array(size),
          mask: new Float32Array(size),
        };
      }
      const { x, labels, mask } = kept;
      mask.fill(0);
      // Rows that are masked have to be finite, and nobody's: what an earlier draw left here would still be somebody's.
      x.fill(0);
      labels.fill(0n);
      for (const [at, unit] of units.entries()) {
        const { features: values, labels: classes } = rows[unit]!;
        const count = Math.min(rowsPerUnit, classes.length);
        const first = at * rowsPerUnit;
        x.set(values.subarray(0, count * features), first * features);
        for (let r = 0; r < count; r++) labels[first + r] = BigInt(classes[r]!);
        mask.fill(1, first, first + count);
      }
      return {
        x: float32([capacity, rowsPerUnit, features], x),
        labels: tensor('int64', [size], labels, 'labels'),
        mask: float32([size], mask),
      };
    },
  };
}
