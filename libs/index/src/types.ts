/** What goes into the code index and what comes out. */
import type { RandomSource } from '@lethe/std';
import type { IndexManifest, SegmentRef } from './manifest.ts';
import type { SearchTable, SegmentStore } from './ports.ts';

/** Items to append, by column: n rows each. Read during the call, never kept. */
export interface EntryBatch {
  /** [n, 16]. */
  readonly ids: Uint8Array;
  /** [n, K / 8]. */
  readonly codes: Uint8Array;
  /** [n]: version of the hash function that gave the code. */
  readonly fnVersions: Uint32Array;
  /** [n], 0..255. */
  readonly modalities: Uint8Array;
  /** [n, ceil(C / 8)]: class c is bit c & 7 of byte c >> 3. */
  readonly labels: Uint8Array;
  /** [n]: index into `aliases`. */
  readonly owners: Uint32Array;
  /** Aliases of data subjects. */
  readonly aliases: readonly string[];
  /** [n, 32]; absent: drawn by the index. Given only where a ledger is carried over with its roots. */
  readonly salts?: Uint8Array;
}

/** One item, as a caller reads or writes it: all bytes are copies. */
export interface IndexItem {
  readonly itemId: Uint8Array;
  readonly code: Uint8Array;
  readonly fnVersion: number;
  readonly modality: number;
  /** Class indices, ascending. */
  readonly labels: readonly number[];
  /** Alias of the data subject. */
  readonly owner: string;
}

export type IndexEntry =
  | (IndexItem & { readonly kind: 'live'; readonly index: number; readonly salt: Uint8Array })
  | { readonly kind: 'erased'; readonly index: number; readonly itemId: Uint8Array; readonly seq: bigint };

/** All given conditions hold together; an absent one does not restrict. */
export interface SearchFilter {
  readonly modalities?: readonly number[];
  readonly labelsAny?: readonly number[];
  readonly labelsAll?: readonly number[];
  readonly fnVersions?: readonly number[];
  /** Aliases whose items are left out (a masked person, another tenant's). */
  readonly excludedOwners?: ReadonlySet<string>;
  /** Leaves whose items are left out. Not to be changed once it was given. */
  readonly excludedItems?: ReadonlySet<number>;
}

export interface Hit {
  readonly itemId: Uint8Array;
  /** Leaf in the ledger: `entryAt(index)` has the rest. */
  readonly index: number;
  readonly distance: number;
}

/**
 * A change that the store holds and nobody sees yet. Exactly one of `commit` and `abort` is to be called, once; neither, where the
 * caller cannot know whether the manifest has become a fact (an answer was lost): then the index is closed and opened from the
 * manifest that turns out to stand, and `sweep` removes the segments of the other.
 */
export interface Change<P> {
  /** To be made a fact by the caller, before `commit`. */
  readonly manifest: IndexManifest;
  readonly proof: P;
  /** Leaf of the first appended item; the size where nothing is appended. */
  readonly first: number;
  /** Numbers of the segments that have new bytes. */
  readonly rewritten: readonly number[];
  /** What the commit deletes from the store. */
  readonly superseded: readonly SegmentRef[];
  /**
   * Switches memory to the new state (synchronously, at the call), overwrites what was replaced, then deletes superseded segments.
   * @throws LETHE-2614 a segment could not be deleted: the change stands, and what the details name must be deleted again (`sweep` does)
   * @throws LETHE-2610 the search table failed: the index is closed; open it from the manifest  @throws LETHE-2615
   */
  commit(): Promise<void>;
  /** Deletes the new segments and forgets the change. */
  abort(): Promise<void>;
}

export interface CodeIndexOptions {
  readonly store: SegmentStore;
  /** Source of the ledger's salts: a secure one wherever codes are of people. */
  readonly random: RandomSource;
  /** Makes the empty search table, once; absent: a `CodeTable` in this thread's memory. */
  readonly table?: (codeBits: number) => SearchTable;
}

export interface ScrubReport {
  readonly segments: number;
  readonly bytes: number;
  /** Numbers of segments whose bytes in the store are missing or not those of the manifest. */
  readonly damagedInStore: readonly number[];
  /** Numbers of segments whose bytes in memory are not those of the manifest. */
  readonly damagedInMemory: readonly number[];
}
