import { BoundedSum, type ClippedStep } from '../clipping/bounded-sum.ts';
import type { ExecutionOptions, MechanismSpec } from '../mechanism.ts';
import { addGaussianNoise, type GaussianStream } from '../noise/gaussian.ts';
import type { PrivacyRandomness } from '../randomness.ts';
import { samplePoisson } from '../sampling/poisson.ts';

/** The optimizer, fed with privatised gradients only: everything it does is post-processing. */
export interface GradientUpdate<Parameters> {
  /** @param gradient one float64 array per parameter: an unbiased, noisy estimate of the mean clipped gradient */
  apply(parameters: Parameters, gradient: readonly Float64Array[]): Promise<Parameters> | Parameters;
}

/** All that one run of DP-SGD needs. `parameters` of any form: the clipping graph and the update agree on it. */
export interface DpSgdRun<Parameters> {
  readonly spec: MechanismSpec;
  readonly execution: ExecutionOptions;
  readonly randomness: PrivacyRandomness;
  readonly noise: GaussianStream;
  readonly clippedStep: ClippedStep<Parameters>;
  readonly update: GradientUpdate<Parameters>;
  /** Number of subjects in the data set. */
  readonly population: number;
  /** Divisor of the sum: a public constant of the plan (about samplingProbability x population), never the size of the draw. */
  readonly expectedSubjects: number;
  /** Number of values of each parameter. */
  readonly shapes: readonly number[];
}

/**
 * One step of DP-SGD: Abadi et al., "Deep Learning with Differential Privacy", arXiv 1607.00133v2, algorithm 1, with data subjects in
 * the place of examples. An empty draw is a step like any other: pure noise.
 * The caller has charged the step to the ledger before this runs.
 */
export async function dpSgdStep<Parameters>(
  run: DpSgdRun<Parameters>,
  parameters: Parameters,
): Promise<Parameters> {
  const sampled = samplePoisson(run.population, run.spec.samplingProbability, run.randomness);
  const bounded = await BoundedSum.of(
    run.clippedStep,
    parameters,
    sampled,
    run.shapes,
    run.spec,
    run.execution,
  );
  const noisy = addGaussianNoise(bounded, run.spec.noiseMultiplier, run.noise);
  return run.update.apply(
    parameters,
    noisy.values.map((sum) => sum.map((value) => value / run.expectedSubjects)),
  );
}
