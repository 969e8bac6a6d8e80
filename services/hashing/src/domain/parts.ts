/**
 * How a record becomes items: the one place that knows a dataset's fields, modalities and labels. Everything else of the service
 * works on parts: bytes per row, and class indices. A record gives one item for each part whose fields it has.
 */
import {
  allFields,
  byteMatrix,
  classesOf,
  type DatasetSpec,
  type FieldGroup,
  fieldGroup,
  hasGroup,
  type Row,
} from '@lethe/datasets';

/** Name of the one part of a function that declares no modalities. */
export const WHOLE_RECORD = 'record';

/** Fields that are hashed together: a modality. */
export interface PartSpec {
  readonly name: string;
  /** Fields of the dataset; empty for all of them. */
  readonly fields: readonly string[];
}

/** Parts in the order of their modality numbers. */
export function partSpecs(modalities: readonly PartSpec[] = []): readonly PartSpec[] {
  if (modalities.length === 0) return [{ name: WHOLE_RECORD, fields: [] }];
  return modalities.map(({ name, fields }) => ({ name, fields: [...fields] }));
}

/** What a part reads of a record. */
export class PartReader {
  readonly #spec: DatasetSpec;
  readonly #group: FieldGroup;

  /** @throws LETHE-2315 a field is not of this dataset */
  constructor(spec: DatasetSpec, { fields }: PartSpec) {
    this.#spec = spec;
    this.#group = fields.length === 0 ? allFields(spec) : fieldGroup(spec, fields);
  }

  /** Columns of the input. */
  get width(): number {
    return this.#group.width;
  }

  /** True if the record gives an item of this part. */
  has(row: Row): boolean {
    return hasGroup(row, this.#group);
  }

  /** @returns bytes [rows, width], row-major  @throws LETHE-2316 a row lacks a field */
  inputs(rows: readonly Row[]): Uint8Array {
    return byteMatrix(this.#spec, rows, this.#group);
  }
}

/** Class indices of a record, ascending; none: it teaches nothing and is not indexed. */
export const labelsOfRow = (row: Row): readonly number[] => classesOf(row);
