/** Looks for byte strings in memory that is handed to it, such as an index's: what an erasure has to have overwritten. Not in all of the process. */

/**
 * @param regions memory that holds what the needles came from @param needles at least 8 bytes each
 * @returns in how many places a needle lies
 */
export function countInMemory(regions: readonly Uint8Array[], needles: readonly Uint8Array[]): number {
  if (needles.length === 0) return 0;
  // Two bytes of each needle in a table decide nearly every place with one look; a comparison has the last word.
  const byPrefix = new Map<number, Buffer[]>();
  const known = new Uint8Array(65_536);
  for (const needle of needles) {
    const prefix = needle[0]! | (needle[1]! << 8);
    known[prefix] = 1;
    byPrefix.set(prefix, [...(byPrefix.get(prefix) ?? []), Buffer.from(needle)]);
  }
  let places = 0;
  for (const region of regions) {
    const bytes = Buffer.from(region.buffer, region.byteOffset, region.byteLength);
    let prefix = (bytes[0] ?? 0) << 8;
    for (let at = 0; at + 1 < bytes.length; at++) {
      prefix = (prefix >>> 8) | (bytes[at + 1]! << 8);
      if (known[prefix] === 0) continue;
      for (const needle of byPrefix.get(prefix) ?? []) {
        if (bytes.compare(needle, 0, needle.length, at, Math.min(at + needle.length, bytes.length)) === 0)
          places++;
      }
    }
  }
  return places;
}
