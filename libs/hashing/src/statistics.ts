/**
 * Sufficient statistics of the analytic head: all that training keeps of the data.
 *
 *     gram  = sum over items of f fᵀ   [D, D], lower triangle        f in 0..127, the item's features
 *     cross = sum over items of f bᵀ   [D, K]                        b in {-1, +1}, the item's target code
 *
 * The sums are integers, held exactly in float64 while n * 127² < 2^53 (n < 5.5e11). They therefore do not depend on the order
 * or on the sharding of the items, and taking an item out gives the very sums of a history in which it never was.
 */
import { assert, bytesOf, sha256 } from '@lethe/std';
import type { Codebook } from './codebook.ts';
import { targetCode } from './codebook.ts';
import { HASHING } from './errors.ts';
import { FEATURE_MAX } from './features.ts';
import { addProducts } from './kernel/kernel.ts';

/** Immutable by convention: every function here gives new sums. */
export interface HeadStatistics {
  /** D, a multiple of 4. */
  readonly featureDim: number;
  /** K. */
  readonly codeBits: number;
  /** Number of items in the sums. */
  readonly items: number;
  /** [D, D] row-major, integers; the strict upper triangle is 0. */
  readonly gram: Float64Array;
  /** [D, K] row-major, integers. */
  readonly cross: Float64Array;
}

/** Items on their way into or out of the sums. */
export interface LabelledFeatures {
  /** [n, D] row-major, 0..127. */
  readonly features: Uint8Array;
  /** n target codes of K entries ±1. They may share arrays. */
  readonly targets: readonly Int8Array[];
}

const ITEMS_MAX = Math.floor(Number.MAX_SAFE_INTEGER / FEATURE_MAX ** 2);

export function emptyStatistics(featureDim: number, codeBits: number): HeadStatistics {
  return {
    featureDim,
    codeBits,
    items: 0,
    gram: new Float64Array(featureDim * featureDim),
    cross: new Float64Array(featureDim * codeBits),
  };
}

/** One target per label index, equal labels sharing one array. @throws LETHE-3402 a label has no row in the codebook */
export function targetsOf(codebook: Codebook, labels: Int32Array): Int8Array[] {
  const codes = new Map<number, Int8Array>();
  return Array.from(labels, (label) => {
    const code = codes.get(label) ?? targetCode(codebook, [label]);
    codes.set(label, code);
    return code;
  });
}

/**
 * One target per item of one or more classes, equal sets sharing one array.
 * @throws LETHE-3402 an item has no class, or a class has no row in the codebook
 */
export function targetsOfClasses(codebook: Codebook, labels: readonly (readonly number[])[]): Int8Array[] {
  const codes = new Map<string, Int8Array>();
  return labels.map((classes) => {
    if (classes.length === 0) throw HASHING.CLASS_UNKNOWN('an item has no class');
    const key = [...new Set(classes)].sort((a, b) => a - b).join();
    const code = codes.get(key) ?? targetCode(codebook, classes);
    codes.set(key, code);
    return code;
  });
}

function checkBatch(statistics: HeadStatistics, { features, targets }: LabelledFeatures): void {
  const { featureDim, codeBits } = statistics;
  if (
    features.length !== targets.length * featureDim ||
    targets.some((target) => target.length !== codeBits)
  ) {
    throw HASHING.SHAPE_MISMATCH('features and targets do not have the shape of the statistics', {
      details: { featureDim, codeBits, items: targets.length },
    });
  }
}

function accumulate(statistics: HeadStatistics, batch: LabelledFeatures, sign: 1 | -1): HeadStatistics {
  checkBatch(statistics, batch);
  const { featureDim: dim, codeBits } = statistics;
  const { features, targets } = batch;
  if (targets.some((target) => target.some((bit) => bit !== 1 && bit !== -1))) {
    throw HASHING.SHAPE_MISMATCH('a target is not made of +1 and -1');
  }
  const items = statistics.items + sign * targets.length;
  assert(items <= ITEMS_MAX, `${items} items no longer sum exactly`);
  if (items < 0) throw HASHING.STATISTICS_UNDERFLOW('more items are taken out than were put in');
  const next: HeadStatistics = {
    featureDim: dim,
    codeBits,
    items,
    gram: statistics.gram.slice(),
    cross: statistics.cross.slice(),
  };
  const rows = new Int8Array(targets.length * codeBits);
  for (const [t, target] of targets.entries()) rows.set(target, t * codeBits);
  if (!addProducts(next, features, rows, { dim, codeBits, sign })) {
    throw HASHING.FEATURE_OUT_OF_RANGE(`a feature is above ${FEATURE_MAX}`);
  }
  return next;
}

/** @throws LETHE-3403  @throws LETHE-3430 a feature above 127 */
export function addItems(statistics: HeadStatistics, batch: LabelledFeatures): HeadStatistics {
  return accumulate(statistics, batch, 1);
}

/**
 * Takes items out exactly: the result equals, bit for bit, the sums of the remaining items.
 * @throws LETHE-3403  @throws LETHE-3404 the items cannot have been in the sums (a necessary check, not a sufficient one)
 */
