/**
 * Exact multi-index hashing (Norouzi, Punjani, Fleet 2012 and 2014, "Fast Exact Search in Hamming Space with Multi-Index Hashing"): m tables,
 * each on its own substring of the codes. A code within distance m * r + j of the query has a substring within r in one of the tables
 * 0..j, or within r - 1 in one of the others; so after looking up radius 0, 1, … r in tables 0..j everything up to that distance has
 * been seen, and the search ends when k codes are that near. Looking up radius r in table j is step m * r + j.
 *
 * A table is two arrays: where each bucket begins, and the entries in order of (bucket, lane). Erasing closes the gap in both, so that the
 * arrays are those of an index that never had the item: a gravestone in each of m tables would tell all bits of the erased code.
 *
 * Differs from the paper: arrays without hashing of sparse keys, substrings of at most 24 bits; ties are complete, so that they can be
 * decided by item id; beside each lane stand up to 32 further bits of its code, which turn most codes away without a look at them, for on
 * tables larger than the caches every look is a wait for memory; and a search that is going to be slower than a scan gives up early.
 */
import { popcount32 } from '../hamming.ts';
import type { Best } from './best.ts';
import type { Chunks } from './chunks.ts';
import type { LaneBits } from './types.ts';

interface Table {
  readonly from: number;
  readonly bits: number;
  /** Up to four bytes of a code that have no bit in the substring: the signature. */
  readonly signed: readonly number[];
  /** [2^bits + 1]: bucket b is entries `starts[b] .. starts[b + 1]`. */
  readonly starts: Uint32Array;
  /** [items + 1, 2]: a lane and the signature of its code. The last one is none, so that the end of the last bucket can be read. */
  readonly entries: Uint32Array;
}

/** What parts of a search cost, in nanoseconds on this machine and these data. */
export interface SearchCosts {
  readonly scanNsPerCode: number;
  /** A bucket looked into, with whatever codes it leads to. */
  readonly lookUpNs: number;
}

/** Share of a scan's time that is spent without asking whether the tables will be faster: what is seen by then tells it. */
const PROBATION = 0.03;
/** Buckets whose beginnings are read before the first of them is used: the waits for memory then run side by side. */
const LOOKED_AT_ONCE = 64;

/** A table is built in 2^9 parts: of 10 M codes, 160 KB each. */
const PART_BITS = 9;

export interface TablesSearch {
  readonly query: Uint8Array;
  readonly k: number;
  /** Largest distance of interest. */
  readonly radius: number;
  readonly filter: LaneBits | undefined;
  /** Takes the codes found; may hold others already. */
  readonly best: Best;
  /** [K + 1] codes offered before, by distance; counted on here. */
  readonly sizes: Uint32Array;
  /** When given, the search gives up as soon as a scan is likely to be faster. */
  readonly costs?: SearchCosts | undefined;
  /** Radius up to which all tables are looked up in any case. */
  readonly depth?: number;
}

