/**
 * Hubs: items that turn up among the nearest neighbours of far too many queries. Whoever may insert can plant them (GASLITE: Ben-Tov and
 * Sharif, "GASLITEing the retrieval", 2025: at most 0.0001 % of a corpus reaches the top 10 of most queries of a concept).
 */

import { HASHING } from '../errors.ts';
import { distance } from '../hamming.ts';

function countOf(codes: Uint8Array, codeBits: number): number {
  const count = (8 * codes.length) / codeBits;
  if (!Number.isInteger(count)) {
    throw HASHING.CODE_LENGTH_WRONG('the codes are not whole codes', { details: { codeBits } });
  }
  return count;
}

/**
 * N_k of every item (Radovanović, Nanopoulos and Ivanović 2010): in how many queries' k nearest it is, in expectation over orders of ties.
 * Without that, whoever has the smallest id among equal codes would look like a hub and the others like none.
 * @param queries [q, K / 8]  @param items [n, K / 8]  @returns [n], of sum q * min(k, n)  @throws LETHE-3406
 * @throws LETHE-3410 k is no positive integer
 */
export function expectedOccurrences(
  queries: Uint8Array,
  items: Uint8Array,
  codeBits: number,
  k: number,
): Float64Array {
  if (!Number.isInteger(k) || k < 1) throw HASHING.OPTION_INVALID('k is not a positive integer');
  const bytes = codeBits / 8;
  const [asked, held] = [countOf(queries, codeBits), countOf(items, codeBits)];
  const occurrences = new Float64Array(held);
  const distances = new Uint16Array(held);
  for (let q = 0; q < asked; q++) {
    const sizes = new Uint32Array(codeBits + 1);
    for (let i = 0; i < held; i++) {
      distances[i] = distance(queries, q * bytes, items, i * bytes, bytes);
      sizes[distances[i]!]!++;
    }
    let radius = 0;
    let nearer = 0;
    while (radius < codeBits && nearer + sizes[radius]! < k) nearer += sizes[radius++]!;
    const share = Math.min(1, (k - nearer) / sizes[radius]!);
    for (let i = 0; i < held; i++) {
      if (distances[i]! < radius) occurrences[i]! += 1;
      else if (distances[i] === radius) occurrences[i]! += share;
    }
  }
  return occurrences;
}

/**
 * The code that an attacker plants for a concept: the majority of each bit over codes of its queries, which is the code with the
 * smallest summed distance to them. Bits in balance become 0.
 */
export function hubCode(queries: Uint8Array, codeBits: number): Uint8Array {
  const bytes = codeBits / 8;
  const asked = countOf(queries, codeBits);
  const ones = new Uint32Array(codeBits);
  for (let q = 0; q < asked; q++) {
    for (let bit = 0; bit < codeBits; bit++)
      ones[bit]! += (queries[q * bytes + (bit >> 3)]! >> (bit & 7)) & 1;
  }
  const code = new Uint8Array(bytes);
  ones.forEach((count, bit) => {
    if (2 * count > asked) code[bit >> 3]! |= 1 << (bit & 7);
  });
  return code;
}
