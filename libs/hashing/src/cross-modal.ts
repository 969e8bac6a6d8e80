/**
 * One analytic head per modality, all onto one codebook: the code of a picture and the code of a text with the same classes aim at the
 * same target, so either finds the other. The sums are kept per modality; items need no partner, and the guarantee of one head (equal
 * items, equal bits, in any order, sharding or history) is that of all of them.
 */
import { canonicalJson, concatBytes, sha256, utf8 } from '@lethe/std';
import type { Codebook } from './codebook.ts';
import { HASHING } from './errors.ts';
import type { FeatureMap } from './features.ts';
import { createFeatureMap } from './features.ts';
import type { HashFunction, HashOptions } from './function.ts';
import { encodeFeatures, fitHashFunction, weightsDigest } from './function.ts';
import type { QueryCodeOptions } from './query-codes.ts';
import { queryCodes } from './query-codes.ts';
import type { HeadStatistics } from './statistics.ts';
import {
  addItems,
  emptyStatistics,
  mergeStatistics,
  statisticsDigest,
  subtractItems,
  targetsOfClasses,
} from './statistics.ts';

/** One modality, chosen before any record is seen. */
export interface ModalityOptions {
  /** Columns of the input bytes. */
  readonly inputWidth: number;
  /** D, as `FeatureSpec`. */
  readonly featureDim: number;
  /** As `HashOptions`. */
  readonly lambda: number;
}

export interface CrossModalOptions {
  /** Public. Modality m projects with the seed `${seed}/${m}`. */
  readonly seed: string;
  readonly codeBits: number;
  readonly modalities: Readonly<Record<string, ModalityOptions>>;
}

/**
 * Lambda by validation icons within the training part (`quality.bench.ts --tune`): 10,000 is as good, 1,000,000 loses 0.03 from pictures to texts and 0.12
 * the other way, and D = 512 loses 0.04 and 0.09. D = 2,048 takes four times the sums and eight times the solve, which an increment pays too.
 */
export const DEFAULT_CROSS_MODAL: HashOptions = {
  seed: 'lethe-1',
  codeBits: 64,
  featureDim: 1_024,
  lambda: 65_536,
};

/** Sums of each modality, by name. */
export type CrossModalStatistics = Readonly<Record<string, HeadStatistics>>;

/** Items of one modality on their way into or out of the sums. */
export interface LabelledInputs {
  /** [n, inputWidth]. */
  readonly inputs: Uint8Array;
  /** Classes of each item, at least one, as indices into the codebook. */
  readonly labels: readonly (readonly number[])[];
}

export interface CrossModalFunction {
  readonly version: number;
  /** By modality; all with one codebook. */
  readonly heads: Readonly<Record<string, HashFunction>>;
}

export interface CrossModalHead {
  readonly options: CrossModalOptions;
  readonly empty: CrossModalStatistics;
  add(sums: CrossModalStatistics, codebook: Codebook, items: CrossModalItems): CrossModalStatistics;
  /** Exact, as `subtractItems`. */
  subtract(sums: CrossModalStatistics, codebook: Codebook, items: CrossModalItems): CrossModalStatistics;
  fit(sums: CrossModalStatistics, codebook: Codebook, version: number): CrossModalFunction;
  /** @returns codes [n, codeBits / 8] */
  encode(fn: CrossModalFunction, modality: string, inputs: Uint8Array): Uint8Array;
  /**
   * Codes of queries for items that older versions stored (`query-codes.ts`).
   * @param shares of the items that are searched, by version  @returns codes [n, codeBits / 8] by version
   */
  queryCodes(
    fn: CrossModalFunction,
    modality: string,
    inputs: Uint8Array,
    shares: readonly (readonly number[])[],
    options?: QueryCodeOptions,
  ): Uint8Array[];
}

/** Any part of the modalities: an unpaired item stands in one of them only. */
export type CrossModalItems = Readonly<Record<string, LabelledInputs>>;

