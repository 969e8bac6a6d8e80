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
import {
  CodeTable,
  type ErasureProof,
  HASHING,
  type InclusionProof,
  ITEM_ID_BYTES,
  labelBytes,
  type ReencodeProof,
  SALT_BYTES,
  SEGMENT_ROWS,
  Segment,
  type UpdateProof,
} from '@lethe/hashing';
import {
  consistencyPath,
  emptyRoot,
  inclusionPath,
  nodeHash,
  type RangeRoot,
  splitPoint,
  untouchedRoots,
} from '@lethe/merkle';
import { assert, equalBytes, fromHex, hex, LetheError, sha256 } from '@lethe/std';
import { batchOf, checkBatch } from './batch.ts';
import { INDEX } from './errors.ts';
import { LaneFilters } from './filter.ts';
import { IdMap } from './id-map.ts';
import { checkManifest, type IndexManifest, type SegmentRef } from './manifest.ts';
import { inTurn, settled } from './parallel.ts';
import type { SearchTable, SegmentStore } from './ports.ts';
import type {
  Change,
  CodeIndexOptions,
  EntryBatch,
  Hit,
  IndexEntry,
  IndexItem,
  ScrubReport,
  SearchFilter,
} from './types.ts';

/** Segments that travel to or from the store at a time: bounds the memory of their copies. */
const TRAVELLING = 4;

/** A segment where it stands: its bytes in memory and what the manifest says of it. */
interface Held {
  readonly segment: Segment;
  readonly ref: SegmentRef;
  readonly root: Uint8Array;
}

/** What a change makes of the index, before anybody sees it. */
interface Plan<P> {
  /** New segments by number. */
  readonly segments: ReadonlyMap<number, Segment>;
  readonly size: number;
  readonly ledgerVersion?: number;
  readonly sequence: bigint | undefined;
  readonly prove: (before: Tree, after: Tree) => P;
  /** Brings the table to the new state, at the commit. */
  readonly apply: () => void;
  /** Overwrites what the change holds beside its segments, whichever way it ends. */
  readonly wipe?: () => void;
}

interface Tree {
  readonly size: number;
  readonly root: Uint8Array;
  readonly rangeRoot: RangeRoot;
}

interface Waiter {
  readonly sequence: bigint;
  readonly done: () => void;
  readonly closed: () => void;
}

/** What a timer of Node takes; a longer time would end at once. */
const WAIT_MS_MAX = 2 ** 31 - 1;

export class CodeIndex {
  readonly codeBits: number;
  readonly classes: number;
  readonly #options: CodeIndexOptions;
  #held: readonly Held[] = [];
  #size = 0;
  #ledgerVersion = 1;
  #applied = 0n;
  readonly #table: SearchTable;
  /** Erased items: leaves by id. */
  readonly #erased = new IdMap();
  readonly #filters = new LaneFilters();
  readonly #waiters = new Set<Waiter>();
  /** Overwrites the new segments of the change that is open. */
  #changing: (() => void) | undefined;
  #closed = false;

  private constructor(options: CodeIndexOptions, codeBits: number, classes: number) {
    this.codeBits = codeBits;
    this.classes = classes;
    this.#options = options;
    this.#table = options.table?.(codeBits) ?? new CodeTable(codeBits);
  }

  /**
   * An empty index.
   * @param options.codeBits 8, 16, … 256  @param options.classes number of declared classes, 0..65,535  @throws LETHE-2609
   */
  static create(
    options: CodeIndexOptions & { readonly codeBits: number; readonly classes: number },
  ): CodeIndex {
    const { codeBits, classes } = options;
    if (codeBits % 8 !== 0 || !(codeBits >= 8 && codeBits <= 256)) {
      throw INDEX.OPTION_INVALID('codeBits is none of 8, 16, … 256', { details: { codeBits } });
    }
    if (!Number.isInteger(classes) || classes < 0 || classes > 0xffff) {
      throw INDEX.OPTION_INVALID('classes is not an integer in 0..65,535', { details: { classes } });
    }
    return new CodeIndex(options, codeBits, classes);
  }

