import { equalBytes } from '@lethe/std';
import { emptyRoot, nodeHash } from './hash.ts';

/**
 * The checker's half, RFC 9162 sections 2.1.3.2 and 2.1.4.2 (same hashes as RFC 6962, clearer algorithms). Positions are
 * halved by division, not by shifts: a hostile index may exceed 32 bits. Malformed input is false, never an exception.
 */

const isPosition = (value: number): boolean => Number.isSafeInteger(value) && value >= 0;
const half = (value: number): number => Math.floor(value / 2);
const isOdd = (value: number): boolean => value % 2 === 1;
const areHashes = (hashes: readonly unknown[]): boolean =>
  hashes.every((hash) => hash instanceof Uint8Array && hash.length === 32);

/**
 * @param hash the leaf's hash, 32 bytes   @param proof siblings from the leaf upwards
 * @returns true when the leaf stands at `index` in the tree of `size` leaves under `root`
 */
export function verifyInclusion(
  hash: Uint8Array,
  index: number,
  size: number,
  proof: readonly Uint8Array[],
  root: Uint8Array,
): boolean {
  if (
    !isPosition(index) ||
    !isPosition(size) ||
    index >= size ||
    !Array.isArray(proof) ||
    !areHashes([hash, root, ...proof])
  )
    return false;
  let node = index;
  let last = size - 1;
  let result = hash;
  for (const sibling of proof) {
    if (last === 0) return false;
    if (isOdd(node) || node === last) {
      result = nodeHash(sibling, result);
      // At the right edge a node without sibling rises until it is a right child.
      while (!isOdd(node) && node !== 0) {
        node = half(node);
        last = half(last);
      }
    } else {
      result = nodeHash(result, sibling);
    }
    node = half(node);
    last = half(last);
  }
  return last === 0 && equalBytes(result, root);
}

/** @returns true when the tree of `newSize` under `newRoot` extends the tree of `oldSize` under `oldRoot` */
export function verifyConsistency(
  oldSize: number,
  newSize: number,
  oldRoot: Uint8Array,
  newRoot: Uint8Array,
  proof: readonly Uint8Array[],
): boolean {
  if (!isPosition(oldSize) || !isPosition(newSize) || oldSize > newSize) return false;
  if (!Array.isArray(proof) || !areHashes([oldRoot, newRoot, ...proof])) return false;
  if (oldSize === newSize) return proof.length === 0 && equalBytes(oldRoot, newRoot);
  if (oldSize === 0) return proof.length === 0 && equalBytes(oldRoot, emptyRoot());
  let node = oldSize - 1;
  let last = newSize - 1;
  while (isOdd(node)) {
    node = half(node);
    last = half(last);
  }
  // Where the old size is a power of two, the old root is itself the first node and is left out of the proof.
  const path = node === 0 ? [oldRoot, ...proof] : proof;
  const [seed, ...rest] = path;
  if (seed === undefined) return false;
  let oldResult = seed;
  let newResult = seed;
  for (const sibling of rest) {
    if (last === 0) return false;
    if (isOdd(node) || node === last) {
      oldResult = nodeHash(sibling, oldResult);
      newResult = nodeHash(sibling, newResult);
      while (!isOdd(node) && node !== 0) {
        node = half(node);
        last = half(last);
      }
    } else {
      newResult = nodeHash(newResult, sibling);
    }
    node = half(node);
    last = half(last);
  }
  return last === 0 && equalBytes(oldResult, oldRoot) && equalBytes(newResult, newRoot);
}
