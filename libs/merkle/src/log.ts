import { assert } from '@lethe/std';
import { MERKLE } from './errors.ts';
import { emptyRoot, leafHash, nodeHash } from './hash.ts';
import { consistencyPath, inclusionPath, type RangeRoot, splitPoint } from './paths.ts';

/**
 * The append-only tree of RFC 6962. It keeps every hash of every complete subtree (2n hashes), so an append costs O(1)
 * hashes on average and a root or a proof, for the present size or any earlier one, O(log^2 n).
 */
export class MerkleLog {
  /** `#levels[k][i]` is the root of the complete subtree over leaves [i 2^k, (i+1) 2^k). */
  readonly #levels: Uint8Array[][] = [[]];

  /** A log over leaf hashes kept elsewhere, e.g. when it is rebuilt from its stream. */
  static fromLeafHashes(hashes: Iterable<Uint8Array>): MerkleLog {
    const log = new MerkleLog();
    for (const hash of hashes) log.appendLeafHash(hash);
    return log;
  }

  get size(): number {
    return this.#levels[0]!.length;
  }

  /** @param data the leaf's data, hashed here   @returns the leaf's index */
  append(data: Uint8Array): number {
    return this.appendLeafHash(leafHash(data));
  }

  /** @param hash 32 bytes, `leafHash` of the data   @returns the leaf's index */
  appendLeafHash(hash: Uint8Array): number {
    assert(hash.length === 32, `a leaf hash has 32 bytes, not ${hash.length}`);
    const index = this.size;
    let carried = hash;
    for (let level = 0; ; level++) {
      if (level === this.#levels.length) this.#levels.push([]);
      const row = this.#levels[level]!;
      row.push(carried);
      if (row.length % 2 === 1) return index;
      carried = nodeHash(row[row.length - 2]!, carried);
    }
  }

  /** Root of the first `size` leaves. @throws LETHE-1201 */
  root(size: number = this.size): Uint8Array {
    this.#checkSize(size);
    return size === 0 ? emptyRoot() : this.#range(0, size);
  }

  /** Siblings from the leaf upwards (RFC 6962 section 2.1.1). @throws LETHE-1201 */
  inclusionProof(index: number, size: number = this.size): Uint8Array[] {
    this.#checkSize(size);
    if (!Number.isInteger(index) || index < 0 || index >= size) {
      throw MERKLE.OUT_OF_TREE(`leaf ${index} is not in a tree of ${size}`, { details: { index, size } });
    }
    return inclusionPath(this.#range, index, size);
  }

  /** Proof that the tree of `size` extends the tree of `oldSize` (RFC 6962 section 2.1.2). @throws LETHE-1201 */
  consistencyProof(oldSize: number, size: number = this.size): Uint8Array[] {
    this.#checkSize(size);
    if (!Number.isInteger(oldSize) || oldSize < 0 || oldSize > size) {
      throw MERKLE.OUT_OF_TREE(`a tree of ${size} extends none of ${oldSize}`, {
        details: { oldSize, size },
      });
    }
    return consistencyPath(this.#range, oldSize, size);
  }

  #checkSize(size: number): void {
    if (!Number.isInteger(size) || size < 0 || size > this.size) {
      throw MERKLE.OUT_OF_TREE(`the tree has ${this.size} leaves, not ${size}`, {
        details: { size, has: this.size },
      });
    }
  }

  /** Root over leaves [start, end). RFC 6962 splits leave `start` aligned to the range's largest complete subtree. */
  readonly #range: RangeRoot = (start, end) => {
    const count = end - start;
    const level = Math.log2(count);
    if (Number.isInteger(level)) return this.#levels[level]![start / count]!;
    const middle = start + splitPoint(count);
    return nodeHash(this.#range(start, middle), this.#range(middle, end));
  };
}
