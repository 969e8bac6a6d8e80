/**
 * The code index: which item has which code, searchable, provable and forgetful.
 *
 * Every entry is a row of a segment (65,536 consecutive entries, an aligned perfect subtree of the ledger's RFC 6962 tree), a leaf of
 * the ledger and a lane of the search table; the three numbers are one. A change is prepared first: new segment bytes go to the store
 * and the new manifest is computed, while searches still see the old state. The caller makes the manifest a fact (an event), then
 * commits: the memory switches, what was replaced is overwritten, and the old segments are deleted from the store.
 *
 *     const change = await index.erase(itemIds, seq);
 *     try { await append(promoted(change.manifest, change.proof)); } catch (e) { await change.abort(); throw e; }
 *     await change.commit();
 */
import type { ErasureProof, UpdateProof } from '@lethe/hashing';
import type { RandomSource } from '@lethe/std';
import type { IndexManifest, SegmentRef } from './manifest.ts';
import type { SearchTable, SegmentStore, SweepableStore } from './ports.ts';

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
}

export interface Hit {
  readonly itemId: Uint8Array;
  /** Leaf in the ledger: `entryAt(index)` has the rest. */
  readonly index: number;
  readonly distance: number;
}

/** A leaf in the ledger's tree: check with `verifyInclusionProof`. */
export interface InclusionProof {
  readonly index: number;
  readonly size: number;
  /** 32 bytes. */
  readonly leaf: Uint8Array;
  /** Siblings from the leaf upwards. */
  readonly path: readonly Uint8Array[];
  readonly root: Uint8Array;
}

/** Exactly the leaves in `changed` differ between two trees of one size: check with `verifyReencodeProof`. */
export interface ReencodeProof {
  readonly size: number;
  readonly rootBefore: Uint8Array;
  readonly rootAfter: Uint8Array;
  /** By ascending index; a leaf after has a fresh salt. */
  readonly changed: readonly {
    readonly index: number;
    readonly leafBefore: Uint8Array;
    readonly leafAfter: Uint8Array;
  }[];
  /** As in an erasure's proof. */
  readonly untouched: readonly Uint8Array[];
}

/** A change that the store holds and nobody sees yet. Exactly one of `commit` and `abort` is to be called, once. */
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
   * @throws LETHE-2606 a segment could not be deleted: the change stands, and `superseded` must be deleted again (`sweep` does)
   */
  commit(): Promise<void>;
  /** Deletes the new segments and forgets the change. */
  abort(): Promise<void>;
}

export interface CodeIndexOptions {
  readonly store: SegmentStore;
  /** Source of the ledger's salts: a secure one wherever codes are of people. */
  readonly random: RandomSource;
  /** Makes the empty search table; absent: the WebAssembly table of `@lethe/hashing`. */
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

export declare class CodeIndex {
  /** An empty index. @param options.codeBits 8, 16, … 256  @param options.classes number of declared classes, 0..65,535 */
  static create(
    options: CodeIndexOptions & { readonly codeBits: number; readonly classes: number },
  ): CodeIndex;

  /**
   * Rebuilds the index from its segments: the digest and the form of each are checked, and the index root is recomputed from the
   * segment roots.
   * @param options.copies further places of the same segments by reference, asked in turn when the store's copy is damaged or missing
   * @throws LETHE-2601, LETHE-2602, LETHE-2603
   */
  static open(
    manifest: IndexManifest,
    options: CodeIndexOptions & { readonly copies?: readonly Pick<SegmentStore, 'get'>[] },
  ): Promise<CodeIndex>;

  readonly codeBits: number;
  readonly classes: number;
  /** Entries, erased ones included. */
  get size(): number;
  /** Live entries. */
  get live(): number;
  /** Sequence of the last fact that the index reflects. */
  get applied(): bigint;
  /** RFC 6962 root over the first `size` entries. */
  root(size?: number): Uint8Array;
  manifest(): IndexManifest;

  /** @param sequence the fact that the change reflects; absent: unchanged  @throws LETHE-2604, LETHE-2605, LETHE-2606, LETHE-2608, LETHE-3407 an item has an entry */
  append(batch: EntryBatch, sequence?: bigint): Promise<Change<UpdateProof>>;
  /** Items as a batch of this index's widths. @throws LETHE-2608 */
  batchOf(items: readonly IndexItem[]): EntryBatch;
  /** Turns live entries into erased ones. @param seq position of the erasure's fact, in every erased leaf  @throws LETHE-3408 an item has no live entry  @throws LETHE-3410 twice */
  erase(itemIds: readonly Uint8Array[], seq: bigint, sequence?: bigint): Promise<Change<ErasureProof>>;
  /** Gives live items other codes by another function version, under fresh salts: a new ledger version. @throws LETHE-3406, LETHE-3408, LETHE-3410 */
  reencode(
    changes: readonly { readonly itemId: Uint8Array; readonly code: Uint8Array }[],
    fnVersion: number,
    sequence?: bigint,
  ): Promise<Change<ReencodeProof>>;

  /** The k nearest live items by (distance, item id). @throws LETHE-3406, LETHE-3410 */
  search(query: Uint8Array, k: number, filter?: SearchFilter): Hit[];
  /** All live items within the radius by (distance, item id). @throws LETHE-3406, LETHE-3410 */
  range(query: Uint8Array, radius: number, filter?: SearchFilter): Hit[];

  /** @throws LETHE-3408 */
  indexOf(itemId: Uint8Array): number;
  entry(itemId: Uint8Array): IndexEntry;
  entryAt(index: number): IndexEntry;
  /** All entries in the order of the ledger, from `first`. */
  entries(first?: number): Generator<IndexEntry>;
  /** Live items of a person. @returns ids in the order of the ledger */
  itemsOf(owner: string): Uint8Array[];
  /** @throws LETHE-3408 */
  prove(itemId: Uint8Array): InclusionProof;
  /** Shows that the entries that made `rootBefore` are all still there, unchanged. @throws LETHE-3411 they are not */
  proveUpdate(sizeBefore: number, rootBefore: Uint8Array): UpdateProof;

  /** Notes that facts up to the sequence have been seen; those without an effect here move nothing else. */
  advance(sequence: bigint): void;
  /** Resolves when `applied` is at least the sequence. @throws LETHE-2607 after the time */
  waitFor(sequence: bigint, timeoutMs: number): Promise<void>;

  /** Compares every segment in memory and in the store with the manifest's digests. */
  scrub(): Promise<ScrubReport>;
  /** Stores again, from verified memory, segments that `scrub` found damaged in the store: a change with new references and equal roots. @throws LETHE-2601 the memory's copy is damaged as well */
  repair(segments: readonly number[]): Promise<Change<undefined>>;
  /** Memory that holds ids, codes, salts or owners, with names, for a scan that looks for residual bytes. Read only. */
  memory(): readonly { readonly name: string; readonly bytes: Uint8Array }[];
  /** Overwrites everything that the index holds in memory. It answers nothing afterwards. */
  close(): void;
}

/** Deletes what the store holds and the manifest does not name: what a crash left. No change may be open. @returns what was deleted */
export declare function sweep(store: SweepableStore, manifest: IndexManifest): Promise<string[]>;
