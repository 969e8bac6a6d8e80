/**
 * Discrete key-value head: an item reads and writes C cells of a table, one a head, and no others.
 *
 *     head c looks at s feature units; its 2^s keys are the corners of {inactive, active}^s, the nearest of which is the pattern of active units
 *     write   values[c, cell] += target, counts[c, cell] += 1                                      target in {-1, +1}^K
 *     read    u = sum over heads of values[c, cell] / (counts[c, cell] + 1)        code = [u > 0]
 *
 * Source: Träuble et al., "Discrete Key-Value Bottleneck", ICML 2023: frozen encoder, frozen keys per head, only the values that were touched
 * learn. Different here: keys are drawn from the feature map's public seed and not placed by a moving average over data, so that no record
 * shapes them; values are integer sums instead of gradient steps, so that taking an item out is exact and local: at most C cells change,
 * and every other byte is as before. What is read are random ferns (Özuysal et al. 2007) with a codebook instead of class posteriors.
 */
import { bytesOf, sha256 } from '@lethe/std';
import { HASHING } from '../errors.ts';
import { codesOf } from '../function.ts';

export interface KeyValueSpec {
  /** C, at least 1. */
  readonly heads: number;
  /** s, 1..12: a head has 2^s keys. */
  readonly keyBits: number;
  /** K, a multiple of 8. */
  readonly codeBits: number;
}

/** Changed in place by `writeItems` and `eraseItems`. */
export interface KeyValueTable {
  readonly spec: KeyValueSpec;
  /** [C, 2^s, K], integers. */
  readonly values: Int32Array;
  /** [C, 2^s]. */
  readonly counts: Uint32Array;
}

/** Items on their way into or out of the table; features as `createFeatureMap` gives them. */
export interface KeyedItems {
  /** [n, D]; head c looks at columns c * s to c * s + s - 1, so C * s is below D (the bias feature tells nothing). */
  readonly features: Uint8Array;
  readonly featureDim: number;
  /** n target codes of K entries ±1. */
  readonly targets: readonly Int8Array[];
}

/** @throws LETHE-3410 a number outside its range */
export function emptyTable(spec: KeyValueSpec): KeyValueTable {
  const { heads, keyBits, codeBits } = spec;
  const within = (value: number, from: number, to: number) =>
    Number.isInteger(value) && value >= from && value <= to;
  if (!within(heads, 1, 4_096) || !within(keyBits, 1, 12) || !within(codeBits / 8, 1, 32)) {
    throw HASHING.OPTION_INVALID('a key-value table needs 1..4096 heads, 1..12 key bits, 8..256 code bits', {
      details: { heads, keyBits, codeBits },
    });
  }
  const cells = heads << keyBits;
  return { spec, values: new Int32Array(cells * codeBits), counts: new Uint32Array(cells) };
}

/** Cells of each item, as positions in `counts`. @returns [n, C]  @throws LETHE-3403 */
export function cellsOf(
  { heads, keyBits }: KeyValueSpec,
  features: Uint8Array,
  featureDim: number,
): Uint32Array {
  if (heads * keyBits >= featureDim || features.length % featureDim !== 0) {
    throw HASHING.SHAPE_MISMATCH('the features are not whole rows with a column for every key bit', {
      details: { heads, keyBits, featureDim },
    });
  }
  const rows = features.length / featureDim;
  const cells = new Uint32Array(rows * heads);
  for (let row = 0; row < rows; row++) {
    for (let head = 0; head < heads; head++) {
      let key = 0;
      for (let bit = 0; bit < keyBits; bit++) {
        if (features[row * featureDim + head * keyBits + bit]! > 0) key |= 1 << bit;
      }
      cells[row * heads + head] = (head << keyBits) + key;
    }
  }
  return cells;
}

function change(
  table: KeyValueTable,
  { features, featureDim, targets }: KeyedItems,
  sign: 1 | -1,
): Uint32Array {
  const { heads, codeBits } = table.spec;
  const cells = cellsOf(table.spec, features, featureDim);
  if (cells.length !== targets.length * heads || targets.some((target) => target.length !== codeBits)) {
    throw HASHING.SHAPE_MISMATCH('features and targets differ in number or width');
  }
  if (sign === -1) {
    const leaving = new Map<number, number>();
    for (const cell of cells) leaving.set(cell, (leaving.get(cell) ?? 0) + 1);
    for (const [cell, count] of leaving) {
      if (count > table.counts[cell]!) {
        throw HASHING.STATISTICS_UNDERFLOW('more items leave a cell than it was given');
      }
    }
  }
  for (const [i, cell] of cells.entries()) {
    const target = targets[Math.floor(i / heads)]!;
    table.counts[cell]! += sign;
    for (let k = 0; k < codeBits; k++) table.values[cell * codeBits + k]! += sign * target[k]!;
  }
  return cells;
}

/** @throws LETHE-3403 */
export function writeItems(table: KeyValueTable, items: KeyedItems): void {
  change(table, items, 1);
}

/**
 * Takes items out, in place: the table equals, byte for byte, one that never had them.
 * @returns the cells that changed, ascending, at most C an item  @throws LETHE-3403  @throws LETHE-3404, with nothing changed
 */
export function eraseItems(table: KeyValueTable, items: KeyedItems): Uint32Array {
  return new Uint32Array(new Set(change(table, items, -1))).sort();
}

/** @param features [n, D]  @returns codes [n, K / 8]  @throws LETHE-3403 */
export function readCodes(table: KeyValueTable, features: Uint8Array, featureDim: number): Uint8Array {
  const { heads, codeBits } = table.spec;
  const cells = cellsOf(table.spec, features, featureDim);
  const u = new Float64Array((cells.length / heads) * codeBits);
  for (const [at, cell] of cells.entries()) {
    const row = Math.floor(at / heads) * codeBits;
    const weight = 1 / (table.counts[cell]! + 1);
    for (let k = 0; k < codeBits; k++) u[row + k]! += weight * table.values[cell * codeBits + k]!;
  }
  return codesOf(u);
}

/** SHA-256 over shape, values and counts. @returns 32 bytes */
export function tableDigest({ spec, values, counts }: KeyValueTable): Uint8Array {
  const shape = Uint32Array.of(spec.heads, spec.keyBits, spec.codeBits);
  return sha256('lethe/hashing/key-value/v1', bytesOf(shape), bytesOf(counts), bytesOf(values));
}
