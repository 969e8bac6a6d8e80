/** Codes with the ids of their items: exact search, and erasure that leaves no byte. */
import { randomBytes } from 'node:crypto';
import { HASHING } from '../errors.ts';
import { Best, type Candidate, type TableScan, UNLIMITED } from './best.ts';
import { CHUNK_LANES, Chunks, type ChunksHandle, ITEM_ID_BYTES, QUERIES_A_PASS } from './chunks.ts';
import { MultiIndex, type SearchCosts } from './multi-index.ts';
import { scanPass } from './pass.ts';
import type { CodeTableLike, LaneBits, Neighbour, SearchOptions } from './types.ts';

export { ITEM_ID_BYTES } from './chunks.ts';

/** Chosen anew by each process: ids come from outside and must not be able to pile up in one place of a table. */
const HASH_KEY = new Uint32Array(new Uint8Array(randomBytes(16)).buffer);

/** Ids added at once from which on it pays to sort them by where they go. */
const SORTED_FROM = 4_096;
/** 2^25 slots of 4 bytes, which 10 M items take, are so many parts of 256 KiB. */
const SLOT_PARTS = 512;

/** Searches by which `calibrate` measures, of each kind. */
const PROBES = 16;

/** From so many queries on a scan of them together costs less than one by one: the kernel takes four at once. */
const TOGETHER_FROM = 4;

export interface CodeTableOptions {
  /** In memory that worker threads can read as well. */
  readonly shared?: boolean;
}

/** How a table searches, and the measurements that say so. */
export interface SearchPlan {
  readonly via: 'scan' | 'multi-index';
  readonly substrings: number;
  /** Lanes for which it was measured; later ones are scanned, and beyond an eighth more everything is. */
  readonly lanes: number;
  readonly costs: SearchCosts;
  /** A scan's cost a code and query, in nanoseconds, where many queries come together. */
  readonly togetherNsPerCode: number;
}

/** The lanes of `0..lanes` for which `takesPart` holds, as bits. */
export function laneBits(lanes: number, takesPart: (lane: number) => boolean): LaneBits {
  const bits = new Uint8Array(Math.ceil(lanes / 8));
  for (let lane = 0; lane < lanes; lane++) if (takesPart(lane)) bits[lane >> 3]! |= 1 << (lane & 7);
  return bits;
}

/**
 * Exact search over binary codes in WebAssembly memory (layout: chunks.ts, inner loop: kernel.wat). A lane holds one item for ever;
 * erasing overwrites its code and its id with zeros in place. Growth is in place too, so there is no second copy at any time.
 *
 * Ids are found through an open-addressing table of lane numbers (4 bytes a slot, at most half full); an erased lane's slot is closed by
 * shifting its successors back, so the table is the one that never had it but for the order of insertion.
 */
export class CodeTable implements CodeTableLike {
  readonly codeBits: number;
  /** Whether other threads can read the memory. */
  readonly shared: boolean;
  readonly #chunks: Chunks;
  #lanes = 0;
  #size = 0;
  /** Lane + 1; 0 is free. */
  #slots = new Uint32Array(64);
  #multi: MultiIndex | undefined;
  #plan: SearchPlan | undefined;
  #threads: TableScan | undefined;

  /** @param codeBits 8, 16, … 256  @throws LETHE-3406 */
  constructor(codeBits: number, options: CodeTableOptions = {}) {
    this.codeBits = codeBits;
    this.shared = options.shared ?? false;
    this.#chunks = Chunks.create(codeBits, this.shared);
  }

  get lanes(): number {
    return this.#lanes;
  }

  get size(): number {
    return this.#size;
  }

  /** For `serveSharedScans` in another thread. */
  get handle(): ChunksHandle {
    return this.#chunks.handle;
  }

  /** The memory, for a pool of threads over this table. */
  get chunks(): Chunks {
    return this.#chunks;
  }

  /** Lets several threads do the scans of this table from now on, or its own again. */
  scanWith(threads: TableScan | undefined): void {
    this.#threads = threads;
  }

