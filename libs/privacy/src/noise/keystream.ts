import { createCipheriv } from 'node:crypto';
import { assert } from '@lethe/std';
import type { PrivacyRandomness } from '../randomness.ts';

/** What the words of a step are for; each purpose has counters of its own, so that none meets another's words. */
export type Lane = 'samples' | 'spill';

const LANES: Record<Lane, number> = { samples: 0, spill: 1 };
const CHUNK_BYTES = 1 << 16;
const ZEROS = new Uint8Array(CHUNK_BYTES);
/** The block counter of a lane has 32 bits; one more block would run into the next lane. */
const WORDS_PER_LANE = 2 ** 34;

/** 256 fresh bits of the run's source. A run, and a resumed run, draws its own: two runs never share noise. */
export function drawNoiseKey(randomness: PrivacyRandomness): Uint8Array {
  return randomness.source.bytes(32);
}

/**
 * AES-256-CTR keystream at a public position: counter block = step (64 bits) | lane (32) | block (32), big-endian, so that the noise of a step
 * is addressable and no two steps share a block. Words are read little-endian.
 *
 * That the keystream passes for uniform words is the assumption under every statement about noise here; no other is made.
 */
export class Keystream {
  readonly #cipher;
  #left = WORDS_PER_LANE;
  #buffer: Int32Array = new Int32Array(0);
  #at = 0;

  /** @param key 32 bytes @param step 0..2^53 - 1 */
  constructor(key: Uint8Array, step: number, lane: Lane) {
    assert(key.length === 32, `a noise key has 32 bytes, not ${key.length}`);
    assert(Number.isSafeInteger(step) && step >= 0, `step ${step} is not a count`);
    const counter = Buffer.alloc(16);
    counter.writeBigUInt64BE(BigInt(step), 0);
    counter.writeUInt32BE(LANES[lane], 8);
    this.#cipher = createCipheriv('aes-256-ctr', key, counter);
  }

  /** The next words as int32, at most `count` and at most a chunk; valid until the next call. */
  words(count: number): Int32Array {
    const taken = Math.min(count, CHUNK_BYTES / 4);
    this.#left -= taken;
    assert(this.#left >= 0, 'a step asks for more than 2^34 words');
    const bytes = this.#cipher.update(ZEROS.subarray(0, 4 * taken));
    const { buffer, byteOffset } = aligned(bytes);
    return new Int32Array(buffer, byteOffset, taken);
  }

  /** The next word, as int32. */
  word(): number {
    if (this.#at === this.#buffer.length) {
      this.#buffer = this.words(Math.min(4096, Math.max(256, 4 * this.#buffer.length)));
      this.#at = 0;
    }
    return this.#buffer[this.#at++]!;
  }

  /**
   * A uniform real of (0, 1) rounded to float64 with full relative precision, however small: P(unit < a) = a (1 ± 2^-52) for every a.
   * A 53-bit fixed-point uniform has an absolute error instead, which the tails of a distribution feel.
   */
  unit(): number {
    return this.unitFrom(this.word() >>> 0);
  }

  /** The same, when its first word was drawn already: the result lies in [high, high + 1] 2^-32 if `high` is not 0. */
  unitFrom(first: number): number {
    let scale = 2 ** -32;
    let high = first;
    while (high === 0) {
      scale *= 2 ** -32;
      high = this.word() >>> 0;
    }
    const low = (this.word() >>> 5) * 67_108_864 + (this.word() >>> 6);
    return (high + low * 2 ** -53) * scale;
  }
}

/** Node may hand out a view into a pool; a word view needs an aligned start. */
function aligned(bytes: Uint8Array): Uint8Array {
  return bytes.byteOffset % 4 === 0 ? bytes : Uint8Array.from(bytes);
}
