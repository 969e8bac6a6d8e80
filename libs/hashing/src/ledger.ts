/**
 * The code ledger: which item has which code by which version of the hash function, committed to by an RFC 6962 tree.
 *
 *     live leaf     SHA256(0x00 | 0x00 | itemId[16] | fnVersion u32 | code[K/8] | salt[32])
 *     erased leaf   SHA256(0x00 | 0x01 | itemId[16] | seq u64)
 *
 * Integers are little-endian; the outer 0x00 is RFC 6962's leaf prefix, so the second byte tells the two kinds apart and neither
 * can pass for an inner node. The salt is what keeps a code of 64 bits from being found by trying all of them against its leaf; it
 * is destroyed with the code.
 *
 * Two things can be shown to somebody who holds roots only: an update appended and changed nothing (`proveUpdate`, a consistency
 * proof), and an erasure turned exactly the named leaves into erased ones (`erase` returns the proof).
 */

import {
  leafHash,
  MerkleLog,
  PrunedTree,
  untouchedRoots,
  verifyConsistency,
  verifyInclusion,
  verifyLeafChanges,
} from '@lethe/merkle';
import { assert, concatBytes, equalBytes, hex } from '@lethe/std';
import { HASHING } from './errors.ts';
import { ITEM_ID_BYTES } from './search/table.ts';

export const SALT_BYTES = 32;

export interface LiveEntry {
  readonly kind: 'live';
  /** 16 bytes. */
  readonly itemId: Uint8Array;
  /** Version of the hash function that gave the code. */
  readonly fnVersion: number;
  /** K / 8 bytes. */
  readonly code: Uint8Array;
  /** 32 bytes from a secure source. */
  readonly salt: Uint8Array;
}

export interface ErasedEntry {
  readonly kind: 'erased';
  readonly itemId: Uint8Array;
  /** Number of the erasure, given by the caller: the position of the fact in its event stream. */
  readonly seq: bigint;
}

export type LedgerEntry = LiveEntry | ErasedEntry;

/** The tree of `sizeAfter` leaves has the tree of `sizeBefore` leaves as its beginning. */
export interface UpdateProof {
  readonly sizeBefore: number;
  readonly rootBefore: Uint8Array;
  readonly sizeAfter: number;
  readonly rootAfter: Uint8Array;
  /** RFC 6962 consistency proof. */
  readonly path: readonly Uint8Array[];
}

/** Exactly the leaves at `erased` differ between two trees of one size, and they are erased leaves in the second. */
export interface ErasureProof {
  readonly size: number;
  readonly rootBefore: Uint8Array;
  readonly rootAfter: Uint8Array;
  readonly seq: bigint;
  /** By ascending index. */
  readonly erased: readonly {
    readonly index: number;
    readonly itemId: Uint8Array;
    /** Leaf hash before; without the salt it says nothing about the code. */
    readonly leafBefore: Uint8Array;
  }[];
  /** Roots of the maximal subtrees without an erased leaf, left to right: both roots are built from them. */
  readonly untouched: readonly Uint8Array[];
}

/** A leaf in the ledger's tree. */
export interface InclusionProof {
  readonly index: number;
  readonly size: number;
  /** 32 bytes: `ledgerLeaf` of the entry. */
  readonly leaf: Uint8Array;
  /** Siblings from the leaf upwards. */
  readonly path: readonly Uint8Array[];
  readonly root: Uint8Array;
}

/** Exactly the leaves in `changed` differ between two trees of one size: their entries got other codes. */
export interface ReencodeProof {
  readonly size: number;
  readonly rootBefore: Uint8Array;
  readonly rootAfter: Uint8Array;
  /** By ascending index; the entry after has a fresh salt. */
  readonly changed: readonly {
    readonly index: number;
    readonly leafBefore: Uint8Array;
    readonly leafAfter: Uint8Array;
  }[];
  /** As in an erasure's proof. */
  readonly untouched: readonly Uint8Array[];
}

/** The bytes that a leaf commits to; also the entry's form at rest. */
export function encodeLedgerEntry(entry: LedgerEntry): Uint8Array {
  const number = new DataView(new ArrayBuffer(8));
  if (entry.kind === 'erased') {
    number.setBigUint64(0, entry.seq, true);
    return concatBytes(Uint8Array.of(1), entry.itemId, new Uint8Array(number.buffer));
  }
  number.setUint32(0, entry.fnVersion, true);
  return concatBytes(
    Uint8Array.of(0),
    entry.itemId,
    new Uint8Array(number.buffer, 0, 4),
    entry.code,
    entry.salt,
  );
}

