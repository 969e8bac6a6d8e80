/**
 * Exact multi-index hashing (Norouzi, Punjani, Fleet 2012 and 2014, "Fast Exact Search in Hamming Space with Multi-Index Hashing"): m tables,
 * each on its own substring of the codes. A code within distance m * r + j of the query has a substring within r in one of the tables
 * 0..j, or within r - 1 in one of the others; so after looking up radius 0, 1, … r in tables 0..j everything up to that distance has
 * been seen, and the search ends when k codes are that near.
 *
 * A table is two arrays: where each bucket begins, and the lanes in order of (bucket, lane). Erasing closes the gap in both, so that the
 * arrays are those of an index that never had the item: a gravestone in each of m tables would tell all bits of the erased code.
 * Differs from the paper: arrays without hashing of sparse keys, substrings of at most 24 bits; ties are complete, so that they can be
 * decided by item id.
 */
import type { Best } from './best.ts';
import type { Chunks } from './chunks.ts';
import type { LaneBits } from './types.ts';

interface Table {
  readonly from: number;
  readonly bits: number;
  /** [2^bits + 1]: bucket b is `lanes[starts[b] .. starts[b + 1]]`. */
  readonly starts: Uint32Array;
  readonly lanes: Uint32Array;
}

/** What parts of a search cost, in nanoseconds on this machine and these data. */
export interface SearchCosts {
  readonly scanNsPerCode: number;
  /** A bucket looked into, or a code compared. */
  readonly lookUpNs: number;
}

/** Share of a scan's time that may be spent before it is known that the tables will be faster. */
const PROBATION = 0.03;

export class MultiIndex {
  readonly #chunks: Chunks;
  readonly #tables: readonly Table[];
  /** Lanes 0..covered are in the tables; a multiple of 64. */
  readonly covered: number;
  readonly #seen: Uint32Array;

