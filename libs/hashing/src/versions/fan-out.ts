/**
 * Search over codes of several live versions: each version encodes the query, searches its own codes, and the lists meet on one scale.
 *
 * Distances of two versions are not comparable: a version whose unrelated items lie at 20 of 64 bits says less by 18 than one whose unrelated items lie at 32. What is
 * comparable is how rarely an unrelated item comes so near: the tail of the version's null distances,
 *
 *     p(d) = (c_0 + … + c_d + (d + 1) / (K + 1)) / (N + 1)        c: counts of N unrelated (query, item) pairs by distance
 *
 * the empirical tail with one pseudo-count spread evenly over the K + 1 distances. It rises strictly with d, so within one version the order stays the order of distances,
 * and p(K) = 1. Resolution: what lies below the smallest null distance seen is told apart by distance alone, at p < 1 / (N + 1); pairs share
 * queries and items, so they are not N independent ones, and p is a common scale for merging, not a significance level of an answer.
 */
import { compareBytes, hex } from '@lethe/std';
import { HASHING } from '../errors.ts';
import { distance } from '../hamming.ts';
import type { LabelledCodes } from '../metrics.ts';

/** Distances between queries and unrelated items of one version. */
export interface NullDistances {
  /** [K + 1]: pairs at each distance, integers. */
  readonly counts: Float64Array;
  /** N, their sum. */
  readonly pairs: number;
}

/** Every pair of a probe query and a gallery item with another label. @throws LETHE-3442 no pair is unrelated */
export function nullDistances(
  queries: LabelledCodes,
  gallery: LabelledCodes,
  codeBits: number,
): NullDistances {
  const bytes = codeBits / 8;
  const counts = new Float64Array(codeBits + 1);
  let pairs = 0;
  for (let q = 0; q < queries.labels.length; q++) {
    for (let i = 0; i < gallery.labels.length; i++) {
      if (queries.labels[q] === gallery.labels[i]) continue;
      counts[distance(queries.codes, q * bytes, gallery.codes, i * bytes, bytes)]!++;
      pairs++;
    }
  }
  if (pairs === 0) throw HASHING.FAN_OUT_INVALID('no probe query has an unrelated item');
  return { counts, pairs };
}

/** p(d) for d = 0..K, strictly rising to 1. One correctly rounded division of integers each: equal on every machine. */
export function tailProbabilities({ counts, pairs }: NullDistances): Float64Array {
  const shells = counts.length;
  let within = 0;
  return counts.map((count, d) => {
    within += count;
    return (within * shells + d + 1) / ((pairs + 1) * shells);
  });
}

export interface VersionedNeighbour {
  /** 16 bytes. */
  readonly itemId: Uint8Array;
  /** 0..K. */
  readonly distance: number;
}

/** The k nearest items among the codes of one version, by the query as that version encodes it, in (distance, item id) order. */
export interface VersionList<T extends VersionedNeighbour> {
  readonly version: number;
  readonly neighbours: readonly T[];
}

export type Merged<T extends VersionedNeighbour> = T & {
  readonly version: number;
  readonly tailProbability: number;
};

/**
 * The k best by (tail probability, item id). Exact if every list holds its version's k nearest, or all it has: p rises strictly with the distance, so a list is in the order of p
 * already, and whoever is not among the k first of its own list has k better items before it. An item in two lists (a re-encoding is on its way)
 * counts once, with its smaller p.
 * @param tails of every version listed, from `tailProbabilities`  @throws LETHE-3442 a tail is missing, a list is out of order  @throws LETHE-3410
 */
export function mergeFanOut<T extends VersionedNeighbour>(
  lists: readonly VersionList<T>[],
  tails: ReadonlyMap<number, Float64Array>,
  k: number,
): Merged<T>[] {
  if (!Number.isInteger(k) || k < 1) throw HASHING.OPTION_INVALID('k is not a positive integer');
  const all: Merged<T>[] = [];
  for (const { version, neighbours } of lists) {
    const tail = tails.get(version);
    if (!tail) throw HASHING.FAN_OUT_INVALID('a version has no null distances', { details: { version } });
    neighbours.forEach((neighbour, i) => {
      const tailProbability = tail[neighbour.distance];
      const before = neighbours[i - 1];
      const inOrder = before === undefined || compareNeighbours(before, neighbour) < 0;
      if (tailProbability === undefined || !inOrder) {
        throw HASHING.FAN_OUT_INVALID(
          'a list is not in (distance, item id) order or of another code length',
          { details: { version } },
        );
      }
      all.push({ ...neighbour, version, tailProbability });
    });
  }
  all.sort((a, b) => a.tailProbability - b.tailProbability || compareBytes(a.itemId, b.itemId));
  const seen = new Set<string>();
  const out: Merged<T>[] = [];
  for (const item of all) {
    if (out.length === k) break;
    const key = hex(item.itemId);
    if (!seen.has(key)) out.push(item);
    seen.add(key);
  }
  return out;
}

const compareNeighbours = (a: VersionedNeighbour, b: VersionedNeighbour): number =>
  a.distance - b.distance || compareBytes(a.itemId, b.itemId);
