/** Retrieval quality by Hamming distance, independent of how ties are broken. */
import { HASHING } from './errors.ts';
import { distance } from './hamming.ts';

/**
 * Average precision in expectation over all orders of the items within each distance. A group of n items with r relevant ones
 * that follows N items with R relevant ones adds
 *
 *     sum over t = 1..n of (r / n) * (R + 1 + (t - 1)(r - 1) / (n - 1)) / (N + t)
 *
 * (McSherry and Najork 2008, for rankings with ties). One arbitrary order is no reproducible number: on a small example single
 * orders ranged from 0.30 to 0.43 around an expectation of 0.34.
 * @param sizes items at distance 0, 1, …  @param relevant relevant ones among them  @returns NaN if nothing is relevant
 */
export function expectedAveragePrecision(sizes: ArrayLike<number>, relevant: ArrayLike<number>): number {
  let seen = 0;
  let hits = 0;
  let sum = 0;
  for (let d = 0; d < sizes.length; d++) {
    const n = sizes[d]!;
    const r = relevant[d]!;
    if (r > 0) {
      const slope = n > 1 ? (r - 1) / (n - 1) : 0;
      for (let t = 1; t <= n; t++) sum += ((r / n) * (hits + 1 + (t - 1) * slope)) / (seen + t);
    }
    seen += n;
    hits += r;
  }
  return sum / hits;
}

/** Codes with one label each. */
export interface LabelledCodes {
  /** [n, K / 8]. */
  readonly codes: Uint8Array;
  /** [n]. */
  readonly labels: Int32Array;
}

/**
 * Tie-aware AP@all of every query; an item is relevant if it has the query's label.
 * @returns [queries], NaN for a query whose label no item has  @throws LETHE-3403
 */
export function averagePrecisions(
  queries: LabelledCodes,
  items: LabelledCodes,
  codeBits: number,
): Float64Array {
  const bytes = codeBits / 8;
  for (const { codes, labels } of [queries, items]) {
    if (codes.length !== labels.length * bytes)
      throw HASHING.SHAPE_MISMATCH('codes and labels differ in number');
  }
  return Float64Array.from(queries.labels, (label, q) => {
    const sizes = new Uint32Array(codeBits + 1);
    const relevant = new Uint32Array(codeBits + 1);
    for (let i = 0; i < items.labels.length; i++) {
      const d = distance(queries.codes, q * bytes, items.codes, i * bytes, bytes);
      sizes[d]!++;
      if (items.labels[i] === label) relevant[d]!++;
    }
    return expectedAveragePrecision(sizes, relevant);
  });
}

/** Mean of the APs of the queries whose label is in `classes` (all if absent); queries without any relevant item do not count. */
export function meanAveragePrecision(
  precisions: Float64Array,
  labels: Int32Array,
  classes?: readonly number[],
): number {
  const counted = precisions.filter((ap, q) => !Number.isNaN(ap) && (classes?.includes(labels[q]!) ?? true));
  return counted.reduce((sum, ap) => sum + ap, 0) / counted.length;
}
