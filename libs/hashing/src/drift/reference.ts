/**
 * The reference that traffic is compared with, and the count at which each question alarms.
 *
 * Null model: reference and traffic are independent draws from one distribution. The reference is a sample and errs too, so a threshold is set in two steps:
 *
 *     1  the true rate of a question lies in its one-sided Clopper-Pearson bound, for all questions and sides at once but for a probability of `referenceRisk`
 *     2  at the worst rate of that bound, the exact binomial probability of a count beyond the threshold is at most the question's share of `falseAlarmsPerWindow`
 *
 * With a probability of at least 1 - referenceRisk over references, therefore, EVERY window has a false alarm by a counted question with a probability of at most their share of
 * `falseAlarmsPerWindow`: the statement is conditional on the reference that one has, not an average over references that one has not (compare calibration-conditional p-values, Bates et al. 2023). The
 * union bound runs over detectors, questions, sides, and the window / stride looks that a sliding window takes per window of new items. The novelty statistic has
 * the tenth part of the budget, by an asymptotic law and on average over references: see `novelty.ts` and the simulation.
 *
 * If traffic is not independent draws (one person uploads 200 pictures, classes come in runs), counts scatter more than binomial and alarms are more frequent than
 * stated; `dispersion` in the report shows it, about 1 for independent draws. The mix of classes is part of the distribution: a change of the mix is drift.
 */
import type { Codebook } from '../codebook.ts';
import { HASHING } from '../errors.ts';
import { upperRateBound, upperThreshold } from './binomial.ts';
import type { NoveltyReference } from './novelty.ts';
import { chiSquaredThreshold, noveltyReference } from './novelty.ts';
import type { DriftItems, Profile, QuestionFamily } from './profile.ts';
import { answers, profileOf } from './profile.ts';
import type { Tally } from './tally.ts';
import { SCATTER_BLOCK, Stretch, sumTallies } from './tally.ts';

export interface DriftOptions {
  /** Items of a window, a multiple of `stride`. */
  readonly window: number;
  /** New items between two looks, a multiple of 64. */
  readonly stride: number;
  /** Items at the start of the reference that fix the edges. */
  readonly edgeItems: number;
  /** Items of the reference at least, those of the edges included. */
  readonly referenceItemsMin: number;
  /** Expected false alarms per window of new items. */
  readonly falseAlarmsPerWindow: number;
  /** Probability of a reference for which that does not hold. */
  readonly referenceRisk: number;
  readonly anchors: number;
  /** Public seed of the anchors. */
  readonly seed: string;
}

export const DEFAULT_DRIFT: DriftOptions = {
  window: 4_096,
  stride: 1_024,
  edgeItems: 4_096,
  referenceItemsMin: 32_768,
  falseAlarmsPerWindow: 1e-5,
  referenceRisk: 1e-3,
  anchors: 128,
  seed: 'lethe-drift-1',
};

/** Share of the budget of the novelty statistic, half for each horizon; the counted detectors share the rest equally. */
const NOVELTY_SHARE = 0.1;

export interface DriftReference {
  readonly options: DriftOptions;
  readonly profile: Profile;
  /** Of the items after the edges. */
  readonly tally: Tally;
  /** Alarm at a count of `low` or less or of `high` or more. Index as in the tally; -1 and window + 1 where a side is not watched. */
  readonly low: Int32Array;
  readonly high: Int32Array;
  readonly novelty: NoveltyReference;
  readonly noveltyThreshold: number;
}

function check(options: DriftOptions, items: DriftItems, codeBits: number): void {
  const { window, stride, edgeItems, referenceItemsMin, falseAlarmsPerWindow, referenceRisk, anchors } =
    options;
  const natural = [window, stride, edgeItems, anchors].every((value) => Number.isInteger(value) && value > 0);
  if (
    !natural ||
    window % stride !== 0 ||
    stride % SCATTER_BLOCK !== 0 ||
    anchors < 10 ||
    !(falseAlarmsPerWindow > 0 && falseAlarmsPerWindow < 0.5 && referenceRisk > 0 && referenceRisk < 0.5)
  ) {
    throw HASHING.OPTION_INVALID('options of the drift detectors are out of range');
  }
  if (items.codes.length !== (items.margins.length * codeBits) / 8) {
    throw HASHING.SHAPE_MISMATCH('codes and margins differ in number');
  }
  if (items.margins.length < referenceItemsMin || items.margins.length < edgeItems + window) {
    throw HASHING.DRIFT_REFERENCE_INVALID('the reference has too few items', {
      details: { items: items.margins.length, referenceItemsMin },
    });
  }
}

