import { compareBytes, hex } from '@lethe/std';
import { MERKLE } from './errors.ts';
import { leafHash } from './hash.ts';
import { MerkleLog } from './log.ts';
import { verifyInclusion } from './verify.ts';

/** A leaf value with its place: `proof` runs from the leaf upwards. */
export interface Membership {
  readonly value: Uint8Array;
  readonly index: number;
  readonly proof: readonly Uint8Array[];
}

/** The two leaves between which the missing value would stand; null beyond the first or the last leaf. */
export interface Absence {
  readonly left: Membership | null;
  readonly right: Membership | null;
}

/**
 * RFC 6962 hashing over a set of values in bytewise order. Because neighbours have consecutive indexes, two inclusion
 * proofs show that nothing stands between them. (A sparse tree of depth 256 would show absence from the root alone; this
 * one is smaller, faster to build and needs no second kind of proof, but a dishonest builder could hash values out of
 * order: whoever holds all leaf values can rebuild the tree and see.)
 */
export class SortedTree {
  readonly #values: readonly Uint8Array[];
  readonly #log: MerkleLog;

  /** @param values in any order   @throws LETHE-1202 if one occurs twice */
  constructor(values: Iterable<Uint8Array>) {
    this.#values = [...values].sort(compareBytes);
    this.#values.forEach((value, i) => {
      if (i > 0 && compareBytes(this.#values[i - 1]!, value) === 0) {
        throw MERKLE.NOT_DISTINCT(`leaf ${hex(value)} occurs twice`);
      }
    });
    this.#log = MerkleLog.fromLeafHashes(this.#values.map(leafHash));
  }

  get size(): number {
    return this.#values.length;
  }

  root(): Uint8Array {
    return this.#log.root();
  }

  has(value: Uint8Array): boolean {
    const place = this.#lowerBound(value);
    return place < this.size && compareBytes(this.#values[place]!, value) === 0;
  }

  /** @throws LETHE-1203 if the value is absent */
  prove(value: Uint8Array): Membership {
    if (!this.has(value)) throw MERKLE.NOT_A_MEMBER(`leaf ${hex(value)} is not in the tree`);
    return this.#member(this.#lowerBound(value));
  }

  /** @throws LETHE-1204 if the value is present */
  proveAbsence(value: Uint8Array): Absence {
    if (this.has(value)) throw MERKLE.IS_A_MEMBER(`leaf ${hex(value)} is in the tree`);
    const place = this.#lowerBound(value);
    return {
      left: place > 0 ? this.#member(place - 1) : null,
      right: place < this.size ? this.#member(place) : null,
    };
  }

  #member(index: number): Membership {
    return { value: this.#values[index]!, index, proof: this.#log.inclusionProof(index) };
  }

  /** Index of the first value that is not below `value`. */
  #lowerBound(value: Uint8Array): number {
    let low = 0;
    let high = this.size;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (compareBytes(this.#values[middle]!, value) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** @returns true when the value is a leaf of the tree of `size` leaves under `root` */
export function verifyMembership(member: Membership, size: number, root: Uint8Array): boolean {
  return verifyInclusion(leafHash(member.value), member.index, size, member.proof, root);
}

/** @returns true when `value` is no leaf of the sorted tree of `size` leaves under `root` */
export function verifyAbsence(value: Uint8Array, absence: Absence, size: number, root: Uint8Array): boolean {
  const { left, right } = absence;
  if (left && (compareBytes(left.value, value) >= 0 || !verifyMembership(left, size, root))) return false;
  if (right && (compareBytes(value, right.value) >= 0 || !verifyMembership(right, size, root))) return false;
  if (left && right) return right.index === left.index + 1;
  if (left) return left.index === size - 1;
  if (right) return right.index === 0;
  return size === 0 && compareBytes(root, new MerkleLog().root()) === 0;
}