export class MultiIndex {
  readonly #chunks: Chunks;
  readonly #tables: readonly Table[];
  /** Lanes 0..covered are in the tables; a multiple of 64. */
  readonly covered: number;
  readonly #seen: Uint32Array;
  /** Four times as many words, one search's for a moment: they tell what was sought, and near whom. */
  readonly #ahead = new Uint32Array(4 * LOOKED_AT_ONCE);
  readonly #keys = this.#ahead.subarray(0, LOOKED_AT_ONCE);
  readonly #begins = this.#ahead.subarray(LOOKED_AT_ONCE, 2 * LOOKED_AT_ONCE);
  readonly #ends = this.#ahead.subarray(2 * LOOKED_AT_ONCE, 3 * LOOKED_AT_ONCE);
  /** First words of the buckets: written down only so that reading them ahead is not optimised away. */
  readonly #firsts = this.#ahead.subarray(3 * LOOKED_AT_ONCE);
  /** By step: see `#seenShare`. */
  readonly #shares: Float64Array[] = [];

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
    return this.#tables.length * costs.lookUpNs < PROBATION * this.covered * costs.scanNsPerCode;
  }

  get substrings(): number {
    return this.#tables.length;
  }

  /** Memory that tells something about codes or queries; of queries between searches nothing but zeros. */
  memory(): Uint8Array[] {
    const arrays = this.#tables.flatMap(({ starts, entries }) => [starts, entries]);
    return [...arrays, this.#seen, this.#ahead].map(({ buffer }) => new Uint8Array(buffer));
  }

  /** Overwrites everything. */
  clear(): void {
    for (const memory of this.memory()) memory.fill(0);
  }

  #keyOf(lane: number, from: number, bits: number): number {
    const { bytes } = this.#chunks;
    const at = this.#chunks.codeAt(lane) + 16 * (from >> 3);
    const last = (from + bits - 1) >> 3;
    let word = 0;
    for (let byte = from >> 3, i = 0; byte <= last; byte++, i++) word |= bytes[at + 16 * i]! << (8 * i);
    return (word >>> (from & 7)) & ((1 << bits) - 1);
  }

  #signatureOf(lane: number, signed: readonly number[]): number {
    const { bytes } = this.#chunks;
    const at = this.#chunks.codeAt(lane);
    let word = 0;
    for (let i = 0; i < signed.length; i++) word |= bytes[at + 16 * signed[i]!]! << (8 * i);
    return word;
  }

  #build(from: number, bits: number): Table {
    const { codeBytes } = this.#chunks;
    const after = ((from + bits - 1) >> 3) + 1;
    const outside = codeBytes - (after - (from >> 3));
    const signed = Array.from({ length: Math.min(4, outside) }, (_, i) => (after + i) % codeBytes);
    // First by part of the buckets, so that a part stays in the caches while it is filled: [n, 3] key, lane, signature.
    const shift = Math.max(0, bits - PART_BITS);
    const ends = new Uint32Array(2 ** (bits - shift) + 1);
    for (let lane = 0; lane < this.covered; lane++) {
      if (this.#chunks.isLive(lane)) ends[(this.#keyOf(lane, from, bits) >>> shift) + 1]!++;
    }
    sumUp(ends);
    const live = ends.at(-1)!;
    const sorted = new Uint32Array(3 * live);
    for (let lane = 0; lane < this.covered; lane++) {
      if (!this.#chunks.isLive(lane)) continue;
      const key = this.#keyOf(lane, from, bits);
      const at = 3 * ends[key >>> shift]!++;
      sorted[at] = key;
      sorted[at + 1] = lane;
      sorted[at + 2] = this.#signatureOf(lane, signed);
    }
    const starts = new Uint32Array(2 ** bits + 1);
    for (let at = 0; at < sorted.length; at += 3) starts[sorted[at]! + 1]!++;
    sumUp(starts);
    const entries = new Uint32Array(2 * live + 2);
    // Filling moves each start to its bucket's end, which is the next one's start.
    for (let at = 0; at < sorted.length; at += 3) {
      const to = 2 * starts[sorted[at]!]!++;
      entries[to] = sorted[at + 1]!;
      entries[to + 1] = sorted[at + 2]!;
    }
    starts.copyWithin(1, 0, starts.length - 1);
    starts[0] = 0;
    sorted.fill(0);
    return { from, bits, signed, starts, entries };
  }

  /** Where lanes stand or belong in a table, in its order. Their codes stand in the table of codes. */
  #placesOf({ from, bits, starts, entries }: Table, lanes: readonly number[]) {
    const keyed = lanes.map((lane) => ({ lane, key: this.#keyOf(lane, from, bits) }));
    return keyed
      .sort((a, b) => a.key - b.key || a.lane - b.lane)
      .map(({ lane, key }) => {
        let at = starts[key]!;
        for (let end = starts[key + 1]!; at < end; ) {
          const middle = (at + end) >>> 1;
          if (entries[2 * middle]! < lane) at = middle + 1;
          else end = middle;
        }
        return { lane, key, at };
      });
  }

  /** Takes lanes out whose codes still stand in the table of codes. */
  erase(erased: readonly number[]): void {
    const gone = erased.filter((lane) => lane < this.covered);
    if (gone.length === 0) return;
    for (const table of this.#tables) {
      const { starts, entries } = table;
      const places = this.#placesOf(table, gone);
      const end = starts.at(-1)!;
      for (const [i, { at }] of places.entries()) {
        entries.copyWithin(2 * (at - i), 2 * (at + 1), 2 * (places[i + 1]?.at ?? end));
      }
      entries.fill(0, 2 * (end - places.length));
      moveStarts(starts, places, -1);
    }
  }

  /** Puts lanes back that `erase` has taken out, under the codes that they have now. */
  restore(lanes: readonly number[]): void {
    const back = lanes.filter((lane) => lane < this.covered);
    if (back.length === 0) return;
    for (const table of this.#tables) {
      const { signed, starts, entries } = table;
      const places = this.#placesOf(table, back);
      let end = starts.at(-1)!;
      for (let i = places.length - 1; i >= 0; i--) {
        const { lane, at } = places[i]!;
        entries.copyWithin(2 * (at + i + 1), 2 * at, 2 * end);
        entries[2 * (at + i)] = lane;
        entries[2 * (at + i) + 1] = this.#signatureOf(lane, signed);
        end = at;
      }
      moveStarts(starts, places, 1);
    }
  }

  /**
   * Offers all covered codes up to the k-th distance, and within the radius, to `best`.
   * @returns whether it went to the end (if not, `best` has some of the codes), a distance within which all that is sought lies, and the
   * number of buckets looked into
   */
  search(sought: TablesSearch): {
    readonly complete: boolean;
    readonly limit: number;
    readonly lookUps: number;
  } {
    const { query, k, radius: widest, filter, best, sizes, costs, depth = 0 } = sought;
    const chunks = this.#chunks;
    const seen = this.#seen;
    const keys = this.#keys;
    const touched: number[] = [];
    const before = sizes.slice();
    const m = this.#tables.length;
    const substrings = this.#tables.map(({ from, bits }) => substring(query, from, bits));
    const signatures = this.#tables.map(({ signed }) =>
      signed.reduce((word, byte, i) => word | (query[byte]! << (8 * i)), 0),
    );
    const take = (lane: number): void => {
      const bit = 1 << (lane & 31);
      if ((seen[lane >>> 5]! & bit) !== 0) return;
      seen[lane >>> 5]! |= bit;
      touched.push(lane);
      if (filter && ((filter[lane >>> 3] ?? 0) & (1 << (lane & 7))) === 0) return;
      const distance = chunks.distance(lane, query);
      if (distance > limit) return;
      sizes[distance]!++;
      best.offer(lane, distance);
    };
    const scanNs = costs ? this.covered * costs.scanNsPerCode : Number.POSITIVE_INFINITY;
    const stepNs = (step: number) => (costs ? this.#buckets(step) * costs.lookUpNs : 0);
    let limit = within(sizes, k, widest);
    let spent = 0;
    let complete = false;
    let lookUps = 0;
    for (let step = 0; ; step++) {
      spent += stepNs(step);
      if (spent > PROBATION * scanNs) {
        const end = this.#likelyEnd(step - 1, k, limit, sizes, before);
        let rest = 0;
        for (let later = step; later <= end && rest <= scanNs; later++) rest += stepNs(later);
        if (rest > scanNs) break;
      }
      const t = step % m;
      const table = this.#tables[t]!;
      const radius = Math.floor(step / m);
      if (radius <= table.bits) {
        let count = 0;
        lookUps += eachNear(substrings[t]!, table.bits, radius, (key) => {
          keys[count++] = key;
          if (count < LOOKED_AT_ONCE) return;
          this.#lookInto(table, count, signatures[t]!, limit - radius, take);
          count = 0;
        });
        this.#lookInto(table, count, signatures[t]!, limit - radius, take);
      }
      limit = within(sizes, k, widest);
      if ((step >= limit || touched.length === this.live) && step >= depth * m) {
        complete = true;
        break;
      }
    }
    for (const lane of touched) seen[lane >>> 5] = 0;
    this.#ahead.fill(0);
    return { complete, limit, lookUps };
  }

  /** Goes through the buckets of the first `count` of `#keys`. @param bound of the signature's differing bits */
  #lookInto(
    { starts, entries }: Table,
    count: number,
    signature: number,
    bound: number,
    take: (lane: number) => void,
  ): void {
    const [keys, begins, ends, firsts] = [this.#keys, this.#begins, this.#ends, this.#firsts];
    for (let i = 0; i < count; i++) {
      begins[i] = starts[keys[i]!]!;
      ends[i] = starts[keys[i]! + 1]!;
    }
    for (let i = 0; i < count; i++) firsts[i] = entries[2 * begins[i]!]!;
    for (let i = 0; i < count; i++) {
      for (let at = 2 * begins[i]!, end = 2 * ends[i]!; at < end; at += 2) {
        if (popcount32(entries[at + 1]! ^ signature) <= bound) take(entries[at]!);
      }
    }
  }

  #buckets(step: number): number {
    const m = this.#tables.length;
    return choose(this.#tables[step % m]!.bits, Math.floor(step / m));
  }

  /**
   * The step after which the search is likely to end, from what it has seen: of the codes at a distance a known share has been met by now,
   * if differing bits lie anywhere; so those met stand for so many more (Horvitz and Thompson 1952).
   */
  #likelyEnd(step: number, k: number, limit: number, sizes: Uint32Array, before: Uint32Array): number {
    const shares = this.#seenShare(step);
    let expected = 0;
    for (let distance = 0; distance < limit; distance++) {
      const here = sizes[distance]! - before[distance]!;
      expected += before[distance]! + (here === 0 ? 0 : here / shares[distance]!);
      if (expected >= k) return distance;
    }
    return limit;
  }

  /** By distance: the probability that a code with that many differing bits, anywhere, has been met when the step is done. */
  #seenShare(step: number): Float64Array {
    const known = this.#shares[step];
    if (known) return known;
    const m = this.#tables.length;
    // Ways to choose differing bits such that no table has met them.
    let unmet = [1];
    for (const [j, { bits }] of this.#tables.entries()) {
      const radius = Math.floor((step - j) / m);
      const next: number[] = Array(unmet.length + bits).fill(0);
      for (const [have, ways] of unmet.entries()) {
        for (let more = Math.max(0, radius + 1); more <= bits; more++) {
          next[have + more]! += ways * choose(bits, more);
        }
      }
      unmet = next;
    }
    const codeBits = 8 * this.#chunks.codeBytes;
    const shares = Float64Array.from(unmet, (ways, distance) => 1 - ways / choose(codeBits, distance));
    this.#shares[step] = shares;
    return shares;
  }
}

