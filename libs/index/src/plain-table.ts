/** The search table as one would write it down: what faster ones must agree with, and enough for a few thousand codes. */
import { distance, HASHING, ITEM_ID_BYTES, type Neighbour } from '@lethe/hashing';
import { compareBytes, hex } from '@lethe/std';
import type { SearchTable, TableOptions } from './ports.ts';

export class PlainTable implements SearchTable {
  readonly #codeBits: number;
  #ids = new Uint8Array(0);
  #codes = new Uint8Array(0);
  readonly #lanes = new Map<string, number>();
  #size = 0;

  constructor(codeBits: number) {
    this.#codeBits = codeBits;
  }

  addAll(itemIds: Uint8Array, codes: Uint8Array): number {
    const first = this.#size;
    const count = itemIds.length / ITEM_ID_BYTES;
    const names = Array.from({ length: count }, (_, i) => hex(idAt(itemIds, i)));
    if (new Set(names).size !== count || names.some((name) => this.#lanes.has(name))) {
      throw HASHING.ITEM_EXISTS('the item is in the table already');
    }
    for (const [i, name] of names.entries()) this.#lanes.set(name, first + i);
    this.#ids = joined(this.#ids, itemIds);
    this.#codes = joined(this.#codes, codes);
    this.#size += count;
    return first;
  }

  eraseAll(itemIds: Uint8Array): number[] {
    const ids = Array.from({ length: itemIds.length / ITEM_ID_BYTES }, (_, i) => idAt(itemIds, i));
    const lanes = ids.map((id) => this.laneOf(id));
    const width = this.#codeBits / 8;
    for (const [i, lane] of lanes.entries()) {
      this.#lanes.delete(hex(ids[i]!));
      this.#ids.fill(0, lane * ITEM_ID_BYTES, (lane + 1) * ITEM_ID_BYTES);
      this.#codes.fill(0, lane * width, (lane + 1) * width);
    }
    return lanes;
  }

  has(itemId: Uint8Array): boolean {
    return this.#lanes.has(hex(itemId));
  }

  laneOf(itemId: Uint8Array): number {
    const lane = this.#lanes.get(hex(itemId));
    if (lane === undefined) throw HASHING.ITEM_NOT_FOUND('the item is not in the table');
    return lane;
  }

  search(query: Uint8Array, k: number, options?: TableOptions): Neighbour[] {
    if (!Number.isInteger(k) || k < 1) throw HASHING.OPTION_INVALID('k is not a positive integer');
    return this.range(query, this.#codeBits, options).slice(0, k);
  }

  range(query: Uint8Array, radius: number, options?: TableOptions): Neighbour[] {
    if (8 * query.length !== this.#codeBits) throw HASHING.CODE_LENGTH_WRONG('the query has another length');
    if (!Number.isInteger(radius) || radius < 0) throw HASHING.OPTION_INVALID('the radius is below 0');
    const takesPart = (lane: number): boolean =>
      options?.filter === undefined || ((options.filter[lane >> 3]! >> (lane & 7)) & 1) === 1;
    return [...this.#lanes.values()]
      .filter(takesPart)
      .map((lane) => ({
        lane,
        itemId: idAt(this.#ids, lane),
        distance: distance(query, 0, this.#codes, lane * query.length, query.length),
      }))
      .filter((found) => found.distance <= radius)
      .sort((a, b) => a.distance - b.distance || compareBytes(a.itemId, b.itemId));
  }

  lanesHolding(code: Uint8Array): number[] {
    const lanes = Array.from({ length: this.#size }, (_, lane) => lane);
    return lanes.filter((lane) => distance(code, 0, this.#codes, lane * code.length, code.length) === 0);
  }

  memory(): readonly Uint8Array[] {
    return [this.#ids, this.#codes];
  }
}

const idAt = (ids: Uint8Array, i: number): Uint8Array =>
  ids.slice(i * ITEM_ID_BYTES, (i + 1) * ITEM_ID_BYTES);

/** Both in new memory; the old is overwritten. */
function joined(old: Uint8Array, more: Uint8Array): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(old.length + more.length);
  out.set(old);
  out.set(more, old.length);
  old.fill(0);
  return out;
}
