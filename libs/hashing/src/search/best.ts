/** Where a search keeps its candidates outside of the kernel: the k best by (distance, item id), in bounded memory. */
import type { Chunks } from './chunks.ts';

/** A code that may be among the nearest. */
export interface Candidate {
  readonly lane: number;
  readonly distance: number;
}

/**
 * Scans the table it was made for. @param limit largest distance of interest  @param filtered whether the filter bits beside the codes count
 * @returns the k best of every query, in order; undefined: not for me
 * @throws LETHE-3413
 */
export type TableScan = (
  queries: readonly Uint8Array[],
  k: number,
  limit: number,
  filtered: boolean,
) => Candidate[][] | undefined;

/** k of a search within a radius: all that come are kept. */
export const UNLIMITED = 0x7fff_ffff;

/**
 * Holds at most 2 k + 1,024 candidates, whatever comes: when they are that many, the k best stay, and from then on what is not better
 * than the k-th of them is turned away on arrival. A table of equal codes, where every code is a candidate, costs one comparison of
 * ids a code.
 */
export class Best {
  readonly #chunks: Chunks;
  readonly #k: number;
  readonly #query: Uint8Array;
  #found: Candidate[] = [];
  #worst: Candidate | undefined;

  constructor(chunks: Chunks, k: number, query: Uint8Array) {
    this.#chunks = chunks;
    this.#k = k;
    this.#query = query;
  }

  /** @param counted the kernel's distance, at most 255 */
  offer(lane: number, counted: number): void {
    const distance = counted === 255 ? this.#chunks.distance(lane, this.#query) : counted;
    const candidate = { lane, distance };
    if (this.#worst !== undefined && this.#chunks.order(candidate, this.#worst) > 0) return;
    this.#found.push(candidate);
    if (this.#found.length >= 2 * this.#k + 1_024) this.#keep();
  }

  #keep(): void {
    this.#found.sort((a, b) => this.#chunks.order(a, b));
    if (this.#found.length < this.#k) return;
    this.#found.length = this.#k;
    this.#worst = this.#found[this.#k - 1];
  }

  /** The k best (all, if unlimited), in order. */
  take(): Candidate[] {
    this.#keep();
    return this.#found;
  }
}
