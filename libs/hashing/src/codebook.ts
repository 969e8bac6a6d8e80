/**
 * Fixed code geometry: every class owns a row of a Hadamard matrix for ever, so learning a new class moves no old target.
 *
 * K = codeBits, a power of two. Rows of the Sylvester-Hadamard matrix, h[r][k] = (-1)^popcount(r & k). Row 0 (all +1) is
 * unused: its bits would carry nothing. Row K-1 breaks ties. Classes 0..K-3 take rows 1..K-2 in the codebook's order, classes K-2..2K-5
 * their complements. Two classes are K/2 bits apart, a class and its complement K.
 *
 * The order matters although all distances are equal. Bits k and k' are one and the same function of the input if every row in use agrees on
 * them, and m rows tell 2^(their rank over GF(2)) bits apart. Rows 1, 2, 3, … have rank 4 up to the tenth class: 64 bits are then 16 bits four
 * times over. By number of set bits the first log2 K rows are a basis, and every bit is another function from the seventh class of 64 bits on.
 */
import { HASHING } from './errors.ts';

/** `serial`: 1, 2, 3, …, the order of functions of release 0.1. `spread`: by number of set bits, then by value. */
export type RowOrder = 'serial' | 'spread';

export interface Codebook {
  /** K. */
  readonly codeBits: number;
  readonly order: RowOrder;
  /** Names of the allocated classes; the position is the row allocation and never changes. */
  readonly classes: readonly string[];
}

const popcount = (value: number): number => {
  let bits = 0;
  for (let rest = value; rest !== 0; rest &= rest - 1) bits++;
  return bits;
};

const hadamard = (row: number, bit: number): number => 1 - 2 * (popcount(row & bit) & 1);

const ROWS = new Map<string, readonly number[]>();

/** Rows 1..K-2 in their order. */
function rowsOf({ codeBits, order }: Codebook): readonly number[] {
  const key = `${order}-${codeBits}`;
  const known = ROWS.get(key);
  if (known) return known;
  const rows = Array.from({ length: codeBits - 2 }, (_, i) => i + 1);
  if (order === 'spread') rows.sort((a, b) => popcount(a) - popcount(b) || a - b);
  ROWS.set(key, rows);
  return rows;
}

/** @throws LETHE-3410 codeBits is no power of two in 8..256 */
export function emptyCodebook(codeBits: number, order: RowOrder = 'spread'): Codebook {
  if (![8, 16, 32, 64, 128, 256].includes(codeBits)) {
    throw HASHING.OPTION_INVALID('codeBits is not a power of two in 8..256', { details: { codeBits } });
  }
  return { codeBits, order, classes: [] };
}

/** Gives the next rows to the names that have none yet, in their order. @throws LETHE-3401 no row is left */
export function allocateClasses(codebook: Codebook, names: readonly string[]): Codebook {
  const classes = [...new Set([...codebook.classes, ...names])];
  const most = 2 * (codebook.codeBits - 2);
  if (classes.length > most) {
    throw HASHING.CODEBOOK_FULL(`codes of ${codebook.codeBits} bits hold ${most} classes`, {
      details: { most },
    });
  }
  return { ...codebook, classes };
}

/** The code of one class. @returns [K] of +1 and -1  @throws LETHE-3402 the class has no row */
export function classCode(codebook: Codebook, classIndex: number): Int8Array {
  const { codeBits, classes } = codebook;
  if (!Number.isInteger(classIndex) || classIndex < 0 || classIndex >= classes.length) {
    throw HASHING.CLASS_UNKNOWN('the class has no row in the codebook', {
      details: { classes: classes.length },
    });
  }
  const rows = rowsOf(codebook);
  const sign = classIndex < rows.length ? 1 : -1;
  const row = rows[classIndex % rows.length]!;
  return Int8Array.from({ length: codeBits }, (_, bit) => sign * hadamard(row, bit));
}

/**
 * Target of an item with the given classes: sign of the sum of their rows, the tie row where the sum is 0.
 * @returns [K] of +1 and -1  @throws LETHE-3402 no class, or one without a row
 */
export function targetCode(codebook: Codebook, classIndices: readonly number[]): Int8Array {
  if (classIndices.length === 0) throw HASHING.CLASS_UNKNOWN('an item has no class');
  const codes = [...new Set(classIndices)].map((index) => classCode(codebook, index));
  return Int8Array.from({ length: codebook.codeBits }, (_, bit) => {
    const sum = codes.reduce((total, code) => total + code[bit]!, 0);
    return Math.sign(sum) || hadamard(codebook.codeBits - 1, bit);
  });
}

/** Packs ±1 into bits, +1 as 1, bit k at byte k >> 3, position k & 7. @returns K / 8 bytes */
export function packCode(code: Int8Array): Uint8Array {
  const bytes = new Uint8Array(code.length >> 3);
  code.forEach((value, bit) => {
    if (value > 0) bytes[bit >> 3]! |= 1 << (bit & 7);
  });
  return bytes;
}
