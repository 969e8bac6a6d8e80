/**
 * What a dataset declares about itself: its fields, their modalities and ranges, and its label. Everything downstream
 * (payload bytes, model inputs, column splits) follows from the spec alone; nothing is ever fitted on records, because
 * a constant fitted on a person's record would keep a trace of that person after the erasure.
 */
import { canonicalJson, sha256, utf8 } from '@lethe/std';
import { DATASETS } from './errors.ts';

/** What every kind of field may say. */
interface AnyField {
  readonly name: string;
  /** A record may lack the field: an item with a picture and no text, or the other way round. */
  readonly optional?: true;
}

/** A dense array of numbers: pixels, a spectrum, an embedding. */
export interface NumericVectorField extends AnyField {
  readonly kind: 'numeric-vector';
  /** How one element is stored in a payload. */
  readonly element: 'uint8' | 'float32';
  /** Row-major, one or more axes. Parties of a vertical federation split the last axis. */
  readonly shape: readonly number[];
  readonly min: number;
  readonly max: number;
}

/** One number, stored as float64. */
export interface NumericField extends AnyField {
  readonly kind: 'numeric';
  readonly min: number;
  readonly max: number;
}

/** One of a closed list; enters models one-hot. */
export interface CategoricalField extends AnyField {
  readonly kind: 'categorical';
  readonly categories: readonly string[];
}

export type FieldSpec = NumericVectorField | NumericField | CategoricalField;

export interface LabelSpec {
  readonly name: string;
  readonly classes: readonly string[];
  /** A record may be of several classes at once. */
  readonly multiple?: true;
}

export interface DatasetSpec {
  readonly format: 'lethe-dataset-v1';
  /** Lower-case resource id: `[a-z][a-z0-9-]{0,62}`. */
  readonly name: string;
  /** Where the records come from and what about them is synthetic, for people. */
  readonly provenance: string;
  /** Name of the column that identifies the data subject. It is no model input and no part of a payload. */
  readonly subjectField: string;
  readonly fields: readonly FieldSpec[];
  readonly label: LabelSpec;
}

export const LIMITS = {
  /** A spec travels in one event; JetStream's default message limit is 1 MiB. */
  specBytesMax: 65_536,
  /** A payload is one message and one ciphertext. */
  payloadBytesMax: 524_288,
  fieldsMax: 4_096,
  /** Index 0xffff means "no label" in a payload. */
  classesMax: 65_535,
  /** Columns of the model input; a 16-bit index reaches them all. */
  vectorWidthMax: 65_535,
} as const;

const NAME = /^[a-z][a-z0-9-]{0,62}$/;
const FIELD_NAME = /^[A-Za-z_][A-Za-z0-9_.-]{0,127}$/;

type Json = Readonly<Record<string, unknown>>;

const refuse = (where: string, why: string): never => {
  throw DATASETS.SPEC_INVALID(`${where} ${why}`, { details: { where } });
};

/** @param flag a key that may be there, and is `true` then: leaving it out is the only way to say no, or one spec would have two forms */
function asObject(value: unknown, where: string, keys: readonly string[], flag?: string): Json {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return refuse(where, 'is not an object');
  for (const key of Object.keys(value))
    if (key !== flag && !keys.includes(key)) refuse(where, 'has a key that no spec knows');
  for (const key of keys) if (!(key in value)) refuse(`${where}.${key}`, 'is missing');
  const json = value as Json;
  if (flag !== undefined && flag in json && json[flag] !== true)
    refuse(`${where}.${flag}`, 'is something else than true; leave it out to say no');
  return json;
}

function asName(value: unknown, where: string, pattern: RegExp): string {
  if (typeof value !== 'string' || !pattern.test(value))
    return refuse(where, `does not match ${pattern.source}`);
  return value;
}

function asText(value: unknown, where: string): string {
  if (typeof value !== 'string' || value.length > 1_024 || !value.isWellFormed()) {
    return refuse(where, 'is not a text of at most 1,024 characters');
  }
  return value;
}

