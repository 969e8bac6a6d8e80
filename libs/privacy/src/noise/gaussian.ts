import { assert } from '@lethe/std';
import type { BoundedSum } from '../clipping/bounded-sum.ts';
import type { PrivacyRandomness } from '../randomness.ts';
import { type NoiseGrid, noiseGrid, roundToGrid } from './grid.ts';
import { drawNoiseKey } from './keystream.ts';
import { StepNoise } from './step-noise.ts';

/** A sum that may leave: noise was added once, over all parameters together. One float64 array per parameter. */
export class NoisySum {
  readonly values: readonly Float64Array[];
  readonly #standardDeviation: number;
  constructor(values: readonly Float64Array[], standardDeviation: number) {
    this.values = values;
    this.#standardDeviation = standardDeviation;
  }
  get standardDeviation(): number {
    return this.#standardDeviation;
  }
}

/** The noise of one run, under a fresh key of the run's own source. */
export class GaussianStream extends StepNoise {
  constructor(randomness: PrivacyRandomness) {
    super(drawNoiseKey(randomness));
  }
}

/**
 * The Gaussian mechanism on a grid: round(sum) + rounded normal of standard deviation noiseMultiplier x (bound + what rounding adds to it), once per
 * step, on the whole sum. As good as the Gaussian mechanism with `noiseMultiplier`, up to `samplerCharge`.
 */
export function addGaussianNoise(sum: BoundedSum, noiseMultiplier: number, stream: GaussianStream): NoisySum {
  const dimension = sum.values.reduce((total, value) => total + value.length, 0);
  const grid = noiseGrid(sum.l2NormBound, noiseMultiplier, dimension);
  const noise = sum.values.map((value) => new Float32Array(value.length));
  stream.fill(stream.nextStep, grid, noise);
  return addStepNoise(sum, grid, noise);
}

/** The same with noise that was made before. @param grid of the sum's bound @param noise fresh, of that grid; one array per parameter */
export function addStepNoise(sum: BoundedSum, grid: NoiseGrid, noise: readonly Float32Array[]): NoisySum {
  assert(grid.roundedBound >= sum.l2NormBound, 'the noise was made for a smaller bound than the sum has');
  const values = sum.values.map((value, p) => {
    const noisy = value.slice();
    roundToGrid(noisy, grid);
    const added = noise[p]!;
    for (let i = 0; i < noisy.length; i++) noisy[i]! += added[i]!;
    return noisy;
  });
  return new NoisySum(values, grid.standardDeviation);
}
