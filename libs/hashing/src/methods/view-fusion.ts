/**
 * Several views of one item, one code: views whose codes hold still under a small change of the input count for more.
 *
 *     stability_v = 1 - flips_v / bits_v       flips: bits that differ between the codes of x and of x + noise, over items and patterns
 *     weight_v    = max(0, round(64 * log2((bits_v - flips_v + 1/2) / (flips_v + 1/2))))
 *     code        = [sum over views of weight_v * u_v > 0]          u_v = W_vᵀ f_v, all views onto one codebook
 *
 * Source: Deep Multi-View Enhancement Hashing (views weighted by their stability in Hamming space), of which we read the abstract. Different here:
 * the weights are counted, not trained, and the log odds of the stability are used instead of itself: stabilities of useful views and of noise lie
 * between 0.85 and 1, too near to each other to weigh with, and log odds are what voters of known error rates should have (Nitzan and Paroush 1982).
 * The noise is a few public patterns, the same for every item, so an item's count depends on nobody else and can be taken out again.
 *
 * Weights are whole numbers and frozen with the version of the functions they were counted for. Where records were counted, an erasure makes new
 * functions, for which the survivors are counted anew; counted on public inputs, there is nothing to erase.
 */
import { seededRandom } from '@lethe/std';
import { HASHING } from '../errors.ts';
import { codesOf } from '../function.ts';
import { distance } from '../hamming.ts';

/** Whole numbers, so they add and subtract exactly. */
export interface FlipCounts {
  readonly flips: number;
  readonly bits: number;
}

export interface NoiseOptions {
  /** Public. */
  readonly seed: string;
  /** R patterns. */
  readonly patterns: number;
  /** Every byte of the input is moved by a whole number drawn from -amplitude..amplitude, 1..255, and kept in 0..255. */
  readonly amplitude: number;
}

/** What the stated figures were measured with. */
export const DEFAULT_NOISE: NoiseOptions = { seed: 'lethe-1', patterns: 2, amplitude: 48 };

/**
 * Flips of the codes of these inputs under each pattern.
 * @param inputs [n, inputWidth]  @param encode codes of such rows, [n, K / 8]  @throws LETHE-3403  @throws LETHE-3410
 */
export function countFlips(
  encode: (inputs: Uint8Array) => Uint8Array,
  inputs: Uint8Array,
  { inputWidth, noise = DEFAULT_NOISE }: { inputWidth: number; noise?: NoiseOptions },
): FlipCounts {
  const { seed, patterns, amplitude } = noise;
  if (!Number.isInteger(patterns) || patterns < 1 || !(amplitude >= 1 && amplitude <= 255)) {
    throw HASHING.OPTION_INVALID('noise needs at least one pattern and an amplitude in 1..255');
  }
  if (inputs.length % inputWidth !== 0) throw HASHING.SHAPE_MISMATCH('the inputs are not whole rows');
  const codes = encode(inputs);
  let flips = 0;
  for (let r = 0; r < patterns; r++) {
    const random = seededRandom('lethe/hashing/view-noise/v1', seed, r, inputWidth, amplitude);
    const shift = Int16Array.from({ length: inputWidth }, () => random.below(2 * amplitude + 1) - amplitude);
    const moved = inputs.map((x, i) => Math.max(0, Math.min(255, x + shift[i % inputWidth]!)));
    flips += distance(codes, 0, encode(moved), 0, codes.length);
  }
  return { flips, bits: patterns * codes.length * 8 };
}

export const addFlips = (a: FlipCounts, b: FlipCounts): FlipCounts => ({
  flips: a.flips + b.flips,
  bits: a.bits + b.bits,
});

/** @throws LETHE-3404 what leaves was never counted */
export function subtractFlips(a: FlipCounts, b: FlipCounts): FlipCounts {
  const rest = { flips: a.flips - b.flips, bits: a.bits - b.bits };
  if (rest.flips < 0 || rest.bits < rest.flips) {
    throw HASHING.STATISTICS_UNDERFLOW('flips are taken out that were never counted');
  }
  return rest;
}

/** 1 - mean flip rate, in 0..1. @throws LETHE-3410 nothing was counted */
export function stabilityOf({ flips, bits }: FlipCounts): number {
  if (bits === 0) throw HASHING.OPTION_INVALID('no code was counted');
  return 1 - flips / bits;
}

/** Weight of a view, a whole number of 64ths of a bit of evidence; 0 from a flip rate of one half on. @throws LETHE-3410 */
export function viewWeight(counts: FlipCounts): number {
  stabilityOf(counts);
  const { flips, bits } = counts;
  return Math.max(0, Math.round(64 * Math.log2((bits - flips + 0.5) / (flips + 0.5))));
}

/** One view of the same n items. */
export interface ScoredView {
  /** [n, K]. */
  readonly scores: Float64Array;
  readonly weight: number;
}

/** Adds in the order of the views given, which belongs to the version as the weights do. @returns codes [n, K / 8]  @throws LETHE-3403 */
export function fuseViews(views: readonly ScoredView[], codeBits: number): Uint8Array {
  const length = views[0]?.scores.length ?? 0;
  if (length % codeBits !== 0 || views.some(({ scores }) => scores.length !== length)) {
    throw HASHING.SHAPE_MISMATCH('the views differ in their number of items or bits');
  }
  const sums = Float64Array.from({ length }, (_, at) =>
    views.reduce((sum, { scores, weight }) => sum + weight * scores[at]!, 0),
  );
  return codesOf(sums);
}
