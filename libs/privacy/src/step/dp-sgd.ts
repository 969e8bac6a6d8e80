import type { BoundedSum } from '../clipping/bounded-sum.ts';
import type { NoisySum } from '../noise/gaussian.ts';

/** The four parts of a step. What each of them may do is in its type: only a bounded sum takes noise, and only a noisy sum leaves. */
export interface DpSgdParts {
  /** Poisson sampling: which units take part. Secret. */
  sample(): Uint32Array;
  /** Each unit's gradient, clipped; their sum, of known sensitivity. Secret. */
  clippedSum(units: Uint32Array): Promise<BoundedSum>;
  /** The Gaussian mechanism. What it returns is public. */
  addNoise(sum: BoundedSum): Promise<NoisySum>;
  /** The optimizer: post-processing. @param gradient one array a parameter, the noisy sum over the expected number of units */
  update(gradient: readonly Float64Array[]): Promise<void>;
  /** Divisor of the sum: a public constant of the plan, never the size of the draw. */
  readonly expectedUnits: number;
}

/**
 * One step of DP-SGD: Abadi et al., "Deep Learning with Differential Privacy", arXiv 1607.00133v2, algorithm 1, for any privacy unit. An empty
 * draw is a step like any other: pure noise. The caller has charged the step to the ledger before this runs.
 *
 * Where a draw fits into one run of the model, `fusedGraph` does the same in a single graph; both are tested to give the same step.
 */
export async function dpSgdStep(parts: DpSgdParts): Promise<void> {
  const units = parts.sample();
  const sum = await parts.clippedSum(units);
  const noisy = await parts.addNoise(sum);
  await parts.update(noisy.values.map((value) => value.map((entry) => entry / parts.expectedUnits)));
}
