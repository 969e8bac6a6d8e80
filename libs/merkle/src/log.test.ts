import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { fromHex, hex, isError, sha256, utf8 } from '@lethe/std';
import { MERKLE, MerkleLog, verifyConsistency, verifyInclusion } from './index.ts';

// The leaves and roots that the Certificate Transparency reference tests use.
const LEAVES = [
  '',
  '00',
  '10',
  '2021',
  '3031',
  '40414243',
  '5051525354555657',
  '606162636465666768696a6b6c6d6e6f',
];
const ROOTS = [
  'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
  '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
  'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
  'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
  'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
  '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
  '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
  'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
  '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
];

const logOf = (count: number): MerkleLog =>
  MerkleLog.fromLeafHashes(Array.from({ length: count }, (_, i) => sha256(`leaf ${i}`)));

/** The definition of RFC 6962 section 2.1, written a second time without any caching. */
function definition(hashes: readonly Buffer[]): Buffer {
  const sha = (...parts: Buffer[]) => createHash('sha256').update(Buffer.concat(parts)).digest();
  if (hashes.length === 0) return sha();
  if (hashes.length === 1) return hashes[0]!;
  let k = 1;
  while (k * 2 < hashes.length) k *= 2;
  return sha(Buffer.from([1]), definition(hashes.slice(0, k)), definition(hashes.slice(k)));
}

test('Certificate Transparency vectors: roots of the trees with 0 to 8 leaves', () => {
  const log = new MerkleLog();
  assert.equal(hex(log.root()), ROOTS[0]);
  LEAVES.forEach((leaf, i) => {
    log.append(fromHex(leaf));
    assert.equal(hex(log.root()), ROOTS[i + 1]);
  });
  ROOTS.forEach((root, size) => {
    assert.equal(hex(log.root(size)), root);
  });
});

test('RFC 6962 section 2.1.3: the example tree of seven leaves', () => {
  const hashes = ['d0', 'd1', 'd2', 'd3', 'd4', 'd5', 'd6'].map((d) => sha256(new Uint8Array([0]), utf8(d)));
  const log = MerkleLog.fromLeafHashes(hashes);
  const sub = (start: number, end: number) => definition(hashes.slice(start, end).map((h) => Buffer.from(h)));
  const [b, c, d, e, f, j] = [hashes[1]!, hashes[2]!, hashes[3]!, hashes[4]!, hashes[5]!, hashes[6]!];
  const [g, h, i, k, l] = [sub(0, 2), sub(2, 4), sub(4, 6), sub(0, 4), sub(4, 7)];
  const same = (proof: Uint8Array[], nodes: Uint8Array[]) => assert.deepEqual(proof.map(hex), nodes.map(hex));
  same(log.inclusionProof(0), [b, h, l]);
  same(log.inclusionProof(3), [c, g, l]);
  same(log.inclusionProof(4), [f, j, k]);
  same(log.inclusionProof(6), [i, k]);
  same(log.consistencyProof(3), [c, d, g, l]);
  same(log.consistencyProof(4), [l]);
  same(log.consistencyProof(6), [i, j, k]);
  assert.equal(e.length, 32);
});

test('every root is the definition of the RFC, and every proof up to 33 leaves verifies', () => {
  const log = logOf(33);
  const hashes = Array.from({ length: 33 }, (_, i) => Buffer.from(sha256(`leaf ${i}`)));
  for (let size = 0; size <= 33; size++) {
    assert.equal(hex(log.root(size)), definition(hashes.slice(0, size)).toString('hex'));
    for (let index = 0; index < size; index++) {
      assert.ok(
        verifyInclusion(hashes[index]!, index, size, log.inclusionProof(index, size), log.root(size)),
      );
    }
    for (let old = 0; old <= size; old++) {
      const proof = log.consistencyProof(old, size);
      assert.ok(verifyConsistency(old, size, log.root(old), log.root(size), proof), `${old} -> ${size}`);
    }
  }
});

test('asking beyond the tree is a coded error', () => {
  const log = logOf(3);
  const refused = (error: unknown) => isError(error, MERKLE.OUT_OF_TREE);
  assert.throws(() => log.root(4), refused);
  assert.throws(() => log.inclusionProof(3), refused);
  assert.throws(() => log.inclusionProof(-1), refused);
  assert.throws(() => log.inclusionProof(0.5), refused);
  assert.throws(() => log.consistencyProof(3, 2), refused);
});
