import type { RandomSource } from '@lethe/std';
import { AUDITING } from './errors.ts';

/**
 * Canaries for data sets whose records are vectors of numbers with a class label: a random pattern with a random label. The
 * label cannot be guessed from the pattern, so only a model that has seen the record can prefer it; and canaries of all
 * arms are exchangeable before the coin falls. Nothing in here knows what the features mean.
 */
export interface CanarySpec {
  /** Number of features. */
  readonly features: number;
  /** Range of every feature. */
  readonly low: number;
  readonly high: number;
  /** Labels are 0..classes-1. */
  readonly classes: number;
  /** `NOISE`: every feature uniform in the range. `SPARSE`: a share `density` of them at a uniform value, the others at `low`. */
  readonly pattern: 'NOISE' | 'SPARSE';
  /** In (0, 1]; used by SPARSE. */
  readonly density: number;
}

export interface Canary {
  readonly features: Float32Array;
  readonly label: number;
}

/** One canary. @throws LETHE-3703 */
export function generateCanary(spec: CanarySpec, random: RandomSource): Canary {
  const sound =
    Number.isInteger(spec.features) &&
    spec.features >= 1 &&
    Number.isInteger(spec.classes) &&
    spec.classes >= 2 &&
    Number.isFinite(spec.low) &&
    Number.isFinite(spec.high) &&
    spec.low < spec.high &&
    spec.density > 0 &&
    spec.density <= 1;
  if (!sound) throw AUDITING.BAD_CANARY_SPEC('the canary specification cannot be generated');
  const features = new Float32Array(spec.features).fill(spec.low);
  for (let i = 0; i < spec.features; i++) {
    const isSet = spec.pattern === 'NOISE' || random.uniform() < spec.density;
    if (isSet) features[i] = spec.low + (spec.high - spec.low) * random.uniform();
  }
  return { features, label: random.below(spec.classes) };
}
