import type { RandomSource } from '@lethe/std';
import { PRIVACY } from './errors.ts';

/** `research` accepts a seeded source; its mark goes into the run's record and such a model is not for release. */
export type RunMode = 'production' | 'research';

/**
 * A source of randomness that has passed the check of its run's mode. Sampler and noise take nothing else, so a seeded generator
 * cannot reach them by accident.
 */
export class PrivacyRandomness {
  readonly mode: RunMode;
  readonly #source: RandomSource;

  /** @throws LETHE-3303 a production run with a source that is not cryptographic */
  constructor(mode: RunMode, source: RandomSource) {
    if (mode === 'production' && source.kind !== 'secure') {
      throw PRIVACY.SEEDED_SOURCE(`a ${mode} run got a ${source.kind} source of randomness`);
    }
    this.mode = mode;
    this.#source = source;
  }

  /** What goes into the run's record. */
  get sourceKind(): RandomSource['kind'] {
    return this.#source.kind;
  }

  get source(): RandomSource {
    return this.#source;
  }
}