  /**
   * Rebuilds the index from its segments. The digest and the one accepted form of each are checked, and the index root is recomputed
   * from the segment roots; a segment root is checked against its entries when the segment is first proven or changed.
   * @param options.copies further places of the same segments, asked in turn where the store's copy is damaged or missing
   * @throws LETHE-2601, LETHE-2602 with the segment's number  @throws LETHE-2603
   */
  static async open(
    manifest: IndexManifest,
    options: CodeIndexOptions & { readonly copies?: readonly Pick<SegmentStore, 'get'>[] },
  ): Promise<CodeIndex> {
    checkManifest(manifest);
    const { codeBits, classes, segments } = manifest;
    const index = new CodeIndex(options, codeBits, classes);
    const held: Held[] = [];
    const places = [options.store, ...(options.copies ?? [])];
    const take = (segment: Segment, number: number): void => {
      held.push({ segment, ref: segments[number]!, root: fromHex(segments[number]!.root) });
    };
    try {
      await inTurn(segments, TRAVELLING, (ref, number) => fetch(ref, number, places, manifest), take);
      const decoded = held.map(({ segment }) => segment);
      index.#noteErased(decoded, fill(index.#table, decoded, codeBits));
    } catch (error) {
      for (const { segment } of held) segment.wipe();
      index.close();
      throw error;
    }
    index.#held = held;
    index.#size = manifest.size;
    index.#ledgerVersion = manifest.ledgerVersion;
    index.#applied = BigInt(manifest.applied);
    if (hex(index.root()) !== manifest.root) {
      index.close();
      throw INDEX.MANIFEST_INVALID(
        'the root of this manifest does not follow from the roots of its segments',
      );
    }
    return index;
  }

  /** Entries, erased ones included. */
  get size(): number {
    return this.#size;
  }

  /** Live entries. */
  get live(): number {
    return this.#size - this.#erased.size;
  }

  /** 1, 2, …: raised by every `reencode`. */
  get ledgerVersion(): number {
    return this.#ledgerVersion;
  }

  /** Sequence of the last fact that the index reflects. */
  get applied(): bigint {
    return this.#applied;
  }

  /** The search table, one from `create` or `open` to `close`, for other ways to search it (many queries at once, several threads). Lanes are leaves. */
  get table(): SearchTable {
    return this.#table;
  }

