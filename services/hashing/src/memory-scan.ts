/** Looks for byte strings in memory that is handed to it, such as an index's: what an erasure has to have overwritten. Not in all of the process. */
import { assert } from '@lethe/std';

/** Bytes of a needle from which it is looked for. */
const NEEDLE_BYTES_MIN = 8;

/**
 * Every needle covers a word of four bytes at a multiple of the step, wherever it lies; so a look at every step misses none. A table
 * of words decides nearly every look, a comparison of the whole needle has the last word.
 * @param regions memory that holds what the needles came from @param needles at least 8 bytes each
 * @returns in how many places a needle lies
 */
export function countInMemory(regions: readonly Uint8Array[], needles: readonly Uint8Array[]): number {
  const shortest = Math.min(...needles.map(({ length }) => length));
  if (needles.length === 0) return 0;
  assert(shortest >= NEEDLE_BYTES_MIN, `a needle has at least ${NEEDLE_BYTES_MIN} bytes`);
  // The greatest power of two with a whole word in every window of step + 3 bytes of the shortest needle.
  const step = 2 ** Math.floor(Math.log2(shortest - 3));
  const byWord = new Map<number, { readonly needle: Buffer; readonly offset: number }[]>();
  const known = new Uint8Array(65_536);
  for (const bytes of needles) {
    const needle = Buffer.from(bytes);
    for (let offset = 0; offset < step; offset++) {
      const word = needle.readUInt32LE(offset);
      known[word & 0xffff] = 1;
      const others = byWord.get(word);
      if (others) others.push({ needle, offset });
      else byWord.set(word, [{ needle, offset }]);
    }
  }
  let places = 0;
  for (const region of regions) {
    const bytes = Buffer.from(region.buffer, region.byteOffset, region.byteLength);
    for (let at = 0; at + 4 <= bytes.length; at += step) {
      if (known[bytes[at]! | (bytes[at + 1]! << 8)] === 0) continue;
      for (const { needle, offset } of byWord.get(bytes.readUInt32LE(at)) ?? []) {
        const from = at - offset;
        if (from < 0 || from + needle.length > bytes.length) continue;
        if (bytes.compare(needle, 0, needle.length, from, from + needle.length) === 0) places++;
      }
    }
  }
  return places;
}
