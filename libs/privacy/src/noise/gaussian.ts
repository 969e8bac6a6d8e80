import { createCipheriv } from 'node:crypto';
import type { BoundedSum } from '../clipping/bounded-sum.ts';
import type { PrivacyRandomness } from '../randomness.ts';

/** A sum that may leave: noise was added once, over all parameters together. One float64 array per parameter. */
export class NoisySum {
  readonly values: readonly Float64Array[];
  readonly #standardDeviation: number;
  constructor(values: readonly Float64Array[], standardDeviation: number) {
    this.values = values;
    this.#standardDeviation = standardDeviation;
  }
  get standardDeviation(): number {
    return this.#standardDeviation;
  }
}

const BYTES_PER_PAIR = 16;
const PAIRS_PER_BLOCK = 4096;
const TWO_MINUS_53 = 2 ** -53;

/**
 * Standard normal values from an AES-256-CTR keystream under a fresh 256-bit key of the run's source.
 *
 * Box and Muller 1958 on two 53-bit uniforms in (0, 1] and [0, 1), in float64. Values end at sqrt(-2 ln 2^-53) = 8.57; a true normal
 * passes that with probability 1e-17. Floating-point noise has holes that an attacker who sees exact sums could use (Mironov 2012): the noise is added in
 * float64 and the sum then rounds to float32 parameters, which hides the low bits but is not a proof; noise on an integer grid is the answer and not here yet.
 */
export class GaussianStream {
  readonly #cipher;
  readonly #zeros = new Uint8Array(PAIRS_PER_BLOCK * BYTES_PER_PAIR);
  readonly #values = new Float64Array(2 * PAIRS_PER_BLOCK);
  #at = this.#values.length;

  constructor(randomness: PrivacyRandomness) {
    this.#cipher = createCipheriv('aes-256-ctr', randomness.source.bytes(32), new Uint8Array(16));
  }

  /** Adds independent N(0, standardDeviation^2) to every element. */
  addTo(target: Float64Array, standardDeviation: number): void {
    for (let i = 0; i < target.length; i++) {
      if (this.#at === this.#values.length) this.#refill();
      target[i]! += standardDeviation * this.#values[this.#at++]!;
    }
  }

  #refill(): void {
    const keystream = this.#cipher.update(this.#zeros);
    const words = new Uint32Array(keystream.buffer, keystream.byteOffset, keystream.length / 4);
    for (let pair = 0; pair < PAIRS_PER_BLOCK; pair++) {
      const w = 4 * pair;
      const u = ((words[w]! >>> 5) * 67_108_864 + (words[w + 1]! >>> 6) + 1) * TWO_MINUS_53;
      const angle =
        2 * Math.PI * (((words[w + 2]! >>> 5) * 67_108_864 + (words[w + 3]! >>> 6)) * TWO_MINUS_53);
      const radius = Math.sqrt(-2 * Math.log(u));
      this.#values[2 * pair] = radius * Math.cos(angle);
      this.#values[2 * pair + 1] = radius * Math.sin(angle);
    }
    this.#at = 0;
  }
}

/** The Gaussian mechanism: sum + N(0, (noiseMultiplier x bound)^2), once per step, on the whole sum. */
export function addGaussianNoise(sum: BoundedSum, noiseMultiplier: number, stream: GaussianStream): NoisySum {
  const standardDeviation = noiseMultiplier * sum.l2NormBound;
  const values = sum.values.map((value) => value.slice());
  for (const value of values) stream.addTo(value, standardDeviation);
  return new NoisySum(values, standardDeviation);
}
