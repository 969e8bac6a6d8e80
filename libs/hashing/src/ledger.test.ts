import assert from 'node:assert/strict';
import { test } from 'node:test';
import { leafHash, MerkleLog } from '@lethe/merkle';
import { concatBytes, equalBytes, hex, seededRandom } from '@lethe/std';
import { PlainLedger } from './ledger.fixture.ts';
import type { ErasureProof, LiveEntry } from './ledger.ts';
import { encodeLedgerEntry, verifyErasureProof, verifyReencodeProof, verifyUpdateProof } from './ledger.ts';

function makeLedger(count: number, seed = 'ledger') {
  const random = seededRandom(seed);
  const ledger = new PlainLedger();
  const entries: LiveEntry[] = Array.from({ length: count }, (_, i) => ({
    kind: 'live',
    itemId: random.bytes(16),
    fnVersion: 1 + (i % 3),
    code: random.bytes(8),
    salt: random.bytes(32),
  }));
  for (const entry of entries) ledger.append(entry);
  return { ledger, entries };
}

test('the root is that of the RFC 6962 tree over the documented leaf bytes', () => {
  const { ledger, entries } = makeLedger(21);
  const tree = new MerkleLog();
  for (const { itemId, fnVersion, code, salt } of entries) {
    tree.append(concatBytes(Uint8Array.of(0), itemId, Uint8Array.of(fnVersion, 0, 0, 0), code, salt));
  }
  assert.equal(hex(ledger.root()), hex(tree.root()));
  ledger.erase([entries[0]!.itemId], 258n);
  const erasedLeaf = leafHash(
    concatBytes(Uint8Array.of(1), entries[0]!.itemId, Uint8Array.of(2, 1, 0, 0, 0, 0, 0, 0)),
  );
  const hashes = entries.map((entry) => leafHash(encodeLedgerEntry(entry)));
  hashes[0] = erasedLeaf;
  assert.equal(hex(ledger.root()), hex(MerkleLog.fromLeafHashes(hashes).root()));
});

test('an update that appends proves that no old code changed', () => {
  const { ledger } = makeLedger(13);
  const root = ledger.root();
  for (const entry of makeLedger(9, 'new').entries) ledger.append(entry);
  const proof = ledger.proveUpdate(13);
  assert.ok(verifyUpdateProof(proof));
  assert.equal(hex(ledger.root(13)), hex(root));
  assert.ok(!verifyUpdateProof({ ...proof, rootBefore: proof.rootAfter }));
});

test('one changed bit of one old code breaks the update proof', () => {
  const { ledger, entries } = makeLedger(13);
  const root = ledger.root();
  const changed = new PlainLedger();
  entries.forEach((entry, i) => {
    const code = entry.code.slice();
    if (i === 5) code[3]! ^= 1;
    changed.append({ ...entry, code });
  });
  for (const entry of makeLedger(4, 'new').entries) for (const one of [ledger, changed]) one.append(entry);
  assert.ok(verifyUpdateProof(ledger.proveUpdate(13)) && verifyUpdateProof(changed.proveUpdate(13)));
  assert.ok(!verifyUpdateProof({ ...changed.proveUpdate(13), rootBefore: root }));
  assert.ok(!verifyUpdateProof({ ...ledger.proveUpdate(13), rootAfter: changed.root() }));
});

test('an erasure changes exactly the erased leaves, and proves it, for every size and many subsets', () => {
  for (let size = 1; size <= 17; size++) {
    for (let mask = 1; mask < 2 ** Math.min(size, 5); mask++) {
      const { ledger, entries } = makeLedger(size);
      const victims = entries.filter((_, i) => ((mask >> (i % 5)) & 1) === 1);
      const before = ledger.entries.map((entry) => hex(encodeLedgerEntry(entry)));
      const rootBefore = ledger.root();
      const proof = ledger.erase(
        victims.map((entry) => entry.itemId),
        7n,
      );
      assert.ok(verifyErasureProof(proof));
      assert.ok(equalBytes(proof.rootBefore, rootBefore) && equalBytes(proof.rootAfter, ledger.root()));
      ledger.entries.forEach((entry, i) => {
        const isVictim = victims.includes(entries[i]!);
        assert.equal(entry.kind, isVictim ? 'erased' : 'live');
        assert.equal(hex(encodeLedgerEntry(entry)) !== before[i], isVictim);
      });
    }
  }
});

