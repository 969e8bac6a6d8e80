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
 * Three things can be shown to somebody who holds roots only: an update appended and changed nothing (a consistency proof), an erasure
 * turned exactly the named leaves into erased ones, and a re-encoding changed no leaf but the named ones. Here are the formats and the
 * verifiers; the ledger itself is kept by segments (`segment.ts`, `libs/index`), and `ledger.fixture.ts` is its definition in one list.
 */

import { leafHash, verifyConsistency, verifyInclusion, verifyLeafChanges } from '@lethe/merkle';
import { concatBytes, equalBytes, hex } from '@lethe/std';
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

/** The bytes that a leaf commits to. */
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

/** RFC 6962 leaf hash of an entry, 32 bytes; leaves no copy of the entry. */
export function ledgerLeaf(entry: LedgerEntry): Uint8Array {
  const bytes = encodeLedgerEntry(entry);
  const leaf = leafHash(bytes);
  bytes.fill(0);
  return leaf;
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
