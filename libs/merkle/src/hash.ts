import { hash } from 'node:crypto';
import { sha256 } from '@lethe/std';

/** Hashing of RFC 6962 section 2.1: the prefix keeps a leaf from passing for a node. */
const LEAF = 0;
const NODE = 1;

/** One call over bytes that lie together is faster than a hash object: trees over millions of leaves are nothing but this. */
function prefixed(scratch: Uint8Array): Uint8Array {
  return new Uint8Array(hash('sha256', scratch, 'buffer'));
}

/** SHA-256(0x00 | data); leaves no copy of the data */
export function leafHash(data: Uint8Array): Uint8Array {
  const scratch = new Uint8Array(1 + data.length);
  scratch[0] = LEAF;
  scratch.set(data, 1);
  const result = prefixed(scratch);
  // What a leaf is of may have to be forgotten; freed memory keeps its bytes.
  scratch.fill(0);
  return result;
}

/** Hashes are public: the scratch of one call may hold another's operands. */
const pair = new Uint8Array(65).fill(NODE, 0, 1);

/** SHA-256(0x01 | left | right) */
export function nodeHash(left: Uint8Array, right: Uint8Array): Uint8Array {
  if (left.length !== 32 || right.length !== 32) return sha256(Uint8Array.of(NODE), left, right);
  pair.set(left, 1);
  pair.set(right, 33);
  return prefixed(pair);
}

/** The root of the tree without leaves: SHA-256 of nothing. */
export const emptyRoot = (): Uint8Array => sha256();
