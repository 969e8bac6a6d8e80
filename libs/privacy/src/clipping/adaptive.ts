import { GaussianStream } from '../noise/gaussian.ts';
import { noiseGrid } from '../noise/grid.ts';
import type { DpPlan, PlanClipping } from '../plan.ts';
import type { PrivacyRandomness } from '../randomness.ts';

export interface AdaptiveClipping {
  /** Forgets what a step that failed has counted: a unit counts once in a release. */
  start(): void;
  /** Counts units of the running step. @param norms of the units that take part [n] */
  count(norms: Float32Array, l2ClipNorm: number): void;
  /** The bound of the next step, from this step's noisy count. Public. */
  next(l2ClipNorm: number): number;
}

/**
 * Clipping at a quantile: Andrew, Thakkar, McMahan, Ramaswamy, "Differentially private learning with adaptive clipping", arXiv 1905.03871v5, algorithm 1.
 * Each step releases the number of units within the bound, each counted as +-1/2 so that one unit more moves the count by 1/2, and
 * the bound follows by C <- C exp(-learningRate (fraction - quantile)). The divisor is the expected number of units, never the drawn one. The count's noise
 * is priced with the gradient's (`effectiveNoiseMultiplier`); it lies on a grid as the gradient's does.
 */
export function adaptiveClipping(
  { expectedUnits }: DpPlan,
  { quantile, learningRate, countNoise }: Extract<PlanClipping, { kind: 'adaptive' }>,
  randomness: PrivacyRandomness,
): AdaptiveClipping {
  const stream = new GaussianStream(randomness);
  // A count of halves is on the grid as it is, so nothing is rounded: half the deviation's bound is the sensitivity.
  const grid = noiseGrid(0.5, 2 * countNoise, 1);
  let halves = 0;
  let step = 0;
  return {
    start() {
      halves = 0;
    },
    count(norms, l2ClipNorm) {
      for (const norm of norms) halves += norm <= l2ClipNorm ? 0.5 : -0.5;
    },
    next(l2ClipNorm) {
      const noise = new Float32Array(1);
      stream.fill(step++, grid, [noise]);
      const rounded = Math.round(halves / grid.spacing) * grid.spacing;
      const fraction = (rounded + noise[0]!) / expectedUnits + 0.5;
      return l2ClipNorm * Math.exp(-learningRate * (Math.min(1, Math.max(0, fraction)) - quantile));
    },
  };
}
