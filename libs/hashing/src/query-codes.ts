/**
 * Query codes for items that older versions stored.
 *
 * Today's function finds evidence for every class of today in a query. Among the items of a version that had learned few of them, evidence for the others mostly
 * misleads. So the items of version v are met by a code of their own, made by today's function from the share s_c of the items of class c that v had learned:
 *
 *     p_c = max(0, u · h_c / K - threshold)                      evidence for class c in the scores u = Wᵀ f; rows h_c of the codebook are orthogonal
 *     q_v = [sum over c of (1 - a + a s_c) p_c h_c > 0]          a = 0 if up to `from` of the evidence is left, sum s_c p_c / sum p_c, 1 from `to` on, linear between
 *
 * With a = 1 these are outputs that were fitted to the classes' frequencies of today, moved to those of v by the ratio of frequencies (Saerens, Latinne and
 * Decaestecker 2002, eq. 2.4; its normalisation changes no sign). What we do differently: evidence of a ridge regression stands for posteriors; and a query with little evidence
 * left is most likely of a class that v hardly knew, so a is smaller and its code stays far from these items instead of near to whatever is left. Without any evidence
 * the code is that of the function, [u > 0].
 *
 * Nothing old is needed: no weights, no codes, no bytes in an index whose codes know their version. Shares are counted over the items that are alive, so an erased item has no
 * part in them. A version that had learned the same share of every class gets the code of the newest one. The price is on new classes, whose queries meet old items by weaker
 * evidence: the README has the figures.
 */
import { classCode } from './codebook.ts';
import { HASHING } from './errors.ts';
import type { HashFunction } from './function.ts';
import { codesOf, scoresOf } from './function.ts';

export interface QueryCodeOptions {
  /** Of a class: evidence up to it counts as none; 1 is that of an item that is fitted exactly. In [0, 1). */
  readonly threshold: number;
  /** [from, to], 0 <= from < to <= 1. */
  readonly left: readonly [number, number];
}

/** By validation icons, `quality.bench.ts --tune`. */
export const DEFAULT_QUERY_CODES: QueryCodeOptions = { threshold: 0.05, left: [0.25, 0.5] };

/**
 * Shares of each class that versions had learned: items of the version and of those before it, by all items.
 * @param counts alive items that each version was the first to learn, oldest version first, by class  @returns rows of `queryCodes`; 1 for a class without items
 */
export function learnedShares(counts: readonly (readonly number[])[]): number[][] {
  const learned = (counts[0] ?? []).map(() => 0);
  const sums = counts.map((row) => row.map((count, c) => (learned[c]! += count)));
  return sums.map((row) => row.map((sum, c) => (learned[c]! > 0 ? sum / learned[c]! : 1)));
}

/**
 * @param features of queries, [n, D]  @param shares by version, in [0, 1] for each class of the codebook  @returns codes [n, K / 8] by version
 * @throws LETHE-3403 features or shares of another width  @throws LETHE-3410 a share or an option outside its range
 */
export function queryCodes(
  fn: HashFunction,
  features: Uint8Array,
  shares: readonly (readonly number[])[],
  options: QueryCodeOptions = DEFAULT_QUERY_CODES,
): Uint8Array[] {
  const { codebook } = fn;
  const { codeBits, classes } = codebook;
  const { threshold } = options;
  const [from, to] = options.left;
  if (!(threshold >= 0 && threshold < 1 && from >= 0 && from < to && to <= 1)) {
    throw HASHING.OPTION_INVALID('an option of query codes is outside its range', {
      details: { threshold, from, to },
    });
  }
  if (shares.some((row) => row.length !== classes.length)) {
    throw HASHING.SHAPE_MISMATCH('shares are not one for each class of the codebook');
  }
  if (shares.some((row) => row.some((share) => !(share >= 0 && share <= 1)))) {
    throw HASHING.OPTION_INVALID('a share is not in 0..1');
  }
  const rows = classes.map((_, c) => classCode(codebook, c));
  const scores = scoresOf(fn, features);
  const codes = shares.map(() => new Uint8Array(scores.length / 8));
  const mixed = new Float64Array(codeBits);
  for (let start = 0; start < scores.length; start += codeBits) {
    const u = scores.subarray(start, start + codeBits);
    const evidence = rows.map((row) => {
      let sum = 0;
      for (let k = 0; k < codeBits; k++) sum += u[k]! * row[k]!;
      return Math.max(0, sum / codeBits - threshold);
    });
    const all = evidence.reduce((sum, p) => sum + p, 0);
    for (const [v, share] of shares.entries()) {
      const left = evidence.reduce((sum, p, c) => sum + p * share[c]!, 0) / all;
      const a = Math.min(1, Math.max(0, (left - from) / (to - from)));
      mixed.fill(0);
      for (const [c, row] of rows.entries()) {
        const p = evidence[c]! * (1 - a + a * share[c]!);
        if (p > 0) for (let k = 0; k < codeBits; k++) mixed[k]! += p * row[k]!;
      }
      codes[v]!.set(codesOf(all > 0 ? mixed : u), start / 8);
    }
  }
  return codes;
}
