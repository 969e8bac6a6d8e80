/**
 * Payload bytes of a record, version 1. Little-endian, fixed length for a spec, one accepted encoding per record:
 *
 *     byte 0   0x01
 *     label    one class per record: uint16, index into spec.label.classes, 0xffff = no label
 *              several (label.multiple): ceil(classes / 8) bytes, class c is bit c % 8 of byte c / 8; no bit = no label
 *     then, in the order of spec.fields:
 *       an optional field first has a byte: 0x01 there, 0x00 absent, and the bytes of an absent value are 0x00
 *       numeric-vector   its elements, row-major, uint8 or float32
 *       numeric          float64
 *       categorical      uint16 index into categories
 *
 * The subject's id is not in it: a payload is sealed under the subject's key, and names nobody when it is opened. Its length says
 * nothing about which fields are there.
 */
import { DATASETS } from './errors.ts';
import type { DatasetSpec, FieldSpec, LabelSpec } from './spec.ts';
import { fieldBytes, labelBytes, payloadBytes, vectorSize } from './spec.ts';

/** A vector's elements, a number, or the index of a category, as the field's kind says. */
export type FieldValue = Uint8Array | Float32Array | number;

/** What a payload holds. */
export interface Row {
  /** One value per field, in the order of the spec; undefined where an optional field is absent. */
  readonly values: readonly (FieldValue | undefined)[];
  /** Index into `spec.label.classes`; absent for a row that is only asked about. Of a dataset with one label per record. */
  readonly label?: number;
  /** Ascending indices into `spec.label.classes`. Of a dataset with several labels per record; a row with none has no list. */
  readonly labels?: readonly number[];
}

/** Classes of a row, ascending, of either kind of dataset; none for a row that is only asked about. */
export const classesOf = ({ label, labels }: Row): readonly number[] =>
  labels ?? (label === undefined ? [] : [label]);

/** A row and the person it belongs to. */
export interface DataRecord extends Row {
  readonly subjectId: string;
}

const VERSION = 1;
const NO_LABEL = 0xffff;

/** -0 and NaN are refused so that equal records have equal bytes. */
function checkNumber(value: number, min: number, max: number, field: string): void {
  if (!(value >= min && value <= max) || Object.is(value, -0)) {
    throw DATASETS.VALUE_OUT_OF_RANGE(`a value of field ${field} is outside its declared range`, {
      details: { field },
    });
  }
}

function checkValue(field: FieldSpec, value: FieldValue | undefined): void {
  const malformed = () =>
    DATASETS.PAYLOAD_MALFORMED(`the value of field ${field.name} has the wrong type or length`, {
      details: { field: field.name },
    });
  if (field.kind === 'numeric-vector') {
    const fits = field.element === 'uint8' ? value instanceof Uint8Array : value instanceof Float32Array;
    if (!fits || (value as Uint8Array).length !== vectorSize(field)) throw malformed();
    // The bounds are rounded as the elements are, or 0.1 as float32 would lie above a declared maximum of 0.1.
    const round = field.element === 'float32' ? Math.fround : (bound: number) => bound;
    const [min, max] = [round(field.min), round(field.max)];
    for (const element of value as Uint8Array | Float32Array) checkNumber(element, min, max, field.name);
  } else if (typeof value !== 'number') {
    throw malformed();
  } else if (field.kind === 'numeric') {
    checkNumber(value, field.min, field.max, field.name);
  } else if (!Number.isInteger(value) || value < 0 || value >= field.categories.length) {
    throw DATASETS.VALUE_OUT_OF_RANGE(`the value of field ${field.name} is none of its categories`, {
      details: { field: field.name },
    });
  }
}

/** Checks a row against its spec. @throws LETHE-2302 wrong type or length  @throws LETHE-2304 outside the declared range */
export function checkRow(spec: DatasetSpec, row: Row): void {
  if (row.values.length !== spec.fields.length) {
    throw DATASETS.PAYLOAD_MALFORMED(`a record of ${spec.name} has ${spec.fields.length} fields`, {
      details: { fields: row.values.length },
    });
  }
  spec.fields.forEach((field, i) => {
    if (!(field.optional && row.values[i] === undefined)) checkValue(field, row.values[i]);
  });
  if (row.values.every((value) => value === undefined)) {
    throw DATASETS.PAYLOAD_MALFORMED(`a record of ${spec.name} has at least one field`);
  }
  checkLabel(spec, row);
}

