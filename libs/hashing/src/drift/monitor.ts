/** Watches traffic: every `stride` items a report on the last window, and for novelty on the last two as well. */
import { HASHING } from '../errors.ts';
import { noveltyStatistic } from './novelty.ts';
import type { DriftDetector, DriftItems, QuestionFamily } from './profile.ts';
import { answers } from './profile.ts';
import type { DriftReference } from './reference.ts';
import type { Tally } from './tally.ts';
import { SCATTER_BLOCK, Stretch, sumTallies } from './tally.ts';

export interface DetectorReport {
  readonly detector: DriftDetector | 'novelty';
  readonly alarm: boolean;
  /** Largest two-sample |z| of a question, a figure for eyes; for novelty T² of the worse horizon. The decision is by exact counts. */
  readonly statistic: number;
  /** Questions beyond their thresholds; for novelty horizons. */
  readonly beyond: number;
}

/** A report on one window. Holds counts and figures, nothing of an item. */
export interface DriftReport {
  /** Items of traffic seen when the report was made. */
  readonly items: number;
  readonly drifted: boolean;
  /** Those that alarm. */
  readonly alarms: readonly DetectorReport['detector'][];
  readonly detectors: readonly DetectorReport[];
  readonly figures: {
    /** [K] z of each bit against the reference, two-sample. */
    readonly bitBalanceZ: readonly number[];
    /** Population stability index of the margins over the reference's deciles; a habit of practice, no part of a decision. */
    readonly marginPsi: number;
    /** Root mean square change of the agreement of two bits. */
    readonly covarianceShift: number;
    /** Share of items beyond the reference's 99 % distance to the nearest class code, and the reference's own. */
    readonly openSetRate: number;
    readonly referenceOpenSetRate: number;
    /** Skewness of N_10 over the anchors. */
    readonly hubnessSkew: number;
    readonly referenceHubnessSkew: number;
    /** Mean over the bits of the variance of counts between blocks of 64 items over the binomial one; well above 1: items are not independent draws. */
    readonly dispersion: number;
  };
}

export class DriftMonitor {
  readonly #reference: DriftReference;
  readonly #stretch: Stretch;
  /** The last two windows, oldest first. */
  #tallies: Tally[] = [];
  #items = 0;

  constructor(reference: DriftReference) {
    this.#reference = reference;
    this.#stretch = new Stretch(reference.profile, reference.options.stride);
  }

