/** Quality of rankings by Hamming distance when items have several labels, whatever the order within a distance. */
import { HASHING } from '../errors.ts';
import { expectedAveragePrecision } from '../metrics.ts';

/** Codes of items with one or more labels. */
export interface CodeSet {
  /** [n, codeBits / 8]. */
  readonly codes: Uint8Array;
  readonly labels: readonly (readonly number[])[];
}

/** Queries that meet each item by a code made for the version that stored it (`query-codes.ts`). */
export interface CodesByVersion {
  /** Codes of all queries, [n, codeBits / 8], by version. */
  readonly codes: readonly Uint8Array[];
  /** Of each item: which of `codes`. */
  readonly versions: Uint8Array;
}

export interface RankingQuality {
  /** Tie-aware AP over all items by query; one shared label makes an item relevant. NaN if none is. */
  readonly averagePrecision: Float64Array;
  /** Tie-aware nDCG over all items by query; gain = number of shared labels, discount 1 / log2(1 + rank). NaN if no gain. */
  readonly gain: Float64Array;
}

const keyOf = (labels: readonly number[]): string => [...new Set(labels)].sort((a, b) => a - b).join();

function popcount32(word: number): number {
  const pairs = word - ((word >>> 1) & 0x55555555);
  const nibbles = (pairs & 0x33333333) + ((pairs >>> 2) & 0x33333333);
  return Math.imul((nibbles + (nibbles >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

/** Codes as 32-bit words, the last one filled with zeros. */
function wordsOf(codes: Uint8Array, codeBytes: number): { words: Uint32Array; width: number } {
  const width = Math.ceil(codeBytes / 4);
  const padded = new Uint8Array((codes.length / codeBytes) * width * 4);
  for (let i = 0; i * codeBytes < codes.length; i++) {
    padded.set(codes.subarray(i * codeBytes, (i + 1) * codeBytes), i * width * 4);
  }
  return { words: new Uint32Array(padded.buffer), width };
}

/** Sum of 1 / log2(1 + rank) over ranks 1..r, at index r. */
function discountSums(count: number): Float64Array {
  const sums = new Float64Array(count + 1);
  for (let rank = 1; rank <= count; rank++) sums[rank] = sums[rank - 1]! + 1 / Math.log2(1 + rank);
  return sums;
}

/** @param byVersion instead of the codes of `queries`  @throws LETHE-3403 codes and labels differ in number */
export function rankingQuality(
  queries: CodeSet,
  items: CodeSet,
  codeBits: number,
  byVersion?: CodesByVersion,
): RankingQuality {
  const codeBytes = codeBits / 8;
  for (const { codes, labels } of [queries, items]) {
    if (codes.length !== labels.length * codeBytes) {
      throw HASHING.SHAPE_MISMATCH('codes and labels differ in number');
    }
  }
  if (
    byVersion &&
    (byVersion.versions.length !== items.labels.length ||
      byVersion.versions.some((version) => version >= byVersion.codes.length) ||
      byVersion.codes.some((codes) => codes.length !== queries.codes.length))
  ) {
    throw HASHING.SHAPE_MISMATCH('the codes by version are not those of these queries and items');
  }
  const n = items.labels.length;
  const asked = (byVersion?.codes ?? [queries.codes]).map((codes) => wordsOf(codes, codeBytes).words);
  const versions = byVersion?.versions ?? new Uint8Array(n);
  const x = wordsOf(items.codes, codeBytes);
  const discounts = discountSums(n);
  const averagePrecision = new Float64Array(queries.labels.length);
  const gain = new Float64Array(queries.labels.length);
  const byLabels = Map.groupBy(queries.labels.keys(), (at) => keyOf(queries.labels[at]!));
  for (const members of byLabels.values()) {
    const wanted = new Set(queries.labels[members[0]!]);
    const shared = Uint8Array.from(
      items.labels,
      (labels) => new Set(labels.filter((c) => wanted.has(c))).size,
    );
    const tally = new Uint32Array(wanted.size + 1);
    for (const count of shared) tally[count]!++;
    let ideal = 0;
    let rank = 0;
    for (let count = wanted.size; count > 0; count--) {
      ideal += count * (discounts[rank + tally[count]!]! - discounts[rank]!);
      rank += tally[count]!;
    }
    for (const at of members) {
      const sizes = new Uint32Array(codeBits + 1);
      const relevant = new Uint32Array(codeBits + 1);
      const gains = new Float64Array(codeBits + 1);
      for (let i = 0; i < n; i++) {
        const q = asked[versions[i]!]!;
        let d = 0;
        for (let w = 0; w < x.width; w++) d += popcount32(q[at * x.width + w]! ^ x.words[i * x.width + w]!);
        sizes[d]!++;
        if (shared[i]! > 0) {
          relevant[d]!++;
          gains[d]! += shared[i]!;
        }
      }
      averagePrecision[at] = expectedAveragePrecision(sizes, relevant);
      let seen = 0;
      let sum = 0;
      for (let d = 0; d <= codeBits; d++) {
        const size = sizes[d]!;
        if (size > 0) sum += (gains[d]! / size) * (discounts[seen + size]! - discounts[seen]!);
        seen += size;
      }
      gain[at] = sum / ideal;
    }
  }
  return { averagePrecision, gain };
}

/** Mean of the values that are numbers, of those at `at` if given. */
export function meanOf(values: Float64Array, at?: readonly number[]): number {
  const counted = (at ? at.map((i) => values[i]!) : [...values]).filter((value) => !Number.isNaN(value));
  return counted.reduce((sum, value) => sum + value, 0) / counted.length;
}