/** Strict inverse of `encodeLedgerEntry`. @throws LETHE-3405 */
export function decodeLedgerEntry(bytes: Uint8Array, codeBits: number): LedgerEntry {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const codeAt = 1 + ITEM_ID_BYTES + 4;
  const saltAt = codeAt + codeBits / 8;
  // Not bytes.slice: that of a Buffer shares memory, and erasing must reach the only copy.
  const copy = (from: number, to?: number) => new Uint8Array(bytes.subarray(from, to));
  const itemId = copy(1, 1 + ITEM_ID_BYTES);
  if (bytes[0] === 1 && bytes.length === 1 + ITEM_ID_BYTES + 8) {
    return { kind: 'erased', itemId, seq: view.getBigUint64(1 + ITEM_ID_BYTES, true) };
  }
  if (bytes[0] === 0 && bytes.length === saltAt + SALT_BYTES) {
    const fnVersion = view.getUint32(1 + ITEM_ID_BYTES, true);
    return { kind: 'live', itemId, fnVersion, code: copy(codeAt, saltAt), salt: copy(saltAt) };
  }
  throw HASHING.BYTES_MALFORMED('these bytes are no ledger entry', { details: { bytes: bytes.length } });
}

/** RFC 6962 leaf hash of an entry, 32 bytes; leaves no copy of the entry. */
export function ledgerLeaf(entry: LedgerEntry): Uint8Array {
  const bytes = encodeLedgerEntry(entry);
  const leaf = leafHash(bytes);
  bytes.fill(0);
  return leaf;
}

export class CodeLedger {
  readonly codeBits: number;
  readonly #entries: LedgerEntry[] = [];
  readonly #indexOf = new Map<string, number>();
  #tree = new MerkleLog();

  constructor(codeBits: number) {
    this.codeBits = codeBits;
  }

  get size(): number {
    return this.#entries.length;
  }

  /** In order of their leaves. Read only: codes and salts are the ledger's own memory, so that erasing reaches them. */
  get entries(): readonly LedgerEntry[] {
    return this.#entries;
  }

