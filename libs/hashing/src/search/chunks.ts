/**
 * Codes, live bits and ids of a table in one WebAssembly memory, where the kernel and other threads reach them.
 *
 *     0               8 * 256 Ki = FIRST_CHUNK
 *     | slots          | chunk 0                                                                     | chunk 1 ...
 *       16 a thread,     codes [16,384 lanes in blocks of 16] | live bits 2 Ki | filter bits 2 Ki | ids [16,384, 16]
 *       8 threads
 *
 * All chunks are equally long, so that an address is one multiplication away, and the memory grows in place at its end: growth leaves
 * no copy of a code behind. A slot is the state of one query (see kernel.wat) with the candidates behind it; it is zeroed after use, for
 * a query is somebody's code as well.
 */
import { fromBase64 } from '@lethe/std';
import { HASHING } from '../errors.ts';
import { UNLIMITED } from './best.ts';
import { KERNEL_BASE64, SHARED_KERNEL_BASE64 } from './kernel.ts';

export const ITEM_ID_BYTES = 16;
export const CHUNK_LANES = 16_384;
const LANE_BITS_BYTES = CHUNK_LANES / 8;
const PAGE = 65_536;

export const THREADS_MAX = 8;
/** Queries that one thread has under way in a pass over memory. */
export const QUERIES_A_PASS = 16;
const SLOT_BYTES = 16_384;
const QUERY_AT = 1_728;
const CANDIDATES_AT = 3_072;
/** Candidates that a slot holds. */
const SLOT_ROOM = (SLOT_BYTES - CANDIDATES_AT) / 8;
const FIRST_CHUNK = THREADS_MAX * QUERIES_A_PASS * SLOT_BYTES;

/** Widths for which the kernel has a loop; other codes are stored with planes of zeros up to the next one. */
const WIDTHS = [8, 16, 32, 64, 128, 192, 256];

/** What we use of the engine's global, which the type library of Node does not declare. */
export interface WasmMemory {
  readonly buffer: ArrayBuffer;
  grow(pages: number): number;
}
declare const WebAssembly: {
  readonly Memory: new (limits: { initial: number; maximum: number; shared: boolean }) => WasmMemory;
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (
    module: object,
    imports: object,
  ) => { readonly exports: Readonly<Record<string, unknown>> };
};

type Scan = (
  state: number,
  codes: number,
  steps: number,
  live: number,
  filter: number,
  lane: number,
  eights: number,
) => number;

/** What a thread needs to scan a memory; posted to workers as it is. */
export interface ChunksHandle {
  readonly codeBits: number;
  readonly memory: WasmMemory;
  readonly module: object;
}

const BITS_OF_BYTE = Uint8Array.from({ length: 256 }, (_, byte) => {
  let bits = 0;
  for (let rest = byte; rest > 0; rest &= rest - 1) bits++;
  return bits;
});

const modules = new Map<boolean, object>();
function moduleOf(shared: boolean): object {
  let module = modules.get(shared);
  if (!module) {
    module = new WebAssembly.Module(
      new Uint8Array(fromBase64(shared ? SHARED_KERNEL_BASE64 : KERNEL_BASE64)),
    );
    modules.set(shared, module);
  }
  return module;
}

export class Chunks {
  readonly handle: ChunksHandle;
  readonly codeBytes: number;
  readonly #planes: number;
  readonly #stride: number;
  readonly #scan: Scan;
  readonly #four: Scan | undefined;
  readonly #zero: (at: number, bytes: number) => void;
  readonly #prepare: (slot: number, bytes: number) => void;
  #bytes = new Uint8Array(0);
  #words = new Uint32Array(0);
  #view = new DataView(new ArrayBuffer(0));

  private constructor(handle: ChunksHandle) {
    this.handle = handle;
    this.codeBytes = handle.codeBits / 8;
    const width = WIDTHS.find((bits) => bits >= handle.codeBits)!;
    this.#planes = width / 8;
    this.#stride = CHUNK_LANES * (this.#planes + ITEM_ID_BYTES) + 2 * LANE_BITS_BYTES;
    const { exports } = new WebAssembly.Instance(handle.module, { lethe: { memory: handle.memory } });
    this.#scan = exports[`scan${width}`] as Scan;
    this.#four = width % 64 === 0 ? (exports.four as Scan) : undefined;
    this.#zero = exports.zero as (at: number, bytes: number) => void;
    this.#prepare = exports.prepare as (slot: number, bytes: number) => void;
    this.refresh();
  }

  /** @throws LETHE-3406 K is not 8, 16, … 256 */
  static create(codeBits: number, shared: boolean): Chunks {
    if (!Number.isInteger(codeBits / 8) || codeBits < 8 || codeBits > 256) {
      throw HASHING.CODE_LENGTH_WRONG(`no search for codes of ${codeBits} bits: 8, 16, … 256`);
    }
    const memory = new WebAssembly.Memory({ initial: FIRST_CHUNK / PAGE, maximum: PAGE, shared });
    return new Chunks({ codeBits, memory, module: moduleOf(shared) });
  }

