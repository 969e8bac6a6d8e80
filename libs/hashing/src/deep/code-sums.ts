/**
 * All that deep training keeps of the codes that exist already.
 *
 *     G = Bᵀ B    [K, K]     B: their codes, ±1
 *     P = Ŷᵀ B    [C, K]     Ŷ: their multi-hot labels, each row of length 1
 *     Q = Ŷᵀ Ŷ    [C, C]     for the value of the loss only
 *
 * A row of Ŷ is a multi-hot row over √c, c its number of labels. The sums are kept as integers per c, so they are exact, do not depend on the order
 * or sharding of the items, and an item leaves them by a rank-1 subtraction as if it had never come. The roots enter in `lifelongSums`.
 * Their size depends on K, C and the largest c, never on the number of items.
 */
import { assert, bytesOf, concatBytes, sha256, utf8 } from '@lethe/std';
import { HASHING } from '../errors.ts';

/** Items that have the same number of labels. */
export interface CardinalitySums {
  readonly items: number;
  /** Sum of y bᵀ, [C, K] row-major, y multi-hot. */
  readonly cross: Float64Array;
  /** Sum of y yᵀ, [C, C] row-major. */
  readonly labels: Float64Array;
}

/** Immutable by convention: every function here gives new sums. */
export interface CodeSums {
  /** K. */
  readonly codeBits: number;
  /** C, declared classes; grows by `widenClasses`. */
  readonly classes: number;
  readonly items: number;
  /** Sum of b bᵀ, [K, K] row-major. */
  readonly gram: Float64Array;
  /** By number of labels; only numbers that some item has. */
  readonly byCardinality: ReadonlyMap<number, CardinalitySums>;
}

/** Codes with their classes, on their way into or out of the sums. */
export interface LabelledCodeRows {
  /** [n, K] row-major, +1 or -1. */
  readonly codes: Int8Array;
  /** n sets of distinct classes, each with at least one. */
  readonly labels: readonly (readonly number[])[];
}

export const emptyCodeSums = (codeBits: number, classes: number): CodeSums => ({
  codeBits,
  classes,
  items: 0,
  gram: new Float64Array(codeBits * codeBits),
  byCardinality: new Map(),
});

/** @throws LETHE-3450 an item without a class, with one twice or with one that is not declared */
export function checkLabels(labels: readonly (readonly number[])[], classes: number): void {
  for (const set of labels) {
    const known = set.every((c) => Number.isInteger(c) && c >= 0 && c < classes);
    if (set.length === 0 || !known || new Set(set).size !== set.length) {
      throw HASHING.LABELS_INVALID(`an item has no set of 1 to ${classes} distinct declared classes`, {
        details: { classes, labels: set.length },
      });
    }
  }
}

function checkRows({ codeBits, classes }: CodeSums, { codes, labels }: LabelledCodeRows): void {
  if (codes.length !== labels.length * codeBits || codes.some((bit) => bit !== 1 && bit !== -1)) {
    throw HASHING.CODE_LENGTH_WRONG(`codes are not rows of ${codeBits} times +1 or -1`);
  }
  checkLabels(labels, classes);
}

function accumulate(sums: CodeSums, rows: LabelledCodeRows, sign: 1 | -1): CodeSums {
  checkRows(sums, rows);
  const { codeBits: K, classes: C } = sums;
  const { codes, labels } = rows;
  const gram = sums.gram.slice();
  const copies = new Map<number, { items: number; cross: Float64Array; labels: Float64Array }>();
  for (const [c, part] of sums.byCardinality) {
    copies.set(c, { items: part.items, cross: part.cross.slice(), labels: part.labels.slice() });
  }
  for (const [i, set] of labels.entries()) {
    const code = codes.subarray(i * K, (i + 1) * K);
    for (let k = 0; k < K; k++) {
      const step = sign * code[k]!;
      for (let l = 0; l <= k; l++) gram[k * K + l]! += step * code[l]!;
    }
    const part = copies.get(set.length) ?? {
      items: 0,
      cross: new Float64Array(C * K),
      labels: new Float64Array(C * C),
    };
    copies.set(set.length, part);
    part.items += sign;
    for (const c of set) {
      for (let k = 0; k < K; k++) part.cross[c * K + k]! += sign * code[k]!;
      for (const d of set) part.labels[c * C + d]! += sign;
    }
  }
  for (let k = 0; k < K; k++) for (let l = 0; l < k; l++) gram[l * K + k] = gram[k * K + l]!;
  return settled({ ...sums, items: sums.items + sign * labels.length, gram }, copies);
}

