/** Exact nearest-neighbour search over binary codes, deterministic down to the order of ties. */
import { compareBytes, hex } from '@lethe/std';
import { HASHING } from './errors.ts';

/** Set bits of a 32-bit word, the usual parallel sums. */
function popcount32(word: number): number {
  let v = word - ((word >>> 1) & 0x5555_5555);
  v = (v & 0x3333_3333) + ((v >>> 2) & 0x3333_3333);
  v = (v + (v >>> 4)) & 0x0f0f_0f0f;
  return Math.imul(v, 0x0101_0101) >>> 24;
}

const BITS_OF_BYTE = Uint8Array.from({ length: 256 }, (_, byte) => popcount32(byte));

/** Differing bits of two codes of `bytes` bytes inside two arrays. */
export function distance(a: Uint8Array, aAt: number, b: Uint8Array, bAt: number, bytes: number): number {
  let bits = 0;
  for (let i = 0; i < bytes; i++) bits += BITS_OF_BYTE[a[aAt + i]! ^ b[bAt + i]!]!;
  return bits;
}

export const ITEM_ID_BYTES = 16;

export interface Neighbour {
  /** 16 bytes. */
  readonly itemId: Uint8Array;
  /** Position in the index; a lane is never given to another item. */
  readonly lane: number;
  /** 0..K. */
  readonly distance: number;
}

/**
 * Codes in planes of 32-bit words (word w of every code lies together), so a scan reads memory in order. A lane holds one item for
 * ever; erasing zeroes its words and its id in place, so no byte of them is left in the index's memory.
 */
export class HammingIndex {
  readonly codeBits: number;
  readonly #words: number;
  #capacity = 0;
  #lanes = 0;
  #planes: Uint32Array[] = [];
  #ids = new Uint8Array(0);
  #live = new Uint8Array(0);
  readonly #laneOf = new Map<string, number>();

  constructor(codeBits: number) {
    this.codeBits = codeBits;
    this.#words = Math.ceil(codeBits / 32);
    this.#grow(1_024);
  }

  /** Lanes given out so far, erased ones included. */
  get lanes(): number {
    return this.#lanes;
  }

  /** Items that a search can return. */
  get size(): number {
    return this.#laneOf.size;
  }

  /** @returns the item's lane  @throws LETHE-3406 wrong code length  @throws LETHE-3407 the item is there already */
  add(itemId: Uint8Array, code: Uint8Array): number {
    const words = this.#wordsOf(code);
    const key = this.#keyOf(itemId);
    if (this.#laneOf.has(key)) throw HASHING.ITEM_EXISTS('the item is in the index already');
    if (this.#lanes === this.#capacity) this.#grow(2 * this.#capacity);
    const lane = this.#lanes++;
    for (let w = 0; w < this.#words; w++) this.#planes[w]![lane] = words[w]!;
    this.#ids.set(itemId, lane * ITEM_ID_BYTES);
    this.#live[lane] = 1;
    this.#laneOf.set(key, lane);
    return lane;
  }

  /** @throws LETHE-3408 */
  laneOf(itemId: Uint8Array): number {
    const lane = this.#laneOf.get(this.#keyOf(itemId));
    if (lane === undefined) throw HASHING.ITEM_NOT_FOUND('the item is not in the index');
    return lane;
  }

  /** Takes the item out of every later search and overwrites its code and id with zeros. @returns its lane  @throws LETHE-3408 */
  erase(itemId: Uint8Array): number {
    const lane = this.laneOf(itemId);
    for (const plane of this.#planes) plane[lane] = 0;
    this.#ids.fill(0, lane * ITEM_ID_BYTES, (lane + 1) * ITEM_ID_BYTES);
    this.#live[lane] = 0;
    this.#laneOf.delete(this.#keyOf(itemId));
    return lane;
  }

  /**
   * The k nearest live items, ordered by distance, then by item id.
   * @param laneMask optional filter: a lane takes part if its byte is not 0; lanes beyond its end do not
   * @throws LETHE-3406 wrong code length  @throws LETHE-3410 k is no positive integer
   */
  search(query: Uint8Array, k: number, laneMask?: Uint8Array): Neighbour[] {
    const words = this.#wordsOf(query);
    if (!Number.isInteger(k) || k < 1) throw HASHING.OPTION_INVALID('k is not a positive integer');
    const lanes = Math.min(this.#lanes, laneMask?.length ?? this.#lanes);
    const distances = new Uint16Array(lanes);
    const sizes = new Uint32Array(this.codeBits + 1);
    for (let w = 0; w < this.#words; w++) {
      const plane = this.#planes[w]!;
      const word = words[w]!;
      for (let lane = 0; lane < lanes; lane++) distances[lane]! += popcount32(plane[lane]! ^ word);
    }
    const takesPart = (lane: number) =>
      this.#live[lane] === 1 && (laneMask === undefined || laneMask[lane] !== 0);
    for (let lane = 0; lane < lanes; lane++) if (takesPart(lane)) sizes[distances[lane]!]!++;
    // The smallest radius that holds k items; all of its last shell compete, for ties go by id and not by lane.
    let radius = 0;
    for (let within = sizes[0]!; within < k && radius < this.codeBits; ) within += sizes[++radius]!;
    const found: Neighbour[] = [];
    for (let lane = 0; lane < lanes; lane++) {
      if (distances[lane]! > radius || !takesPart(lane)) continue;
      const itemId = this.#ids.slice(lane * ITEM_ID_BYTES, (lane + 1) * ITEM_ID_BYTES);
      found.push({ itemId, lane, distance: distances[lane]! });
    }
    found.sort((a, b) => a.distance - b.distance || compareBytes(a.itemId, b.itemId));
    return found.slice(0, k);
  }

  /** The memory that holds codes and ids, for a scan that looks for residual bytes. Read only. */
  memory(): readonly Uint8Array[] {
    return [...this.#planes.map((plane) => new Uint8Array(plane.buffer)), this.#ids];
  }

  #keyOf(itemId: Uint8Array): string {
    if (itemId.length !== ITEM_ID_BYTES) throw HASHING.SHAPE_MISMATCH('an item id has 16 bytes');
    return hex(itemId);
  }

  #wordsOf(code: Uint8Array): Uint32Array {
    const bytes = this.codeBits / 8;
    if (code.length !== bytes) {
      throw HASHING.CODE_LENGTH_WRONG(`a code of this index has ${bytes} bytes`, {
        details: { bytes: code.length },
      });
    }
    const padded = new Uint8Array(4 * this.#words);
    padded.set(code);
    const view = new DataView(padded.buffer);
    return Uint32Array.from({ length: this.#words }, (_, w) => view.getUint32(4 * w, true));
  }

  /** The old planes are overwritten: a code erased later must not live on in memory that the collector has not reused yet. */
  #grow(capacity: number): void {
    const old = { planes: this.#planes, ids: this.#ids };
    this.#planes = Array.from({ length: this.#words }, (_, w) => {
      const plane = new Uint32Array(capacity);
      plane.set(old.planes[w] ?? []);
      return plane;
    });
    this.#ids = new Uint8Array(capacity * ITEM_ID_BYTES);
    this.#ids.set(old.ids);
    const live = new Uint8Array(capacity);
    live.set(this.#live);
    this.#live = live;
    this.#capacity = capacity;
    for (const plane of old.planes) plane.fill(0);
    old.ids.fill(0);
  }
}
