import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sha256 } from '@lethe/std';
import fc from 'fast-check';
import { leafHash, MerkleLog, nodeHash, PrunedTree, untouchedRoots, verifyLeafChanges } from './index.ts';

const leaf = (i: number, version = 0): Uint8Array => sha256(`leaf ${i} ${version}`);
const logOf = (hashes: readonly Uint8Array[]): MerkleLog => MerkleLog.fromLeafHashes(hashes);
const versions = (size: number, changed: ReadonlySet<number>): Uint8Array[] =>
  Array.from({ length: size }, (_, i) => leaf(i, changed.has(i) ? 1 : 0));

test('one-shot hashing is the hashing of RFC 6962: prefix and bytes, of any length', () => {
  for (const length of [0, 1, 32, 62, 200]) {
    const data = new Uint8Array(length).fill(7);
    assert.deepEqual(leafHash(data), sha256(Uint8Array.of(0), data));
    assert.deepEqual(nodeHash(data, data), sha256(Uint8Array.of(1), data, data));
  }
});

test('a pruned tree, extended and changed at will, has the roots of the whole tree', () => {
  fc.assert(
    fc.property(
      fc.nat(150),
      fc.nat(150),
      fc.uniqueArray(fc.nat(299), { maxLength: 12 }),
      (first, more, picks) => {
        const size = first + more;
        if (size === 0) return;
        const changed = [...new Set(picks.map((pick) => pick % size))].sort((a, b) => a - b);
        const after = versions(size, new Set(changed));
        const tree = PrunedTree.of(first, (i) => leaf(i)).extended(size, (i) => leaf(i));
        assert.deepEqual(tree.rangeRoot(0, size), logOf(versions(size, new Set())).root());
        const other = tree.replaced(changed, (i) => after[i]!);
        assert.deepEqual(other.rangeRoot(0, size), logOf(after).root());
      },
    ),
  );
});

test('only these leaves changed: it holds for the truth, and for nothing that differs from it in one bit or one place', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 120 }),
      fc.uniqueArray(fc.nat(119), { maxLength: 6 }),
      fc.nat(255),
      (size, picks, bit) => {
        const indices = [...new Set(picks.map((pick) => pick % size))].sort((a, b) => a - b);
        const tree = PrunedTree.of(size, (i) => leaf(i));
        const proof = {
          size,
          rootBefore: tree.rangeRoot(0, size),
          rootAfter: logOf(versions(size, new Set(indices))).root(),
          changed: indices.map((index) => ({ index, before: leaf(index), after: leaf(index, 1) })),
          untouched: untouchedRoots(tree.rangeRoot, size, indices),
        };
        assert.ok(verifyLeafChanges(proof));
        const flipped = (bytes: Uint8Array): Uint8Array => {
          const out = bytes.slice();
          out[bit >> 3]! ^= 1 << (bit & 7);
          return out;
        };
        const refused = (changes: Partial<typeof proof>): void =>
          assert.ok(!verifyLeafChanges({ ...proof, ...changes }));
        refused({ rootBefore: flipped(proof.rootBefore) });
        refused({ rootAfter: flipped(proof.rootAfter) });
        refused({ untouched: [...proof.untouched, leaf(0)] });
        refused({ size: Number.NaN });
        // One more leaf differs than the proof says: a flipped bit in an entry that was not to change.
        const silent = indices.indexOf(0) === -1 ? 0 : -1;
        if (silent === 0) refused({ rootAfter: logOf(versions(size, new Set([0, ...indices]))).root() });
        for (const [i, entry] of proof.changed.entries()) {
          refused({ changed: proof.changed.toSpliced(i, 1) });
          refused({ changed: proof.changed.with(i, { ...entry, before: flipped(entry.before) }) });
          refused({ changed: proof.changed.with(i, { ...entry, after: flipped(entry.after) }) });
          refused({ changed: proof.changed.with(i, { ...entry, index: size }) });
        }
        for (const [i, root] of proof.untouched.entries()) {
          refused({ untouched: proof.untouched.with(i, flipped(root)) });
          refused({ untouched: proof.untouched.toSpliced(i, 1) });
        }
      },
    ),
  );
});
