/**
 * Near-duplicates within one person's own items: which new items are left out, and the record of it.
 *
 * Items of one person, one modality and the same labels are judged in the order of the dataset's record log: an item is a duplicate if
 * the content code of one that was kept before it is within the radius. The original is the nearest, of equally near ones the first. The
 * order is that of the log and not of the updates, so that it does not matter how roots divide the log. `NearDuplicateFilter` of
 * `@lethe/hashing` decides alike; it holds a search table, which for thousands of persons with a few items each is too much.
 *
 * A piece holds up to 65,536 rows in the order in which they came. Little-endian:
 *
 *     "LHD1" | n u32
 *     rows [n, 44]: original's item id [16] | a random id of its own [16] | position in the record log u64 | distance u16 | modality u8 | 0
 *
 * The ids of a row lie together and are in no state without it: what a scan for residues looks for.
 */
import { distance, ITEM_ID_BYTES } from '@lethe/hashing';
import { concatBytes } from '@lethe/std';
import { HASHING_SERVICE } from '../errors.ts';

export const DUPLICATE_ROWS = 65_536;

export interface Duplicate {
  /** Item that stands for it, 16 bytes. */
  readonly original: Uint8Array;
  /** Random, 16 bytes. */
  readonly id: Uint8Array;
  /** Of its record in the dataset's log. */
  readonly position: number;
  /** Between the content codes. */
  readonly distance: number;
  readonly modality: number;
}

/** The items of a group that were kept, as `T`. */
export class Originals<T> {
  readonly #radius: number;
  readonly #kept: { readonly item: T; readonly code: Uint8Array }[] = [];

  constructor(radius: number) {
    this.#radius = radius;
  }

  /** How many codes the next one is compared with. */
  get size(): number {
    return this.#kept.length;
  }

  /** Keeps the item. @param code content code, of the length that all have */
  keep(item: T, code: Uint8Array): void {
    this.#kept.push({ item, code });
  }

  /** Keeps the item unless it is a duplicate. @returns its original, if it is */
  admit(item: T, code: Uint8Array): { readonly original: T; readonly distance: number } | undefined {
    let best: { original: T; distance: number } | undefined;
    for (const kept of this.#kept) {
      const away = distance(code, 0, kept.code, 0, code.length);
      if (away <= this.#radius && away < (best?.distance ?? Number.POSITIVE_INFINITY))
        best = { original: kept.item, distance: away };
    }
    if (best === undefined) this.keep(item, code);
    return best;
  }
}

const MAGIC = 0x3144_484c; // "LHD1"
const HEADER_BYTES = 8;
const ROW_BYTES = 2 * ITEM_ID_BYTES + 12;

export function encodeDuplicates(rows: readonly Duplicate[]): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES + rows.length * ROW_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, MAGIC, true);
  view.setUint32(4, rows.length, true);
  for (const [i, row] of rows.entries()) {
    const at = HEADER_BYTES + i * ROW_BYTES;
    bytes.set(idsOf(row), at);
    view.setBigUint64(at + 32, BigInt(row.position), true);
    view.setUint16(at + 40, row.distance, true);
    view.setUint8(at + 42, row.modality);
  }
  return bytes;
}

/** Strict inverse of `encodeDuplicates`; copies. @throws LETHE-4209 */
export function decodeDuplicates(bytes: Uint8Array): Duplicate[] {
  const damaged = (why: string) => HASHING_SERVICE.STATE_DAMAGED(`a piece of near-duplicates: ${why}`);
  if (bytes.length < HEADER_BYTES) throw damaged('it is cut short');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const n = view.getUint32(4, true);
  if (view.getUint32(0, true) !== MAGIC) throw damaged('it has another format');
  if (n > DUPLICATE_ROWS || bytes.length !== HEADER_BYTES + n * ROW_BYTES)
    throw damaged('it does not have the length that it states');
  return Array.from({ length: n }, (_, i) => {
    const at = HEADER_BYTES + i * ROW_BYTES;
    if (view.getUint8(at + ROW_BYTES - 1) !== 0) throw damaged('a row does not end with 0');
    const id = (from: number): Uint8Array => new Uint8Array(bytes.subarray(from, from + ITEM_ID_BYTES));
    return {
      original: id(at),
      id: id(at + ITEM_ID_BYTES),
      position: Number(view.getBigUint64(at + 32, true)),
      distance: view.getUint16(at + 40, true),
      modality: view.getUint8(at + 42),
    };
  });
}

/** The bytes of a row that no other state has, as they lie in a piece. @returns 32 bytes */
export const idsOf = ({ original, id }: Duplicate): Uint8Array => concatBytes(original, id);