  /**
   * Appends an entry, live or (when a ledger is rebuilt) erased; copies its bytes. @returns the leaf's index
   * @throws LETHE-3406 wrong code length  @throws LETHE-3403 wrong id or salt  @throws LETHE-3407 the item has an entry
   */
  append(entry: LedgerEntry): number {
    const { itemId } = entry;
    if (itemId.length !== ITEM_ID_BYTES) throw HASHING.SHAPE_MISMATCH('an item id has 16 bytes');
    if (entry.kind === 'live') {
      const { code, salt } = entry;
      if (8 * code.length !== this.codeBits) {
        throw HASHING.CODE_LENGTH_WRONG(`a code of this ledger has ${this.codeBits / 8} bytes`);
      }
      if (salt.length !== SALT_BYTES) throw HASHING.SHAPE_MISMATCH('a salt has 32 bytes');
      if (entry.fnVersion !== entry.fnVersion >>> 0) {
        throw HASHING.OPTION_INVALID('fnVersion is not an integer in 0..2^32-1');
      }
    } else if (!isSeq(entry.seq)) {
      throw HASHING.OPTION_INVALID('seq is not a bigint in 0..2^64-1');
    }
    if (this.#indexOf.has(hex(itemId))) throw HASHING.ITEM_EXISTS('the item has an entry in the ledger');
    const bytes = encodeLedgerEntry(entry);
    const own = decodeLedgerEntry(bytes, this.codeBits);
    bytes.fill(0);
    this.#entries.push(own);
    this.#indexOf.set(hex(itemId), this.size - 1);
    return this.#tree.appendLeafHash(ledgerLeaf(own));
  }

  /** @throws LETHE-3408 */
  indexOf(itemId: Uint8Array): number {
    const index = this.#indexOf.get(hex(itemId));
    if (index === undefined) throw HASHING.ITEM_NOT_FOUND('the item has no entry in the ledger');
    return index;
  }

  /** Root over the first `size` entries. */
  root(size: number = this.size): Uint8Array {
    return this.#tree.root(size);
  }

  /** Shows that the entries that made `rootBefore` are all still there, unchanged. @throws LETHE-3411 they are not */
  proveUpdate(sizeBefore: number, rootBefore: Uint8Array): UpdateProof {
    if (sizeBefore > this.size || !equalBytes(this.root(sizeBefore), rootBefore)) {
      throw HASHING.PROOF_INVALID('the ledger does not begin with the tree of the earlier root');
    }
    const path = this.#tree.consistencyProof(sizeBefore);
    return { sizeBefore, rootBefore, sizeAfter: this.size, rootAfter: this.root(), path };
  }

  /**
   * Turns the items' entries into erased ones, overwrites their codes and salts in memory, and proves it.
   * All or nothing: a refusal changes nothing. O(size) hashes.
   * @throws LETHE-3408 an item has no live entry  @throws LETHE-3410 an item is named twice
   */
  erase(itemIds: readonly Uint8Array[], seq: bigint): ErasureProof {
    if (!isSeq(seq)) throw HASHING.OPTION_INVALID('seq is not a bigint in 0..2^64-1');
    const indices = itemIds.map((itemId) => this.indexOf(itemId)).sort((a, b) => a - b);
    if (new Set(indices).size !== indices.length) throw HASHING.OPTION_INVALID('an item is named twice');
    if (indices.some((index) => this.#entries[index]!.kind === 'erased')) {
      throw HASHING.ITEM_NOT_FOUND('the item has been erased already');
    }
    const hashes = this.#entries.map(ledgerLeaf);
    const rootBefore = this.root();
    const erased = indices.map((index) => {
      const { itemId } = this.#entries[index]!;
      return { index, itemId, leafBefore: hashes[index]! };
    });
    const before = PrunedTree.of(hashes.length, (index) => hashes[index]!);
    const untouched = untouchedRoots(before.rangeRoot, hashes.length, indices);
    for (const index of indices) {
      const entry = this.#entries[index]!;
      assert(entry.kind === 'live', 'checked above');
      this.#entries[index] = { kind: 'erased', itemId: entry.itemId, seq };
      hashes[index] = ledgerLeaf(this.#entries[index]!);
      entry.code.fill(0);
      entry.salt.fill(0);
    }
    this.#tree = MerkleLog.fromLeafHashes(hashes);
    return { size: this.size, rootBefore, rootAfter: this.root(), seq, erased, untouched };
  }
}

/** True when the later tree begins with the earlier one: no old code changed. */
export function verifyUpdateProof(proof: UpdateProof): boolean {
  const { sizeBefore, sizeAfter, rootBefore, rootAfter, path } = proof;
  return verifyConsistency(sizeBefore, sizeAfter, rootBefore, rootAfter, path);
}

const isBytes = (value: unknown, length: number): boolean =>
  value instanceof Uint8Array && value.length === length;

const isSeq = (value: unknown): value is bigint =>
  typeof value === 'bigint' && value >= 0n && value < 2n ** 64n;

/**
 * True when both roots follow from the same untouched subtrees and the named leaves, which are erased ones after; at least one, each of
 * another item. A root does not commit to its size: `size` must come from a signed statement. What stood in a leaf before is a salted
 * hash: that it was the named item's is the owner's word. Malformed input is false.
 */
export function verifyErasureProof(proof: ErasureProof): boolean {
  const { erased, seq, ...trees } = proof;
  if (!isSeq(seq) || !Array.isArray(erased) || erased.length === 0) return false;
  if (!erased.every((leaf) => isBytes(leaf?.itemId, ITEM_ID_BYTES))) return false;
  if (new Set(erased.map(({ itemId }) => hex(itemId))).size !== erased.length) return false;
  const changed = erased.map(({ index, itemId, leafBefore }) => ({
    index,
    before: leafBefore,
    after: ledgerLeaf({ kind: 'erased', itemId, seq }),
  }));
  return verifyLeafChanges({ ...trees, changed });
}

/**
 * True when exactly the named leaves differ between the two trees, each of them. What stands in them is hidden by their salts; that it is
 * a live entry of the same item is the owner's word. `size` must come from a signed statement. Malformed input is false.
 */
export function verifyReencodeProof(proof: ReencodeProof): boolean {
  const { changed, ...trees } = proof;
  if (!Array.isArray(changed)) return false;
  const differs = ({ leafBefore, leafAfter }: ReencodeProof['changed'][number]): boolean =>
    isBytes(leafBefore, 32) && isBytes(leafAfter, 32) && !equalBytes(leafBefore, leafAfter);
  if (!changed.every((leaf) => leaf && differs(leaf))) return false;
  return verifyLeafChanges({
    ...trees,
    changed: changed.map(({ index, leafBefore, leafAfter }) => ({
      index,
      before: leafBefore,
      after: leafAfter,
    })),
  });
}

/** True when the leaf stands at its index in the tree of `size` under the root, which does not commit to its size: it must be a signed one. */
export function verifyInclusionProof({ leaf, index, size, path, root }: InclusionProof): boolean {
  return verifyInclusion(leaf, index, size, path, root);
}
