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

/** Units that a plan without a cap may be run on: what depends on the largest draw then depends on no data set. */
export const POISSON_POPULATION_MAX = 2 ** 24;

/** The largest draw there can be: public, and the same for neighbouring data sets. */
export const drawSizeMax = (sampling: PlanSampling): number =>
  sampling.kind === 'poisson' ? POISSON_POPULATION_MAX : sampling.cap;
