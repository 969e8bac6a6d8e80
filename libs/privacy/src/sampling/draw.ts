import type { PlanSampling } from '../plan.ts';
import type { PrivacyRandomness } from '../randomness.ts';
import { samplePoisson, sampleTruncatedPoisson } from './poisson.ts';

/** The draw of one step as the plan says it. @returns indices below `population`, possibly none */
export const drawUnits = (
  sampling: PlanSampling,
  population: number,
  randomness: PrivacyRandomness,
): Uint32Array =>
  sampling.kind === 'poisson'
    ? samplePoisson(population, sampling.probability, randomness)
    : sampleTruncatedPoisson(population, sampling.probability, sampling.cap, randomness);

/** The largest draw there can be: public. */
export const drawSizeMax = (sampling: PlanSampling, population: number): number =>
  sampling.kind === 'poisson' ? Math.max(1, population) : sampling.cap;
