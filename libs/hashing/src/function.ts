/**
 * A version of a hash function: everything that is needed to turn a record into its code, and nothing else.
 *
 *     code = [Wᵀ f > 0]      f = features of the record, W fitted by `solveWeights`
 */
import { bytesOf, canonicalJson, concatBytes, equalBytes, seededRandom, sha256, utf8 } from '@lethe/std';
import type { Codebook, RowOrder } from './codebook.ts';
import { allocateClasses, emptyCodebook } from './codebook.ts';
import { HASHING } from './errors.ts';
import type { FeatureMap, FeatureSpec } from './features.ts';
import { createFeatureMap } from './features.ts';
import { encodeRows } from './kernel/kernel.ts';
import { solveWeights } from './solve.ts';
import type { HeadStatistics } from './statistics.ts';

/** What is chosen once, before any record is seen. */
export interface HashOptions {
  readonly seed: string;
  readonly featureDim: number;
  readonly codeBits: number;
  /** Ridge strength, in units of squared features (127² per fully active item). */
  readonly lambda: number;
}

/** Chosen on the digits; a deployment's codes hang on them, so they stay. Functions of several modalities: `DEFAULT_CROSS_MODAL`. */
export const DEFAULT_HASH_OPTIONS: HashOptions = {
  seed: 'lethe-1',
  featureDim: 768,
  codeBits: 64,
  lambda: 65_536,
};

export interface HashFunction {
  readonly features: FeatureSpec;
  /** Row allocation: the classes in the order of their codebook rows. */
  readonly codebook: Codebook;
  readonly lambda: number;
  /** 1, 2, …; 0 before the first fit, with weights of 0. */
  readonly version: number;
  /** W [D, K] row-major. */
  readonly weights: Float64Array;
}

const VERSION_MAX = 0xffff_ffff;

/** @throws LETHE-3403, LETHE-3409, LETHE-3410 */
export function fitHashFunction(
  statistics: HeadStatistics,
  options: { features: FeatureSpec; codebook: Codebook; lambda: number; version: number },
): HashFunction {
  const { features, codebook, lambda, version } = options;
  if (statistics.featureDim !== features.featureDim || statistics.codeBits !== codebook.codeBits) {
    throw HASHING.SHAPE_MISMATCH('the statistics belong to another hash function');
  }
  if (!Number.isInteger(version) || version < 1 || version > VERSION_MAX) {
    throw HASHING.OPTION_INVALID('version is not an integer in 1..2^32-1', { details: { version } });
  }
  return { features, codebook, lambda, version, weights: solveWeights(statistics, lambda) };
}

/**
 * What a function says before the sign: u = Wᵀ f, every u[k] added up in the order of the features.
 * @param features [n, D]  @returns [n, K]  @throws LETHE-3403
 */
export function scoresOf(fn: HashFunction, features: Uint8Array): Float64Array {
  const { featureDim } = fn.features;
  const { codeBits } = fn.codebook;
  const scores = new Float64Array(rowsIn(fn, features) * codeBits);
  for (let row = 0, at = 0; row < scores.length; row += codeBits) {
    for (let i = 0; i < featureDim; i++, at++) {
      const f = features[at]!;
      if (f === 0) continue;
      for (let k = 0; k < codeBits; k++) scores[row + k]! += f * fn.weights[i * codeBits + k]!;
    }
  }
  return scores;
}

/** [u > 0], the codes of such scores. @param scores [n, K]  @returns [n, K / 8], bit k at byte k >> 3, position k & 7 */
export function codesOf(scores: Float64Array): Uint8Array {
  const codes = new Uint8Array(scores.length / 8);
  for (let at = 0; at < scores.length; at++) if (scores[at]! > 0) codes[at >> 3]! |= 1 << (at & 7);
  return codes;
}

function rowsIn({ features: { featureDim } }: HashFunction, features: Uint8Array): number {
  if (features.length % featureDim !== 0) throw HASHING.SHAPE_MISMATCH('the features are not whole rows');
  return features.length / featureDim;
}

/** From here on the kernel, which first lays the weights out anew, is faster than plain loops; their bits are equal. */
const KERNEL_ROWS = 8;