  /** @returns a report for each look that the items complete, from the first full window on  @throws LETHE-3403, LETHE-3410 */
  observe({ codes, margins }: DriftItems): DriftReport[] {
    const { profile, options } = this.#reference;
    const bytes = profile.codeBits / 8;
    if (codes.length !== margins.length * bytes)
      throw HASHING.SHAPE_MISMATCH('codes and margins differ in number');
    if (!margins.every(Number.isFinite)) throw HASHING.OPTION_INVALID('a margin is not a finite number');
    const perWindow = options.window / options.stride;
    const reports: DriftReport[] = [];
    for (let i = 0; i < margins.length; i++) {
      this.#stretch.add(answers(profile, codes, i * bytes, margins[i]!));
      this.#items++;
      if (this.#stretch.items < options.stride) continue;
      this.#tallies = [...this.#tallies.slice(1 - 2 * perWindow), this.#stretch.take()];
      if (this.#tallies.length >= perWindow) reports.push(judge(this.#reference, this.#tallies, this.#items));
    }
    return reports;
  }

  /** Forgets the traffic, for example after an erasure: the codes of the running stretch are overwritten, the counts go too. */
  clear(): void {
    this.#stretch.clear();
    this.#tallies = [];
  }
}

/** @param tallies stretches, oldest first, at least one window of them  @param items seen so far */
export function judge(reference: DriftReference, tallies: readonly Tally[], items: number): DriftReport {
  const { profile, options, tally: base, novelty, noveltyThreshold } = reference;
  const perWindow = options.window / options.stride;
  const window = sumTallies(tallies.slice(-perWindow));
  const counted = profile.families.map((family) => judgeFamily(reference, window, family));
  const horizons = [
    tallies.slice(-perWindow),
    ...(tallies.length >= 2 * perWindow ? [tallies.slice(-2 * perWindow)] : []),
  ];
  const statistics = horizons.map((horizon) => {
    const { novelty: sums, items: count } = sumTallies(horizon);
    return noveltyStatistic(novelty, sums, count);
  });
  const beyond = statistics.filter((statistic) => statistic > noveltyThreshold).length;
  const detectors: DetectorReport[] = [
    ...counted,
    { detector: 'novelty', alarm: beyond > 0, statistic: Math.max(...statistics), beyond },
  ];
  const alarms = detectors.filter(({ alarm }) => alarm).map(({ detector }) => detector);
  const familyOf = (detector: DriftDetector) =>
    profile.families.find((family) => family.detector === detector)!;
  const slice = (tally: Tally, { from, length }: QuestionFamily) =>
    tally.counts.subarray(from, from + length);
  const rate = (tally: Tally, family: QuestionFamily, at: number) => slice(tally, family)[at]! / tally.items;
  const [margin, openSet, hubness, covariance] = (
    ['margin', 'openSet', 'hubness', 'covariance'] as const
  ).map(familyOf) as [QuestionFamily, QuestionFamily, QuestionFamily, QuestionFamily];
  return {
    items,
    drifted: alarms.length > 0,
    alarms,
    detectors,
    figures: {
      bitBalanceZ: Array.from({ length: profile.codeBits }, (_, k) => twoSampleZ(window, base, k)),
      marginPsi: stabilityIndex(slice(window, margin), window.items, slice(base, margin), base.items),
      covarianceShift: rootMeanSquare(
        slice(window, covariance),
        window.items,
        slice(base, covariance),
        base.items,
      ),
      openSetRate: rate(window, openSet, openSet.length - 1),
      referenceOpenSetRate: rate(base, openSet, openSet.length - 1),
      hubnessSkew: skewness(slice(window, hubness)),
      referenceHubnessSkew: skewness(slice(base, hubness)),
      dispersion: dispersion(window, base, profile.codeBits),
    },
  };
}

function judgeFamily(
  { low, high, tally: base }: DriftReference,
  window: Tally,
  { detector, from, length }: QuestionFamily,
): DetectorReport {
  let beyond = 0;
  let statistic = 0;
  for (let q = from; q < from + length; q++) {
    const count = window.counts[q]!;
    if (count <= low[q]! || count >= high[q]!) beyond++;
    statistic = Math.max(statistic, Math.abs(twoSampleZ(window, base, q)));
  }
  return { detector, alarm: beyond > 0, statistic, beyond };
}

/** z of two rates with the pooled variance; 0 where neither side varies. */
function twoSampleZ(window: Tally, base: Tally, q: number): number {
  const pooled = (window.counts[q]! + base.counts[q]!) / (window.items + base.items);
  const error = Math.sqrt(pooled * (1 - pooled) * (1 / window.items + 1 / base.items));
  return error === 0 ? 0 : (window.counts[q]! / window.items - base.counts[q]! / base.items) / error;
}

/** Sum over bins of (p - q) ln(p / q), half an item added to every bin; `counts` are cumulative. */
function stabilityIndex(
  counts: Uint32Array,
  items: number,
  baseCounts: Uint32Array,
  baseItems: number,
): number {
  const bins = counts.length + 1;
  const share = (cumulative: Uint32Array, total: number, bin: number) => {
    const inBin = (bin < cumulative.length ? cumulative[bin]! : total) - (bin > 0 ? cumulative[bin - 1]! : 0);
    return (inBin + 0.5) / (total + 0.5 * bins);
  };
  let sum = 0;
  for (let bin = 0; bin < bins; bin++) {
    const p = share(counts, items, bin);
    const q = share(baseCounts, baseItems, bin);
    sum += (p - q) * Math.log(p / q);
  }
  return sum;
}

function rootMeanSquare(
  counts: Uint32Array,
  items: number,
  baseCounts: Uint32Array,
  baseItems: number,
): number {
  let sum = 0;
  counts.forEach((count, i) => {
    sum += (count / items - baseCounts[i]! / baseItems) ** 2;
  });
  return Math.sqrt(sum / counts.length);
}

/** Third standardised moment; 0 without spread. */
function skewness(counts: Uint32Array): number {
  const n = counts.length;
  const mean = counts.reduce((sum, count) => sum + count, 0) / n;
  const moment = (power: number) => counts.reduce((sum, count) => sum + (count - mean) ** power, 0) / n;
  const variance = moment(2);
  return variance === 0 ? 0 : moment(3) / variance ** 1.5;
}

/** Bits that hardly vary in the reference are left out. */
function dispersion(window: Tally, base: Tally, codeBits: number): number {
  const blocks = window.items / SCATTER_BLOCK;
  let sum = 0;
  let bits = 0;
  for (let k = 0; k < codeBits; k++) {
    const reference = base.counts[k]! / base.items;
    if (reference < 0.01 || reference > 0.99) continue;
    const rate = window.counts[k]! / window.items;
    const between = (window.blockSquares[k]! - blocks * (rate * SCATTER_BLOCK) ** 2) / (blocks - 1);
    if (rate > 0 && rate < 1) sum += between / (SCATTER_BLOCK * rate * (1 - rate));
    bits++;
  }
  return sum / bits;
}