  add(itemId: Uint8Array, code: Uint8Array): number {
    if (itemId.length !== ITEM_ID_BYTES) throw HASHING.SHAPE_MISMATCH('an item id has 16 bytes');
    this.#checkQuery(code);
    return this.addAll(itemId, code);
  }

  /** Takes the memory for so many more items. @throws LETHE-3412 */
  reserve(items: number): void {
    this.#chunks.reserve(this.#lanes + items);
    this.#makeRoom(this.#size + items);
  }

  addAll(itemIds: Uint8Array, codes: Uint8Array): number {
    const count = itemIds.length / ITEM_ID_BYTES;
    if (!Number.isInteger(count)) throw HASHING.SHAPE_MISMATCH('an item id has 16 bytes');
    if (codes.length !== count * this.#chunks.codeBytes) {
      throw HASHING.CODE_LENGTH_WRONG(`a code of this table has ${this.#chunks.codeBytes} bytes`, {
        details: { codes: codes.length, items: count },
      });
    }
    const first = this.#lanes;
    this.reserve(count);
    this.#chunks.write(first, itemIds, codes);
    this.#enter(first, itemIds, count);
    this.#lanes += count;
    this.#size += count;
    return first;
  }

  has(itemId: Uint8Array): boolean {
    return this.#find(itemId) >= 0;
  }

  laneOf(itemId: Uint8Array): number {
    const lane = this.#find(itemId);
    if (lane < 0) throw HASHING.ITEM_NOT_FOUND('the item is not in the table');
    return lane;
  }

  isLive(lane: number): boolean {
    return lane >= 0 && lane < this.#lanes && this.#chunks.isLive(lane);
  }

  codes(from: number, to: number): Uint8Array {
    const width = this.#chunks.codeBytes;
    const out = new Uint8Array((to - from) * width);
    for (let lane = from; lane < to; lane++) this.#chunks.read(lane, out, (lane - from) * width);
    return out;
  }

  itemIds(from: number, to: number): Uint8Array {
    const out = new Uint8Array((to - from) * ITEM_ID_BYTES);
    for (let lane = from; lane < to; lane++) out.set(this.#idOf(lane), (lane - from) * ITEM_ID_BYTES);
    return out;
  }

  erase(itemId: Uint8Array): number {
    return this.eraseAll(itemId)[0] ?? this.laneOf(itemId);
  }

  eraseAll(itemIds: Uint8Array): number[] {
    const lanes = this.#lanesOf(itemIds);
    this.#multi?.erase(lanes);
    for (const lane of lanes) {
      this.#forget(lane);
      this.#chunks.wipe(lane);
    }
    // The bits of the last filter tell who had a label or an owner; every search sets its own.
    this.#chunks.setFilter(new Uint8Array(0), this.#lanes);
    this.#size -= lanes.length;
    return lanes;
  }

  /** @throws LETHE-3408 an item is not here, or named twice */
  #lanesOf(itemIds: Uint8Array): number[] {
    const lanes: number[] = [];
    for (let at = 0; at < itemIds.length; at += ITEM_ID_BYTES) {
      lanes.push(this.laneOf(itemIds.subarray(at, at + ITEM_ID_BYTES)));
    }
    if (new Set(lanes).size !== lanes.length) throw HASHING.ITEM_NOT_FOUND('an item is named twice');
    return lanes;
  }

  replaceCodes(itemIds: Uint8Array, codes: Uint8Array): number[] {
    const lanes = this.#lanesOf(itemIds);
    const { codeBytes, bytes } = this.#chunks;
    if (codes.length !== lanes.length * codeBytes) {
      throw HASHING.CODE_LENGTH_WRONG(`a code of this table has ${codeBytes} bytes`, {
        details: { codes: codes.length, items: lanes.length },
      });
    }
    this.#multi?.erase(lanes);
    for (const [row, lane] of lanes.entries()) {
      const at = this.#chunks.codeAt(lane);
      for (let j = 0; j < codeBytes; j++) bytes[at + 16 * j] = codes[row * codeBytes + j]!;
    }
    this.#multi?.restore(lanes);
    return lanes;
  }

