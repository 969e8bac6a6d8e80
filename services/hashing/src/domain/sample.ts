/**
 * The sample of a part's items, by which changes are estimated where counting would read every feature row. Item ids are 16 random
 * bytes, so the items whose id begins with a number below 2^(32 - halvings) are a simple random sample: of whoever is there, also
 * after any erasure, because an erasure asks for persons and not for ids.
 */
import { ITEM_ID_BYTES } from '@lethe/hashing';

/** @param ids [n, 16] @param item row in it */
export function isSampled(ids: Uint8Array, item: number, halvings: number): boolean {
  const at = item * ITEM_ID_BYTES;
  const first = ((ids[at]! << 24) | (ids[at + 1]! << 16) | (ids[at + 2]! << 8) | ids[at + 3]!) >>> 0;
  return first < 2 ** (32 - halvings);
}
