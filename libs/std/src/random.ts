import { createCipheriv, createHash, randomBytes } from 'node:crypto';
import { assert } from './error.ts';

/**
 * Randomness as a port. Code that needs randomness takes a `RandomSource`; only a `main.ts` chooses the secure one.
 * `kind` is recorded wherever the outcome guards privacy, so that a seeded run can never pass for a real one.
 */
export interface RandomSource {
  readonly kind: 'secure' | 'seeded';
  /** `count` fresh bytes. */
  bytes(count: number): Uint8Array;
  /** Uniform integer in [0, 2^32). */
  u32(): number;
  /** Uniform in [0, 1) with 53 bits. */
  uniform(): number;
  /** Uniform integer in [0, bound), by rejection, never by multiplication. @param bound 1..2^32 */
  below(bound: number): number;
}

const BLOCK_BYTES = 16_384;

abstract class Buffered implements RandomSource {
  abstract readonly kind: 'secure' | 'seeded';
  #block: Buffer = Buffer.alloc(0);
  #at = 0;

  protected abstract refill(count: number): Buffer;

  bytes(count: number): Uint8Array {
    const out = new Uint8Array(count);
    let filled = 0;
    while (filled < count) {
      if (this.#at === this.#block.length) this.#next();
      const take = Math.min(count - filled, this.#block.length - this.#at);
      const part = this.#block.subarray(this.#at, this.#at + take);
      out.set(part, filled);
      // What is handed out may be a key or a salt that its owner will overwrite: no second copy stays here.
      part.fill(0);
      this.#at += take;
      filled += take;
    }
    return out;
  }

  u32(): number {
    if (this.#block.length - this.#at < 4) this.#next();
    const value = this.#block.readUInt32LE(this.#at);
    this.#at += 4;
    return value;
  }

  uniform(): number {
    const high = this.u32();
    return uniformOf(high, this.u32());
  }

  below(bound: number): number {
    assert(
      Number.isInteger(bound) && bound >= 1 && bound <= 4_294_967_296,
      `bound ${bound} is not in 1..2^32`,
    );
    const limit = 4_294_967_296 - (4_294_967_296 % bound);
    let value = this.u32();
    while (value >= limit) value = this.u32();
    return value % bound;
  }

  #next(): void {
    this.#block = this.refill(BLOCK_BYTES);
    this.#at = 0;
  }
}

class Secure extends Buffered {
  readonly kind = 'secure';
  protected refill(count: number): Buffer {
    return randomBytes(count);
  }
}

class Seeded extends Buffered {
  readonly kind = 'seeded';
  readonly #cipher;
  constructor(key: Uint8Array) {
    super();
    this.#cipher = createCipheriv('aes-256-ctr', key, Buffer.alloc(16));
  }
  protected refill(count: number): Buffer {
    return this.#cipher.update(Buffer.alloc(count));
  }
}

/** The operating system's generator. */
export function secureRandom(): RandomSource {
  return new Secure();
}

/**
 * AES-256-CTR keystream under SHA-256 of the seed's parts, joined by '|'. The same seed gives the same stream on every machine:
 * for batch orders, initial weights and tests; never for noise or keys.
 */
export function seededRandom(...seed: readonly (string | number | Uint8Array)[]): RandomSource {
  const hash = createHash('sha256');
  seed.forEach((part, i) => {
    if (i > 0) hash.update('|');
    hash.update(typeof part === 'number' ? String(part) : part);
  });
  return new Seeded(hash.digest());
}

/** What `count` calls of `random.uniform()` would give, in less than half of their time. */
export function uniforms(random: RandomSource, count: number): Float64Array {
  const words = new DataView(random.bytes(8 * count).buffer);
  const out = new Float64Array(count);
  for (let i = 0; i < count; i++)
    out[i] = uniformOf(words.getUint32(8 * i, true), words.getUint32(8 * i + 4, true));
  return out;
}

/** The 53 bits of two words, as a number in [0, 1). */
const uniformOf = (high: number, low: number): number =>
  ((high >>> 5) * 67_108_864 + (low >>> 6)) / 9_007_199_254_740_992;

/** Fisher-Yates in place. @returns the same array */
export function shuffle<T extends { length: number; [index: number]: unknown }>(
  items: T,
  random: RandomSource,
): T {
  for (let i = items.length - 1; i > 0; i--) {
    const j = random.below(i + 1);
    const held = items[i];
    items[i] = items[j];
    items[j] = held;
  }
  return items;
}
