/**
 * Fixed features: declared transforms of a row that models read in place of the row itself. They are constants of the code, named and
 * digested, so that a plan can say what was fixed before anybody's record was looked at.
 */
import { canonicalJson, sha256, utf8 } from '@lethe/std';
import { DATASETS } from './errors.ts';
import { HOG_CONSTANTS, HOG_WIDTH, hog } from './hog.ts';
import type { DatasetSpec } from './spec.ts';

/** A declared transform of a row; nothing in it is fitted on records. */
export interface FixedFeatures {
  readonly name: FixedFeaturesName;
  /** Columns of the output. */
  readonly width: number;
  /** SHA-256 of its constants and of the input's shape, 32 bytes. */
  readonly digest: Uint8Array;
  /** @param matrix [rows, vectorWidth(spec)] of `floatMatrix` or `byteMatrix` @returns [rows, width], every row of length 1 or 0 */
  apply(matrix: Float32Array | Uint8Array): Float32Array;
}

export const FIXED_FEATURES = ['hog'] as const;
export type FixedFeaturesName = (typeof FIXED_FEATURES)[number];

/**
 * The transform of that name for rows of a dataset. `hog` needs pictures: one vector field of two axes, each at least 11 long.
 * @throws LETHE-2309 no such transform, or the dataset's rows do not fit it
 */
export function fixedFeatures(name: string, spec: DatasetSpec): FixedFeatures {
  const known = FIXED_FEATURES.find((one) => one === name);
  if (!known) {
    throw DATASETS.FEATURES_UNFIT(`there are no fixed features of that name, only ${FIXED_FEATURES.join()}`);
  }
  const [field, ...others] = spec.fields;
  const shape = field?.kind === 'numeric-vector' && others.length === 0 ? field.shape : [];
  const [height, width] = shape;
  if (shape.length !== 2 || !height || !width || Math.min(height, width) < HOG_CONSTANTS.cells) {
    throw DATASETS.FEATURES_UNFIT(`${known} describes grey pictures, and ${spec.name} does not hold such`, {
      details: { features: known, dataset: spec.name },
    });
  }
  return {
    name: known,
    width: HOG_WIDTH,
    digest: sha256(utf8(canonicalJson({ ...HOG_CONSTANTS, shape: [height, width] }))),
    apply: (matrix) => hog(matrix, height, width),
  };
}
