/**
 * The gate before a version of a hash function answers queries: it must hurt no version whose codes are still stored.
 *
 *     promote t  iff  for every live g:  lower bound of C[t][g] - C[g][g]  >=  -epsilon      (queries by t against codes of g)
 *                and  for the newest live s:  lower bound of C[t][t] - C[s][s]  >=  -epsilon   (t at home against s at home)
 *
 * Every bound is one-sided at `confidenceLevel`, from paired per-query differences, and allows for harm that no probe query has shown (`bootstrap.ts`, with what is proven of it and what
 * is simulated). This is a test of non-inferiority: "not shown to hurt" is no reason to promote, "shown not to hurt by more than epsilon" is. Multiplicity: with m comparisons ALL have
 * to pass, an intersection-union test (Berger 1982), so a version that hurts at least one live version by more than epsilon passes with a probability of at most
 * 1 - confidenceLevel whatever m is, and no correction is due. The price is power: the more live versions, the more often a harmless one is held; and whatever the figures are, a
 * difference of 0 is shown to be above -epsilon only from ln(1 - confidenceLevel) / ln(1 - epsilon) queries on: 598 at the default epsilon of 0.005, 59 at 0.05. Trying candidate after
 * candidate on one probe set is another multiplicity, which the gate cannot see: renew the probe set.
 *
 * A query that the live version's gallery answers and the candidate's cannot (its gallery at home has lost the class) counts as AP 0 of the candidate.
 */
import { seededRandom } from '@lethe/std';
import { HASHING } from '../errors.ts';
import { lowerBoundOfMean } from './bootstrap.ts';
import type { CompatibilityMatrix } from './compatibility.ts';
import { averageCompatibility } from './compatibility.ts';

export interface GateOptions {
  /** Loss of mAP that counts as none. */
  readonly epsilon: number;
  /** One-sided. */
  readonly confidenceLevel: number;
  readonly resamples: number;
  /** Queries with relevant items without which a comparison is refused; how many it takes to pass depends on epsilon, see above. */
  readonly queriesMin: number;
  /** Public; the report is a function of the matrix and the options. */
  readonly seed: string;
}

export const DEFAULT_GATE: GateOptions = {
  epsilon: 0.005,
  confidenceLevel: 0.95,
  resamples: 2_000,
  queriesMin: 100,
  seed: 'lethe-gate-1',
};

export interface GateComparison {
  /** Whose codes are searched. `home`: the candidate's own, compared with `version` on its own. */
  readonly kind: 'stored' | 'home';
  /** The live version compared with. */
  readonly version: number;
  /** mAP of the candidate and of the live version on the queries compared. */
  readonly candidateMap: number;
  readonly liveMap: number;
  /** candidateMap - liveMap, and its lower confidence bound. */
  readonly difference: number;
  readonly lowerBound: number;
  /** Queries with relevant items for the live version. */
  readonly queries: number;
  readonly passed: boolean;
}

export interface GateReport {
  readonly candidate: number;
  readonly live: readonly number[];
  readonly promote: boolean;
  /** One sentence for each comparison that failed; empty if promoted. */
  readonly reasons: readonly string[];
  readonly comparisons: readonly GateComparison[];
  /** Over the live versions and the candidate; NaN without a live version. */
  readonly averageCompatibility: number;
  readonly options: GateOptions;
}

/**
 * @param matrix holds the candidate and every live version, at least
 * @param live versions with stored codes; empty for a first version, which has nobody to hurt
 * @throws LETHE-3440 a version is missing, a comparison has too few queries or APs that differ by more than 1  @throws LETHE-3410
 */