/** Level of one question and side at one look, and of its bound. */
export const levelsOf = (options: DriftOptions, profile: Profile, { length, sides }: QuestionFamily) => {
  const looks = options.window / options.stride;
  const tests = length * sides * profile.families.length;
  return {
    alarm: (options.falseAlarmsPerWindow * (1 - NOVELTY_SHARE)) / (looks * tests),
    bound: options.referenceRisk / tests,
  };
};

/** Level of the novelty statistic at one look and horizon. */
export const noveltyLevel = ({ falseAlarmsPerWindow, window, stride }: DriftOptions): number =>
  (falseAlarmsPerWindow * NOVELTY_SHARE * stride) / (2 * window);

/**
 * Pauses after each stride, so that a server can do other work in between.
 * @param items in order of arrival, after promotion or from a probe set, NEVER those the function was fitted on: their codes are surer than those of
 * traffic. Items beyond a whole number of strides are not used.
 * @throws LETHE-3444 too few items  @throws LETHE-3402, LETHE-3403, LETHE-3410
 */
export function* driftReferenceSteps(
  items: DriftItems,
  codebook: Codebook,
  options: DriftOptions = DEFAULT_DRIFT,
): Generator<undefined, DriftReference> {
  check(options, items, codebook.codeBits);
  const { edgeItems, stride, anchors, seed } = options;
  const bytes = codebook.codeBits / 8;
  const edges = {
    codes: items.codes.subarray(0, edgeItems * bytes),
    margins: items.margins.subarray(0, edgeItems),
  };
  const profile = profileOf(edges, codebook, anchors, seed);
  const dim = profile.noveltyDim;
  const products = new Float64Array(dim * dim);
  const vector = new Float64Array(dim);
  const stretch = new Stretch(profile, stride);
  const tallies: Tally[] = [];
  for (let i = edgeItems; i + (stride - stretch.items) <= items.margins.length; i++) {
    const answer = answers(profile, items.codes, i * bytes, items.margins[i]!);
    stretch.add(answer);
    vector.fill(0);
    for (const dimension of answer.novelty) vector[dimension]!++;
    for (let a = 0; a < dim; a++) {
      if (vector[a] !== 0) for (let b = 0; b <= a; b++) products[a * dim + b]! += vector[a]! * vector[b]!;
    }
    if (stretch.items === stride) {
      tallies.push(stretch.take());
      yield;
    }
  }
  return referenceOf(options, profile, sumTallies(tallies), products);
}

/** As `driftReferenceSteps`, at once. */
export function driftReference(
  items: DriftItems,
  codebook: Codebook,
  options: DriftOptions = DEFAULT_DRIFT,
): DriftReference {
  const steps = driftReferenceSteps(items, codebook, options);
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
  }
}

/** The thresholds from the sums of a reference. */
export function referenceOf(
  options: DriftOptions,
  profile: Profile,
  tally: Tally,
  products: Float64Array,
): DriftReference {
  const low = new Int32Array(tally.counts.length).fill(-1);
  const high = new Int32Array(tally.counts.length).fill(options.window + 1);
  for (const family of profile.families) {
    const { alarm, bound } = levelsOf(options, profile, family);
    // Many questions have equal counts.
    const thresholds = new Map<number, number>();
    const thresholdOf = (count: number) => {
      const known = thresholds.get(count);
      if (known !== undefined) return known;
      const threshold = upperThreshold(options.window, upperRateBound(tally.items, count, bound), alarm);
      thresholds.set(count, threshold);
      return threshold;
    };
    for (let q = family.from; q < family.from + family.length; q++) {
      const count = tally.counts[q]!;
      high[q] = thresholdOf(count);
      if (family.sides === 2) low[q] = options.window - thresholdOf(tally.items - count);
    }
  }
  const novelty = noveltyReference(tally.items, tally.novelty, products);
  return {
    options,
    profile,
    tally,
    low,
    high,
    novelty,
    noveltyThreshold: chiSquaredThreshold(noveltyLevel(options), novelty.kept.length),
  };
}
