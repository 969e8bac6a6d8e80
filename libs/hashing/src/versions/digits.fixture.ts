/** Real digits through the analytic tier, for the tests, simulations and benches of versions and drift. */
import type { DataRecord, Row } from '@lethe/datasets';
import { byteMatrix, labelsOf, loadMnist, vectorWidth } from '@lethe/datasets';
import { seededRandom, shuffle } from '@lethe/std';
import { allocateClasses, emptyCodebook } from '../codebook.ts';
import { createFeatureMap } from '../features.ts';
import type { HashFunction } from '../function.ts';
import { encodeFeatures, fitHashFunction } from '../function.ts';
import type { LabelledCodes } from '../metrics.ts';
import { addItems, emptyStatistics, targetsOf } from '../statistics.ts';

export const CODE_BITS = 64;
const LAMBDA = 65_536;

export interface Digits {
  readonly names: readonly string[];
  /** [10,000], in an order drawn from the seed. */
  readonly labels: Int32Array;
  /** Rows of the features of these digits. */
  rows(items: readonly number[]): Uint8Array;
  /** A version fitted on these digits, onto the rows of `classes` in this order. */
  fit(items: readonly number[], version: number, classes?: readonly number[]): HashFunction;
  /** Codes of these digits with their labels. */
  encode(fn: HashFunction, items: readonly number[]): LabelledCodes;
}

export function digits(featureDim: number, seed: string): Digits {
  const { spec, waves, test } = loadMnist();
  const all: (DataRecord | Row)[] = shuffle([...waves.flat(), ...test], seededRandom('digits fixture', seed));
  const map = createFeatureMap({ seed: 'lethe-1', featureDim, inputWidth: vectorWidth(spec) });
  const features = map.apply(byteMatrix(spec, all));
  const labels = labelsOf(all);
  const names = spec.label.classes;
  const rows = (items: readonly number[]) => {
    const out = new Uint8Array(items.length * featureDim);
    items.forEach((item, i) => {
      out.set(features.subarray(item * featureDim, (item + 1) * featureDim), i * featureDim);
    });
    return out;
  };
  const labelsOfItems = (items: readonly number[]) => Int32Array.from(items, (item) => labels[item]!);
  return {
    names,
    labels,
    rows,
    fit: (items, version, classes = names.map((_, c) => c)) => {
      const codebook = allocateClasses(
        emptyCodebook(CODE_BITS),
        classes.map((c) => names[c]!),
      );
      const targets = targetsOf(
        codebook,
        labelsOfItems(items).map((label) => classes.indexOf(label)),
      );
      const statistics = addItems(emptyStatistics(featureDim, CODE_BITS), { features: rows(items), targets });
      return fitHashFunction(statistics, { features: map.spec, codebook, lambda: LAMBDA, version });
    },
    encode: (fn, items) => ({ codes: encodeFeatures(fn, rows(items)), labels: labelsOfItems(items) }),
  };
}
