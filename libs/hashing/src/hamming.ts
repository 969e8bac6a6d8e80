/** Distance of binary codes, one pair at a time; `search/` has the distances of a whole table. */

/** Set bits of a 32-bit word, the usual parallel sums. */
export function popcount32(word: number): number {
  let v = word - ((word >>> 1) & 0x5555_5555);
  v = (v & 0x3333_3333) + ((v >>> 2) & 0x3333_3333);
  v = (v + (v >>> 4)) & 0x0f0f_0f0f;
  return Math.imul(v, 0x0101_0101) >>> 24;
}

/** Set bits of two 32-bit words, at less than the price of two `popcount32`: their sums of four bits each are added first. */
export function popcount64(low: number, high: number): number {
  let a = low - ((low >>> 1) & 0x5555_5555);
  let b = high - ((high >>> 1) & 0x5555_5555);
  a = (a & 0x3333_3333) + ((a >>> 2) & 0x3333_3333);
  b = (b & 0x3333_3333) + ((b >>> 2) & 0x3333_3333);
  const nibbles = a + b;
  const bytes = (nibbles & 0x0f0f_0f0f) + ((nibbles >>> 4) & 0x0f0f_0f0f);
  return Math.imul(bytes, 0x0101_0101) >>> 24;
}

const BITS_OF_BYTE = Uint8Array.from({ length: 256 }, (_, byte) => popcount32(byte));

/** Differing bits of two codes of `bytes` bytes inside two arrays. */
export function distance(a: Uint8Array, aAt: number, b: Uint8Array, bAt: number, bytes: number): number {
  let bits = 0;
  for (let i = 0; i < bytes; i++) bits += BITS_OF_BYTE[a[aAt + i]! ^ b[bAt + i]!]!;
  return bits;
}
