import type { BoundedSum } from '../clipping/bounded-sum.ts';
import type { PrivacyRandomness } from '../randomness.ts';
import { noiseGrid, roundToGrid } from './grid.ts';
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
 * step, on the whole sum. As good as the Gaussian mechanism with `noiseMultiplier`, up to `samplerTotalVariation`.
 */
export function addGaussianNoise(sum: BoundedSum, noiseMultiplier: number, stream: GaussianStream): NoisySum {
  const values = sum.values.map((value) => value.slice());
  const dimension = values.reduce((total, value) => total + value.length, 0);
  const grid = noiseGrid(sum.l2NormBound, noiseMultiplier, dimension);
  const noise = values.map((value) => new Float32Array(value.length));
  stream.fill(stream.nextStep, grid, noise);
  values.forEach((value, p) => {
    roundToGrid(value, grid);
    const added = noise[p]!;
    for (let i = 0; i < value.length; i++) value[i]! += added[i]!;
  });
  return new NoisySum(values, grid.standardDeviation);
}