  search(query: Uint8Array, k: number, options: SearchOptions = {}): Neighbour[] {
    this.#checkQuery(query);
    return this.searchAll(query, k, options)[0]!;
  }

  searchAll(queries: Uint8Array, k: number, options: SearchOptions = {}): Neighbour[][] {
    if (!Number.isInteger(k) || k < 1) throw HASHING.OPTION_INVALID('k is not a positive integer');
    return this.#searchAll(queries, Math.min(k, UNLIMITED - 1), options);
  }

  #searchAll(queries: Uint8Array, k: number, options: SearchOptions): Neighbour[][] {
    const { filter, via = 'auto', radius = this.codeBits } = options;
    this.#checkRadius(radius);
    const multi = this.#multi;
    const tables = via === 'multi-index' || (via === 'auto' && this.plan?.via === 'multi-index');
    const list = this.#queriesOf(queries);
    if (!tables || multi === undefined) return this.#scan(list, k, radius, filter);
    const costs = via === 'auto' ? this.#costsOf(list.length) : undefined;
    // Those of which the tables gave up are scanned together, within the widest of their distances.
    const left: number[] = [];
    let widest = 0;
    const lists = list.map((query, q) => {
      const { found, limit } = this.#searchTables(multi, query, k, radius, filter, costs);
      if (found !== undefined) return found;
      left.push(q);
      widest = Math.max(widest, limit);
      return [];
    });
    if (left.length === 0) return lists;
    const rest = left.map((q) => list[q]!);
    for (const [i, found] of this.#scan(rest, k, widest, filter).entries()) lists[left[i]!] = found;
    return lists;
  }

  /** What to hold a search by tables to. @param queries that come together */
  #costsOf(queries: number): SearchCosts | undefined {
    if (this.#plan === undefined) return undefined;
    const { costs, togetherNsPerCode } = this.#plan;
    return queries < TOGETHER_FROM ? costs : { ...costs, scanNsPerCode: togetherNsPerCode };
  }

  /** What `via: 'auto'` follows; undefined before `calibrate` and when the table has grown by more than an eighth since. */
  get plan(): SearchPlan | undefined {
    return this.#plan && this.#lanes <= 1.125 * this.#plan.lanes ? this.#plan : undefined;
  }

  /**
   * Builds the tables of a multi-index anew over all lanes.
   * @param substrings number of tables, 1..K, about K / log2(n) unless told; raised to K / 24 if less  @throws LETHE-3410
   */
  buildMultiIndex(substrings?: number): void {
    if (
      substrings !== undefined &&
      !(Number.isInteger(substrings) && substrings >= 1 && substrings <= this.codeBits)
    ) {
      throw HASHING.OPTION_INVALID(`the number of substrings is not an integer in 1..${this.codeBits}`);
    }
    this.dropMultiIndex();
    this.#multi = new MultiIndex(this.#chunks, this.#lanes, substrings);
  }

  /** Overwrites the tables of the multi-index and forgets the plan. */
  dropMultiIndex(): void {
    this.#multi?.clear();
    this.#multi = undefined;
    this.#plan = undefined;
  }