/** @param features [n, D]  @returns codes [n, K / 8], bit k at byte k >> 3, position k & 7  @throws LETHE-3403 */
export function encodeFeatures(fn: HashFunction, features: Uint8Array): Uint8Array {
  if (rowsIn(fn, features) < KERNEL_ROWS) return codesOf(scoresOf(fn, features));
  return encodeRows(features, fn.weights, { dim: fn.features.featureDim, codeBits: fn.codebook.codeBits });
}

/** SHA-256 over the shape and the exact bits of W. @returns 32 bytes */
export function weightsDigest(fn: HashFunction): Uint8Array {
  const shape = Uint32Array.of(fn.features.featureDim, fn.codebook.codeBits);
  return sha256('lethe/hashing/weights/v1', bytesOf(shape), bytesOf(fn.weights));
}

const CANONICAL_INPUTS = 256;

/**
 * Functional fingerprint: SHA-256 over the codes of 256 canonical inputs and the digest of the weights. Two deployments with one
 * fingerprint run the same function, and one that claims the weights but encodes differently is told apart.
 * @returns 32 bytes
 */
export function functionFingerprint(
  fn: HashFunction,
  map: FeatureMap = createFeatureMap(fn.features),
): Uint8Array {
  const inputs = seededRandom('lethe/hashing/canonical-inputs/v1').bytes(
    CANONICAL_INPUTS * fn.features.inputWidth,
  );
  return sha256('lethe/hashing/fingerprint/v1', encodeFeatures(fn, map.apply(inputs)), weightsDigest(fn));
}

const FORMAT = 'lethe-hash-function-v1';

function encodeHeader(fn: HashFunction): Uint8Array {
  const { features, codebook, lambda, version } = fn;
  const { seed, inputWidth, featureDim } = features;
  const { codeBits, order, classes } = codebook;
  // Named only where it is not the first release's, whose functions keep their bytes.
  const rows = order === 'serial' ? {} : { order };
  return utf8(
    canonicalJson({
      format: FORMAT,
      seed,
      inputWidth,
      featureDim,
      codeBits,
      ...rows,
      classes,
      lambda,
      version,
    }),
  );
}

/** RFC 8785 JSON header, one zero byte, W as little-endian float64. Equal functions give equal bytes. */
export function encodeHashFunction(fn: HashFunction): Uint8Array {
  return concatBytes(encodeHeader(fn), Uint8Array.of(0), bytesOf(fn.weights));
}

/** Whether a fit, or none yet, can have made the numbers. */
const isFitted = ({ lambda, version, weights }: HashFunction): boolean =>
  Number.isFinite(lambda) &&
  lambda > 0 &&
  Number.isInteger(version) &&
  version >= 0 &&
  version <= VERSION_MAX &&
  weights.every(Number.isFinite);

/** Strict inverse of `encodeHashFunction`: accepts no other bytes, and no numbers that no fit makes. @throws LETHE-3405 */
export function decodeHashFunction(bytes: Uint8Array): HashFunction {
  try {
    const end = bytes.indexOf(0);
    const header: unknown = JSON.parse(
      new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(0, end)),
    );
    const { seed, inputWidth, featureDim, codeBits, order, classes, lambda, version } =
      header as HashOptions & {
        inputWidth: number;
        order?: RowOrder;
        classes: readonly string[];
        version: number;
      };
    const fn: HashFunction = {
      features: createFeatureMap({ seed, inputWidth, featureDim }).spec,
      codebook: allocateClasses(emptyCodebook(codeBits, order ?? 'serial'), classes),
      lambda,
      version,
      weights: new Float64Array(new Uint8Array(bytes.subarray(end + 1)).buffer),
    };
    const whole = fn.weights.length === featureDim * codeBits && isFitted(fn);
    if (whole && equalBytes(encodeHashFunction(fn), bytes)) return fn;
  } catch (cause) {
    throw HASHING.BYTES_MALFORMED('these bytes are no hash function', { cause });
  }
  throw HASHING.BYTES_MALFORMED('these bytes are no hash function in its one accepted form');
}
