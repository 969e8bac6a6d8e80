import { assert } from '@lethe/std';
import { PRIVACY } from '../errors.ts';
import { type NoiseGrid, noiseGrid, roundToGrid } from './grid.ts';

/**
 * Correlated noise of a banded Toeplitz strategy (BandMF): Choquette-Choo et al., "(Amplified) Banded Matrix Factorization", arXiv 2306.08153.
 * With C the lower triangular Toeplitz matrix of the coefficients c, the released sums are x = C^-1 (C s + z): s + C^-1 z, noise whose errors
 * cancel in prefix sums, which is what an optimizer adds up. x is post-processing of y = C s + z, where a unit that takes part every `bands` steps at most
 * meets independent noise each time with sensitivity bound x |c| = bound: the supports of its columns do not overlap.
 *
 * Different from the paper: the coefficients are the first of (1 - x)^(-1/2), scaled to |c| = 1, instead of an optimised C; y is formed
 * literally, so that C s is rounded to a grid and meets grid noise, and the output is exact post-processing of it.
 */
export interface BandedStrategy {
  /** Steps between two participations of a unit at least, and number of cyclic groups; 1 is DP-SGD. */
  readonly bands: number;
  /** c_0 > c_1 > … > 0 with |c| = 1. */
  readonly coefficients: readonly number[];
}

/** The state of a run is 2 (bands - 1) float64 copies of the parameters, half of them sensitive. */
const BANDS_MAX = 64;

/** @throws LETHE-3301 bands outside 1..64 */
export function bandedStrategy(bands: number): BandedStrategy {
  if (!Number.isInteger(bands) || bands < 1 || bands > BANDS_MAX) {
    throw PRIVACY.INVALID_MECHANISM(`bands is ${bands}; it has to be an integer in 1..${BANDS_MAX}`);
  }
  const root = [1];
  for (let j = 1; j < bands; j++) root.push((root[j - 1]! * (2 * j - 1)) / (2 * j));
  const norm = Math.hypot(...root);
  return Object.freeze({ bands, coefficients: Object.freeze(root.map((c) => c / norm)) });
}

/**
 * What the accountant of Poisson-subsampled Gaussians has to price: every unit takes part in at most one of `bands` consecutive steps, drawn with `probability`
 * in the steps of its group. Add or remove one unit, with the groups of all others unchanged (`sampleCyclicPoisson`).
 */
export function bandedRounds(
  { bands }: BandedStrategy,
  probability: number,
  noiseMultiplier: number,
  steps: number,
): { samplingProbability: number; noiseMultiplier: number; steps: number } {
  return { samplingProbability: probability, noiseMultiplier, steps: Math.ceil(steps / bands) };
}

/** The first `count` coefficients of C^-1: how noise of earlier steps enters a step. */
export function inverseCoefficients({ coefficients }: BandedStrategy, count: number): number[] {
  const inverse: number[] = [];
  for (let t = 0; t < count; t++) {
    let value = t === 0 ? 1 : 0;
    for (let j = 1; j <= Math.min(t, coefficients.length - 1); j++)
      value -= coefficients[j]! * inverse[t - j]!;
    inverse.push(value / coefficients[0]!);
  }
  return inverse;
}

/**
 * Root mean square error of the prefix sums of a run, in standard deviations of the noise: |A C^-1|_F / sqrt(steps), A the matrix of ones below the diagonal.
 * Compare strategies at the noise multipliers that reach the same epsilon.
 */
export function prefixSumError(strategy: BandedStrategy, steps: number): number {
  // Row t of A C^-1 holds the prefix sums of the inverse coefficients, in reverse.
  let [prefix, row, total] = [0, 0, 0];
  for (const w of inverseCoefficients(strategy, steps)) {
    prefix += w;
    row += prefix ** 2;
    total += row;
  }
  return Math.sqrt(total / steps);
}

/** Float64 errors of C s for draws of up to 2^20 units: 64 x 2^-53 x 2^20 x |c|_1 (at most 8) for each of 64 steps and both neighbours, doubled. */
const COMBINATION_ERROR = 2 ** -19;
const UNITS_MAX = 2 ** 20;

/** One run's correlated noise: takes the sums step by step and keeps the last `bands - 1` of them, which are as sensitive as the data. */
export class BandedMechanism {
  readonly strategy: BandedStrategy;
  /** For the noise of every step. Its bound is that of a unit's whole effect on `bands` steps, whose roundings all count. */
  readonly grid: NoiseGrid;
  readonly #l2NormBound: number;
  readonly #sums: (readonly Float64Array[])[] = [];
  readonly #released: (readonly Float64Array[])[] = [];

  /**
   * @param l2NormBound of the sum of one step, for the whole run @param dimension values of a sum, all parameters together
   * @throws LETHE-3301 as `noiseGrid`
   */
  constructor(strategy: BandedStrategy, l2NormBound: number, noiseMultiplier: number, dimension: number) {
    this.strategy = strategy;
    this.#l2NormBound = l2NormBound;
    const charged = strategy.bands === 1 ? l2NormBound : l2NormBound * (1 + COMBINATION_ERROR);
    this.grid = noiseGrid(charged, noiseMultiplier, strategy.bands * dimension);
  }

  /**
   * One step. A run that lost this object starts a new one, which is a new block of the strategy and costs no more.
   * @param sum clipped sum of the step, one array per parameter @param noise fresh noise of `grid` of the same lengths
   * @returns the sum with its correlated noise
   * @throws LETHE-3305 a sum that is not finite or longer than 2^20 units can make it
   */
  release(sum: readonly Float64Array[], noise: readonly Float32Array[]): Float64Array[] {
    let squared = 0;
    for (const values of sum) for (const value of values) squared += value * value;
    if (!(Math.sqrt(squared) <= this.#l2NormBound * UNITS_MAX)) {
      throw PRIVACY.SENSITIVITY_UNKNOWN('the clipped sum is not finite, or of more than 2^20 units');
    }
    assert(
      sum.length === noise.length && sum.every((values, p) => values.length === noise[p]!.length),
      'noise and sum have different shapes',
    );
    const { coefficients } = this.strategy;
    const released = sum.map((values, p) => {
      const y = values.map((value) => coefficients[0]! * value);
      for (const [j, earlier] of this.#sums.entries()) accumulate(y, coefficients[j + 1]!, earlier[p]!);
      roundToGrid(y, this.grid);
      accumulate(y, 1, noise[p]!);
      // From here on post-processing: x_t = (y_t - sum of c_j x_(t-j)) / c_0.
      for (const [j, earlier] of this.#released.entries()) accumulate(y, -coefficients[j + 1]!, earlier[p]!);
      return y.map((value) => value / coefficients[0]!);
    });
    if (this.strategy.bands > 1) {
      this.#sums.unshift(sum.map((values) => values.slice()));
      this.#released.unshift(released.map((values) => values.slice()));
      this.#sums.length = Math.min(this.#sums.length, this.strategy.bands - 1);
      this.#released.length = this.#sums.length;
    }
    return released;
  }
}

function accumulate(target: Float64Array, factor: number, values: Float64Array | Float32Array): void {
  for (let i = 0; i < target.length; i++) target[i]! += factor * values[i]!;
}