export function subtractItems(statistics: HeadStatistics, batch: LabelledFeatures): HeadStatistics {
  const next = accumulate(statistics, batch, -1);
  const { featureDim, items, gram, cross } = next;
  // The bias feature is 127 in every item: its sum is the bound itself, and an item without it does not come out.
  const most = items * FEATURE_MAX ** 2;
  for (let i = 0; i < featureDim; i++) {
    const squares = gram[i * featureDim + i]!;
    if (squares < 0 || squares > most) {
      throw HASHING.STATISTICS_UNDERFLOW('items are taken out that were never put in', {
        details: { feature: i },
      });
    }
  }
  if (items === 0 && [gram, cross].some((sums) => sums.some((value) => value !== 0))) {
    throw HASHING.STATISTICS_UNDERFLOW('no item is left, but something of one is');
  }
  return next;
}

/**
 * The same items with other classes, as when an item gains one: taken out with the targets they had and put in with those they have.
 * Equals, bit for bit, sums in which they always had the new targets. Stored codes are no matter of the sums and stay as they are.
 * @throws LETHE-3403  @throws LETHE-3404 the items cannot have been in the sums
 */
export function relabelItems(
  statistics: HeadStatistics,
  {
    features,
    before,
    after,
  }: { features: Uint8Array; before: readonly Int8Array[]; after: readonly Int8Array[] },
): HeadStatistics {
  return addItems(subtractItems(statistics, { features, targets: before }), { features, targets: after });
}

/** Sums of two disjoint sets of items, for shards. @throws LETHE-3403 */
export function mergeStatistics(a: HeadStatistics, b: HeadStatistics): HeadStatistics {
  if (a.featureDim !== b.featureDim || a.codeBits !== b.codeBits) {
    throw HASHING.SHAPE_MISMATCH('statistics of two different hash functions cannot be merged');
  }
  assert(a.items + b.items <= ITEMS_MAX, 'the merged items no longer sum exactly');
  return {
    ...a,
    items: a.items + b.items,
    gram: a.gram.map((value, i) => value + b.gram[i]!),
    cross: a.cross.map((value, i) => value + b.cross[i]!),
  };
}

const MAGIC = 0x3153_484c; // "LHS1"
const HEADER_BYTES = 24;
const triangle = (dim: number): number => (dim * (dim + 1)) / 2;

/**
 * Little-endian: "LHS1", D u32, K u32, 0 u32, items float64, the lower triangle of gram row by row and cross, float64 each.
 * Equal sums give equal bytes.
 */
export function encodeStatistics(statistics: HeadStatistics): Uint8Array {
  const { featureDim: dim, codeBits, items, gram, cross } = statistics;
  const numbers = new Float64Array(triangle(dim) + cross.length);
  for (let i = 0; i < dim; i++) numbers.set(gram.subarray(i * dim, i * dim + i + 1), triangle(i));
  numbers.set(cross, triangle(dim));
  const bytes = new Uint8Array(HEADER_BYTES + numbers.byteLength);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, MAGIC, true);
  view.setUint32(4, dim, true);
  view.setUint32(8, codeBits, true);
  view.setFloat64(16, items, true);
  // Typed arrays are little-endian on every platform that the native libraries of this repository exist for.
  bytes.set(bytesOf(numbers), HEADER_BYTES);
  return bytes;
}

/** Strict inverse of `encodeStatistics`. @throws LETHE-3405 */
export function decodeStatistics(bytes: Uint8Array): HeadStatistics {
  const malformed = (why: string) =>
    HASHING.BYTES_MALFORMED(`statistics: ${why}`, { details: { bytes: bytes.length } });
  if (bytes.length < HEADER_BYTES) throw malformed('too short');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [magic, dim, codeBits, zero] = [0, 4, 8, 12].map((at) => view.getUint32(at, true)) as [
    number,
    number,
    number,
    number,
  ];
  const items = view.getFloat64(16, true);
  const count = triangle(dim) + dim * codeBits;
  if (magic !== MAGIC || zero !== 0) throw malformed('no LHS1 header');
  if (dim % 4 !== 0 || bytes.length !== HEADER_BYTES + 8 * count)
    throw malformed('wrong length for its dimensions');
  if (!Number.isInteger(items) || items < 0 || items > ITEMS_MAX) throw malformed('impossible item count');
  const numbers = new Float64Array(new Uint8Array(bytes.subarray(HEADER_BYTES)).buffer);
  const bound = items * FEATURE_MAX ** 2;
  if (numbers.some((value) => !Number.isInteger(value) || Math.abs(value) > bound || Object.is(value, -0))) {
    throw malformed('an entry is no possible sum');
  }
  const gram = new Float64Array(dim * dim);
  for (let i = 0; i < dim; i++) gram.set(numbers.subarray(triangle(i), triangle(i + 1)), i * dim);
  return { featureDim: dim, codeBits, items, gram, cross: numbers.slice(triangle(dim)) };
}

/** SHA-256 over the sums and the item count. @returns 32 bytes */
export const statisticsDigest = (statistics: HeadStatistics): Uint8Array =>
  sha256(encodeStatistics(statistics));