export function decidePromotion(
  matrix: CompatibilityMatrix,
  candidate: number,
  live: readonly number[],
  options: GateOptions = DEFAULT_GATE,
): GateReport {
  const { epsilon, confidenceLevel, resamples } = options;
  if (
    !(
      epsilon >= 0 &&
      epsilon <= 1 &&
      confidenceLevel > 0.5 &&
      confidenceLevel < 1 &&
      Number.isInteger(resamples) &&
      resamples >= 100
    )
  ) {
    throw HASHING.OPTION_INVALID(
      'the gate needs epsilon in [0, 1], a level in (0.5, 1) and at least 100 resamples',
    );
  }
  const at = (version: number): number => {
    const index = matrix.versions.indexOf(version);
    if (index < 0) throw HASHING.PROBE_INVALID('the matrix lacks a version', { details: { version } });
    return index;
  };
  const t = at(candidate);
  const sorted = [...new Set(live)].sort((a, b) => a - b);
  if (sorted.includes(candidate))
    throw HASHING.PROBE_INVALID('the candidate is live already', { details: { candidate } });
  const compare = (kind: GateComparison['kind'], version: number): GateComparison => {
    const g = at(version);
    return compareWith(
      kind,
      version,
      matrix.precisions[t]![kind === 'stored' ? g : t]!,
      matrix.precisions[g]![g]!,
      options,
    );
  };
  const newest = sorted.at(-1);
  const comparisons = sorted.map((version) => compare('stored', version));
  if (newest !== undefined) comparisons.push(compare('home', newest));
  const reasons = comparisons
    .filter(({ passed }) => !passed)
    .map(({ kind, version, difference, lowerBound }) => {
      const what =
        kind === 'stored'
          ? `codes of version ${version}`
          : `its own codes, against version ${version} on its own`;
      return `On ${what} mAP differs by ${difference.toFixed(4)}, lower bound ${lowerBound.toFixed(4)} below -${epsilon}.`;
    });
  const kept = matrix.versions.flatMap((version, i) =>
    version === candidate || sorted.includes(version) ? [i] : [],
  );
  return {
    candidate,
    live: sorted,
    promote: reasons.length === 0,
    reasons,
    comparisons,
    averageCompatibility: averageCompatibility({
      versions: kept.map((i) => matrix.versions[i]!),
      precisions: kept.map((i) => kept.map((j) => matrix.precisions[i]![j]!)),
      values: kept.map((i) => kept.map((j) => matrix.values[i]![j]!)),
    }),
    options,
  };
}

/** Sums of float64 terms may exceed an AP of 1 by so much. */
const ROUNDING = 1e-9;

function compareWith(
  kind: GateComparison['kind'],
  version: number,
  candidate: Float64Array,
  live: Float64Array,
  { epsilon, confidenceLevel, resamples, queriesMin, seed }: GateOptions,
): GateComparison {
  if (candidate.length !== live.length) {
    throw HASHING.PROBE_INVALID('the sides of a comparison have different queries', { details: { version } });
  }
  const answered = [...live.keys()].filter((q) => !Number.isNaN(live[q]!));
  const queries = answered.length;
  if (queries < queriesMin) {
    throw HASHING.PROBE_INVALID('too few probe queries have relevant items', {
      details: { version, queries, queriesMin },
    });
  }
  const own = candidate.map((value) => (Number.isNaN(value) ? 0 : value));
  const meanOf = (values: Float64Array) => answered.reduce((sum, q) => sum + values[q]!, 0) / queries;
  const differences = Float64Array.from(answered, (q) => own[q]! - live[q]!);
  if (!differences.every((value) => Math.abs(value) <= 1 + ROUNDING)) {
    throw HASHING.PROBE_INVALID('APs differ by more than 1, or are no numbers', { details: { version } });
  }
  const lowerBound = lowerBoundOfMean(
    differences,
    confidenceLevel,
    resamples,
    seededRandom('lethe/hashing/gate/v1', seed, kind, version),
  );
  const candidateMap = meanOf(own);
  const liveMap = meanOf(live);
  return {
    kind,
    version,
    candidateMap,
    liveMap,
    difference: candidateMap - liveMap,
    lowerBound,
    queries,
    passed: lowerBound >= -epsilon,
  };
}