  /** @param substrings number of tables; without it about K / log2(n) as in the paper */
  constructor(chunks: Chunks, lanes: number, substrings?: number) {
    this.#chunks = chunks;
    this.covered = lanes - (lanes % 64);
    this.#seen = new Uint32Array(this.covered / 32);
    const codeBits = 8 * chunks.codeBytes;
    const ideal = Math.min(24, Math.max(4, Math.log2(Math.max(this.covered, 2))));
    const m = Math.max(substrings ?? Math.round(codeBits / ideal), Math.ceil(codeBits / 24));
    this.#tables = Array.from({ length: m }, (_, j) => {
      const from = Math.floor((j * codeBits) / m);
      return this.#build(from, Math.floor(((j + 1) * codeBits) / m) - from);
    });
  }

  /** Items in the tables. */
  get live(): number {
    return this.#tables[0]!.starts.at(-1)!;
  }

  /** Whether a search that ends at once would stay within its probation. */
  worthwhile(costs: SearchCosts): boolean {
    const ns = this.#tables.reduce((sum, _, step) => sum + this.#lookUps(step) * costs.lookUpNs, 0);
    return ns < PROBATION * this.covered * costs.scanNsPerCode;
  }

  /** Expected look-ups of a step: step m * r + j looks up radius r in table j. */
  #lookUps(step: number): number {
    const { bits } = this.#tables[step % this.#tables.length]!;
    return choose(bits, Math.floor(step / this.#tables.length)) * (1 + this.live / 2 ** bits);
  }

  get substrings(): number {
    return this.#tables.length;
  }

  /** Memory that tells something about codes. */
  memory(): Uint8Array[] {
    const arrays = this.#tables.flatMap(({ starts, lanes }) => [starts, lanes]);
    return arrays.map(({ buffer }) => new Uint8Array(buffer));
  }

  /** Overwrites everything. */
  clear(): void {
    for (const memory of this.memory()) memory.fill(0);
  }

  #key(lane: number, from: number, bits: number): number {
    const { bytes } = this.#chunks;
    const at = this.#chunks.codeAt(lane) + 16 * (from >> 3);
    const last = (from + bits - 1) >> 3;
    let word = 0;
    for (let byte = from >> 3, i = 0; byte <= last; byte++, i++) word |= bytes[at + 16 * i]! << (8 * i);
    return (word >>> (from & 7)) & ((1 << bits) - 1);
  }

  #build(from: number, bits: number): Table {
    const starts = new Uint32Array(2 ** bits + 1);
    const keys = new Uint32Array(this.covered);
    let live = 0;
    for (let lane = 0; lane < this.covered; lane++) {
      if (!this.#chunks.isLive(lane)) continue;
      keys[lane] = this.#key(lane, from, bits);
      starts[keys[lane]! + 1]!++;
      live++;
    }
    for (let b = 1; b < starts.length; b++) starts[b]! += starts[b - 1]!;
    const lanes = new Uint32Array(live);
    // Filling moves each start to its bucket's end, which is the next one's start.
    for (let lane = 0; lane < this.covered; lane++) {
      if (this.#chunks.isLive(lane)) lanes[starts[keys[lane]!]!++] = lane;
    }
    starts.copyWithin(1, 0, starts.length - 1);
    starts[0] = 0;
    keys.fill(0);
    return { from, bits, starts, lanes };
  }

  /** Takes lanes out whose codes still stand in the table of codes. */
  erase(erased: readonly number[]): void {
    const gone = erased.filter((lane) => lane < this.covered);
    if (gone.length === 0) return;
    for (const { from, bits, starts, lanes } of this.#tables) {
      const places = gone
        .map((lane) => {
          const key = this.#key(lane, from, bits);
          return { key, at: lanes.indexOf(lane, starts[key]!) };
        })
        .sort((a, b) => a.at - b.at);
      const end = starts.at(-1)!;
      for (const [i, { key, at }] of places.entries()) {
        lanes.copyWithin(at - i, at + 1, places[i + 1]?.at ?? end);
        const until = places[i + 1]?.key ?? starts.length - 1;
        for (let b = key + 1; b <= until; b++) starts[b]! -= i + 1;
      }
      lanes.fill(0, end - places.length);
    }
  }

  /**
   * Offers all covered codes up to the k-th distance to `best`, which may hold others already.
   * @param sizes codes offered before, by distance; counted on here
   * @param options.costs when given, the search gives up as soon as a scan is likely to be faster  @param options.depth radius up to
   * which all tables are looked up in any case
   * @returns whether it went to the end (if not, `best` has some of the codes), and the buckets and codes looked at
   */
  search(
    query: Uint8Array,
    k: number,
    filter: LaneBits | undefined,
    best: Best,
    sizes: Uint32Array,
    options: { readonly costs?: SearchCosts | undefined; readonly depth?: number } = {},
  ): { readonly complete: boolean; readonly lookUps: number } {
    const { costs, depth = 0 } = options;
    const chunks = this.#chunks;
    const seen = this.#seen;
    const touched: number[] = [];
    const m = this.#tables.length;
    const codeBits = sizes.length - 1;
    const keys = this.#tables.map(({ from, bits }) => {
      let word = 0;
      for (let byte = from >> 3, i = 0; byte <= (from + bits - 1) >> 3; byte++, i++) {
        word |= query[byte]! << (8 * i);
      }
      return (word >>> (from & 7)) & ((1 << bits) - 1);
    });
    /** The k-th distance so far, or K. */
    const kth = () => {
      let distance = 0;
      for (let sum = sizes[0]!; sum < k && distance < codeBits; ) sum += sizes[++distance]!;
      return distance;
    };
    const visit = ({ starts, lanes }: Table, key: number) => {
      buckets++;
      compared += starts[key + 1]! - starts[key]!;
      for (let at = starts[key]!, end = starts[key + 1]!; at < end; at++) {
        const lane = lanes[at]!;
        const bit = 1 << (lane & 31);
        if ((seen[lane >>> 5]! & bit) !== 0) continue;
        seen[lane >>> 5]! |= bit;
        touched.push(lane);
        if (filter && ((filter[lane >>> 3] ?? 0) & (1 << (lane & 7))) === 0) continue;
        const distance = chunks.distance(lane, query);
        if (distance > limit) continue;
        sizes[distance]!++;
        best.offer(lane, distance);
      }
    };
    const stepNs = (step: number) => (costs ? this.#lookUps(step) * costs.lookUpNs : 0);
    const scanNs = costs ? this.covered * costs.scanNsPerCode : Number.POSITIVE_INFINITY;
    let limit = kth();
    let spent = 0;
    let complete = false;
    let buckets = 0;
    let compared = 0;
    for (let step = 0; ; step++) {
      const table = this.#tables[step % m]!;
      const radius = Math.floor(step / m);
      spent += stepNs(step);
      if (spent > PROBATION * scanNs) {
        // The search ends at the latest when its radius reaches the k-th distance known now.
        let whole = spent;
        for (let later = step + 1; later <= limit && whole <= scanNs; later++) whole += stepNs(later);
        if (whole > 0.9 * scanNs) break;
      }
      if (radius <= table.bits) eachNear(keys[step % m]!, table.bits, radius, (key) => visit(table, key));
      limit = kth();
      if ((step >= limit || touched.length === this.live) && step >= depth * m) {
        complete = true;
        break;
      }
    }
    for (const lane of touched) seen[lane >>> 5] = 0;
    return { complete, lookUps: buckets + compared };
  }
}

function choose(n: number, r: number): number {
  let value = 1;
  for (let i = 0; i < r; i++) value = (value * (n - i)) / (i + 1);
  return value;
}

/** All keys that differ from `key` in exactly `radius` of `bits` bits (Gosper's walk over the masks). */
function eachNear(key: number, bits: number, radius: number, take: (key: number) => void): void {
  if (radius === 0) take(key);
  const end = radius === 0 ? 0 : 2 ** bits;
  for (let mask = 2 ** radius - 1; mask < end; ) {
    take(key ^ mask);
    const low = mask & -mask;
    const ripple = mask + low;
    mask = ripple | (((mask ^ ripple) >>> 2) / low);
  }
}
