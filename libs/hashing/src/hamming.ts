/** Distance of binary codes, one pair at a time; `search/` has the distances of a whole table. */

/** Set bits of a 32-bit word, the usual parallel sums. */
export function popcount32(word: number): number {
  let v = word - ((word >>> 1) & 0x5555_5555);
  v = (v & 0x3333_3333) + ((v >>> 2) & 0x3333_3333);
  v = (v + (v >>> 4)) & 0x0f0f_0f0f;
  return Math.imul(v, 0x0101_0101) >>> 24;
}

const BITS_OF_BYTE = Uint8Array.from({ length: 256 }, (_, byte) => popcount32(byte));

/** Differing bits of two codes of `bytes` bytes inside two arrays. */
export function distance(a: Uint8Array, aAt: number, b: Uint8Array, bAt: number, bytes: number): number {
  let bits = 0;
  for (let i = 0; i < bytes; i++) bits += BITS_OF_BYTE[a[aAt + i]! ^ b[bAt + i]!]!;
  return bits;
}