  /** The same memory, for another thread. */
  static attach(handle: ChunksHandle): Chunks {
    return new Chunks(handle);
  }

  /** Chunks that so many lanes stand in. */
  count(lanes: number): number {
    return Math.ceil(lanes / CHUNK_LANES);
  }

  /** To be called before use when the memory may have grown. */
  refresh(): void {
    const { buffer } = this.handle.memory;
    if (this.#bytes.buffer === buffer && this.#bytes.length === buffer.byteLength) return;
    this.#bytes = new Uint8Array(buffer);
    this.#words = new Uint32Array(buffer);
    this.#view = new DataView(buffer);
  }

  /** Lanes for which there is memory. */
  get capacity(): number {
    return Math.floor((this.#bytes.length - FIRST_CHUNK) / this.#stride) * CHUNK_LANES;
  }

  /** @throws LETHE-3412 beyond the 4 GiB of a WebAssembly memory */
  reserve(lanes: number): void {
    if (lanes <= this.capacity) return;
    const bytes = FIRST_CHUNK + Math.ceil(lanes / CHUNK_LANES) * this.#stride;
    const pages = Math.ceil((bytes - this.#bytes.length) / PAGE);
    try {
      this.handle.memory.grow(pages);
    } catch (cause) {
      throw HASHING.TABLE_FULL(`no memory for ${lanes} codes of ${this.handle.codeBits} bits`, { cause });
    }
    this.refresh();
  }

  /** All of the memory. */
  get bytes(): Uint8Array {
    return this.#bytes;
  }

  #chunkOf(lane: number): number {
    return FIRST_CHUNK + Math.floor(lane / CHUNK_LANES) * this.#stride;
  }

  /** Address of byte 0 of the lane's code; byte j is 16 j further. */
  codeAt(lane: number): number {
    const inside = lane % CHUNK_LANES;
    return this.#chunkOf(lane) + (inside >> 4) * 16 * this.#planes + (inside & 15);
  }

  #liveAt(chunk: number): number {
    return chunk + CHUNK_LANES * this.#planes;
  }

  idAt(lane: number): number {
    const inside = lane % CHUNK_LANES;
    return this.#liveAt(this.#chunkOf(lane)) + 2 * LANE_BITS_BYTES + inside * ITEM_ID_BYTES;
  }

  isLive(lane: number): boolean {
    const byte = this.#bytes[this.#liveAt(this.#chunkOf(lane)) + ((lane % CHUNK_LANES) >> 3)]!;
    return ((byte >> (lane & 7)) & 1) === 1;
  }

  /** Writes rows into consecutive lanes and makes them live. */
  write(first: number, itemIds: Uint8Array, codes: Uint8Array): void {
    const bytes = this.#bytes;
    const width = this.codeBytes;
    const count = itemIds.length / ITEM_ID_BYTES;
    for (let row = 0; row < count; ) {
      const lane = first + row;
      const rows = Math.min(count - row, CHUNK_LANES - (lane % CHUNK_LANES));
      bytes.set(itemIds.subarray(ITEM_ID_BYTES * row, ITEM_ID_BYTES * (row + rows)), this.idAt(lane));
      const inside = lane % CHUNK_LANES;
      const chunk = this.#chunkOf(lane);
      const block = 16 * this.#planes;
      let from = row * width;
      for (let i = inside; i < inside + rows; i++) {
        const at = chunk + (i >> 4) * block + (i & 15);
        for (let j = 0; j < width; j++) bytes[at + 16 * j] = codes[from++]!;
      }
      const live = this.#liveAt(chunk);
      for (let i = inside; i < inside + rows; i++) bytes[live + (i >> 3)]! |= 1 << (i & 7);
      row += rows;
    }
  }

  /** Overwrites code and id with zeros. */
  wipe(lane: number): void {
    this.#setLive(lane, false);
    this.#bytes.fill(0, this.idAt(lane), this.idAt(lane) + ITEM_ID_BYTES);
    const at = this.codeAt(lane);
    for (let j = 0; j < this.codeBytes; j++) this.#bytes[at + 16 * j] = 0;
  }

  #setLive(lane: number, live: boolean): void {
    const at = this.#liveAt(this.#chunkOf(lane)) + ((lane % CHUNK_LANES) >> 3);
    const bit = 1 << (lane & 7);
    this.#bytes[at] = live ? this.#bytes[at]! | bit : this.#bytes[at]! & ~bit;
  }

  /** Copies the code of a lane to `out`. */
  read(lane: number, out: Uint8Array, outAt: number): void {
    const at = this.codeAt(lane);
    for (let j = 0; j < this.codeBytes; j++) out[outAt + j] = this.#bytes[at + 16 * j]!;
  }

  distance(lane: number, query: Uint8Array): number {
    const at = this.codeAt(lane);
    let bits = 0;
    for (let j = 0; j < query.length; j++) bits += BITS_OF_BYTE[this.#bytes[at + 16 * j]! ^ query[j]!]!;
    return bits;
  }

  /** The order of results: by distance, then by item id as bytes. */
  order(
    a: { readonly lane: number; readonly distance: number },
    b: { readonly lane: number; readonly distance: number },
  ): number {
    if (a.distance !== b.distance) return a.distance - b.distance;
    const [atA, atB] = [this.idAt(a.lane), this.idAt(b.lane)];
    for (let i = 0; i < ITEM_ID_BYTES; i += 4) {
      const difference = this.#view.getUint32(atA + i) - this.#view.getUint32(atB + i);
      if (difference !== 0) return difference;
    }
    return 0;
  }

  /** Puts the bits of a filter beside the codes. */
  setFilter(filter: Uint8Array, lanes: number): void {
    for (let lane = 0; lane < lanes; lane += CHUNK_LANES) {
      const at = this.#liveAt(this.#chunkOf(lane)) + LANE_BITS_BYTES;
      const bits = filter.subarray(lane / 8, lane / 8 + LANE_BITS_BYTES);
      this.#bytes.set(bits, at);
      this.#bytes.fill(0, at + bits.length, at + LANE_BITS_BYTES);
    }
  }

  static slot(thread: number, query: number): number {
    return (thread * QUERIES_A_PASS + query) * SLOT_BYTES;
  }

  /** Begins a search in a slot. @param limit largest distance of interest */
  open(slot: number, query: Uint8Array, k: number, limit: number): void {
    this.#zero(slot, CANDIDATES_AT);
    const at = slot / 4;
    this.#words[at] = Math.min(k, UNLIMITED);
    this.#words[at + 1] = Math.min(limit, 255);
    this.#words[at + 4] = SLOT_ROOM;
    this.#words[at + 5] = slot + CANDIDATES_AT;
    this.#bytes.set(query, slot + QUERY_AT);
    this.#prepare(slot, query.length);
  }

  /** Nothing of the query stays. */
  shut(slot: number): void {
    this.#zero(slot, SLOT_BYTES);
  }

  /** The same for all slots. */
  shutAll(): void {
    this.#zero(0, FIRST_CHUNK);
  }

  /** Whether `scanFour` is for these codes. */
  get fours(): boolean {
    return this.#four !== undefined;
  }

  /**
   * Scans one chunk for the search in a slot.
   * @param drain called whenever the slot's room is used up  @param skipped lanes of the chunk to leave out, a multiple of 64
   */
  scan(slot: number, chunk: number, lanes: number, filtered: boolean, drain: () => void, skipped = 0): void {
    this.#run(this.#scan, slot, chunk, lanes, filtered, drain, skipped);
  }

  /** Scans one chunk for the searches in four slots, one behind the other. @param drain called whenever the room of one of them is used up */
  scanFour(slot: number, chunk: number, lanes: number, filtered: boolean, drain: () => void): void {
    this.#run(this.#four!, slot, chunk, lanes, filtered, drain, 0);
  }

  #run(
    scan: Scan,
    slot: number,
    chunk: number,
    lanes: number,
    filtered: boolean,
    drain: () => void,
    skipped: number,
  ): void {
    const first = chunk * CHUNK_LANES;
    const codes = this.#chunkOf(first);
    const live = this.#liveAt(codes);
    const filter = filtered ? live + LANE_BITS_BYTES : live;
    const steps = Math.ceil(Math.min(lanes - first, CHUNK_LANES) / 64);
    for (let done = skipped / 64; done < steps; ) {
      const left = scan(
        slot,
        codes + 64 * this.#planes * done,
        steps - done,
        live + 8 * done,
        filter + 8 * done,
        first + 64 * done,
        this.#planes / 8,
      );
      done = steps - left;
      if (left > 0) drain();
    }
  }

  /** Hands on the candidates of a slot that lie within what is its limit by now, and makes room: k codes are as near, so others are none of the k. */
  drain(slot: number, take: (lane: number, distance: number) => void): void {
    const limit = this.#words[slot / 4 + 1]!;
    const count = this.#words[slot / 4 + 3]!;
    const from = (slot + CANDIDATES_AT) / 4;
    for (let i = 0; i < count; i++) {
      const distance = this.#words[from + 2 * i + 1]!;
      if (distance <= limit) take(this.#words[from + 2 * i]!, distance);
    }
    this.#words[slot / 4 + 3] = 0;
  }
}
