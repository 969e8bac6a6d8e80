/** What the exact search over binary codes takes and gives: the types that `CodeTable` implements. */

/** An item found by a search. Results are ordered by distance, then by item id as bytes. */
export interface Neighbour {
  /** 16 bytes. */
  readonly itemId: Uint8Array;
  /** Position in the table; a lane is never given to another item. */
  readonly lane: number;
  /** Differing bits, 0..K. */
  readonly distance: number;
}

/**
 * Which lanes take part in a search, a bit a lane: lane i is bit `i & 7` of byte `i >> 3`. Lanes beyond the end do not take part.
 * Erased lanes never do, whatever their bit says. `laneBits` makes one.
 */
export type LaneBits = Uint8Array;

export interface SearchOptions {
  readonly filter?: LaneBits | undefined;
  /** Of a search for the k nearest: only those within this distance, 0..K. */
  readonly radius?: number | undefined;
  /** How to find what is to be found; the result is the same bytes. `auto`, the default, follows `CodeTable.plan`. */
  readonly via?: 'auto' | 'scan' | 'multi-index' | undefined;
}

/** Anything that answers exact searches over one table of codes: the table itself on one thread, or a pool of threads over it. */
export interface CodeSearch {
  /**
   * The k nearest live items.
   * @param query K / 8 bytes  @throws LETHE-3406 wrong code length  @throws LETHE-3410 k is no positive integer, or radius out of range
   */
  search(query: Uint8Array, k: number, options?: SearchOptions): Neighbour[];
  /** The same for many queries in one pass over memory. @param queries [q, K / 8]  @returns one list a query */
  searchAll(queries: Uint8Array, k: number, options?: SearchOptions): Neighbour[][];
  /**
   * All live items within a distance.
   * @param hammingRadius 0..K  @throws LETHE-3406 wrong code length  @throws LETHE-3410 radius out of range
   */
  range(query: Uint8Array, hammingRadius: number, options?: SearchOptions): Neighbour[];
}

/** Codes of K bits with the ids of their items, for exact search and for erasure without a trace. See `table.ts`. */
export interface CodeTableLike extends CodeSearch {
  /** K, a multiple of 8 from 8 to 256. */
  readonly codeBits: number;
  /** Lanes given out so far, erased ones included. */
  readonly lanes: number;
  /** Items that a search can return. */
  readonly size: number;
  /** @returns the item's lane  @throws LETHE-3403 id not of 16 bytes  @throws LETHE-3406  @throws LETHE-3407 the item is there already */
  add(itemId: Uint8Array, code: Uint8Array): number;
  /** All or none. @param itemIds [n, 16]  @param codes [n, K / 8]  @returns the first of n consecutive lanes  @throws as `add` */
  addAll(itemIds: Uint8Array, codes: Uint8Array): number;
  has(itemId: Uint8Array): boolean;
  /** @throws LETHE-3408 */
  laneOf(itemId: Uint8Array): number;
  isLive(lane: number): boolean;
  /** Row-major copies, [to - from, K / 8] and [to - from, 16]; erased lanes are zeros. */
  codes(from: number, to: number): Uint8Array;
  itemIds(from: number, to: number): Uint8Array;
  /** Takes the item out of every later search; its code and id are overwritten wherever the table holds them. @throws LETHE-3408 */
  erase(itemId: Uint8Array): number;
  /** All or none, at the price of one erasure when a multi-index stands. @param itemIds [n, 16]  @returns their lanes */
  eraseAll(itemIds: Uint8Array): number[];
  /**
   * Overwrites the items' codes with others, wherever the table holds them; lanes stay. All or none.
   * @param itemIds [n, 16]  @param codes [n, K / 8]  @returns their lanes  @throws LETHE-3406  @throws LETHE-3408 not there, or named twice
   */
  replaceCodes(itemIds: Uint8Array, codes: Uint8Array): number[];
  /** Lanes whose bytes are this code, given out or spare, live or not: a scan for residual bytes lane by lane. */
  lanesHolding(code: Uint8Array): number[];
  /** All memory that ever held codes or ids, for a scan of raw bytes. Read only, valid until the table grows. */
  memory(): readonly Uint8Array[];
}
