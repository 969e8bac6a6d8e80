import type { RandomSource } from '@lethe/std';
import { PRIVACY } from '../errors.ts';
import type { PrivacyRandomness } from '../randomness.ts';

const CHUNK = 8192;
const TWO_37 = 2 ** 37;

/**
 * Poisson sampling: each subject joins independently with exactly `samplingProbability`. The accountant's claim is about this very draw;
 * shuffling a list and cutting it into batches is another mechanism with a weaker guarantee.
 *
 * Exact: each subject's 53 random bits are compared with a 53-bit threshold, so a dyadic probability is met to the last bit and there is no
 * distance to charge. Only 16 of the bits are drawn at first; the other 37 when those tie, once in 65,536. That is about 2 ns a subject. Drawing
 * the size first and then a subset, or geometric gaps, takes time in proportion to the draw only, but rests on logarithms whose rounding
 * would have to be charged; at 2 ms for 10^6 subjects the exact draw is cheap enough.
 *
 * There is no cap and nothing is truncated: a large draw runs in more chunks (`sampleTruncatedPoisson` is the one with a cap). How long a step
 * takes therefore depends on the size of the draw, which is private: keep step times out of telemetry. An empty draw is a step.
 *
 * @param population number of subjects @returns their indices in ascending order, possibly none
 */
export function samplePoisson(
  population: number,
  samplingProbability: number,
  randomness: PrivacyRandomness,
): Uint32Array {
  const threshold = Math.ceil(samplingProbability * 2 ** 53);
  const high = Math.floor(threshold / TWO_37);
  const low = threshold % TWO_37;
  const sampled: number[] = [];
  for (let first = 0; first < population; first += CHUNK) {
    const count = Math.min(CHUNK, population - first);
    const digits = new Uint16Array(randomness.source.bytes(2 * count).slice().buffer);
    for (let i = 0; i < count; i++) {
      const digit = digits[i]!;
      if (digit <= high && (digit < high || bits37(randomness.source) < low)) sampled.push(first + i);
    }
  }
  return Uint32Array.from(sampled);
}

const bits37 = (source: RandomSource): number => (source.u32() >>> 27) * 2 ** 32 + source.u32();

/**
 * Poisson sampling of at most `cap` subjects, for graphs of a fixed shape: a draw that is larger is replaced by a uniformly random subset of it of size `cap`.
 * Another mechanism than Poisson sampling, with a price of its own: which subjects are left out depends on who else was drawn
 * (Ganesh et al., "It's My Data Too", arXiv 2508.15089; dp_accounting calls it TruncatedSubsampledGaussianDpEvent).
 *
 * @param cap a constant of the plan (`capFor`), at least 1 @returns ascending indices, at most `cap`, possibly none
 * @throws LETHE-3301 a cap that is not a positive integer
 */
export function sampleTruncatedPoisson(
  population: number,
  samplingProbability: number,
  cap: number,
  randomness: PrivacyRandomness,
): Uint32Array {
  if (!Number.isInteger(cap) || cap < 1) {
    throw PRIVACY.INVALID_MECHANISM(`the cap of a draw is ${cap}; it has to be a positive integer`);
  }
  const drawn = samplePoisson(population, samplingProbability, randomness);
  if (drawn.length <= cap) return drawn;
  // Fisher-Yates, of which only the first `cap` places are wanted.
  for (let i = 0; i < cap; i++) {
    const j = i + randomness.source.below(drawn.length - i);
    [drawn[i], drawn[j]] = [drawn[j]!, drawn[i]!];
  }
  return drawn.slice(0, cap).sort();
}

/**
 * A cap that a draw passes so rarely that the truncation is nearly free: the mean and `deviations` standard deviations above it, at most `population`.
 * The price of any cap is for the accountant of the truncated mechanism to say; it falls steeply with `deviations`.
 * @param population the public size that the plan states
 */
export function capFor(population: number, samplingProbability: number, deviations = 6): number {
  const mean = population * samplingProbability;
  return Math.max(
    1,
    Math.min(population, Math.ceil(mean + deviations * Math.sqrt(mean * (1 - samplingProbability)))),
  );
}