  /** RFC 6962 root over the first `size` entries. */
  root(size: number = this.#size): Uint8Array {
    return size === 0 ? emptyRoot() : rangeRootOver(this.#held)(0, size);
  }

  /** @throws LETHE-2615 */
  manifest(): IndexManifest {
    this.#refuseClosed();
    return this.#manifestOf(this.#held, this.#size, this.root(), this.#ledgerVersion, this.#applied);
  }

  /** Items as a batch of this index's widths. @throws LETHE-2608, LETHE-3403, LETHE-3406 */
  batchOf(items: readonly IndexItem[]): EntryBatch {
    return batchOf(items, this);
  }

  /**
   * Prepares the items' entries behind the present ones.
   * @param sequence the fact that the change reflects, 0..2^64-1; absent: unchanged
   * @throws LETHE-2604, LETHE-2605, LETHE-2606, LETHE-2608  @throws LETHE-3407 an item has an entry already
   */
  async append(batch: EntryBatch, sequence?: bigint): Promise<Change<UpdateProof>> {
    this.#refuseChange(sequence);
    const count = checkBatch(batch, this);
    this.#refuseKnown(batch.ids, count);
    // Copies, also of a Buffer, whose `slice` shares memory: the caller may use its own again before the commit.
    const own = {
      ...batch,
      ids: new Uint8Array(batch.ids),
      codes: new Uint8Array(batch.codes),
      salts: batch.salts ? new Uint8Array(batch.salts) : this.#options.random.bytes(count * SALT_BYTES),
    };
    const { ids, codes, salts } = own;
    const size = this.#size + count;
    const segments = new Map<number, Segment>();
    try {
      for (let done = 0; done < count; ) {
        const number = Math.floor((this.#size + done) / SEGMENT_ROWS);
        const to = Math.min(count, (number + 1) * SEGMENT_ROWS - this.#size);
        const place = { codeBits: this.codeBits, classes: this.classes, number };
        if (this.#held[number]) this.#treeOf(number);
        const rows = rowsOf(own, done, to, this);
        segments.set(number, Segment.appended(this.#held[number]?.segment, place, rows));
        done = to;
      }
      // What can fail is to fail before the manifest is a fact.
      this.#table.reserve(count);
    } catch (error) {
      codes.fill(0);
      for (const segment of segments.values()) segment.wipe();
      throw error;
    } finally {
      salts.fill(0);
    }
    return await this.#prepare({
      segments,
      size,
      sequence,
      prove: (before, after) => updateProof(before, after),
      apply: () => {
        const first = count === 0 ? this.#size : this.#table.addAll(ids, codes);
        assert(first === this.#size, 'lanes are leaves');
      },
      wipe: () => codes.fill(0),
    });
  }

  /**
   * Prepares the live items' entries as erased ones.
   * @param seq position of the erasure's fact, in every erased leaf, 0..2^64-1
   * @throws LETHE-3408 an item has no live entry  @throws LETHE-3410 an item is named twice  @throws LETHE-2604, LETHE-2605, LETHE-2606
   */
  async erase(itemIds: readonly Uint8Array[], seq: bigint, sequence?: bigint): Promise<Change<ErasureProof>> {
    this.#refuseChange(sequence);
    if (!isSequence(seq)) throw INDEX.OPTION_INVALID('seq is not in 0..2^64-1');
    const indices = this.#liveIndices(itemIds);
    const segments = this.#remade(bySegment(indices), (segment, rows) => segment.erased(rows, seq));
    const gone = indices.map((index) => ({
      index,
      itemId: this.#idAt(index),
      leafBefore: this.#leafAt(index),
    }));
    const ids = new Uint8Array(gone.length * ITEM_ID_BYTES);
    for (const [i, { itemId }] of gone.entries()) ids.set(itemId, i * ITEM_ID_BYTES);
    return await this.#prepare({
      segments,
      size: this.#size,
      sequence,
      prove: (before, after) => ({
        ...sameSize(before, after, indices),
        seq,
        erased: gone,
      }),
      apply: () => {
        this.#table.eraseAll(ids);
        for (const [i, { index }] of gone.entries()) this.#erased.add(ids, i, index);
      },
    });
  }

  /**
   * Prepares other codes for live items, by another version of the function and under fresh salts: a new ledger version. The commit
   * overwrites the old codes in the table's memory, so its price is that of the items and of the segments that hold them.
   * @throws LETHE-2604, LETHE-2605, LETHE-2606, LETHE-2609  @throws LETHE-3406, LETHE-3408, LETHE-3410
   */
  async reencode(
    changes: readonly { readonly itemId: Uint8Array; readonly code: Uint8Array }[],
    fnVersion: number,
    sequence?: bigint,
  ): Promise<Change<ReencodeProof>> {
    this.#refuseChange(sequence);
    if (!Number.isInteger(fnVersion) || fnVersion < 0 || fnVersion > 0xffff_ffff) {
      throw INDEX.OPTION_INVALID('fnVersion is not an integer in 0..2^32-1');
    }
    const width = this.codeBits / 8;
    if (changes.some(({ code }) => code.length !== width)) {
      throw HASHING.CODE_LENGTH_WRONG(`a code of this index has ${width} bytes`);
    }
    const indices = this.#liveIndices(changes.map(({ itemId }) => itemId));
    // Copies by leaf, which wait for the commit.
    const own = {
      ids: new Uint8Array(indices.length * ITEM_ID_BYTES),
      codes: new Uint8Array(indices.length * width),
    };
    const placeOf = new Map(indices.map((index, i) => [index, i]));
    for (const { itemId, code } of changes) {
      const i = placeOf.get(this.#table.laneOf(itemId))!;
      own.ids.set(itemId, i * ITEM_ID_BYTES);
      own.codes.set(code, i * width);
    }
    let segments: ReadonlyMap<number, Segment>;
    try {
      segments = this.#remade(bySegment(indices), (segment, rows, number) => {
        const first = placeOf.get(number * SEGMENT_ROWS + rows[0]!)!;
        const codes = own.codes.subarray(first * width, (first + rows.length) * width);
        const salts = this.#options.random.bytes(rows.length * SALT_BYTES);
        try {
          return segment.reencoded(rows, codes, salts, fnVersion);
        } finally {
          salts.fill(0);
        }
      });
    } catch (error) {
      own.codes.fill(0);
      throw error;
    }
    const changed = indices.map((index) => ({
      index,
      leafBefore: this.#leafAt(index),
      leafAfter: leafIn(segments.get(Math.floor(index / SEGMENT_ROWS))!, index),
    }));
    return await this.#prepare({
      segments,
      size: this.#size,
      ledgerVersion: this.#ledgerVersion + 1,
      sequence,
      prove: (before, after) => ({ ...sameSize(before, after, indices), changed }),
      apply: () => void this.#table.replaceCodes(own.ids, own.codes),
      wipe: () => own.codes.fill(0),
    });
  }

  /**
   * Stores again, from verified memory, segments that `scrub` found damaged in the store: a change with new references and equal roots.
   * @throws LETHE-2601 the memory's copy is damaged as well
   */
  async repair(numbers: readonly number[]): Promise<Change<undefined>> {
    this.#refuseChange(undefined);
    for (const number of numbers) {
      const held = this.#held[number];
      if (!held) throw INDEX.OPTION_INVALID(`there is no segment ${number}`);
      if (hex(sha256(held.segment.bytes)) !== held.ref.digest) {
        throw damaged(number, 'the copy in memory has another digest');
      }
    }
    const segments = allOrNone(new Set(numbers), (number) =>
      Segment.decode(this.#held[number]!.segment.bytes.slice()),
    );
    return await this.#prepare({
      segments,
      size: this.#size,
      sequence: undefined,
      prove: () => undefined,
      apply: () => {},
    });
  }

