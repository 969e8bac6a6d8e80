import { sha256 } from '@lethe/std';

/** Hashing of RFC 6962 section 2.1: the prefix keeps a leaf from passing for a node. */
const LEAF = new Uint8Array([0]);
const NODE = new Uint8Array([1]);

/** SHA-256(0x00 | data) */
export const leafHash = (data: Uint8Array): Uint8Array => sha256(LEAF, data);

/** SHA-256(0x01 | left | right) */
export const nodeHash = (left: Uint8Array, right: Uint8Array): Uint8Array => sha256(NODE, left, right);

/** The root of the tree without leaves: SHA-256 of nothing. */
export const emptyRoot = (): Uint8Array => sha256();
