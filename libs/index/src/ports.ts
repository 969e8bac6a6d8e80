/** What the code index needs from outside: a place for segments and a table that scans codes. */
import type { Neighbour } from '@lethe/hashing';

/**
 * A place for immutable bytes. The index stores a segment's new bytes before the change that names them is committed, and deletes
 * the old ones after it, so a store never has to replace anything.
 */
export interface SegmentStore {
  /**
   * Keeps the bytes; when it resolves they survive a crash. The bytes are the caller's again afterwards.
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
 * Codes by lane, ready to be scanned. The lane of an item is its leaf in the ledger; a lane is never given to another item, and a
 * lane of an erased item holds zeros and is never found.
 */
export interface SearchTable {
  readonly codeBits: number;
  /** Lanes given out so far, erased ones included. */
  readonly lanes: number;
  /** Bulk append of [n, 16] ids and [n, K / 8] codes; both are copied. @returns the first lane */
  append(ids: Uint8Array, codes: Uint8Array): number;
  /** Overwrites id and code of the lanes with zeros wherever the table holds them. */
  erase(lanes: Iterable<number>): void;
  /** Gives a live lane another code. */
  replace(lane: number, code: Uint8Array): void;
  /** The k nearest live items by (distance, item id). @param mask a lane takes part if its byte is not 0 */
  search(query: Uint8Array, k: number, mask?: Uint8Array): Neighbour[];
  /** All live items within the distance, by (distance, item id). */
  range(query: Uint8Array, radius: number, mask?: Uint8Array): Neighbour[];
  /** All memory that holds ids or codes, for a scan that looks for residual bytes. Read only. */
  memory(): readonly Uint8Array[];
}