/** What no item is left in goes, so that the sums equal those of a history without it. @throws LETHE-3404 */
function settled(sums: CodeSums, parts: Map<number, CardinalitySums>): CodeSums {
  for (const [c, { items, cross, labels }] of parts) {
    const negative = items < 0 || labels.some((count) => count < 0);
    if (negative || (items === 0 && [cross, labels].some((part) => part.some((value) => value !== 0)))) {
      throw HASHING.STATISTICS_UNDERFLOW('codes are taken out that were never put in', {
        details: { labels: c },
      });
    }
    if (items === 0) parts.delete(c);
  }
  assert(sums.items <= Number.MAX_SAFE_INTEGER, 'the codes no longer sum exactly');
  const byCardinality = new Map([...parts].sort(([a], [b]) => a - b));
  return { ...sums, byCardinality };
}

/** @throws LETHE-3406, LETHE-3450 */
export const addCodes = (sums: CodeSums, rows: LabelledCodeRows): CodeSums => accumulate(sums, rows, 1);

/**
 * Takes codes out exactly: the result equals, bit for bit, the sums of the remaining ones. It needs the very codes and labels that went in.
 * @throws LETHE-3406, LETHE-3450  @throws LETHE-3404 they cannot have been in the sums (a necessary check, not a sufficient one)
 */
export const subtractCodes = (sums: CodeSums, rows: LabelledCodeRows): CodeSums => accumulate(sums, rows, -1);

/** Sums of two disjoint sets of items, for shards. @throws LETHE-3403 */
export function mergeCodeSums(a: CodeSums, b: CodeSums): CodeSums {
  if (a.codeBits !== b.codeBits || a.classes !== b.classes) {
    throw HASHING.SHAPE_MISMATCH('sums of codes of two different hash functions cannot be merged');
  }
  const parts = new Map(a.byCardinality);
  for (const [c, part] of b.byCardinality) {
    const own = parts.get(c);
    parts.set(
      c,
      own
        ? {
            items: own.items + part.items,
            cross: plus(own.cross, part.cross),
            labels: plus(own.labels, part.labels),
          }
        : part,
    );
  }
  return settled({ ...a, items: a.items + b.items, gram: plus(a.gram, b.gram) }, parts);
}

const plus = (a: Float64Array, b: Float64Array): Float64Array => a.map((value, i) => value + b[i]!);

/** The same sums with more declared classes, of which no item is yet. @throws LETHE-3410 fewer than before */
export function widenClasses(sums: CodeSums, classes: number): CodeSums {
  const { classes: C, codeBits: K } = sums;
  if (!(Number.isInteger(classes) && classes >= C)) {
    throw HASHING.OPTION_INVALID('declared classes never become fewer', { details: { classes, before: C } });
  }
  const byCardinality = new Map(
    [...sums.byCardinality].map(([c, part]) => {
      const cross = new Float64Array(classes * K);
      cross.set(part.cross);
      const labels = new Float64Array(classes * classes);
      for (let r = 0; r < C; r++) labels.set(part.labels.subarray(r * C, (r + 1) * C), r * classes);
      return [c, { items: part.items, cross, labels }] as const;
    }),
  );
  return { ...sums, classes, byCardinality };
}

/** Number of codes of each class, [C]. */
export function classCounts({ classes, byCardinality }: CodeSums): Float64Array {
  const counts = new Float64Array(classes);
  for (const { labels } of byCardinality.values()) {
    for (let c = 0; c < classes; c++) counts[c]! += labels[c * classes + c]!;
  }
  return counts;
}

