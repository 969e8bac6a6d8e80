/** Exact search as one would write it down: what tests hold the kernel to. */
import { compareBytes } from '@lethe/std';
import { distance } from '../hamming.ts';
import type { Neighbour } from './types.ts';

/** @returns all lanes that take part within the radius, by (distance, item id) */
export function referenceRange(
  items: {
    /** [n, 16]. */
    readonly itemIds: Uint8Array;
    /** [n, K / 8]. */
    readonly codes: Uint8Array;
    readonly takesPart: (lane: number) => boolean;
  },
  query: Uint8Array,
  hammingRadius: number,
): Neighbour[] {
  return Array.from({ length: items.itemIds.length / 16 }, (_, lane) => lane)
    .filter(items.takesPart)
    .map((lane) => ({
      itemId: items.itemIds.slice(16 * lane, 16 * lane + 16),
      lane,
      distance: distance(items.codes, lane * query.length, query, 0, query.length),
    }))
    .filter((found) => found.distance <= hammingRadius)
    .sort((a, b) => a.distance - b.distance || compareBytes(a.itemId, b.itemId));
}