function asNames(value: unknown, where: string, max: number): readonly string[] {
  if (!Array.isArray(value) || value.length === 0 || value.length > max) {
    return refuse(where, `is not a list of 1 to ${max} texts`);
  }
  const names = value.map((item, i) => asText(item, `${where}[${i}]`));
  if (new Set(names).size !== names.length) refuse(where, 'names something twice');
  return names;
}

function asRange(field: Json, where: string): { min: number; max: number } {
  const { min, max } = field;
  if (typeof min !== 'number' || typeof max !== 'number' || !Number.isFinite(max - min) || !(min < max)) {
    return refuse(where, 'needs finite numbers min < max');
  }
  return { min, max };
}

function asShape(value: unknown, where: string): readonly number[] {
  if (!Array.isArray(value) || value.length === 0 || value.length > 4)
    return refuse(where, 'needs 1 to 4 axes');
  const axes = value.map((axis) =>
    Number.isInteger(axis) && axis >= 1 && axis <= LIMITS.vectorWidthMax
      ? (axis as number)
      : refuse(where, 'has an axis that is no positive integer'),
  );
  return axes;
}

function asField(value: unknown, where: string): FieldSpec {
  const field = asKindOfField(value, where);
  return (value as Json).optional === true ? { ...field, optional: true } : field;
}

function asKindOfField(value: unknown, where: string): FieldSpec {
  const kind = typeof value === 'object' && value !== null && 'kind' in value ? value.kind : undefined;
  switch (kind) {
    case 'numeric-vector': {
      const field = asObject(value, where, ['kind', 'name', 'element', 'shape', 'min', 'max'], 'optional');
      const element = field.element;
      if (element !== 'uint8' && element !== 'float32')
        return refuse(`${where}.element`, 'is not uint8 or float32');
      const range = asRange(field, where);
      if (element === 'uint8' && !(Number.isInteger(range.min) && Number.isInteger(range.max))) {
        refuse(where, 'needs an integer range for uint8');
      }
      if (element === 'uint8' && (range.min < 0 || range.max > 255))
        refuse(where, 'leaves the range of uint8');
      return {
        kind,
        name: asName(field.name, `${where}.name`, FIELD_NAME),
        element,
        shape: asShape(field.shape, `${where}.shape`),
        ...range,
      };
    }
    case 'numeric': {
      const field = asObject(value, where, ['kind', 'name', 'min', 'max'], 'optional');
      return { kind, name: asName(field.name, `${where}.name`, FIELD_NAME), ...asRange(field, where) };
    }
    case 'categorical': {
      const field = asObject(value, where, ['kind', 'name', 'categories'], 'optional');
      return {
        kind,
        name: asName(field.name, `${where}.name`, FIELD_NAME),
        categories: asNames(field.categories, `${where}.categories`, LIMITS.classesMax),
      };
    }
    default:
      return refuse(`${where}.kind`, 'is not numeric-vector, numeric or categorical');
  }
}

/** Between the classes of one cell of a CSV file, so no class of a dataset with several labels may contain it. */
export const LABEL_SEPARATOR = '|';

function asLabel(value: unknown, where: string): LabelSpec {
  const json = asObject(value, where, ['name', 'classes'], 'multiple');
  const name = asName(json.name, `${where}.name`, FIELD_NAME);
  const classes = asNames(json.classes, `${where}.classes`, LIMITS.classesMax);
  if (json.multiple !== true) return { name, classes };
  if (classes.some((text) => text === '' || text.includes(LABEL_SEPARATOR)))
    refuse(`${where}.classes`, `names an empty class or one with a ${LABEL_SEPARATOR}`);
  return { name, classes, multiple: true };
}

