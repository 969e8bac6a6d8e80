/**
 * The plain baseline without codes: ridge regression from the bytes of one modality to the float embedding of the other, ranked by
 * cosine. It knows pairs and no labels.
 */

import { HASHING } from '../errors.ts';
import { solveRidge } from '../kernel/kernel.ts';
import { expectedAveragePrecision } from '../metrics.ts';

/** Row-major floats [n, width] with the labels of their rows. */
export interface EmbeddedSet {
  readonly values: Float64Array;
  readonly width: number;
  readonly labels: readonly (readonly number[])[];
}

/**
 * Linear map from [x, 255] to embeddings, fitted on pairs.
 * @param inputs bytes [n, inputWidth]  @param targets [n, width], width a multiple of 8  @returns the map, applied row by row and scaled to length 1
 * @throws LETHE-3403 pairs differ in number  @throws LETHE-3409
 */
export function ridgeEmbedding(
  inputs: Uint8Array,
  targets: Float64Array,
  { inputWidth, width, lambda }: { inputWidth: number; width: number; lambda: number },
): (inputs: Uint8Array) => Float64Array {
  const n = targets.length / width;
  if (inputs.length !== n * inputWidth) throw HASHING.SHAPE_MISMATCH('inputs and targets differ in number');
  const dim = Math.ceil((inputWidth + 1) / 4) * 4;
  const gram = new Float64Array(dim * dim);
  const cross = new Float64Array(dim * width);
  const x = new Float64Array(dim);
  const load = (from: Uint8Array, row: number) => {
    x.set(from.subarray(row * inputWidth, (row + 1) * inputWidth));
    x[inputWidth] = 255;
  };
  for (let row = 0; row < n; row++) {
    load(inputs, row);
    for (let i = 0; i < dim; i++) {
      const value = x[i]!;
      if (value === 0) continue;
      for (let j = 0; j <= i; j++) gram[i * dim + j]! += value * x[j]!;
      for (let k = 0; k < width; k++) cross[i * width + k]! += value * targets[row * width + k]!;
    }
  }
  const weights = solveRidge({ gram, cross }, lambda, { dim, codeBits: width });
  if (typeof weights === 'number') throw HASHING.NOT_POSITIVE_DEFINITE('the baseline cannot be fitted');
  return (rows) => {
    const out = new Float64Array((rows.length / inputWidth) * width);
    for (let row = 0; row * width < out.length; row++) {
      load(rows, row);
      for (let i = 0; i <= inputWidth; i++) {
        const value = x[i]!;
        if (value === 0) continue;
        for (let k = 0; k < width; k++) out[row * width + k]! += value * weights[i * width + k]!;
      }
      const length = Math.hypot(...out.subarray(row * width, (row + 1) * width));
      for (let k = 0; k < width; k++) out[row * width + k]! /= length;
    }
    return out;
  };
}

/** AP@all of every query by cosine of unit rows; ties, which floats hardly have, by position. @returns [queries], NaN without relevant items */
export function cosinePrecisions(queries: EmbeddedSet, items: EmbeddedSet): Float64Array {
  const { width } = items;
  const n = items.labels.length;
  const ones = new Uint8Array(n).fill(1);
  return Float64Array.from(queries.labels, (labels, q) => {
    const scores = new Float64Array(n);
    for (let i = 0; i < n; i++) {
      let sum = 0;
      for (let k = 0; k < width; k++) sum += queries.values[q * width + k]! * items.values[i * width + k]!;
      scores[i] = sum;
    }
    const order = Uint32Array.from({ length: n }, (_, i) => i).sort(
      (a, b) => scores[b]! - scores[a]! || a - b,
    );
    const wanted = new Set(labels);
    const relevant = Uint8Array.from(order, (i) =>
      items.labels[i]!.some((label) => wanted.has(label)) ? 1 : 0,
    );
    return expectedAveragePrecision(ones, relevant);
  });
}
