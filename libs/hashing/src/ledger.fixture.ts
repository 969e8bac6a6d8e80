/**
 * The ledger as one would write it down, all entries in one list and one tree: what the roots and proofs of segments are held to, by the
 * tests of `libs/index` (door `@lethe/hashing/fixture`), and what the verifiers are tried on here. It refuses nothing.
 */
import { MerkleLog, PrunedTree, untouchedRoots } from '@lethe/merkle';
import { hex } from '@lethe/std';
import { type ErasureProof, type LedgerEntry, ledgerLeaf, type UpdateProof } from './ledger.ts';

export class PlainLedger {
  #entries: LedgerEntry[] = [];

  get entries(): readonly LedgerEntry[] {
    return this.#entries;
  }

  append(entry: LedgerEntry): void {
    this.#entries.push(entry);
  }

  /** Root over the first `size` entries. */
  root(size = this.#entries.length): Uint8Array {
    return MerkleLog.fromLeafHashes(this.#entries.slice(0, size).map(ledgerLeaf)).root();
  }

  proveUpdate(sizeBefore: number): UpdateProof {
    const tree = MerkleLog.fromLeafHashes(this.#entries.map(ledgerLeaf));
    const path = tree.consistencyProof(sizeBefore);
    const sizeAfter = this.#entries.length;
    return { sizeBefore, rootBefore: this.root(sizeBefore), sizeAfter, rootAfter: this.root(), path };
  }

  erase(itemIds: readonly Uint8Array[], seq: bigint): ErasureProof {
    const named = new Set(itemIds.map(hex));
    const before = this.#entries;
    const leaves = before.map(ledgerLeaf);
    const rootBefore = this.root();
    this.#entries = before.map((entry) =>
      named.has(hex(entry.itemId)) ? { kind: 'erased', itemId: entry.itemId, seq } : entry,
    );
    const indices = [...before.keys()].filter((index) => this.#entries[index] !== before[index]);
    const tree = PrunedTree.of(leaves.length, (index) => leaves[index]!);
    return {
      size: leaves.length,
      rootBefore,
      rootAfter: this.root(),
      seq,
      erased: indices.map((index) => ({
        index,
        itemId: before[index]!.itemId,
        leafBefore: leaves[index]!,
      })),
      untouched: untouchedRoots(tree.rangeRoot, leaves.length, indices),
    };
  }
}
