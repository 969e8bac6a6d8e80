/**
 * From a row to what models read. Scaling uses the declared ranges only, so a record's model input depends on that record
 * and the spec, on nobody else's record.
 */
import { DATASETS } from './errors.ts';
import type { Row } from './record.ts';
import type { DatasetSpec } from './spec.ts';
import { fieldWidth } from './spec.ts';

/** Fields that are read together: all of a dataset, or the picture, or the text. */
export interface FieldGroup {
  /** Positions in `spec.fields`, ascending. */
  readonly fields: readonly number[];
  /** Columns of the group's model input, in the order of the spec. */
  readonly width: number;
}

const groupOf = (spec: DatasetSpec, fields: readonly number[]): FieldGroup => ({
  fields,
  width: fields.reduce((width, field) => width + fieldWidth(spec.fields[field]!), 0),
});

/** Every field. */
export const allFields = (spec: DatasetSpec): FieldGroup => groupOf(spec, [...spec.fields.keys()]);

/** @param names at least one, in any order  @throws LETHE-2315 no field, one that the dataset does not declare, or one named twice */
export function fieldGroup(spec: DatasetSpec, names: readonly string[]): FieldGroup {
  const fields = names.map((name) => spec.fields.findIndex((field) => field.name === name));
  const wrong = fields.findIndex((field, i) => field === -1 || fields.indexOf(field) !== i);
  if (names.length === 0 || wrong >= 0) {
    throw DATASETS.FIELDS_UNKNOWN(`${spec.name} has no such group of fields`, {
      details: { field: names[wrong] ?? '' },
    });
  }
  return groupOf(
    spec,
    fields.sort((a, b) => a - b),
  );
}

/** True when every field of the group is there. */
export const hasGroup = (row: Row, { fields }: FieldGroup): boolean =>
  fields.every((field) => row.values[field] !== undefined);

/** Calls back with every column's value scaled to [0, 1], columns in the order of the spec. @throws LETHE-2316 a field is absent */
function eachColumn(
  spec: DatasetSpec,
  group: FieldGroup,
  row: Row,
  visit: (column: number, unit: number) => void,
): void {
  let at = 0;
  for (const i of group.fields) {
    const field = spec.fields[i]!;
    const value = row.values[i];
    if (value === undefined) {
      throw DATASETS.FIELD_ABSENT(`a record has no ${field.name}`, { details: { field: field.name } });
    }
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
  }
}

/**
 * Rows as bytes 0..255, the integer input of the hash function's features.
 * @returns [rows, group.width], row-major  @throws LETHE-2316 a row lacks a field of the group
 */
export function byteMatrix(spec: DatasetSpec, rows: readonly Row[], group = allFields(spec)): Uint8Array {
  const out = new Uint8Array(rows.length * group.width);
  rows.forEach((row, r) => {
    eachColumn(spec, group, row, (column, unit) => {
      out[r * group.width + column] = Math.round(unit * 255);
    });
  });
  return out;
}

/**
 * Rows scaled to [0, 1], the input of trained models.
 * @returns [rows, vectorWidth(spec)], row-major  @throws LETHE-2316 a row lacks a field
 */
export function floatMatrix(spec: DatasetSpec, rows: readonly Row[]): Float32Array {
  const group = allFields(spec);
  const out = new Float32Array(rows.length * group.width);
  rows.forEach((row, r) => {
    eachColumn(spec, group, row, (column, unit) => {
      out[r * group.width + column] = unit;
    });
  });
  return out;
}

/**
 * Labels of rows with one label each, -1 where a row has none.
 * @throws LETHE-2317 a row has several: nothing that reads one number a row may take the first for all
 */
export const labelsOf = (rows: readonly Row[]): Int32Array =>
  Int32Array.from(rows, ({ label, labels }) => {
    if (labels !== undefined) throw DATASETS.SPEC_UNSUPPORTED('a record has a list of labels');
    return label ?? -1;
  });

/**
 * For all that reads one label and every field of a record: training runs, federations, audits of models.
 * @param what what is refused, to begin the message with  @throws LETHE-2317
 */
export function requireWholeRecords(spec: DatasetSpec, what: string): void {
  const optional = spec.fields.find((field) => field.optional);
  const reason = spec.label.multiple ? 'several labels per record' : optional && 'fields that may be absent';
  if (!reason) return;
  const field = spec.label.multiple ? spec.label.name : optional!.name;
  throw DATASETS.SPEC_UNSUPPORTED(`${what} cannot read a dataset with ${reason}`, { details: { field } });
}

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