  /** The k nearest live items by (distance, item id), of those within the radius if one is given. @throws LETHE-2615, LETHE-3406, LETHE-3410 */
  search(query: Uint8Array, k: number, filter?: SearchFilter, radius?: number): Hit[] {
    this.#refuseClosed();
    const within = radius === undefined ? {} : { radius };
    return this.#table.search(query, k, { ...this.#bits(filter), ...within }).map(hitOf);
  }

  /** All live items within the radius by (distance, item id). @throws LETHE-2615, LETHE-3406, LETHE-3410 */
  range(query: Uint8Array, radius: number, filter?: SearchFilter): Hit[] {
    this.#refuseClosed();
    return this.#table.range(query, radius, this.#bits(filter)).map(hitOf);
  }

  /** Leaf of the item, live or erased. @throws LETHE-3408 */
  indexOf(itemId: Uint8Array): number {
    this.#refuseClosed();
    if (itemId.length !== ITEM_ID_BYTES) throw HASHING.SHAPE_MISMATCH('an item id has 16 bytes');
    const erased = this.#erased.get(itemId);
    return erased === -1 ? this.#table.laneOf(itemId) : erased;
  }

  /** @throws LETHE-3408 */
  entry(itemId: Uint8Array): IndexEntry {
    return this.entryAt(this.indexOf(itemId));
  }

