/**
 * What the drift detectors look at: an item as a set of yes-or-no questions, so that a window is a vector of counts and its null law is the binomial, exactly.
 *
 *     bit k is 1                                          K questions                  balance
 *     margin below its reference quantile                 one per decile               margin
 *     nearest class code farther than a quantile          90 % and 99 %                open set
 *     anchor a is among the item's 10 nearest anchors     one per anchor               hubness (N_10, Radovanović et al. 2010)
 *     class code c nearer than 1, 3, 5, 7 sixteenths of K   4 per class, kept jointly    novelty
 *
 * Pairs of equal bits (covariance) are counted from bit planes, see `monitor.ts`. Anchors are class codes with seeded random bits flipped, so no record's code is kept; N_10 is
 * then how much of the traffic crowds around one place of the code space. Hubs among the stored items themselves are the business of `attacks`.
 */
import { seededRandom } from '@lethe/std';
import type { Codebook } from '../codebook.ts';
import { classCode, packCode } from '../codebook.ts';
import { HASHING } from '../errors.ts';
import { distance } from '../hamming.ts';

/** Items as the detectors see them. */
export interface DriftItems {
  /** [n, K / 8]. */
  readonly codes: Uint8Array;
  /** [n]: how sure the function is of the code, mean over bits of |u_k| before the sign; any finite scale, the same in reference and traffic. */
  readonly margins: Float64Array;
}

export type DriftDetector = 'balance' | 'margin' | 'openSet' | 'hubness' | 'covariance';

/** Questions of one detector: [from, from + length) of the counts. */
export interface QuestionFamily {
  readonly detector: DriftDetector;
  readonly from: number;
  readonly length: number;
  readonly sides: 1 | 2;
}

export interface Profile {
  readonly codeBits: number;
  readonly classCodes: readonly Uint8Array[];
  readonly marginEdges: Float64Array;
  readonly openSetEdges: readonly number[];
  readonly anchors: readonly Uint8Array[];
  /** In the order of the counts; covariance comes last. */
  readonly families: readonly QuestionFamily[];
  /** Questions answered by `answers`; the covariance family begins here. */
  readonly questions: number;
  /** Dimensions of the novelty vector. */
  readonly noveltyDim: number;
}

const DECILES = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];
const OPEN_SET_QUANTILES = [0.9, 0.99];
const NEIGHBOURS = 10;
const TIERS = [1, 3, 5, 7];
/** Beyond 16 classes their tiers share dimensions, so that the covariance stays small and well estimated. */
const NOVELTY_DIM_MAX = 64;

const quantile = (sorted: Float64Array, level: number): number =>
  sorted[Math.floor(level * (sorted.length - 1))]!;

/** Edges from items that take no part in the estimates of the rates. @throws LETHE-3402 the codebook is empty */
export function profileOf(items: DriftItems, codebook: Codebook, anchorCount: number, seed: string): Profile {
  const { codeBits, classes } = codebook;
  if (classes.length === 0) throw HASHING.CLASS_UNKNOWN('the codebook has no class yet');
  const bytes = codeBits / 8;
  const classCodes = classes.map((_, c) => packCode(classCode(codebook, c)));
  const nearest = Float64Array.from(items.margins, (_, i) =>
    Math.min(...classCodes.map((code) => distance(code, 0, items.codes, i * bytes, bytes))),
  );
  const random = seededRandom('lethe/hashing/drift/anchors/v1', seed);
  const flip = Math.max(1 / codeBits, nearest.reduce((sum, d) => sum + d, 0) / (nearest.length * codeBits));
  const anchors = Array.from({ length: anchorCount }, (_, a) => {
    const code = classCodes[a % classCodes.length]!.slice();
    for (let k = 0; k < codeBits; k++) if (random.uniform() < flip) code[k >> 3]! ^= 1 << (k & 7);
    return code;
  });
  const margins = items.margins.slice().sort();
  nearest.sort();
  let from = 0;
  const family = (detector: DriftDetector, length: number, sides: 1 | 2): QuestionFamily => {
    from += length;
    return { detector, from: from - length, length, sides };
  };
  const families = [
    family('balance', codeBits, 2),
    family('margin', DECILES.length, 2),
    family('openSet', OPEN_SET_QUANTILES.length, 1),
    family('hubness', anchorCount, 1),
  ];
  const questions = from;
  return {
    codeBits,
    classCodes,
    marginEdges: Float64Array.from(DECILES, (level) => quantile(margins, level)),
    openSetEdges: OPEN_SET_QUANTILES.map((level) => quantile(nearest, level)),
    anchors,
    families: [...families, family('covariance', (codeBits * (codeBits - 1)) / 2, 2)],
    questions,
    noveltyDim: Math.min(NOVELTY_DIM_MAX, TIERS.length * classes.length),
  };
}

/** What one item answers. */
export interface Answers {
  /** Questions answered with yes, each once. */
  readonly yes: readonly number[];
  /** Dimensions of the novelty vector to raise by 1; one may come several times. */
  readonly novelty: readonly number[];
}

/** O(K + (classes + anchors) K / 8). @throws LETHE-3410 the margin is not finite */
export function answers(profile: Profile, codes: Uint8Array, at: number, margin: number): Answers {
  if (!Number.isFinite(margin)) throw HASHING.OPTION_INVALID('a margin is not a finite number');
  const { codeBits, classCodes, marginEdges, openSetEdges, anchors, noveltyDim } = profile;
  const bytes = codeBits / 8;
  const yes: number[] = [];
  const novelty: number[] = [];
  let from = 0;
  for (let k = 0; k < codeBits; k++) if ((codes[at + (k >> 3)]! >> (k & 7)) & 1) yes.push(k);
  from += codeBits;
  for (let e = 0; e < marginEdges.length; e++) if (margin < marginEdges[e]!) yes.push(from + e);
  from += marginEdges.length;
  let nearest = codeBits;
  classCodes.forEach((code, c) => {
    const d = distance(code, 0, codes, at, bytes);
    nearest = Math.min(nearest, d);
    TIERS.forEach((tier, t) => {
      if (16 * d < tier * codeBits) novelty.push((c * TIERS.length + t) % noveltyDim);
    });
  });
  for (let e = 0; e < openSetEdges.length; e++) if (nearest > openSetEdges[e]!) yes.push(from + e);
  from += openSetEdges.length;
  // The 10 nearest anchors by (distance, number): first the radius that holds them, then the first of its last shell.
  const distances = anchors.map((anchor) => distance(anchor, 0, codes, at, bytes));
  const sizes = new Uint32Array(codeBits + 1);
  for (const d of distances) sizes[d]!++;
  let radius = 0;
  let inside = 0;
  while (radius < codeBits && inside + sizes[radius]! < NEIGHBOURS) inside += sizes[radius++]!;
  let room = NEIGHBOURS - inside;
  distances.forEach((d, a) => {
    if (d < radius || (d === radius && room-- > 0)) yes.push(from + a);
  });
  return { yes, novelty };
}
