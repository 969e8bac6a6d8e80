/** What the code index needs from outside: a place for segments and a table that scans codes. */
import type { Neighbour } from '@lethe/hashing';

/**
 * A place for immutable bytes. The index stores a segment's new bytes before the change that names them is committed, and deletes
 * the old ones after it, so a store never has to replace anything.
 */
export interface SegmentStore {
  /**
   * Keeps the bytes; when it resolves they survive a crash. The bytes are the index's own: they are not to be kept or changed.
   * @param segment number of the segment, 0, 1, … (its first entry is 65,536 times that)  @returns where they are: opaque to the index
   */
  put(bytes: Uint8Array, segment: number): Promise<string>;
  /** @returns bytes that nobody else holds, for the index keeps and overwrites them  @throws LETHE-2602 there are none */
  get(reference: string): Promise<Uint8Array>;
  /** Takes the bytes away, and whatever key opens them. To delete what is not there is no error: a crash may have come between. */
  delete(reference: string): Promise<void>;
}

/** A store that can tell what it holds, so that bytes no manifest names can be found. */
export interface SweepableStore extends SegmentStore {
  references(): AsyncIterable<string>;
}

/**
 * Codes by lane, ready to be scanned: `CodeTable` of `@lethe/hashing`, or anything that does as it does. The lane of an item is its
 * leaf in the ledger, for the index fills an empty table in the ledger's order and lanes are never given out twice.
 */
export interface SearchTable {
  /** Takes the memory for so many more items, so that adding them cannot fail for want of it. @throws LETHE-3412 */
  reserve(items: number): void;
  /** All or none; both are copied. @param itemIds [n, 16]  @param codes [n, K / 8]  @returns the first of n consecutive lanes  @throws LETHE-3407 */
  addAll(itemIds: Uint8Array, codes: Uint8Array): number;
  /** Overwrites ids and codes wherever the table holds them. @param itemIds [n, 16]  @throws LETHE-3408 */
  eraseAll(itemIds: Uint8Array): number[];
  /** Overwrites codes with others, wherever the table holds them. @param itemIds [n, 16]  @param codes [n, K / 8], copied  @returns their lanes, unchanged  @throws LETHE-3408 */
  replaceCodes(itemIds: Uint8Array, codes: Uint8Array): number[];
  has(itemId: Uint8Array): boolean;
  /** @throws LETHE-3408 */
  laneOf(itemId: Uint8Array): number;
  /** The k nearest live items by (distance, item id). @throws LETHE-3406, LETHE-3410 */
  search(query: Uint8Array, k: number, options?: TableOptions): Neighbour[];
  /** All live items within the distance, by (distance, item id). @throws LETHE-3406, LETHE-3410 */
  range(query: Uint8Array, radius: number, options?: TableOptions): Neighbour[];
  /** Lanes whose bytes are this code, live or not: a scan for residual bytes lane by lane. */
  lanesHolding(code: Uint8Array): number[];
  /** All memory that holds ids or codes. The index overwrites it when it lets go of the table. */
  memory(): readonly Uint8Array[];
}

export interface TableOptions {
  /** Lane i takes part if bit i & 7 of byte i >> 3 is set. */
  readonly filter?: Uint8Array;
  /** Of a search for the k nearest: only those within this distance. */
  readonly radius?: number;
}
