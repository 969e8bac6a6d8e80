import { nodeHash } from './hash.ts';
import { type RangeRoot, splitPoint } from './paths.ts';

/** Subtrees of 8 leaves and more are kept: 8 bytes a leaf instead of 64, for 8 leaf hashes more where a leaf is touched. */
const LOWEST = 3;
const HASH = 32;

export type LeafHashes = (index: number) => Uint8Array;

/**
 * A tree over leaves that lie elsewhere and can be hashed again. It keeps the roots of complete subtrees of 8 leaves and more; it
 * is never changed, a changed or extended tree is a new one.
 */
export class PrunedTree {
  readonly size: number;
  readonly #leaf: LeafHashes;
  /** `#levels[k - LOWEST]`: [floor(size / 2^k), 32]. */
  readonly #levels: readonly Uint8Array[];

  private constructor(size: number, leaf: LeafHashes, levels: readonly Uint8Array[]) {
    this.size = size;
    this.#leaf = leaf;
    this.#levels = levels;
  }

  /** @param leaf hash of leaf i, 32 bytes, asked for again and again: it must not change */
  static of(size: number, leaf: LeafHashes): PrunedTree {
    return new PrunedTree(0, leaf, []).extended(size, leaf);
  }

  /** The tree of the same leaves and more behind them. @param size at least this tree's */
  extended(size: number, leaf: LeafHashes): PrunedTree {
    const levels: Uint8Array[] = [];
    const tree = new PrunedTree(size, leaf, levels);
    for (let level = LOWEST; 2 ** level <= size; level++) {
      const old = this.#levels[level - LOWEST] ?? new Uint8Array(0);
      const row = new Uint8Array(HASH * Math.floor(size / 2 ** level));
      row.set(old);
      levels.push(row);
      for (let i = old.length / HASH; i < row.length / HASH; i++) row.set(tree.#join(level, i), HASH * i);
    }
    return tree;
  }

  /** The tree of as many leaves, of which the named ones are others. @param indices ascending */
  replaced(indices: readonly number[], leaf: LeafHashes): PrunedTree {
    const levels = this.#levels.map((row) => row.slice());
    const tree = new PrunedTree(this.size, leaf, levels);
    for (const [k, row] of levels.entries()) {
      let last = -1;
      for (const index of indices) {
        const i = Math.floor(index / 2 ** (k + LOWEST));
        if (i === last || HASH * i >= row.length) continue;
        row.set(tree.#join(k + LOWEST, i), HASH * i);
        last = i;
      }
    }
    return tree;
  }

  /** Root over leaves [start, end), which RFC 6962's recursion must cut; not of an empty range. */
  readonly rangeRoot: RangeRoot = (start, end) => {
    const count = end - start;
    const level = Math.log2(count);
    if (Number.isInteger(level) && start % count === 0) return this.#node(level, start / count);
    const middle = start + splitPoint(count);
    return nodeHash(this.rangeRoot(start, middle), this.rangeRoot(middle, end));
  };

  #node(level: number, i: number): Uint8Array {
    if (level === 0) return this.#leaf(i);
    return this.#levels[level - LOWEST]?.slice(HASH * i, HASH * (i + 1)) ?? this.#join(level, i);
  }

  #join(level: number, i: number): Uint8Array {
    return nodeHash(this.#node(level - 1, 2 * i), this.#node(level - 1, 2 * i + 1));
  }
}