/** The k-th distance so far, or the widest. */
function within(sizes: Uint32Array, k: number, widest: number): number {
  let distance = 0;
  for (let sum = sizes[0]!; sum < k && distance < widest; ) sum += sizes[++distance]!;
  return distance;
}

function substring(query: Uint8Array, from: number, bits: number): number {
  let word = 0;
  for (let byte = from >> 3, i = 0; byte <= (from + bits - 1) >> 3; byte++, i++)
    word |= query[byte]! << (8 * i);
  return (word >>> (from & 7)) & ((1 << bits) - 1);
}

/** Counts at 1, 2, … become sums of all up to them. */
function sumUp(counts: Uint32Array): void {
  for (let i = 1; i < counts.length; i++) counts[i]! += counts[i - 1]!;
}

/** Moves the starts behind each place by the number of places up to it. @param places by key  @param by 1 or -1 */
function moveStarts(starts: Uint32Array, places: readonly { readonly key: number }[], by: number): void {
  for (const [i, { key }] of places.entries()) {
    const until = places[i + 1]?.key ?? starts.length - 1;
    for (let b = key + 1; b <= until; b++) starts[b]! += by * (i + 1);
  }
}

function choose(n: number, r: number): number {
  let value = 1;
  for (let i = 0; i < r; i++) value = (value * (n - i)) / (i + 1);
  return value;
}

/** All keys that differ from `key` in exactly `radius` of `bits` bits (Gosper's walk over the masks). @returns how many */
function eachNear(key: number, bits: number, radius: number, take: (key: number) => void): number {
  if (radius === 0) take(key);
  let count = radius === 0 ? 1 : 0;
  const end = radius === 0 ? 0 : 2 ** bits;
  for (let mask = 2 ** radius - 1; mask < end; count++) {
    take(key ^ mask);
    const low = mask & -mask;
    const ripple = mask + low;
    mask = ripple | (((mask ^ ripple) >>> 2) / low);
  }
  return count;
}
