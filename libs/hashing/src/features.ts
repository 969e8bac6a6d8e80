/**
 * Frozen integer features: seeded sparse random projection, ReLU, fixed scale to 0..127. Nothing is fitted on records.
 *
 *     z_u = sum over 16 drawn pairs (i, j) of (x[i] - x[j])  -  t_u       x in 0..255
 *     f_u = min(127, (max(0, z_u) * SCALE) >> 16)                         the last feature is the constant 127 (bias)
 *
 * A random-ReLU layer as in extreme learning machines, with weights in {-1, 0, +1} instead of Gaussian ones so that every step
 * is exact in 32-bit integers: a record gives the same features in every process and on every CPU, and may be recomputed for
 * its subtraction. Differences make a unit blind to a constant offset, whatever the declared range leaves unused; a virtual
 * column of constant 128 is drawn like the others, so single columns are seen too. Columns are drawn with repetition, so
 * narrow inputs get weights of larger size.
 */
import { seededRandom } from '@lethe/std';
import { HASHING } from './errors.ts';
import { projectionTable, projectRows } from './kernel/kernel.ts';

export interface FeatureSpec {
  /** Public; the projection is a function of this spec alone. */
  readonly seed: string;
  /** Columns of the input, 1..65,535. */
  readonly inputWidth: number;
  /** D, including the bias feature: a multiple of 4 in 8..4,096. */
  readonly featureDim: number;
}

export interface FeatureMap {
  readonly spec: FeatureSpec;
  /** @param inputs bytes [n, inputWidth]  @returns [n, featureDim] in 0..127, row-major  @throws LETHE-3403 */
  apply(inputs: Uint8Array): Uint8Array;
  /**
   * Gradient of the map without its rounding, for attacks that search for inputs: 0 where a unit is at rest or full.
   * @param inputs [n, inputWidth]  @param cotangent [n, featureDim]  @returns [n, inputWidth]  @throws LETHE-3403
   */
  vjp(inputs: Uint8Array, cotangent: Float64Array): Float64Array;
}

export const FEATURE_MAX = 127;

const PAIRS = 16;
/**
 * Size of z if columns were independent with a standard deviation of a quarter of their range: sqrt(2 * 16) * 64. Thresholds
 * lie within half of it; it maps to 48, so that about 2.6 of it fit below 127.
 */
const DEVIATION = 362;
const SCALE = Math.round((48 * 65_536) / DEVIATION);

function checkSpec({ seed, inputWidth, featureDim }: FeatureSpec): void {
  const refuse = (why: string) => HASHING.OPTION_INVALID(why, { details: { inputWidth, featureDim } });
  if (!Number.isInteger(inputWidth) || inputWidth < 1 || inputWidth > 65_535) {
    throw refuse('inputWidth is not an integer in 1..65535');
  }
  if (!Number.isInteger(featureDim) || featureDim < 8 || featureDim > 4_096 || featureDim % 4 !== 0) {
    throw refuse('featureDim is not a multiple of 4 in 8..4096');
  }
  if (seed.length === 0 || seed.length > 128) throw refuse('the seed is not a text of 1 to 128 characters');
}

/** @throws LETHE-3410 a width, dimension or seed outside its range */
export function createFeatureMap(spec: FeatureSpec): FeatureMap {
  checkSpec(spec);
  const { inputWidth, featureDim } = spec;
  const units = featureDim - 1;
  const random = seededRandom('lethe/hashing/features/v1', spec.seed, inputWidth, featureDim);
  const plus = new Uint16Array(units * PAIRS);
  const minus = new Uint16Array(units * PAIRS);
  const thresholds = new Int32Array(units);
  for (let unit = 0; unit < units; unit++) {
    for (let p = unit * PAIRS; p < (unit + 1) * PAIRS; p++) {
      plus[p] = random.below(inputWidth + 1);
      // A distance of 1..inputWidth around the ring of columns: the pair's two columns always differ.
      minus[p] = (plus[p]! + 1 + random.below(inputWidth)) % (inputWidth + 1);
    }
    thresholds[unit] = random.below(DEVIATION + 1) - DEVIATION / 2;
  }
  const table = projectionTable(plus, minus, thresholds);
  const apply = (inputs: Uint8Array): Uint8Array => {
    if (inputs.length % inputWidth !== 0) {
      throw HASHING.SHAPE_MISMATCH('the inputs are not whole rows', { details: { inputWidth } });
    }
    return projectRows(inputs, inputWidth, table, { scale: SCALE, constant: 128, bias: FEATURE_MAX });
  };
  const vjp = (inputs: Uint8Array, cotangent: Float64Array): Float64Array => {
    const features = apply(inputs);
    if (cotangent.length !== features.length) {
      throw HASHING.SHAPE_MISMATCH('the cotangent is not one row of features per input', {
        details: { featureDim },
      });
    }
    const rows = inputs.length / inputWidth;
    const gradient = new Float64Array(rows * inputWidth);
    // The last place takes what belongs to the virtual column, which nobody can change.
    const x = new Float64Array(inputWidth + 1);
    for (let row = 0; row < rows; row++) {
      x.fill(0);
      for (let unit = 0; unit < units; unit++) {
        const at = row * featureDim + unit;
        if (features[at] === 0 || features[at] === FEATURE_MAX) continue;
        const slope = (cotangent[at]! * SCALE) / 65_536;
        for (let p = unit * PAIRS; p < (unit + 1) * PAIRS; p++) {
          x[plus[p]!]! += slope;
          x[minus[p]!]! -= slope;
        }
      }
      gradient.set(x.subarray(0, inputWidth), row * inputWidth);
    }
    return gradient;
  };
  return { spec, apply, vjp };
}
