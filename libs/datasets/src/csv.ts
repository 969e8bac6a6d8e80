/**
 * Tables as CSV (RFC 4180) with a JSON spec beside them. Errors name row and column and never repeat a cell, because a cell
 * may be personal data and errors are logged.
 */
import { DATASETS } from './errors.ts';
import type { DataRecord, FieldValue } from './record.ts';
import { checkRow } from './record.ts';
import type { DatasetSpec, FieldSpec } from './spec.ts';
import { fieldWidth, LABEL_SEPARATOR } from './spec.ts';

const malformed = (why: string, row: number, column: number) =>
  DATASETS.CSV_MALFORMED(`row ${row}, column ${column}: ${why}`, { details: { row, column } });

/**
 * RFC 4180: comma, optional double quotes, doubled quotes inside them, LF or CRLF, an optional last line break, an optional
 * byte order mark. Every row must have as many cells as the first. Rows and columns in errors count from 1, the header is row 1.
 * @throws LETHE-2305
 */
export function parseCsv(text: string): string[][] {
  const rows: string[][] = [];
  let cells: string[] = [];
  let at = text.startsWith('\uFEFF') ? 1 : 0;
  const place = () => [rows.length + 1, cells.length + 1] as const;
  while (at < text.length) {
    let cell = '';
    if (text[at] === '"') {
      at++;
      for (;;) {
        const quote = text.indexOf('"', at);
        if (quote < 0) throw malformed('a quote is never closed', ...place());
        cell += text.slice(at, quote);
        at = quote + 1;
        if (text[at] !== '"') break;
        cell += '"';
        at++;
      }
    } else {
      const start = at;
      while (at < text.length && text[at] !== ',' && text[at] !== '\n' && text[at] !== '\r') {
        if (text[at] === '"') throw malformed('a quote inside an unquoted cell', ...place());
        at++;
      }
      cell = text.slice(start, at);
    }
    const here = place();
    cells.push(cell);
    if (text[at] === ',') {
      at++;
      // A comma at the very end of the text still opens one more, empty cell.
      if (at < text.length) continue;
      cells.push('');
    } else if (text[at] === '\r' && text[at + 1] === '\n') at += 2;
    else if (text[at] === '\n') at++;
    else if (at < text.length)
      throw malformed('text after a closing quote or a lone carriage return', ...here);
    const width = rows[0]?.length ?? cells.length;
    if (cells.length !== width) throw malformed(`the row has not the header's ${width} cells`, ...here);
    rows.push(cells);
    cells = [];
  }
  if (rows.length === 0) throw malformed('the file is empty', 1, 1);
  return rows;
}

const NUMBER = /^-?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?$/;

/** Column names that a field takes: its name, or `name_0` … for the elements of a vector. */
function columnNames(field: FieldSpec): string[] {
  if (field.kind !== 'numeric-vector') return [field.name];
  return Array.from({ length: fieldWidth(field) }, (_, k) => `${field.name}_${k}`);
}

/**
 * Reads a table into records. The header must name exactly the spec's columns (subject, fields, label) in any order; the
 * elements of a vector field `v` are the columns `v_0`, `v_1`, …; an empty label cell means no label, and where a record may have
 * several its classes stand in one cell with `|` between them. An optional field is absent where its cells are all empty, and in every
 * row if the header has none of its columns.
 * @throws LETHE-2305 not CSV, or another header  @throws LETHE-2306 a cell does not fit its field
 */
export function csvRecords(spec: DatasetSpec, text: string): DataRecord[] {
  const [header, ...rows] = parseCsv(text);
  const columnOf = new Map(header!.map((name, column) => [name, column]));
  const isLeftOut = (field: FieldSpec): boolean =>
    field.optional === true && columnNames(field).every((name) => !columnOf.has(name));
  const leftOut = new Set(spec.fields.filter(isLeftOut));
  const told = spec.fields.filter((field) => !leftOut.has(field));
  const expected = [spec.subjectField, ...told.flatMap(columnNames), spec.label.name];
  const missing = expected.find((name) => !columnOf.has(name));
  if (missing !== undefined) {
    throw DATASETS.CSV_MALFORMED(`row 1: the header has no column ${missing}`, { details: { row: 1 } });
  }
  if (header!.length !== expected.length) {
    throw DATASETS.CSV_MALFORMED(
      'row 1: the header names a column twice or one that the spec does not know',
      {
        details: { row: 1 },
      },
    );
  }
  return rows.map((cells, r) => {
    const fail = (why: string, name: string) => {
      const details = { row: r + 2, column: columnOf.get(name)! + 1, field: name };
      return DATASETS.CSV_VALUE_INVALID(`row ${details.row}, column ${details.column} (${name}): ${why}`, {
        details,
      });
    };
    const cellOf = (name: string): string => cells[columnOf.get(name)!]!;
    const numberOf = (name: string, min: number, max: number): number => {
      const cell = cellOf(name);
      if (!NUMBER.test(cell)) throw fail('is not a number', name);
      const value = Number(cell);
      if (!(value >= min && value <= max)) throw fail('is outside the declared range', name);
      return value === 0 ? 0 : value;
    };
    const indexOf = (name: string, list: readonly string[], text = cellOf(name)): number => {
      const index = list.indexOf(text);
      if (index < 0) throw fail('is none of the declared values', name);
      return index;
    };
    const labelsOfCell = (): Pick<DataRecord, 'label' | 'labels'> => {
      const { name, classes, multiple } = spec.label;
      if (cellOf(name) === '') return {};
      if (!multiple) return { label: indexOf(name, classes) };
      const labels = cellOf(name)
        .split(LABEL_SEPARATOR)
        .map((text) => indexOf(name, classes, text))
        .sort((a, b) => a - b);
      if (new Set(labels).size !== labels.length) throw fail('names a class twice', name);
      return { labels };
    };
    const values = spec.fields.map((field): FieldValue | undefined => {
      if (leftOut.has(field)) return undefined;
      if (field.optional && columnNames(field).every((name) => cellOf(name) === '')) return undefined;
      if (field.kind === 'categorical') return indexOf(field.name, field.categories);
      if (field.kind === 'numeric') return numberOf(field.name, field.min, field.max);
      const elements = columnNames(field).map((name) => {
        const value = numberOf(name, field.min, field.max);
        if (field.element === 'uint8' && !Number.isInteger(value)) throw fail('is not an integer', name);
        return value;
      });
      return field.element === 'uint8' ? Uint8Array.from(elements) : Float32Array.from(elements);
    });
    const subjectId = cellOf(spec.subjectField);
    if (subjectId === '') throw fail('is empty', spec.subjectField);
    const record: DataRecord = { subjectId, values, ...labelsOfCell() };
    checkRow(spec, record);
    return record;
  });
}
