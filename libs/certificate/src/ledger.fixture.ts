import { leafHash, PrunedTree, untouchedRoots } from '@lethe/merkle';
import { canonicalJson, concatBytes, hex, seededRandom, sha256 } from '@lethe/std';
import type { Claim } from './body.ts';

/** Leaves 0 and 6 are marks of an earlier erasure, all others live. */
const SIZE = 11;
const EARLIER = [0, 6];
export const GONE = [2, 3, 9];
const REENCODED = [1, 10];
const VERSION_BEFORE = 7;

export type Policy = 'KEEP' | 'REENCODE_CHANGED' | 'RETIRE';

const live = (index: number, version: number): Uint8Array =>
  sha256(`salted entry ${index} of version ${version}`);

function mark(itemId: Uint8Array, seq: number): Uint8Array {
  return leafHash(concatBytes(Uint8Array.of(1), itemId, Uint8Array.of(seq, 0, 0, 0, 0, 0, 0, 0)));
}

function treesOf(before: readonly Uint8Array[], after: readonly Uint8Array[], indices: readonly number[]) {
  const [old, now] = [before, after].map((leaves) => PrunedTree.of(SIZE, (index) => leaves[index]!));
  return {
    size: SIZE,
    rootBefore: hex(old!.rangeRoot(0, SIZE)),
    rootAfter: hex(now!.rangeRoot(0, SIZE)),
    untouched: untouchedRoots(old!.rangeRoot, SIZE, indices).map(hex),
  };
}

/** What a claim on a code ledger of 11 leaves carries, of which an erasure took three. Seeded. */
export function ledgerEvidence(policy: Policy): Pick<Claim, 'digestBefore' | 'digestAfter' | 'details'> {
  const random = seededRandom('code ledger');
  const ids = Array.from({ length: SIZE }, () => random.bytes(16));
  const survivors = ids.map((_, i) => i).filter((i) => !EARLIER.includes(i) && !GONE.includes(i));
  const leaves = ids.map((id, i) => (EARLIER.includes(i) ? mark(id, 3) : live(i, 1)));
  const erased = leaves.map((leaf, i) => (GONE.includes(i) ? mark(ids[i]!, VERSION_BEFORE + 1) : leaf));
  const erasure = canonicalJson({
    format: 'lethe-erasure-proof-v1',
    ...treesOf(leaves, erased, GONE),
    seq: String(VERSION_BEFORE + 1),
    erased: GONE.map((index) => ({ index, itemId: hex(ids[index]!), leafBefore: hex(leaves[index]!) })),
  });
  const { rootBefore, rootAfter } = treesOf(leaves, erased, GONE);
  const details = {
    erasedItems: '3',
    erasedLeaves: '3',
    ledgerSize: String(SIZE),
    survivors: String(survivors.length),
    survivorCodes: policy,
    storedCodesThatDiffer: String(REENCODED.length),
    churnMethod: 'counted',
    versionBefore: String(VERSION_BEFORE),
    versionAfter: String(VERSION_BEFORE + 1),
    erasureProof: erasure,
    erasureProofDigest: hex(sha256(erasure)),
  };
  if (policy === 'KEEP') return { digestBefore: rootBefore, digestAfter: rootAfter, details };
  const again = policy === 'RETIRE' ? survivors : REENCODED;
  const renewed = erased.map((leaf, i) => (again.includes(i) ? live(i, 2) : leaf));
  const trees = treesOf(erased, renewed, again);
  const reencoding = canonicalJson({
    format: 'lethe-reencode-proof-v1',
    ...trees,
    ledgerVersion: 4,
    changed: again.map((index) => ({
      index,
      leafBefore: hex(erased[index]!),
      leafAfter: hex(renewed[index]!),
    })),
  });
  return {
    digestBefore: rootBefore,
    digestAfter: trees.rootAfter,
    details: {
      ...details,
      versionAfter: String(VERSION_BEFORE + 2),
      ledgerRootErased: rootAfter,
      ledgerRootAfter: trees.rootAfter,
      ledgerVersion: '4',
      reencodedCodes: String(again.length),
      reencodeProof: reencoding,
      reencodeProofDigest: hex(sha256(reencoding)),
    },
  };
}
