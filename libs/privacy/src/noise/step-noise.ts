import { PRIVACY } from '../errors.ts';
import type { NoiseGrid } from './grid.ts';
import { Keystream } from './keystream.ts';
import { RoundedNormal } from './rounded-normal.ts';

/**
 * The noise of one key: rounded normals on a grid, addressed by step. A step's noise is made once: asking for it again, or for an earlier step's, is
 * refused, because two sums under one noise differ by an exact secret.
 */
export class StepNoise {
  readonly #key: Uint8Array;
  #next = 0;
  #sampler: { readonly of: NoiseGrid; readonly normal: RoundedNormal } | undefined;

  /** @param key 32 bytes from `drawNoiseKey`, used by nobody else; copied */
  constructor(key: Uint8Array) {
    this.#key = key.slice();
  }

  /** The first step whose noise was not made yet. */
  get nextStep(): number {
    return this.#next;
  }

  /**
   * Writes the noise of a step over the arrays, in their order: odd multiples of half the grid's spacing, exact in float32, of the grid's
   * standard deviation. Add it to a sum *rounded to the grid* and to nothing else: without the rounding the sum's low bits would show.
   * @throws LETHE-3311 the noise of this step was made before
   */
  fill(step: number, grid: NoiseGrid, values: readonly Float32Array[]): void {
    if (step < this.#next) {
      throw PRIVACY.NOISE_REUSED(
        `the noise of step ${step} was asked for again; the next one is ${this.#next}`,
      );
    }
    this.#next = step + 1;
    // By value: a caller may form the grid of every step anew, and tables take milliseconds.
    const { spacing, standardDeviation } = grid;
    const of = this.#sampler?.of;
    if (of?.spacing !== spacing || of.standardDeviation !== standardDeviation) {
      const normal = new RoundedNormal(standardDeviation / spacing, spacing);
      this.#sampler = { of: grid, normal };
    }
    const samples = new Keystream(this.#key, step, 'samples');
    const spill = new Keystream(this.#key, step, 'spill');
    for (const value of values) this.#sampler!.normal.fill(value, samples, spill);
  }
}