function checkLabel({ name, label: { name: field, classes, multiple } }: DatasetSpec, row: Row): void {
  if (multiple ? row.label !== undefined : row.labels !== undefined) {
    const has = multiple ? 'a list of labels' : 'one label';
    throw DATASETS.PAYLOAD_MALFORMED(`a record of ${name} has ${has}`, { details: { field } });
  }
  const labels = classesOf(row);
  if (labels.some((label) => !Number.isInteger(label) || label < 0 || label >= classes.length)) {
    throw DATASETS.VALUE_OUT_OF_RANGE('the label is none of the declared classes', { details: { field } });
  }
  if (labels.some((label, i) => i > 0 && label <= labels[i - 1]!)) {
    throw DATASETS.PAYLOAD_MALFORMED('the labels are not in ascending order', { details: { field } });
  }
}

/** @returns the payload, `payloadBytes(spec)` bytes  @throws LETHE-2302, LETHE-2304 */
export function encodePayload(spec: DatasetSpec, row: Row): Uint8Array {
  checkRow(spec, row);
  const bytes = new Uint8Array(payloadBytes(spec));
  const view = new DataView(bytes.buffer);
  view.setUint8(0, VERSION);
  if (spec.label.multiple) for (const label of classesOf(row)) bytes[1 + (label >> 3)]! |= 1 << (label & 7);
  else view.setUint16(1, row.label ?? NO_LABEL, true);
  let at = 1 + labelBytes(spec.label);
  spec.fields.forEach((field, i) => {
    const value = row.values[i];
    if (field.optional) view.setUint8(at++, value === undefined ? 0 : 1);
    if (value instanceof Uint8Array) bytes.set(value, at);
    else if (value instanceof Float32Array) {
      for (const [k, element] of value.entries()) view.setFloat32(at + 4 * k, element, true);
    } else if (value !== undefined) {
      if (field.kind === 'numeric') view.setFloat64(at, value, true);
      else view.setUint16(at, value, true);
    }
    at += fieldBytes(field);
  });
  return bytes;
}

function readField(field: FieldSpec, view: DataView, at: number): FieldValue {
  if (field.kind === 'numeric') return view.getFloat64(at, true);
  if (field.kind === 'categorical') return view.getUint16(at, true);
  const size = vectorSize(field);
  if (field.element === 'uint8') return new Uint8Array(view.buffer, view.byteOffset + at, size).slice();
  return Float32Array.from({ length: size }, (_, k) => view.getFloat32(at + 4 * k, true));
}

/**
 * Strict inverse of `encodePayload`.
 * @throws LETHE-2303 longer than the spec allows  @throws LETHE-2302 malformed  @throws LETHE-2304 outside a declared range
 */
export function decodePayload(spec: DatasetSpec, payload: Uint8Array): Row {
  const expected = payloadBytes(spec);
  const details = { bytes: payload.length, expected };
  if (payload.length > expected) {
    throw DATASETS.PAYLOAD_TOO_LARGE(`a payload of ${spec.name} has ${expected} bytes`, { details });
  }
  if (payload.length < expected || payload[0] !== VERSION) {
    throw DATASETS.PAYLOAD_MALFORMED(`this is no version 1 payload of ${expected} bytes`, { details });
  }
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  const labelled = readLabel(spec.label, view);
  let at = 1 + labelBytes(spec.label);
  const values = spec.fields.map((field) => {
    const isPresent = field.optional ? readPresence(field, view, at++) : true;
    const value = isPresent ? readField(field, view, at) : undefined;
    at += fieldBytes(field);
    return value;
  });
  const row: Row = { values, ...labelled };
  checkRow(spec, row);
  return row;
}

/** A bit behind the last class is a label that is none of them, which `checkRow` refuses. */
function readLabel(label: LabelSpec, view: DataView): Pick<Row, 'label' | 'labels'> {
  if (!label.multiple) {
    const index = view.getUint16(1, true);
    return index === NO_LABEL ? {} : { label: index };
  }
  const labels: number[] = [];
  for (let bit = 0; bit < 8 * labelBytes(label); bit++) {
    if ((view.getUint8(1 + (bit >> 3)) >> (bit & 7)) & 1) labels.push(bit);
  }
  return labels.length > 0 ? { labels } : {};
}

/** @throws LETHE-2302 neither there nor absent, or an absent value that is not zero */
function readPresence(field: FieldSpec, view: DataView, at: number): boolean {
  const presence = view.getUint8(at);
  if (presence === 1) return true;
  const value = new Uint8Array(view.buffer, view.byteOffset + at + 1, fieldBytes(field));
  if (presence === 0 && value.every((byte) => byte === 0)) return false;
  throw DATASETS.PAYLOAD_MALFORMED(`field ${field.name} is neither there nor absent`, {
    details: { field: field.name },
  });
}
