import { PRIVACY } from '../errors.ts';
import { MAX_DEVIATION_CELLS, MIN_DEVIATION_CELLS } from './rounded-normal.ts';

/**
 * Where sum and noise live. The sum is rounded to multiples of `spacing`, the noise is an odd multiple of `spacing / 2`, so the output lies on a grid
 * that depends on public values only: the holes of floating-point noise (Mironov 2012) and the precision of the addition (Haney et al. 2022, arXiv
 * 2207.13793) tell nothing, because any rounding of the exact grid sum is post-processing.
 */
export interface NoiseGrid {
  /** A power of two, between 2^-18 and 2^-19 of the standard deviation. */
  readonly spacing: number;
  /** Sensitivity of the rounded sum: l2NormBound + spacing sqrt(dimension), as each coordinate moves by at most half a cell on either side. */
  readonly roundedBound: number;
  /** noiseMultiplier x roundedBound: the rounding is paid for in noise, so that accountants see `noiseMultiplier` unchanged. */
  readonly standardDeviation: number;
}

/** Beyond it the grid is too coarse for so many dimensions; the largest that pass have noiseMultiplier x sqrt(dimension) of about 2^16. */
const ROUNDING_SHARE_MAX = 0.25;

/**
 * The grid of a mechanism, from public values only.
 * @param l2NormBound of the sum that is rounded @param dimension values of the whole sum, all parameters together
 * @throws LETHE-3301 a value that is not positive and finite, a grid beyond the range of float32, or too many dimensions for it
 */
export function noiseGrid(l2NormBound: number, noiseMultiplier: number, dimension: number): NoiseGrid {
  const positive = (value: number): boolean => value > 0 && Number.isFinite(value);
  if (!positive(l2NormBound) || !positive(noiseMultiplier) || !positive(dimension)) {
    throw PRIVACY.INVALID_MECHANISM(
      `a noise grid needs a positive bound, multiplier and dimension, not ${l2NormBound}, ${noiseMultiplier}, ${dimension}`,
    );
  }
  const deviation = (spacing: number): number =>
    noiseMultiplier * (l2NormBound + spacing * Math.sqrt(dimension));
  let spacing = 2 ** Math.floor(Math.log2(noiseMultiplier * l2NormBound)) / MIN_DEVIATION_CELLS;
  if (deviation(spacing) / spacing > MAX_DEVIATION_CELLS) spacing *= 2;
  if (!(spacing >= 2 ** -100 && spacing <= 2 ** 60)) {
    throw PRIVACY.INVALID_MECHANISM(
      `noise of deviation ${noiseMultiplier * l2NormBound} is beyond the range of a float32 grid`,
    );
  }
  if (spacing * Math.sqrt(dimension) > l2NormBound * ROUNDING_SHARE_MAX) {
    throw PRIVACY.INVALID_MECHANISM(
      `rounding ${dimension} values would cost more than a quarter of the bound at noise multiplier ${noiseMultiplier}`,
    );
  }
  return Object.freeze({
    spacing,
    roundedBound: l2NormBound + spacing * Math.sqrt(dimension),
    standardDeviation: deviation(spacing),
  });
}

/** To the nearest multiple of the spacing, in place; division by a power of two is exact. */
export function roundToGrid(values: Float64Array | Float32Array, { spacing }: NoiseGrid): void {
  for (let i = 0; i < values.length; i++) values[i] = Math.round(values[i]! / spacing) * spacing;
}
