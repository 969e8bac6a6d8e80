import type { PrivacyRandomness } from '../randomness.ts';

/**
 * Poisson sampling: each subject joins independently with exactly `samplingProbability`. The accountant's claim is about this very draw;
 * shuffling a list and cutting it into batches is another mechanism with a weaker guarantee.
 *
 * The draw compares 53 random bits with a 53-bit threshold, so a dyadic probability is met exactly. There is no cap and nothing is truncated: a
 * large draw runs in more chunks. How long a step takes therefore depends on the size of the draw, which is private: keep step times out of telemetry.
 *
 * @param population number of subjects @returns their indices in ascending order, possibly none
 */
export function samplePoisson(
  population: number,
  samplingProbability: number,
  randomness: PrivacyRandomness,
): Uint32Array {
  const sampled: number[] = [];
  for (let subject = 0; subject < population; subject++) {
    if (randomness.source.uniform() < samplingProbability) sampled.push(subject);
  }
  return Uint32Array.from(sampled);
}
