/**
 * From a row to what models read. Scaling uses the declared ranges only, so a record's model input depends on that record
 * and the spec, on nobody else's record.
 */
import { DATASETS } from './errors.ts';
import type { Row } from './record.ts';
import type { DatasetSpec } from './spec.ts';
import { fieldWidth, vectorWidth } from './spec.ts';

/** Calls back with every column's value scaled to [0, 1], columns in the order of the spec. */
function eachColumn(spec: DatasetSpec, row: Row, visit: (column: number, unit: number) => void): void {
  let at = 0;
  spec.fields.forEach((field, i) => {
    const value = row.values[i]!;
    if (field.kind === 'categorical') {
      field.categories.forEach((_, category) => {
        visit(at + category, category === value ? 1 : 0);
      });
    } else {
      const span = field.max - field.min;
      if (typeof value === 'number') visit(at, (value - field.min) / span);
      else for (let k = 0; k < value.length; k++) visit(at + k, (value[k]! - field.min) / span);
    }
    at += fieldWidth(field);
  });
}

/** Rows as bytes 0..255, the integer input of the hash function's features. @returns [rows, vectorWidth(spec)], row-major */
export function byteMatrix(spec: DatasetSpec, rows: readonly Row[]): Uint8Array {
  const width = vectorWidth(spec);
  const out = new Uint8Array(rows.length * width);
  rows.forEach((row, r) => {
    eachColumn(spec, row, (column, unit) => {
      out[r * width + column] = Math.round(unit * 255);
    });
  });
  return out;
}

/** Rows scaled to [0, 1], the input of trained models. @returns [rows, vectorWidth(spec)], row-major */
export function floatMatrix(spec: DatasetSpec, rows: readonly Row[]): Float32Array {
  const width = vectorWidth(spec);
  const out = new Float32Array(rows.length * width);
  rows.forEach((row, r) => {
    eachColumn(spec, row, (column, unit) => {
      out[r * width + column] = unit;
    });
  });
  return out;
}

/** Labels of rows, -1 where a row has none. */
export const labelsOf = (rows: readonly Row[]): Int32Array => Int32Array.from(rows, (row) => row.label ?? -1);

/**
 * Columns of the model input that each party of a vertical federation holds. A vector field is cut along its last axis
 * into contiguous parts whose lengths differ by at most one (the two halves of every image's columns for two parties);
 * scalar fields are dealt out in turn, a categorical field stays whole.
 * @returns per party its columns, ascending; together every column once  @throws LETHE-2308
 */
export function splitColumns(spec: DatasetSpec, parties: number): Uint32Array[] {
  const lastAxes = spec.fields.flatMap((field) =>
    field.kind === 'numeric-vector' ? [field.shape.at(-1)!] : [],
  );
  const scalars = spec.fields.length - lastAxes.length;
  const most = Math.max(scalars, ...lastAxes);
  if (!Number.isInteger(parties) || parties < 1 || parties > most) {
    throw DATASETS.SPLIT_INVALID(`${spec.name} cannot be split between that many parties`, {
      details: { parties, most },
    });
  }
  const columns: number[][] = Array.from({ length: parties }, () => []);
  let at = 0;
  let dealt = 0;
  for (const field of spec.fields) {
    const width = fieldWidth(field);
    if (field.kind === 'numeric-vector') {
      const axis = field.shape.at(-1)!;
      for (let k = 0; k < width; k++) columns[Math.floor(((k % axis) * parties) / axis)]!.push(at + k);
    } else {
      const owner = columns[dealt++ % parties]!;
      for (let k = 0; k < width; k++) owner.push(at + k);
    }
    at += width;
  }
  return columns.map((own) => Uint32Array.from(own));
}

/** @returns [rows, columns.length], row-major, of the given columns of a matrix [rows, width] */
export function takeColumns<T extends Uint8Array | Float32Array>(
  matrix: T,
  width: number,
  columns: Uint32Array,
): T {
  const rows = matrix.length / width;
  const Type = matrix.constructor as new (length: number) => T;
  const out = new Type(rows * columns.length);
  let at = 0;
  for (let r = 0; r < rows; r++) for (const column of columns) out[at++] = matrix[r * width + column]!;
  return out;
}
