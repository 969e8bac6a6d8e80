import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isError, sha256 } from '@lethe/std';
import fc from 'fast-check';
import {
  type Absence,
  emptyRoot,
  leafHash,
  MERKLE,
  MerkleLog,
  SortedTree,
  verifyAbsence,
  verifyConsistency,
  verifyInclusion,
  verifyMembership,
} from './index.ts';

const leaf = (i: number): Uint8Array => sha256(`leaf ${i}`);
const logOf = (count: number): MerkleLog =>
  MerkleLog.fromLeafHashes(Array.from({ length: count }, (_, i) => leaf(i)));

function flip(bytes: Uint8Array, bit: number): Uint8Array {
  const out = Uint8Array.from(bytes);
  out[(bit >> 3) % out.length]! ^= 1 << (bit & 7);
  return out;
}

/** Every way to spoil a list of hashes: one bit, one missing, one more, one twice, two swapped, one cut short. */
function* spoilt(proof: readonly Uint8Array[], bit: number): Generator<Uint8Array[]> {
  for (let i = 0; i < proof.length; i++) {
    yield proof.with(i, flip(proof[i]!, bit));
    yield proof.toSpliced(i, 1);
    yield proof.toSpliced(i, 0, proof[i]!);
    yield proof.with(i, proof[i]!.subarray(0, 31));
    if (i > 0) yield proof.with(i, proof[i - 1]!).with(i - 1, proof[i]!);
  }
  yield [...proof, leaf(999)];
}

test('an altered inclusion proof is refused', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 200 }), fc.nat(), fc.nat(255), (size, seed, bit) => {
      const log = logOf(size);
      const index = seed % size;
      const proof = log.inclusionProof(index);
      const root = log.root();
      const check = (hash: Uint8Array, at: number, n: number, path: Uint8Array[], under: Uint8Array) =>
        verifyInclusion(hash, at, n, path, under);
      assert.ok(check(leaf(index), index, size, proof, root));
      for (const bad of spoilt(proof, bit)) assert.ok(!check(leaf(index), index, size, bad, root));
      assert.ok(!check(flip(leaf(index), bit), index, size, proof, root));
      assert.ok(!check(leaf(index), index, size, proof, flip(root, bit)));
      for (const at of [index - 1, index + 1, size, index + 2 ** 32, -1, index + 0.5, Number.NaN]) {
        assert.ok(!check(leaf(index), at, size, proof, root), `index ${at}`);
      }
      for (const n of [0, -1, index, size * 2 + 1, size + 2 ** 40]) {
        assert.ok(!check(leaf(index), index, n, proof, root), `size ${n}`);
      }
    }),
  );
});

test('an altered consistency proof is refused', () => {
  fc.assert(
    fc.property(fc.integer({ min: 2, max: 200 }), fc.nat(), fc.nat(255), (size, seed, bit) => {
      const log = logOf(size);
      const old = 1 + (seed % (size - 1));
      const proof = log.consistencyProof(old);
      const [before, after] = [log.root(old), log.root()];
      assert.ok(verifyConsistency(old, size, before, after, proof));
      for (const bad of spoilt(proof, bit)) assert.ok(!verifyConsistency(old, size, before, after, bad));
      assert.ok(!verifyConsistency(old, size, flip(before, bit), after, proof));
      assert.ok(!verifyConsistency(old, size, before, flip(after, bit), proof));
      assert.ok(!verifyConsistency(old, size, before, after, []));
      assert.ok(!verifyConsistency(size, old, after, before, proof));
      assert.ok(!verifyConsistency(size, size, before, after, []));
      assert.ok(!verifyConsistency(0, size, before, after, []));
    }),
  );
});

test('a log with one leaf changed is not consistent with its past', () => {
  for (let changed = 0; changed < 20; changed++) {
    const honest = logOf(20);
    const forked = MerkleLog.fromLeafHashes(
      Array.from({ length: 40 }, (_, i) => (i === changed ? leaf(777) : leaf(i))),
    );
    assert.ok(!verifyConsistency(20, 40, honest.root(), forked.root(), forked.consistencyProof(20)));
  }
});

test('a sorted tree proves presence of what is there and absence of all else', () => {
  fc.assert(
    fc.property(fc.nat(60), fc.nat(255), (size, bit) => {
      const values = Array.from({ length: size }, (_, i) => leaf(i));
      const tree = new SortedTree(values);
      const root = tree.root();
      for (const value of values) assert.ok(verifyMembership(tree.prove(value), size, root));
      const probes = [
        new Uint8Array(32),
        new Uint8Array(32).fill(255),
        ...[1, 2, 3].map((i) => leaf(5000 + i)),
      ];
      for (const probe of probes) {
        const absence = tree.proveAbsence(probe);
        const { right } = absence;
        assert.ok(verifyAbsence(probe, absence, size, root));
        for (const bad of spoiltAbsences(absence, bit)) assert.ok(!verifyAbsence(probe, bad, size, root));
        // The root alone does not fix the size, but the last leaf of a larger tree would be another one.
        if (right === null) assert.ok(!verifyAbsence(probe, absence, size + 1, root));
        assert.ok(!verifyAbsence(probe, absence, size, flip(root, bit)));
      }
      // No pair of true neighbours proves the absence of a value that is there.
      for (const value of values.slice(0, 5)) {
        const member = tree.prove(value);
        assert.ok(!verifyAbsence(value, { left: member, right: null }, size, root));
        assert.ok(!verifyAbsence(value, { left: null, right: member }, size, root));
        assert.ok(!verifyAbsence(value, { left: null, right: null }, size, root));
        const others = values.filter((v) => v !== value).map((v) => tree.prove(v));
        for (const left of others) {
          for (const right of others) assert.ok(!verifyAbsence(value, { left, right }, size, root));
        }
      }
    }),
    { numRuns: 15 },
  );
});

function* spoiltAbsences(absence: Absence, bit: number): Generator<Absence> {
  const { left, right } = absence;
  if (left) {
    yield { left: null, right };
    yield { left: { ...left, value: flip(left.value, bit) }, right };
    yield { left: { ...left, index: left.index + 1 }, right };
    for (const proof of spoilt(left.proof, bit)) yield { left: { ...left, proof }, right };
  }
  if (right) {
    yield { left, right: null };
    yield { left, right: { ...right, value: flip(right.value, bit) } };
    for (const proof of spoilt(right.proof, bit)) yield { left, right: { ...right, proof } };
  }
  if (left && right) yield { left: right, right: left };
}

test('edges and refusals of the sorted tree', () => {
  const empty = new SortedTree([]);
  assert.deepEqual(empty.root(), emptyRoot());
  assert.ok(verifyAbsence(leaf(1), empty.proveAbsence(leaf(1)), 0, empty.root()));
  assert.ok(!verifyAbsence(leaf(1), { left: null, right: null }, 0, leafHash(leaf(1))));
  assert.ok(!verifyAbsence(leaf(1), { left: null, right: null }, 1, leafHash(leaf(1))));
  assert.throws(
    () => new SortedTree([leaf(1), leaf(1)]),
    (e) => isError(e, MERKLE.NOT_DISTINCT),
  );
  assert.throws(
    () => empty.prove(leaf(1)),
    (e) => isError(e, MERKLE.NOT_A_MEMBER),
  );
  assert.throws(
    () => new SortedTree([leaf(1)]).proveAbsence(leaf(1)),
    (e) => isError(e, MERKLE.IS_A_MEMBER),
  );
  assert.deepEqual(new SortedTree([leaf(1), leaf(2)]).root(), new SortedTree([leaf(2), leaf(1)]).root());
});