/** G, P and Q with the roots in: what the loss reads. Cardinalities are added in rising order, so equal sums give equal bits. */
export interface LifelongSums {
  readonly items: number;
  /** [K, K] */
  readonly g: Float64Array;
  /** [C, K] */
  readonly p: Float64Array;
  /** [C, C] */
  readonly q: Float64Array;
}

export function lifelongSums({
  codeBits: K,
  classes: C,
  items,
  gram,
  byCardinality,
}: CodeSums): LifelongSums {
  const p = new Float64Array(C * K);
  const q = new Float64Array(C * C);
  for (const [c, { cross, labels }] of byCardinality) {
    const root = Math.sqrt(c);
    for (let i = 0; i < p.length; i++) p[i]! += cross[i]! / root;
    for (let i = 0; i < q.length; i++) q[i]! += labels[i]! / c;
  }
  return { items, g: gram, p, q };
}

/** Rows of length 1 from sets of classes. @returns Ŷ [n, C] row-major */
export function unitLabels(labels: readonly (readonly number[])[], classes: number): Float64Array {
  const rows = new Float64Array(labels.length * classes);
  for (const [i, set] of labels.entries()) {
    for (const c of set) rows[i * classes + c] = 1 / Math.sqrt(set.length);
  }
  return rows;
}

const HEADER = utf8('LCS1');

/**
 * Little-endian float64 behind "LCS1": K, C, items, gram, the number of cardinalities, then for each in rising order c, its items, cross and labels.
 * Equal sums give equal bytes.
 */
export function encodeCodeSums(sums: CodeSums): Uint8Array {
  const { codeBits, classes, items, gram, byCardinality } = sums;
  const parts = [...byCardinality].flatMap(([c, part]) => [
    Float64Array.of(c, part.items),
    part.cross,
    part.labels,
  ]);
  const numbers = [
    Float64Array.of(codeBits, classes, items),
    gram,
    Float64Array.of(byCardinality.size),
    ...parts,
  ];
  return concatBytes(HEADER, ...numbers.map(bytesOf));
}

/** Strict inverse of `encodeCodeSums`. @throws LETHE-3405 */
export function decodeCodeSums(bytes: Uint8Array): CodeSums {
  const malformed = (why: string) =>
    HASHING.BYTES_MALFORMED(`sums of codes: ${why}`, { details: { bytes: bytes.length } });
  if (bytes.length < 36 || (bytes.length - 4) % 8 !== 0 || HEADER.some((byte, i) => bytes[i] !== byte))
    throw malformed('no LCS1 header');
  // A copy at offset 0; the `slice` of a Buffer would share memory.
  const all = new Float64Array(new Uint8Array(bytes.subarray(4)).buffer);
  if (all.some((value) => !Number.isSafeInteger(value) || Object.is(value, -0)))
    throw malformed('an entry is no integer');
  let at = 0;
  const take = (count: number): Float64Array => {
    if (at + count > all.length) throw malformed('too short for its dimensions');
    at += count;
    return all.slice(at - count, at);
  };
  const [codeBits, classes, items] = take(3) as unknown as [number, number, number];
  if (codeBits < 1 || classes < 1 || items < 0) throw malformed('impossible dimensions');
  const gram = take(codeBits * codeBits);
  const byCardinality = new Map<number, CardinalitySums>();
  let last = 0;
  for (let rest = take(1)[0]!; rest > 0; rest--) {
    const [c, own] = take(2) as unknown as [number, number];
    if (c <= last || c > classes || own < 1) throw malformed('cardinalities out of order');
    byCardinality.set(c, { items: own, cross: take(classes * codeBits), labels: take(classes * classes) });
    last = c;
  }
  const counted = [...byCardinality.values()].reduce((sum, part) => sum + part.items, 0);
  const diagonal = gram.every((value, i) => i % (codeBits + 1) !== 0 || value === items);
  if (at !== all.length || counted !== items || !diagonal) throw malformed('its parts do not agree');
  return { codeBits, classes, items, gram, byCardinality };
}

/** SHA-256 of `encodeCodeSums`, 32 bytes. */
export const codeSumsDigest = (sums: CodeSums): Uint8Array => sha256(encodeCodeSums(sums));