  /**
   * Builds a multi-index and measures, on codes of this table with some bits changed, what a scan and what a look-up costs here. From
   * then on `auto` tries the tables first and scans as soon as that is likely to be faster. The results are the same bytes either way.
   * @param nowMs a clock, such as `() => performance.now()`  @returns the decision, kept as `plan`; undefined for fewer than 64 items
   */
  calibrate(nowMs: () => number): SearchPlan | undefined {
    this.buildMultiIndex();
    const multi = this.#multi!;
    if (multi.live < 64) return undefined;
    const { codeBytes } = this.#chunks;
    // A buffer of its own: the runtime moves short arrays about without one, and a copy of a code would stay where nobody can wipe it.
    const codes = new Uint8Array(new ArrayBuffer(PROBES * codeBytes));
    const probes: Uint8Array[] = [];
    for (let i = 0; probes.length < PROBES; i++) {
      const lane = Math.floor((i * this.#lanes) / PROBES + i / PROBES) % this.#lanes;
      if (!this.#chunks.isLive(lane) && i < PROBES * 64) continue;
      const at = probes.length * codeBytes;
      this.#chunks.read(lane, codes, at);
      for (let j = i % 3; j < codeBytes; j += 3) codes[at + j]! ^= 1 << (i & 7);
      probes.push(codes.subarray(at, at + codeBytes));
    }
    try {
      this.#plan = this.#measured(multi, probes, nowMs);
    } finally {
      codes.fill(0);
    }
    if (this.#plan.via === 'scan') {
      multi.clear();
      this.#multi = undefined;
    }
    return this.#plan;
  }

  #measured(multi: MultiIndex, probes: readonly Uint8Array[], nowMs: () => number): SearchPlan {
    const median = (values: number[]) => values.sort((a, b) => a - b)[values.length >> 1]!;
    const cost = (work: (probe: Uint8Array) => number) => {
      const ns = (probe: Uint8Array) => {
        const from = nowMs();
        const units = work(probe);
        return (1e6 * (nowMs() - from)) / units;
      };
      // For the compilers: after one round a look-up is half as fast as it will be, after many the caches have all of them.
      for (let round = 0; round < 2; round++) probes.map(ns);
      return median(probes.map(ns));
    };
    const scanNsPerCode = cost((probe) => {
      this.#scan([probe], 1, this.codeBits, undefined);
      return this.#lanes;
    });
    const together = () => {
      const from = nowMs();
      this.#scan(probes, 1, this.codeBits, undefined);
      return (1e6 * (nowMs() - from)) / (PROBES * this.#lanes);
    };
    together();
    const togetherNsPerCode = together();
    const lookUpNs = cost((probe) => {
      const best = new Best(this.#chunks, 1, probe);
      const sizes = new Uint32Array(this.codeBits + 1);
      const radius = this.codeBits;
      return multi.search({ query: probe, k: 1, radius, filter: undefined, best, sizes, depth: 3 }).lookUps;
    });
    const costs = { scanNsPerCode, lookUpNs };
    // With no room for the first table and its bucket a search could only ever give up.
    const via = multi.worthwhile(costs) ? 'multi-index' : 'scan';
    return { via, substrings: multi.substrings, lanes: this.#lanes, costs, togetherNsPerCode };
  }

  range(query: Uint8Array, hammingRadius: number, options: SearchOptions = {}): Neighbour[] {
    this.#checkQuery(query);
    return this.#searchAll(query, UNLIMITED, { ...options, radius: hammingRadius })[0]!;
  }

  /** @throws LETHE-3410 */
  #checkRadius(radius: number): void {
    if (!Number.isInteger(radius) || radius < 0 || radius > this.codeBits) {
      throw HASHING.OPTION_INVALID(`the radius is not within 0..${this.codeBits}`);
    }
  }

  lanesHolding(code: Uint8Array): number[] {
    this.#checkQuery(code);
    const lanes: number[] = [];
    for (let lane = 0; lane < this.#chunks.capacity; lane++) {
      if (this.#chunks.distance(lane, code) === 0) lanes.push(lane);
    }
    return lanes;
  }

  memory(): readonly Uint8Array[] {
    return [this.#chunks.bytes, ...(this.#multi?.memory() ?? [])];
  }

  #scan(list: readonly Uint8Array[], k: number, limit: number, filter: LaneBits | undefined): Neighbour[][] {
    if (filter) this.#chunks.setFilter(filter, this.#lanes);
    const filtered = filter !== undefined;
    const found = this.#threads?.(list, k, limit, filtered) ?? this.#scanAlone(list, k, limit, filtered);
    return found.map((candidates) => this.#neighbours(candidates));
  }

  #scanAlone(list: readonly Uint8Array[], k: number, limit: number, filtered: boolean): Candidate[][] {
    const found: Candidate[][] = [];
    for (let from = 0; from < list.length; from += QUERIES_A_PASS) {
      const queries = list.slice(from, from + QUERIES_A_PASS);
      let chunk = 0;
      found.push(
        ...scanPass(this.#chunks, 0, { queries, k, limit, lanes: this.#lanes, filtered }, () => chunk++),
      );
    }
    return found;
  }

  /** @returns what was found, or, when the tables gave up, the distance within which it lies */
  #searchTables(
    multi: MultiIndex,
    query: Uint8Array,
    k: number,
    radius: number,
    filter: LaneBits | undefined,
    costs: SearchCosts | undefined,
  ): { readonly found?: Neighbour[]; readonly limit: number } {
    const chunks = this.#chunks;
    const best = new Best(chunks, k, query);
    const sizes = new Uint32Array(this.codeBits + 1);
    if (multi.covered < this.#lanes) {
      const slot = Chunks.slot(0, 0);
      const drain = () =>
        chunks.drain(slot, (lane) => {
          const distance = chunks.distance(lane, query);
          if (distance > radius) return;
          sizes[distance]!++;
          best.offer(lane, distance);
        });
      if (filter) chunks.setFilter(filter, this.#lanes);
      chunks.open(slot, query, k, radius);
      const first = Math.floor(multi.covered / CHUNK_LANES);
      for (let chunk = first; chunk * CHUNK_LANES < this.#lanes; chunk++) {
        const skipped = chunk === first ? multi.covered % CHUNK_LANES : 0;
        chunks.scan(slot, chunk, this.#lanes, filter !== undefined, drain, skipped);
      }
      drain();
      chunks.shut(slot);
    }
    const { complete, limit } = multi.search({ query, k, radius, filter, best, sizes, costs });
    return complete ? { found: this.#neighbours(best.take()), limit } : { limit };
  }

  /** @throws LETHE-3406 */
  #queriesOf(queries: Uint8Array): Uint8Array[] {
    const width = this.#chunks.codeBytes;
    if (queries.length % width !== 0) this.#checkQuery(queries);
    return Array.from({ length: queries.length / width }, (_, q) =>
      queries.subarray(q * width, (q + 1) * width),
    );
  }

  #neighbours(found: readonly Candidate[]): Neighbour[] {
    return found.map(({ lane, distance }) => ({ itemId: this.#idOf(lane).slice(), lane, distance }));
  }

  /** @throws LETHE-3406 */
  #checkQuery(code: Uint8Array): void {
    if (code.length === this.#chunks.codeBytes) return;
    throw HASHING.CODE_LENGTH_WRONG(`a code of this table has ${this.#chunks.codeBytes} bytes`, {
      details: { bytes: code.length },
    });
  }

  #idOf(lane: number): Uint8Array {
    const at = this.#chunks.idAt(lane);
    return this.#chunks.bytes.subarray(at, at + ITEM_ID_BYTES);
  }

  /** Where the probing for an id begins. */
  #home(ids: Uint8Array, at: number): number {
    let hash = HASH_KEY[0]!;
    for (let i = 0; i < ITEM_ID_BYTES; i += 4) {
      const word =
        ids[at + i]! | (ids[at + i + 1]! << 8) | (ids[at + i + 2]! << 16) | (ids[at + i + 3]! << 24);
      hash = Math.imul(hash ^ word ^ HASH_KEY[i >> 2]!, 0x9e37_79b1);
      hash ^= hash >>> 15;
    }
    return hash & (this.#slots.length - 1);
  }

  /** Puts new lanes into the table of ids; if one of the ids is there already, neither it nor the memory keeps any. @throws LETHE-3407 */
  #enter(first: number, itemIds: Uint8Array, count: number): void {
    const sorted = count < SORTED_FROM ? undefined : this.#byHome(itemIds, count);
    const rowOf = (i: number) => (sorted === undefined ? i : sorted[2 * i]!);
    for (let i = 0; i < count; i++) {
      const row = rowOf(i);
      const at = row * ITEM_ID_BYTES;
      const home = sorted === undefined ? this.#home(itemIds, at) : sorted[2 * i + 1]!;
      const slot = this.#slotFrom(home, itemIds, at);
      if (this.#slots[slot] !== 0) {
        for (let entered = i - 1; entered >= 0; entered--) this.#forget(first + rowOf(entered));
        for (let lane = first; lane < first + count; lane++) this.#chunks.wipe(lane);
        throw HASHING.ITEM_EXISTS('the item is in the table already');
      }
      this.#slots[slot] = first + row + 1;
    }
  }

  /**
   * Rows in an order in which those of one part of the slots follow each other, so that the part stays in the caches while they are
   * entered: row by row, ten million ids are as many waits for memory.
   * @returns [n, 2]: a row and the home of its id
   */
  #byHome(itemIds: Uint8Array, count: number): Uint32Array {
    const shift = Math.max(0, Math.log2(this.#slots.length / SLOT_PARTS));
    const ends = new Uint32Array(SLOT_PARTS + 1);
    for (let row = 0; row < count; row++) ends[(this.#home(itemIds, row * ITEM_ID_BYTES) >>> shift) + 1]!++;
    for (let part = 1; part <= SLOT_PARTS; part++) ends[part]! += ends[part - 1]!;
    const sorted = new Uint32Array(2 * count);
    for (let row = 0; row < count; row++) {
      const home = this.#home(itemIds, row * ITEM_ID_BYTES);
      const at = 2 * ends[home >>> shift]!++;
      sorted[at] = row;
      sorted[at + 1] = home;
    }
    return sorted;
  }

  /** Slot of the id, or the free one where it would stand. */
  #slotOf(ids: Uint8Array, at: number): number {
    return this.#slotFrom(this.#home(ids, at), ids, at);
  }

  #slotFrom(home: number, ids: Uint8Array, at: number): number {
    const bytes = this.#chunks.bytes;
    for (let slot = home; ; slot = (slot + 1) & (this.#slots.length - 1)) {
      const entry = this.#slots[slot]!;
      if (entry === 0) return slot;
      const own = this.#chunks.idAt(entry - 1);
      let i = 0;
      while (i < ITEM_ID_BYTES && bytes[own + i] === ids[at + i]) i++;
      if (i === ITEM_ID_BYTES) return slot;
    }
  }

  #find(itemId: Uint8Array): number {
    if (itemId.length !== ITEM_ID_BYTES) throw HASHING.SHAPE_MISMATCH('an item id has 16 bytes');
    return this.#slots[this.#slotOf(itemId, 0)]! - 1;
  }

  /** Takes a lane out of the table of ids, while its id still stands in memory. */
  #forget(lane: number): void {
    const bytes = this.#chunks.bytes;
    const mask = this.#slots.length - 1;
    let hole = this.#slotOf(bytes, this.#chunks.idAt(lane));
    for (let slot = (hole + 1) & mask; this.#slots[slot] !== 0; slot = (slot + 1) & mask) {
      const home = this.#home(bytes, this.#chunks.idAt(this.#slots[slot]! - 1));
      // An entry may move to the hole if its way from home leads over it.
      if (((slot - home) & mask) >= ((slot - hole) & mask)) {
        this.#slots[hole] = this.#slots[slot]!;
        hole = slot;
      }
    }
    this.#slots[hole] = 0;
  }

  #makeRoom(items: number): void {
    if (2 * items <= this.#slots.length) return;
    const old = this.#slots;
    this.#slots = new Uint32Array(2 ** Math.ceil(Math.log2(2 * items)));
    for (const entry of old) {
      if (entry === 0) continue;
      this.#slots[this.#slotOf(this.#chunks.bytes, this.#chunks.idAt(entry - 1))] = entry;
    }
    old.fill(0);
  }
}