  /** @throws LETHE-2609 no such leaf */
  entryAt(index: number): IndexEntry {
    this.#refuseClosed();
    if (!Number.isInteger(index) || index < 0 || index >= this.#size) {
      throw INDEX.OPTION_INVALID(`there is no entry ${index}`, { details: { index, size: this.#size } });
    }
    const { segment } = this.#held[Math.floor(index / SEGMENT_ROWS)]!;
    const row = index % SEGMENT_ROWS;
    const { codes, salts, fnVersions, modalities, owners, labels } = segment.columns;
    const itemId = this.#idAt(index);
    if (segment.isErased(row)) return { kind: 'erased', index, itemId, seq: segment.erasedSeq(row) };
    const width = this.codeBits / 8;
    const mask = labelBytes(this.classes);
    const hasLabel = (label: number): boolean =>
      ((labels[row * mask + (label >> 3)]! >> (label & 7)) & 1) === 1;
    return {
      kind: 'live',
      index,
      itemId,
      code: codes.slice(row * width, (row + 1) * width),
      salt: salts.slice(row * SALT_BYTES, (row + 1) * SALT_BYTES),
      fnVersion: fnVersions[row]!,
      modality: modalities[row]!,
      labels: Array.from({ length: this.classes }, (_, label) => label).filter(hasLabel),
      owner: segment.aliases[owners[row]!]!,
    };
  }

  /** All entries in the order of the ledger, from leaf `first`. The index must not change meanwhile; if it is closed, the next step is refused. */
  *entries(first = 0): Generator<IndexEntry> {
    for (let index = first; ; index++) {
      this.#refuseClosed();
      if (index >= this.#size) return;
      yield this.entryAt(index);
    }
  }

  /** Live items of a person. @returns ids in the order of the ledger */
  itemsOf(owner: string): Uint8Array[] {
    this.#refuseClosed();
    return this.#held.flatMap(({ segment }, number) => {
      const alias = segment.aliasIndex(owner);
      const ids: Uint8Array[] = [];
      if (alias === -1) return ids;
      for (const [row, of] of segment.columns.owners.entries()) {
        if (of === alias && !segment.isErased(row)) ids.push(this.#idAt(number * SEGMENT_ROWS + row));
      }
      return ids;
    });
  }

  /** Shows the item's leaf in the tree. @throws LETHE-3408 */
  prove(itemId: Uint8Array): InclusionProof {
    const index = this.indexOf(itemId);
    this.#treeOf(Math.floor(index / SEGMENT_ROWS));
    const path = inclusionPath(rangeRootOver(this.#held), index, this.#size);
    return { index, size: this.#size, leaf: this.#leafAt(index), path, root: this.root() };
  }

  /** Shows that the entries that made `rootBefore` are all still there, unchanged. @throws LETHE-3411 they are not */
  proveUpdate(sizeBefore: number, rootBefore: Uint8Array): UpdateProof {
    this.#refuseClosed();
    const valid = Number.isInteger(sizeBefore) && sizeBefore >= 0 && sizeBefore <= this.#size;
    if (!valid || !equalBytes(this.root(sizeBefore), rootBefore)) {
      throw HASHING.PROOF_INVALID('the ledger does not begin with the tree of the earlier root');
    }
    return updateProof({ size: sizeBefore, root: rootBefore }, this.#tree(this.#held, this.#size));
  }

  /** Notes that facts up to the sequence have been seen; those without an effect here move nothing else. */
  advance(sequence: bigint): void {
    if (sequence <= this.#applied) return;
    this.#applied = sequence;
    for (const waiter of this.#waiters) if (waiter.sequence <= sequence) waiter.done();
  }

  /** Resolves when `applied` is at least the sequence, so that a client reads what it wrote. @throws LETHE-2607 after the time, of at most 2^31-1 ms  @throws LETHE-2615 */
  async waitFor(sequence: bigint, timeoutMs: number): Promise<void> {
    this.#refuseClosed();
    if (this.#applied >= sequence) return;
    await new Promise<void>((done, refuse) => {
      const end = (then: () => void) => () => {
        clearTimeout(timer);
        this.#waiters.delete(waiter);
        then();
      };
      const waiter = { sequence, done: end(done), closed: end(() => refuse(closed())) };
      const late = end(() =>
        refuse(
          INDEX.REPLICA_BEHIND(`sequence ${sequence} is awaited, ${this.#applied} is applied`, {
            details: { awaited: String(sequence), applied: String(this.#applied) },
          }),
        ),
      );
      const timer = setTimeout(late, Math.min(timeoutMs, WAIT_MS_MAX));
      this.#waiters.add(waiter);
    });
  }

  /** Compares every segment in memory and in the store with the manifest's digests. Other errors of the store pass through. */
  async scrub(): Promise<ScrubReport> {
    const held = this.#held;
    const damagedInStore: number[] = [];
    const damagedInMemory: number[] = [];
    let bytes = 0;
    for (const [number, { segment, ref }] of held.entries()) {
      bytes += ref.bytes;
      if (hex(sha256(segment.bytes)) !== ref.digest) damagedInMemory.push(number);
      try {
        const stored = await this.#options.store.get(ref.reference);
        if (hex(sha256(stored)) !== ref.digest) damagedInStore.push(number);
        stored.fill(0);
      } catch (error) {
        if (!isLoss(error)) throw error;
        damagedInStore.push(number);
      }
    }
    return { segments: held.length, bytes, damagedInStore, damagedInMemory };
  }

  /** Memory that holds ids, codes, salts or owners, for a scan that looks for residual bytes. Read only. */
  memory(): readonly { readonly name: string; readonly bytes: Uint8Array }[] {
    return [
      ...this.#held.map(({ segment }, number) => ({ name: `segment ${number}`, bytes: segment.bytes })),
      ...this.#table.memory().map((bytes, i) => ({ name: `table ${i}`, bytes })),
    ];
  }

  /** The segments in memory, for a scan column by column. Read only. */
  segments(): readonly Segment[] {
    return this.#held.map(({ segment }) => segment);
  }

  /** Overwrites everything that the index holds in memory, an open change too. It refuses every question afterwards. */
  close(): void {
    this.#closed = true;
    this.#changing?.();
    for (const waiter of this.#waiters) waiter.closed();
    for (const { segment } of this.#held) segment.wipe();
    for (const bytes of this.#table.memory()) bytes.fill(0);
    this.#held = [];
    this.#size = 0;
    this.#filters.reset();
  }

  /** @param gone leaves of erased entries */
  #noteErased(segments: readonly Segment[], gone: readonly number[]): void {
    for (const index of gone) {
      const { ids } = segments[Math.floor(index / SEGMENT_ROWS)]!.columns;
      this.#erased.add(ids, index % SEGMENT_ROWS, index);
    }
  }

  #bits(filter: SearchFilter | undefined): { filter?: Uint8Array } {
    const bits = this.#filters.bits(filter, this.segments(), this.#size);
    return bits === undefined ? {} : { filter: bits };
  }

  #idAt(index: number): Uint8Array {
    const row = index % SEGMENT_ROWS;
    const { ids } = this.#held[Math.floor(index / SEGMENT_ROWS)]!.segment.columns;
    return ids.slice(row * ITEM_ID_BYTES, (row + 1) * ITEM_ID_BYTES);
  }

  #leafAt(index: number): Uint8Array {
    return leafIn(this.#held[Math.floor(index / SEGMENT_ROWS)]!.segment, index);
  }

  /** Makes sure that the segment's entries have the root that the manifest states. @throws LETHE-2601 */
  #treeOf(number: number): void {
    const { segment, root } = this.#held[number]!;
    if (!equalBytes(segment.root(), root))
      throw damaged(number, 'its entries do not have the root that is stated');
  }

  /** What is made of the segments of these rows; none before all are verified. @throws LETHE-2601 */
  #remade(
    rows: ReadonlyMap<number, readonly number[]>,
    make: (segment: Segment, rows: readonly number[], number: number) => Segment,
  ): ReadonlyMap<number, Segment> {
    for (const number of rows.keys()) this.#treeOf(number);
    return allOrNone(rows.keys(), (number) => make(this.#held[number]!.segment, rows.get(number)!, number));
  }

  #tree(held: readonly Held[], size: number): Tree {
    const rangeRoot = rangeRootOver(held);
    return { size, rangeRoot, root: size === 0 ? emptyRoot() : rangeRoot(0, size) };
  }

  #manifestOf(
    held: readonly Held[],
    size: number,
    root: Uint8Array,
    ledgerVersion: number,
    applied: bigint,
  ): IndexManifest {
    return {
      format: 'lethe-code-index-v1',
      codeBits: this.codeBits,
      classes: this.classes,
      size,
      root: hex(root),
      ledgerVersion,
      applied: String(applied),
      segments: held.map(({ ref }) => ref),
    };
  }

  /** @throws LETHE-2615 */
  #refuseClosed(): void {
    if (this.#closed) throw closed();
  }

  /** @throws LETHE-2604, LETHE-2609, LETHE-2615 */
  #refuseChange(sequence: bigint | undefined): void {
    this.#refuseClosed();
    if (sequence !== undefined && !isSequence(sequence)) {
      throw INDEX.OPTION_INVALID('sequence is not a bigint in 0..2^64-1');
    }
    if (this.#changing) throw INDEX.CHANGE_OPEN('a change of this index is neither committed nor aborted');
  }

  /** @throws LETHE-3407 */
  #refuseKnown(ids: Uint8Array, count: number): void {
    const own = new IdMap();
    for (let row = 0; row < count; row++) {
      const known =
        this.#erased.get(ids, row) !== -1 ||
        this.#table.has(ids.subarray(row * ITEM_ID_BYTES, (row + 1) * ITEM_ID_BYTES));
      if (known || !own.add(ids, row, row)) {
        throw HASHING.ITEM_EXISTS('an item of the batch has an entry already', { details: { row } });
      }
    }
  }

  /** Leaves of live items, ascending. @throws LETHE-3403, LETHE-3408, LETHE-3410 */
  #liveIndices(itemIds: readonly Uint8Array[]): number[] {
    const indices = itemIds.map((itemId) => {
      if (itemId.length !== ITEM_ID_BYTES) throw HASHING.SHAPE_MISMATCH('an item id has 16 bytes');
      return this.#table.laneOf(itemId);
    });
    if (new Set(indices).size !== indices.length) throw HASHING.OPTION_INVALID('an item is named twice');
    return indices.sort((a, b) => a - b);
  }

  /** Stores the new segments; after an error nothing is left of them and nothing has changed. */
  async #prepare<P>(plan: Plan<P>): Promise<Change<P>> {
    const wipe = (): void => {
      for (const segment of plan.segments.values()) segment.wipe();
      plan.wipe?.();
    };
    this.#changing = wipe;
    const { store } = this.#options;
    const put = await settled([...plan.segments], TRAVELLING, async ([number, segment]) => ({
      number,
      held: await storeSegment(store, segment, number),
    }));
    const fresh = put.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
    const failed = put.find((result) => result.status === 'rejected');
    const forget = async (): Promise<void> => {
      wipe();
      this.#changing = undefined;
      const refs = fresh.map(({ held }) => held.ref);
      const [left] = await deleteAll(store, refs, this.#held);
      if (left) throw left.reason;
    };
    if (failed) {
      // What cannot be deleted now is an orphan, which `sweep` finds; the first error is the one to tell.
      await forget().catch(() => undefined);
      throw failed.reason;
    }
    const held = this.#held.slice();
    for (const { number, held: one } of fresh) held[number] = one;
    const before = this.#tree(this.#held, this.#size);
    const after = this.#tree(held, plan.size);
    const applied = later(plan.sequence ?? 0n, this.#applied);
    const ledgerVersion = plan.ledgerVersion ?? this.#ledgerVersion;
    const superseded = [...plan.segments.keys()].flatMap((number) => this.#held[number] ?? []);
    let open = true;
    const end = (): void => {
      assert(open, 'a change is committed or aborted once');
      open = false;
    };
    return {
      manifest: this.#manifestOf(held, plan.size, after.root, ledgerVersion, applied),
      proof: plan.prove(before, after),
      first: this.#size,
      rewritten: [...plan.segments.keys()],
      superseded: superseded.map(({ ref }) => ref),
      commit: async () => {
        end();
        this.#refuseClosed();
        try {
          plan.apply();
        } catch (cause) {
          // The manifest is a fact, the table is neither old nor new: nobody is to be answered from it.
          this.close();
          throw INDEX.COMMIT_UNKNOWN('the search table did not take the change; the index is closed', {
            cause,
          });
        }
        plan.wipe?.();
        this.#held = held;
        this.#size = plan.size;
        this.#ledgerVersion = ledgerVersion;
        this.#filters.reset();
        for (const { segment } of superseded) segment.wipe();
        this.#changing = undefined;
        this.advance(applied);
        const refs = superseded.map(({ ref }) => ref);
        const left = await deleteAll(store, refs, held);
        if (left.length === 0) return;
        const references = left.map(({ reference }) => reference).join(' ');
        throw INDEX.SUPERSEDED_LEFT('the change stands, but the store still has what it replaced', {
          details: { references },
          cause: left[0]!.reason,
        });
      },
      abort: async () => {
        end();
        await forget();
      },
    };
  }
}

/** Fills the empty table with the segments' rows, in one call: its map by id is then made once, at its size. @returns erased leaves */
function fill(table: SearchTable, segments: readonly Segment[], codeBits: number): number[] {
  const size = segments.reduce((sum, { rows }) => sum + rows, 0);
  const ids = new Uint8Array(size * ITEM_ID_BYTES);
  const codes = new Uint8Array((size * codeBits) / 8);
  const gone: number[] = [];
  for (const [number, segment] of segments.entries()) {
    const first = number * SEGMENT_ROWS;
    ids.set(segment.columns.ids, first * ITEM_ID_BYTES);
    codes.set(segment.columns.codes, (first * codeBits) / 8);
    for (const row of segment.erasedRows()) gone.push(first + row);
  }
  let first: number;
  try {
    first = table.addAll(ids, codes);
  } finally {
    codes.fill(0);
  }
  assert(first === 0, 'lanes are leaves');
  const erased = new Uint8Array(gone.length * ITEM_ID_BYTES);
  for (const [i, index] of gone.entries()) {
    erased.set(ids.subarray(index * ITEM_ID_BYTES, (index + 1) * ITEM_ID_BYTES), i * ITEM_ID_BYTES);
  }
  table.eraseAll(erased);
  return gone;
}

/** Segments by number. When one cannot be made, those that were are overwritten. */
function allOrNone(numbers: Iterable<number>, make: (number: number) => Segment): Map<number, Segment> {
  const made = new Map<number, Segment>();
  try {
    for (const number of numbers) made.set(number, make(number));
    return made;
  } catch (error) {
    for (const segment of made.values()) segment.wipe();
    throw error;
  }
}

const isSequence = (value: unknown): value is bigint =>
  typeof value === 'bigint' && value >= 0n && value < 2n ** 64n;

const later = (a: bigint, b: bigint): bigint => (a > b ? a : b);

const closed = () => INDEX.CLOSED('the index has been closed');

const hitOf = ({ itemId, lane, distance }: { itemId: Uint8Array; lane: number; distance: number }): Hit => ({
  itemId,
  index: lane,
  distance,
});

const damaged = (number: number, what: string, cause?: unknown) =>
  INDEX.SEGMENT_DAMAGED(`segment ${number}: ${what}`, { details: { segment: number }, cause });

/** A segment as the manifest describes it, from the first place that has it so. @throws LETHE-2601, LETHE-2602 */
async function fetch(
  ref: SegmentRef,
  number: number,
  places: readonly Pick<SegmentStore, 'get'>[],
  { codeBits, classes }: IndexManifest,
): Promise<Segment> {
  let first: unknown;
  for (const place of places) {
    try {
      const bytes = await place.get(ref.reference);
      if (hex(sha256(bytes)) !== ref.digest) throw damaged(number, 'its bytes have another digest');
      const segment = Segment.decode(bytes);
      const { shape } = segment;
      const fits = shape.codeBits === codeBits && shape.classes === classes && shape.number === number;
      if (!fits || shape.rows !== ref.rows || shape.erased !== ref.erased) {
        throw damaged(number, 'it is a segment of another place or index');
      }
      return segment;
    } catch (error) {
      first ??= error;
    }
  }
  throw first;
}

const isLoss = (error: unknown): boolean =>
  error instanceof LetheError && (error.status === 'DATA_LOSS' || error.status === 'NOT_FOUND');

async function storeSegment(store: SegmentStore, segment: Segment, number: number): Promise<Held> {
  const root = segment.root();
  const reference = await store.put(segment.bytes, number);
  const { rows, erased } = segment.shape;
  const digest = hex(sha256(segment.bytes));
  const ref = { reference, digest, root: hex(root), rows, erased, bytes: segment.bytes.length };
  return { segment, ref, root };
}

/** Deletes segments that nothing kept names (a store that names by content may have given one reference twice). @returns failures */
async function deleteAll(
  store: SegmentStore,
  refs: readonly SegmentRef[],
  kept: readonly Held[],
): Promise<{ readonly reference: string; readonly reason: unknown }[]> {
  const named = new Set(kept.map(({ ref }) => ref.reference));
  const gone = refs.map(({ reference }) => reference).filter((reference) => !named.has(reference));
  const results = await Promise.allSettled(gone.map((reference) => store.delete(reference)));
  return results.flatMap((result, i) =>
    result.status === 'rejected' ? [{ reference: gone[i]!, reason: result.reason as unknown }] : [],
  );
}

/** Roots of ranges of the ledger: of whole segments as stated, within one from its entries. */
function rangeRootOver(held: readonly Held[]): RangeRoot {
  const rangeRoot: RangeRoot = (start, end) => {
    const number = Math.floor(start / SEGMENT_ROWS);
    const base = number * SEGMENT_ROWS;
    if (end <= base + SEGMENT_ROWS) {
      const { segment, root } = held[number]!;
      if (start === base && end - base === segment.rows) return root;
      return segment.tree.rangeRoot(start - base, end - base);
    }
    const middle = start + splitPoint(end - start);
    return nodeHash(rangeRoot(start, middle), rangeRoot(middle, end));
  };
  return rangeRoot;
}

function updateProof(before: Pick<Tree, 'size' | 'root'>, after: Tree): UpdateProof {
  return {
    sizeBefore: before.size,
    rootBefore: before.root,
    sizeAfter: after.size,
    rootAfter: after.root,
    path: consistencyPath(after.rangeRoot, before.size, after.size),
  };
}

/** The part that proofs of changes in place share. */
const sameSize = (before: Tree, after: Tree, indices: readonly number[]) => ({
  size: before.size,
  rootBefore: before.root,
  rootAfter: after.root,
  untouched: untouchedRoots(before.rangeRoot, before.size, indices),
});

const leafIn = (segment: Segment, index: number): Uint8Array => segment.leaf(index % SEGMENT_ROWS);

/** Rows by number of their segment. @param indices ascending */
function bySegment(indices: readonly number[]): Map<number, number[]> {
  const out = new Map<number, number[]>();
  for (const index of indices) {
    const number = Math.floor(index / SEGMENT_ROWS);
    const rows = out.get(number);
    if (rows) rows.push(index % SEGMENT_ROWS);
    else out.set(number, [index % SEGMENT_ROWS]);
  }
  return out;
}

/** Rows [from, to) of a batch. */
function rowsOf(
  batch: EntryBatch & { readonly salts: Uint8Array },
  from: number,
  to: number,
  { codeBits, classes }: { readonly codeBits: number; readonly classes: number },
) {
  const part = (column: Uint8Array, width: number): Uint8Array => column.subarray(from * width, to * width);
  return {
    ids: part(batch.ids, ITEM_ID_BYTES),
    codes: part(batch.codes, codeBits / 8),
    salts: part(batch.salts, SALT_BYTES),
    labels: part(batch.labels, labelBytes(classes)),
    modalities: part(batch.modalities, 1),
    fnVersions: batch.fnVersions.subarray(from, to),
    owners: batch.owners.subarray(from, to),
    aliases: batch.aliases,
  };
}
