/** Counts over a stretch of `stride` items; stretches add up to windows. */
import { distance } from '../hamming.ts';
import type { Answers, Profile } from './profile.ts';

/** Items per block in which the scatter of bit counts is measured. */
export const SCATTER_BLOCK = 64;

export interface Tally {
  readonly items: number;
  /** Yes-answers by question, equal pairs of bits last. */
  readonly counts: Uint32Array;
  readonly novelty: Float64Array;
  /** [K]: sum over blocks of 64 items of the squared ones of each bit; with the counts this gives their variance between blocks. */
  readonly blockSquares: Float64Array;
}

/**
 * Collects one stretch. Adding costs O(yes-answers); pairs of bits are counted once, at the end, from bit planes, which are then overwritten: no code outlives its stretch here.
 */
export class Stretch {
  readonly #profile: Profile;
  readonly #planeBytes: number;
  readonly #planes: Uint8Array;
  readonly #counts: Uint32Array;
  readonly #novelty: Float64Array;
  readonly #block: Uint8Array;
  readonly #blockSquares: Float64Array;
  #items = 0;

  /** @param stride items of a stretch, a multiple of 64 */
  constructor(profile: Profile, stride: number) {
    const { codeBits, families, questions, noveltyDim } = profile;
    this.#profile = profile;
    this.#planeBytes = stride / 8;
    this.#planes = new Uint8Array(codeBits * this.#planeBytes);
    this.#counts = new Uint32Array(questions + families.at(-1)!.length);
    this.#novelty = new Float64Array(noveltyDim);
    this.#block = new Uint8Array(codeBits);
    this.#blockSquares = new Float64Array(codeBits);
  }

  get items(): number {
    return this.#items;
  }

  add({ yes, novelty }: Answers): void {
    const { codeBits } = this.#profile;
    const at = this.#items >> 3;
    const mask = 1 << (this.#items & 7);
    for (const question of yes) {
      this.#counts[question]!++;
      if (question < codeBits) {
        this.#planes[question * this.#planeBytes + at]! |= mask;
        this.#block[question]!++;
      }
    }
    for (const dimension of novelty) this.#novelty[dimension]!++;
    if (++this.#items % SCATTER_BLOCK === 0) {
      for (let k = 0; k < codeBits; k++) this.#blockSquares[k]! += this.#block[k]! ** 2;
      this.#block.fill(0);
    }
  }

  /** The counts; nothing of the items is left here afterwards. */
  take(): Tally {
    const { codeBits, questions } = this.#profile;
    const bytes = this.#planeBytes;
    let pair = questions;
    for (let i = 1; i < codeBits; i++) {
      for (let j = 0; j < i; j++) {
        this.#counts[pair++] =
          this.#items - distance(this.#planes, i * bytes, this.#planes, j * bytes, bytes);
      }
    }
    const tally = {
      items: this.#items,
      counts: this.#counts.slice(),
      novelty: this.#novelty.slice(),
      blockSquares: this.#blockSquares.slice(),
    };
    this.clear();
    return tally;
  }

  clear(): void {
    for (const array of [this.#planes, this.#counts, this.#novelty, this.#block, this.#blockSquares])
      array.fill(0);
    this.#items = 0;
  }
}

export function sumTallies(tallies: readonly Tally[]): Tally {
  const sum = (arrays: readonly ArrayLike<number>[]) =>
    Float64Array.from(arrays[0]!, (_, i) => arrays.reduce((total, array) => total + array[i]!, 0));
  return {
    items: tallies.reduce((total, { items }) => total + items, 0),
    counts: Uint32Array.from(sum(tallies.map(({ counts }) => counts))),
    novelty: sum(tallies.map(({ novelty }) => novelty)),
    blockSquares: sum(tallies.map(({ blockSquares }) => blockSquares)),
  };
}
