/** What is done to each row before a private model sees it, in training and in answering alike: fixed, blind to every other row. */
import { type DatasetSpec, fixedFeatures, vectorWidth } from '@lethe/datasets';

export interface Preparation {
  /** Columns of a prepared row. */
  readonly width: number;
  /** @param matrix [rows, columns of the dataset] @returns [rows, width], each row of length 1 or all zeros */
  readonly prepare: (matrix: Float32Array) => Float32Array;
}

/** @param features name of a fixed transform, or none @throws LETHE-2309 the dataset has no such features */
export function preparation(features: string, dataset: DatasetSpec): Preparation {
  if (features === 'none') {
    const width = vectorWidth(dataset);
    return { width, prepare: (matrix) => unitRows(matrix, width) };
  }
  const fixed = fixedFeatures(features, dataset);
  return { width: fixed.width, prepare: (matrix) => fixed.apply(matrix) };
}

/** Scales every row of [n, width] to length 1; a row of zeros stays. In a new array. */
export function unitRows(matrix: Float32Array, width: number): Float32Array {
  const out = new Float32Array(matrix.length);
  for (let at = 0; at < matrix.length; at += width) {
    let squared = 0;
    for (let i = at; i < at + width; i++) squared += matrix[i]! * matrix[i]!;
    const length = Math.sqrt(squared) || 1;
    for (let i = at; i < at + width; i++) out[i] = matrix[i]! / length;
  }
  return out;
}
