/** Distance of binary codes, and an index of one item at a time over the table of codes. */
import { CodeTable, laneBits } from './search/table.ts';
import type { Neighbour } from './search/types.ts';

export { ITEM_ID_BYTES } from './search/table.ts';
export type { Neighbour } from './search/types.ts';

/** Set bits of a 32-bit word, the usual parallel sums. */
export function popcount32(word: number): number {
  let v = word - ((word >>> 1) & 0x5555_5555);
  v = (v & 0x3333_3333) + ((v >>> 2) & 0x3333_3333);
  v = (v + (v >>> 4)) & 0x0f0f_0f0f;
  return Math.imul(v, 0x0101_0101) >>> 24;
}

const BITS_OF_BYTE = Uint8Array.from({ length: 256 }, (_, byte) => popcount32(byte));

/** Differing bits of two codes of `bytes` bytes inside two arrays. */
export function distance(a: Uint8Array, aAt: number, b: Uint8Array, bAt: number, bytes: number): number {
  let bits = 0;
  for (let i = 0; i < bytes; i++) bits += BITS_OF_BYTE[a[aAt + i]! ^ b[bAt + i]!]!;
  return bits;
}

/**
 * `CodeTable` with a filter of one byte a lane. A lane holds one item for ever; erasing zeroes its code and its id in place, so no byte of
 * them is left in the index's memory.
 */
export class HammingIndex {
  readonly codeBits: number;
  readonly #table: CodeTable;

  /** @throws LETHE-3406 K is not 8, 16, … 256 */
  constructor(codeBits: number) {
    this.codeBits = codeBits;
    this.#table = new CodeTable(codeBits);
  }

  /** Lanes given out so far, erased ones included. */
  get lanes(): number {
    return this.#table.lanes;
  }

  /** Items that a search can return. */
  get size(): number {
    return this.#table.size;
  }

  /** @returns the item's lane  @throws LETHE-3406 wrong code length  @throws LETHE-3407 the item is there already */
  add(itemId: Uint8Array, code: Uint8Array): number {
    return this.#table.add(itemId, code);
  }

  /** @throws LETHE-3408 */
  laneOf(itemId: Uint8Array): number {
    return this.#table.laneOf(itemId);
  }

  /** Takes the item out of every later search and overwrites its code and id with zeros. @returns its lane  @throws LETHE-3408 */
  erase(itemId: Uint8Array): number {
    return this.#table.erase(itemId);
  }

  /**
   * The k nearest live items, ordered by distance, then by item id.
   * @param laneMask optional filter: a lane takes part if its byte is not 0; lanes beyond its end do not
   * @throws LETHE-3406 wrong code length  @throws LETHE-3410 k is no positive integer
   */
  search(query: Uint8Array, k: number, laneMask?: Uint8Array): Neighbour[] {
    const filter = laneMask && laneBits(laneMask.length, (lane) => laneMask[lane] !== 0);
    return this.#table.search(query, k, { filter });
  }

  /** The memory that holds codes and ids, for a scan that looks for residual bytes. Read only. */
  memory(): readonly Uint8Array[] {
    return this.#table.memory();
  }

  /** Lanes whose bytes are this code, given out or spare, live or not. */
  lanesHolding(code: Uint8Array): number[] {
    return this.#table.lanesHolding(code);
  }
}