test('an erasure that also touches another leaf, or hides one, has no proof', () => {
  const { ledger, entries } = makeLedger(17);
  const proof = ledger.erase([entries[3]!.itemId, entries[11]!.itemId], 7n);
  const other = makeLedger(17).ledger;
  other.erase([entries[3]!.itemId, entries[11]!.itemId, entries[4]!.itemId], 7n);
  const flip = (bytes: Uint8Array) => bytes.map((byte, i) => (i === 0 ? byte ^ 1 : byte));
  const altered: ErasureProof[] = [
    { ...proof, rootAfter: other.root() },
    { ...proof, rootBefore: flip(proof.rootBefore) },
    { ...proof, seq: 8n },
    { ...proof, seq: 7n + 2n ** 64n },
    { ...proof, size: 16 },
    { ...proof, size: 0 },
    { ...proof, erased: proof.erased.slice(1) },
    { ...proof, erased: [...proof.erased].reverse() },
    { ...proof, erased: proof.erased.map((leaf) => ({ ...leaf, index: leaf.index + 1 })) },
    { ...proof, erased: proof.erased.map((leaf) => ({ ...leaf, itemId: flip(leaf.itemId) })) },
    { ...proof, erased: proof.erased.map((leaf) => ({ ...leaf, leafBefore: flip(leaf.leafBefore) })) },
    { ...proof, untouched: proof.untouched.slice(1) },
    { ...proof, untouched: [...proof.untouched, proof.rootAfter] },
    { ...proof, untouched: proof.untouched.map(flip) },
  ];
  for (const [i, one] of altered.entries()) assert.ok(!verifyErasureProof(one), `alteration ${i}`);
});

test('a proof of nothing, of one item at two leaves, of no change or with missing fields is false and never an exception', () => {
  const { ledger, entries } = makeLedger(4);
  const root = ledger.root();
  const leaves = entries.map((entry) => leafHash(encodeLedgerEntry(entry)));
  const proof = ledger.erase([entries[0]!.itemId, entries[1]!.itemId], 7n);
  assert.ok(verifyErasureProof(proof));
  const nothing = { size: 4, rootBefore: root, rootAfter: root, untouched: [root] };
  assert.ok(!verifyErasureProof({ ...nothing, seq: 7n, erased: [] }));
  const twice = leaves.slice();
  twice[0] = twice[1] = leafHash(encodeLedgerEntry({ kind: 'erased', itemId: entries[2]!.itemId, seq: 7n }));
  const rootAfter = MerkleLog.fromLeafHashes(twice).root();
  const erased = proof.erased.map((leaf) => ({ ...leaf, itemId: entries[2]!.itemId }));
  assert.ok(!verifyErasureProof({ ...proof, rootAfter, erased }));
  const same = [{ index: 0, leafBefore: leaves[0]!, leafAfter: leaves[0]! }];
  const untouched = [leaves[1]!, MerkleLog.fromLeafHashes(leaves.slice(2)).root()];
  assert.ok(!verifyReencodeProof({ ...nothing, changed: same, untouched }));
  for (const field of ['rootAfter', 'rootBefore', 'erased', 'untouched', 'seq', 'size']) {
    assert.equal(verifyErasureProof({ ...proof, [field]: undefined }), false, field);
  }
  assert.equal(verifyErasureProof({ ...proof, seq: 7 as unknown as bigint }), false);
});
