/** The search table as one would write it down: what the fast one must agree with. */
import { distance, HASHING, ITEM_ID_BYTES, type Neighbour } from '@lethe/hashing';
import { compareBytes } from '@lethe/std';
import { IdMap } from './id-map.ts';
import type { SearchTable, TableOptions } from './ports.ts';

export class PlainTable implements SearchTable {
  readonly #codeBits: number;
  #ids = new Uint8Array(0);
  #codes = new Uint8Array(0);
  /** By item id. */
  readonly #lanes = new IdMap();
  #size = 0;

  constructor(codeBits: number) {
    this.#codeBits = codeBits;
  }

  reserve(items: number): void {
    this.#ids = grown(this.#ids, this.#size * ITEM_ID_BYTES, items * ITEM_ID_BYTES);
    this.#codes = grown(this.#codes, (this.#size * this.#codeBits) / 8, (items * this.#codeBits) / 8);
  }

  addAll(itemIds: Uint8Array, codes: Uint8Array): number {
    const first = this.#size;
    const count = itemIds.length / ITEM_ID_BYTES;
    for (let i = 0; i < count; i++) {
      if (this.#lanes.add(itemIds, i, first + i)) continue;
      for (let undone = 0; undone < i; undone++) this.#lanes.remove(itemIds, undone);
      throw HASHING.ITEM_EXISTS('an item is in the table already');
    }
    this.reserve(count);
    this.#ids.set(itemIds, first * ITEM_ID_BYTES);
    this.#codes.set(codes, (first * this.#codeBits) / 8);
    this.#size += count;
    return first;
  }

  eraseAll(itemIds: Uint8Array): number[] {
    const ids = Array.from({ length: itemIds.length / ITEM_ID_BYTES }, (_, i) => idAt(itemIds, i));
    const lanes = ids.map((id) => this.laneOf(id));
    const width = this.#codeBits / 8;
    for (const [i, lane] of lanes.entries()) {
      this.#lanes.remove(ids[i]!);
      this.#ids.fill(0, lane * ITEM_ID_BYTES, (lane + 1) * ITEM_ID_BYTES);
      this.#codes.fill(0, lane * width, (lane + 1) * width);
    }
    return lanes;
  }

  replaceCodes(itemIds: Uint8Array, codes: Uint8Array): number[] {
    const width = this.#codeBits / 8;
    return Array.from({ length: itemIds.length / ITEM_ID_BYTES }, (_, i) => {
      const lane = this.laneOf(idAt(itemIds, i));
      this.#codes.set(codes.subarray(i * width, (i + 1) * width), lane * width);
      return lane;
    });
  }

  has(itemId: Uint8Array): boolean {
    return this.#lanes.get(itemId) !== -1;
  }

  laneOf(itemId: Uint8Array): number {
    const lane = this.#lanes.get(itemId);
    if (lane === -1) throw HASHING.ITEM_NOT_FOUND('the item is not in the table');
    return lane;
  }

  search(query: Uint8Array, k: number, options?: TableOptions): Neighbour[] {
    if (!Number.isInteger(k) || k < 1) throw HASHING.OPTION_INVALID('k is not a positive integer');
    return this.range(query, options?.radius ?? this.#codeBits, options).slice(0, k);
  }

  range(query: Uint8Array, radius: number, options?: TableOptions): Neighbour[] {
    if (8 * query.length !== this.#codeBits) throw HASHING.CODE_LENGTH_WRONG('the query has another length');
    if (!Number.isInteger(radius) || radius < 0) throw HASHING.OPTION_INVALID('the radius is below 0');
    const takesPart = (lane: number): boolean =>
      options?.filter === undefined || ((options.filter[lane >> 3]! >> (lane & 7)) & 1) === 1;
    const found: Neighbour[] = [];
    for (let lane = 0; lane < this.#size; lane++) {
      const away = distance(query, 0, this.#codes, lane * query.length, query.length);
      if (away > radius || !takesPart(lane)) continue;
      const itemId = idAt(this.#ids, lane);
      if (this.#lanes.get(itemId) === lane) found.push({ lane, itemId, distance: away });
    }
    return found.sort((a, b) => a.distance - b.distance || compareBytes(a.itemId, b.itemId));
  }

  lanesHolding(code: Uint8Array): number[] {
    const lanes = Array.from({ length: this.#size }, (_, lane) => lane);
    return lanes.filter((lane) => distance(code, 0, this.#codes, lane * code.length, code.length) === 0);
  }

  memory(): readonly Uint8Array[] {
    return [this.#ids, this.#codes, ...this.#lanes.memory()];
  }
}

const idAt = (ids: Uint8Array, i: number): Uint8Array =>
  ids.slice(i * ITEM_ID_BYTES, (i + 1) * ITEM_ID_BYTES);

/** The bytes with room for more behind the first `used`; where there is none, in new memory, and the old is overwritten. */
function grown(bytes: Uint8Array<ArrayBuffer>, used: number, more: number): Uint8Array<ArrayBuffer> {
  if (used + more <= bytes.length) return bytes;
  const out = new Uint8Array(Math.max(2 * bytes.length, used + more));
  out.set(bytes);
  bytes.fill(0);
  return out;
}
