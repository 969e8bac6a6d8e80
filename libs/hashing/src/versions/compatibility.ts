/**
 * How well queries of one version of a hash function find codes that another version stored.
 *
 *     C[t][g] = mAP of the probe queries encoded by version t against the probe gallery as version g stores it        (mAP tie-aware)
 *
 * The matrix and the average compatibility are those of Biondi et al., Stationary Representations (CVPR 2024), section 3 and Eq. 2, after Shen et
 * al., Towards Backward-Compatible Representation Learning (CVPR 2020), where a model is compatible if C[t][g] > C[g][g]. Here the score is mAP by
 * Hamming distance, not accuracy; and a version's gallery may be its own (what it really stores: items of the classes it knew), so that a query
 * whose class a gallery lacks does not count for that gallery, on either side of a comparison.
 */
import { HASHING } from '../errors.ts';
import type { LabelledCodes } from '../metrics.ts';
import { averagePrecisions } from '../metrics.ts';

/** A version as the probe set sees it. */
export interface ProbeVersion {
  readonly version: number;
  /** [q, K / 8]: the probe queries by this version; the same queries in the same order for every version. */
  readonly queryCodes: Uint8Array;
  /** The gallery as this version stores it. */
  readonly gallery: LabelledCodes;
}

export interface CompatibilityMatrix {
  /** Ascending; row and column order. */
  readonly versions: readonly number[];
  /** precisions[t][g], [q] each: AP of every query, NaN where the gallery holds nothing relevant. Kept for paired comparisons. */
  readonly precisions: readonly (readonly Float64Array[])[];
  /** values[t][g] = C[t][g]; NaN if no query has a relevant item. */
  readonly values: readonly (readonly number[])[];
}

const meanOfNumbers = (values: Float64Array): number => {
  const counted = values.filter((value) => !Number.isNaN(value));
  return counted.reduce((sum, value) => sum + value, 0) / counted.length;
};

/**
 * Costs V² q n distances for V versions, q queries and galleries of n.
 * @param queryLabels [q]  @throws LETHE-3440 no version, two of one number, or codes of other queries  @throws LETHE-3403
 */
export function compatibilityMatrix(
  queryLabels: Int32Array,
  versions: readonly ProbeVersion[],
  codeBits: number,
): CompatibilityMatrix {
  const sorted = [...versions].sort((a, b) => a.version - b.version);
  if (sorted.length === 0 || new Set(sorted.map(({ version }) => version)).size !== sorted.length) {
    throw HASHING.PROBE_INVALID('a matrix needs versions with different numbers');
  }
  for (const { version, queryCodes } of sorted) {
    if (queryCodes.length !== (queryLabels.length * codeBits) / 8) {
      throw HASHING.PROBE_INVALID('a version has codes of other queries', { details: { version } });
    }
  }
  const precisions = sorted.map(({ queryCodes }) =>
    sorted.map(({ gallery }) =>
      averagePrecisions({ codes: queryCodes, labels: queryLabels }, gallery, codeBits),
    ),
  );
  return {
    versions: sorted.map(({ version }) => version),
    precisions,
    values: precisions.map((row) => row.map(meanOfNumbers)),
  };
}

/**
 * AC = share of the pairs t > g with C[t][g] > C[g][g], in [0, 1]: of all updates seen backwards, how many would have been free (Biondi et al. 2024,
 * Eq. 2). A count of signs without intervals: a description of a history, not a test; the gate is the test.
 * @returns NaN for one version
 */
export function averageCompatibility({ values }: CompatibilityMatrix): number {
  let better = 0;
  let pairs = 0;
  for (let t = 1; t < values.length; t++) {
    for (let g = 0; g < t; g++) {
      pairs++;
      if (values[t]![g]! > values[g]![g]!) better++;
    }
  }
  return better / pairs;
}
