/**
 * Near-duplicate filter with provenance: an item whose content code is within a radius of one that was kept is not learned, but remembered
 * as a duplicate of that original, so that it is erased with it.
 *
 * Source: dropping near-duplicates by Hamming distance before training, as in selective reduction of CT data by hashing (keep if the
 * smallest distance to what was kept is above r). Different here: the codes are frozen and public instead of learned (learned codes of one
 * class coincide), and what was dropped stays accounted for.
 *
 * An original with its duplicates is a family, and a family is erased as one. No smaller unit is exact: without an original, its
 * duplicates would have been kept. And none larger is needed: every other item was further than r from this original or nearer to another
 * one, so the filter afterwards equals, by digest, one that was never given the family, all else in the same order.
 *
 * Whoever may place a copy of another person's record can therefore have both erased. Where subjects do not trust each other, keep one
 * filter per subject.
 */
import { compareBytes, concatBytes, fromHex, hex, sha256 } from '@lethe/std';
import { HASHING } from '../errors.ts';
import type { FeatureMap } from '../features.ts';
import { CodeTable } from '../search/table.ts';

/**
 * Content codes: which units of the frozen feature map are active. Bit u = [f_u > 0], u = 0..codeBits-1; the bias feature takes no part.
 * Exact integers, so equal records have equal codes everywhere.
 * @param inputs [n, inputWidth]  @param codeBits a multiple of 8 below the map's dimension  @returns [n, codeBits / 8]
 * @throws LETHE-3403  @throws LETHE-3410
 */
export const contentCodes = (map: FeatureMap, inputs: Uint8Array, codeBits: number): Uint8Array =>
  contentCodesOf(map.apply(inputs), map.spec.featureDim, codeBits);

/** The same from features that are there. @param features [n, D]  @throws LETHE-3403  @throws LETHE-3410 */
export function contentCodesOf(features: Uint8Array, featureDim: number, codeBits: number): Uint8Array {
  if (!Number.isInteger(codeBits) || codeBits < 8 || codeBits % 8 !== 0 || codeBits >= featureDim) {
    throw HASHING.OPTION_INVALID('codeBits is not a multiple of 8 below featureDim', {
      details: { codeBits, featureDim },
    });
  }
  if (features.length % featureDim !== 0) throw HASHING.SHAPE_MISMATCH('the features are not whole rows');
  const codes = new Uint8Array(((features.length / featureDim) * codeBits) / 8);
  for (let bit = 0; bit < codes.length * 8; bit++) {
    const row = Math.floor(bit / codeBits);
    if (features[row * featureDim + (bit - row * codeBits)]! > 0) codes[bit >> 3]! |= 1 << (bit & 7);
  }
  return codes;
}

/** What became of an item. */
export type Admission =
  | { readonly kept: true }
  | { readonly kept: false; readonly original: Uint8Array; readonly distance: number };

/** Item ids of 16 bytes; duplicates ascending. */
export interface Family {
  readonly original: Uint8Array;
  readonly duplicates: readonly Uint8Array[];
}

export class NearDuplicateFilter {
  readonly radius: number;
  readonly #table: CodeTable;
  /** Original -> its duplicates, and duplicate -> its original, as hex. */
  readonly #families = new Map<string, Set<string>>();
  readonly #originals = new Map<string, string>();

  /** @param radius 0..codeBits; 0 takes equal codes only  @throws LETHE-3406  @throws LETHE-3410 */
  constructor({ codeBits, radius }: { codeBits: number; radius: number }) {
    this.#table = new CodeTable(codeBits);
    if (!Number.isInteger(radius) || radius < 0 || radius > codeBits) {
      throw HASHING.OPTION_INVALID('radius is not an integer in 0..codeBits', { details: { radius } });
    }
    this.radius = radius;
  }

  /** Items kept. */
  get originals(): number {
    return this.#families.size;
  }

  get duplicates(): number {
    return this.#originals.size;
  }

  /**
   * Keeps the item, or remembers it as a duplicate of the nearest original, the smaller id at equal distance. Of a duplicate no code is held.
   * @param itemId 16 bytes  @throws LETHE-3403  @throws LETHE-3406  @throws LETHE-3407 the item was admitted before
   */
  admit(itemId: Uint8Array, code: Uint8Array): Admission {
    const id = hex(itemId);
    if (this.#originals.has(id)) throw HASHING.ITEM_EXISTS('the item is a duplicate that is known already');
    if (this.#families.has(id)) throw HASHING.ITEM_EXISTS('the item was kept already');
    const [nearest] = this.#table.size > 0 ? this.#table.search(code, 1) : [];
    if (nearest === undefined || nearest.distance > this.radius) {
      this.#table.add(itemId, code);
      this.#families.set(id, new Set());
      return { kept: true };
    }
    if (itemId.length !== nearest.itemId.length) throw HASHING.SHAPE_MISMATCH('an item id has 16 bytes');
    const original = hex(nearest.itemId);
    this.#families.get(original)!.add(id);
    this.#originals.set(id, original);
    return { kept: false, original: nearest.itemId, distance: nearest.distance };
  }

  /** @throws LETHE-3408 */
  familyOf(itemId: Uint8Array): Family {
    const id = hex(itemId);
    const original = this.#originals.get(id) ?? id;
    const duplicates = this.#families.get(original);
    if (duplicates === undefined) throw HASHING.ITEM_NOT_FOUND('the item was never admitted or is erased');
    return { original: fromHex(original), duplicates: [...duplicates].sort().map(fromHex) };
  }

  /**
   * Takes the item's whole family out, whichever of it is named.
   * @returns what has to leave the sums (the original alone was learned) and every index  @throws LETHE-3408
   */
  erase(itemId: Uint8Array): Family {
    const family = this.familyOf(itemId);
    this.#table.erase(family.original);
    this.#families.delete(hex(family.original));
    for (const duplicate of family.duplicates) this.#originals.delete(hex(duplicate));
    return family;
  }

  /** SHA-256 over radius, originals with their codes and duplicates, by id: equal for equal families. @returns 32 bytes */
  digest(): Uint8Array {
    const ids = [...this.#families.keys()].map(fromHex).sort(compareBytes);
    const parts = ids.flatMap((id) => {
      const lane = this.#table.laneOf(id);
      const { duplicates } = this.familyOf(id);
      return [id, this.#table.codes(lane, lane + 1), Uint32Array.of(duplicates.length), ...duplicates];
    });
    const shape = Uint32Array.of(this.#table.codeBits, this.radius, ids.length);
    const bytes = [shape, ...parts].map(
      (part) => new Uint8Array(part.buffer, part.byteOffset, part.byteLength),
    );
    return sha256('lethe/hashing/near-duplicates/v1', concatBytes(...bytes));
  }
}