/** Checks a parsed JSON value and gives it back as a spec. @throws LETHE-2301 naming the part that is wrong */
export function parseSpec(value: unknown): DatasetSpec {
  const spec = asObject(value, 'spec', ['format', 'name', 'provenance', 'subjectField', 'fields', 'label']);
  if (spec.format !== 'lethe-dataset-v1') refuse('spec.format', 'is not lethe-dataset-v1');
  if (!Array.isArray(spec.fields) || spec.fields.length === 0 || spec.fields.length > LIMITS.fieldsMax) {
    return refuse('spec.fields', `is not a list of 1 to ${LIMITS.fieldsMax} fields`);
  }
  const parsed: DatasetSpec = {
    format: 'lethe-dataset-v1',
    name: asName(spec.name, 'spec.name', NAME),
    provenance: asText(spec.provenance, 'spec.provenance'),
    subjectField: asName(spec.subjectField, 'spec.subjectField', FIELD_NAME),
    fields: spec.fields.map((field, i) => asField(field, `spec.fields[${i}]`)),
    label: asLabel(spec.label, 'spec.label'),
  };
  const names = [parsed.subjectField, parsed.label.name, ...parsed.fields.map((field) => field.name)];
  if (new Set(names).size !== names.length) refuse('spec', 'uses one column name twice');
  if (vectorWidth(parsed) > LIMITS.vectorWidthMax)
    refuse('spec.fields', 'make a model input that is too wide');
  if (payloadBytes(parsed) > LIMITS.payloadBytesMax) refuse('spec.fields', 'make a payload that is too long');
  return parsed;
}

/** Elements of a vector field. */
export const vectorSize = (field: NumericVectorField): number =>
  field.shape.reduce((size, axis) => size * axis, 1);

/** Columns that a field takes in the model input. */
export function fieldWidth(field: FieldSpec): number {
  if (field.kind === 'numeric-vector') return vectorSize(field);
  return field.kind === 'numeric' ? 1 : field.categories.length;
}

/** Columns of the model input. */
export const vectorWidth = (spec: DatasetSpec): number =>
  spec.fields.reduce((width, field) => width + fieldWidth(field), 0);

/** Bytes that the value of a field takes in a payload, without the presence byte of an optional one. */
export function fieldBytes(field: FieldSpec): number {
  if (field.kind === 'numeric-vector') return vectorSize(field) * (field.element === 'uint8' ? 1 : 4);
  return field.kind === 'numeric' ? 8 : 2;
}

/** Bytes of the label in a payload: an index, or a bit for each class where a record may have several. */
export const labelBytes = ({ multiple, classes }: LabelSpec): number =>
  multiple ? Math.ceil(classes.length / 8) : 2;

/** Bytes of every payload of this dataset: one version byte, the label, the fields and the presence bytes of optional ones. */
export const payloadBytes = (spec: DatasetSpec): number =>
  spec.fields.reduce(
    (bytes, field) => bytes + fieldBytes(field) + (field.optional ? 1 : 0),
    1 + labelBytes(spec.label),
  );

/** The spec as RFC 8785 JSON in UTF-8: the bytes that the vault keeps and hands out. @throws LETHE-2301 */
export function encodeSpec(spec: DatasetSpec): Uint8Array {
  const bytes = utf8(canonicalJson(parseSpec(spec)));
  if (bytes.length > LIMITS.specBytesMax) refuse('spec', `is longer than ${LIMITS.specBytesMax} bytes`);
  return bytes;
}

/** Reads a spec from JSON in UTF-8, canonical or not: `encodeSpec(decodeSpec(x))` is its canonical form. @throws LETHE-2301 */
export function decodeSpec(bytes: Uint8Array): DatasetSpec {
  if (bytes.length > LIMITS.specBytesMax)
    return refuse('spec', `is longer than ${LIMITS.specBytesMax} bytes`);
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw DATASETS.SPEC_INVALID('the spec is not JSON in UTF-8', { cause });
  }
  return parseSpec(value);
}

/** SHA-256 of the canonical spec. @returns 32 bytes */
export const specDigest = (spec: DatasetSpec): Uint8Array => sha256(encodeSpec(spec));
