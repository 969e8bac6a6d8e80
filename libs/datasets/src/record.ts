/**
 * Payload bytes of a record, version 1. Little-endian, fixed length for a spec, one accepted encoding per record:
 *
 *     byte 0      0x01
 *     bytes 1-2   label: index into spec.label.classes, 0xffff = no label
 *     then, in the order of spec.fields:
 *       numeric-vector   its elements, row-major, uint8 or float32
 *       numeric          float64
 *       categorical      uint16 index into categories
 *
 * The subject's id is not in it: a payload is sealed under the subject's key, and names nobody when it is opened.
 */
import { DATASETS } from './errors.ts';
import type { DatasetSpec, FieldSpec } from './spec.ts';
import { fieldBytes, payloadBytes, vectorSize } from './spec.ts';

/** A vector's elements, a number, or the index of a category, as the field's kind says. */
export type FieldValue = Uint8Array | Float32Array | number;

/** What a payload holds. */
export interface Row {
  /** One value per field, in the order of the spec. */
  readonly values: readonly FieldValue[];
  /** Index into `spec.label.classes`; absent for a row that is only asked about. */
  readonly label?: number;
}

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
    checkValue(field, row.values[i]);
  });
  const { label } = row;
  if (label !== undefined && (!Number.isInteger(label) || label < 0 || label >= spec.label.classes.length)) {
    throw DATASETS.VALUE_OUT_OF_RANGE('the label is none of the declared classes', {
      details: { field: spec.label.name },
    });
  }
}

/** @returns the payload, `payloadBytes(spec)` bytes  @throws LETHE-2302, LETHE-2304 */
export function encodePayload(spec: DatasetSpec, row: Row): Uint8Array {
  checkRow(spec, row);
  const bytes = new Uint8Array(payloadBytes(spec));
  const view = new DataView(bytes.buffer);
  view.setUint8(0, VERSION);
  view.setUint16(1, row.label ?? NO_LABEL, true);
  let at = 3;
  spec.fields.forEach((field, i) => {
    const value = row.values[i]!;
    if (value instanceof Uint8Array) bytes.set(value, at);
    else if (value instanceof Float32Array) {
      for (const [k, element] of value.entries()) view.setFloat32(at + 4 * k, element, true);
    } else if (field.kind === 'numeric') view.setFloat64(at, value, true);
    else view.setUint16(at, value, true);
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
  let at = 3;
  const values = spec.fields.map((field) => {
    const value = readField(field, view, at);
    at += fieldBytes(field);
    return value;
  });
  const label = view.getUint16(1, true);
  const row: Row = label === NO_LABEL ? { values } : { values, label };
  checkRow(spec, row);
  return row;
}