/**
 * @throws LETHE-3410 a width, dimension or seed outside its range  @throws of the functions it gives: LETHE-3402 a label without a row,
 * LETHE-3403 wrong widths, LETHE-3404 taken out but never in, LETHE-3432 a modality that was not declared
 */
export function createCrossModalHead(options: CrossModalOptions): CrossModalHead {
  const { seed, codeBits, modalities } = options;
  const names = Object.keys(modalities).sort();
  if (names.length === 0) throw HASHING.OPTION_INVALID('a cross-modal function has no modality');
  const maps = new Map<string, FeatureMap>();
  for (const name of names) {
    const { inputWidth, featureDim } = modalities[name]!;
    maps.set(name, createFeatureMap({ seed: `${seed}/${name}`, inputWidth, featureDim }));
  }
  const mapOf = (modality: string): FeatureMap => {
    const map = maps.get(modality);
    if (map === undefined) throw HASHING.MODALITY_UNKNOWN('the modality was not declared');
    return map;
  };
  const each = <T>(of: (name: string) => T): Record<string, T> =>
    Object.fromEntries(names.map((name) => [name, of(name)]));
  const apply =
    (change: typeof addItems) =>
    (sums: CrossModalStatistics, codebook: Codebook, items: CrossModalItems): CrossModalStatistics => {
      const changed = Object.entries(items).map(([name, { inputs, labels }]) => {
        const features = mapOf(name).apply(inputs);
        const targets = targetsOfClasses(codebook, labels);
        return [name, change(sums[name]!, { features, targets })] as const;
      });
      return { ...sums, ...Object.fromEntries(changed) };
    };
  return {
    options,
    empty: each((name) => emptyStatistics(modalities[name]!.featureDim, codeBits)),
    add: apply(addItems),
    subtract: apply(subtractItems),
    fit: (sums, codebook, version) => ({
      version,
      heads: each((name) =>
        fitHashFunction(sums[name]!, {
          features: mapOf(name).spec,
          codebook,
          lambda: modalities[name]!.lambda,
          version,
        }),
      ),
    }),
    encode: (fn, modality, inputs) => {
      const features = mapOf(modality).apply(inputs);
      return encodeFeatures(fn.heads[modality]!, features);
    },
    queryCodes: (fn, modality, inputs, shares, how) => {
      const features = mapOf(modality).apply(inputs);
      return queryCodes(fn.heads[modality]!, features, shares, how);
    },
  };
}

/** Sums of two disjoint sets of items. @throws LETHE-3403  @throws LETHE-3432 the modalities differ */
export function mergeCrossModal(a: CrossModalStatistics, b: CrossModalStatistics): CrossModalStatistics {
  if (Object.keys(a).sort().join() !== Object.keys(b).sort().join()) {
    throw HASHING.MODALITY_UNKNOWN('statistics of different modalities cannot be merged');
  }
  return Object.fromEntries(Object.entries(a).map(([name, sums]) => [name, mergeStatistics(sums, b[name]!)]));
}

const digestOf = (domain: string, parts: Readonly<Record<string, Uint8Array>>): Uint8Array => {
  const names = Object.keys(parts).sort();
  return sha256(domain, utf8(canonicalJson(names)), concatBytes(...names.map((name) => parts[name]!)));
};
const mapValues = <T, U>(record: Readonly<Record<string, T>>, of: (value: T) => U): Record<string, U> =>
  Object.fromEntries(Object.entries(record).map(([name, value]) => [name, of(value)]));

/** SHA-256 over the modalities' statistics digests, by name. @returns 32 bytes */
export const crossModalStatisticsDigest = (sums: CrossModalStatistics): Uint8Array =>
  digestOf('lethe/hashing/cross-modal-statistics/v1', mapValues(sums, statisticsDigest));

/** SHA-256 over the modalities' weights digests, by name. @returns 32 bytes */
export const crossModalDigest = (fn: CrossModalFunction): Uint8Array =>
  digestOf('lethe/hashing/cross-modal-weights/v1', mapValues(fn.heads, weightsDigest));
