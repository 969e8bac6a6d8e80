/**
 * A party's own columns by record id, in memory and in a file.
 *
 * The file, all integers little-endian: `LETHEPR1`, bytes of an element (u32: 1 for uint8, 4 for float32), columns (u32), rows
 * (u32), then for each row the length of its record id (u16), the id in UTF-8, and its elements.
 */
import {
  closeSync,
  existsSync,
  fstatSync,
  fsyncSync,
  linkSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { concatBytes, utf8 } from '@lethe/std';
import { PARTY } from './errors.ts';

const MAGIC = 'LETHEPR1';
const HEADER_BYTES = MAGIC.length + 12;

export interface PartyRows {
  /** uint8 values v are used as v / 255, float32 as they are. */
  readonly element: 'uint8' | 'float32';
  readonly columns: number;
  /** By record id: `columns` elements as bytes. */
  readonly rows: ReadonlyMap<string, Uint8Array>;
}

const elementBytes = (element: PartyRows['element']): number => (element === 'uint8' ? 1 : 4);

export function encodeRows({ element, columns, rows }: PartyRows): Uint8Array {
  const header = new Uint8Array(HEADER_BYTES);
  header.set(utf8(MAGIC));
  const view = new DataView(header.buffer);
  for (const [i, value] of [elementBytes(element), columns, rows.size].entries()) {
    view.setUint32(MAGIC.length + 4 * i, value, true);
  }
  const parts: Uint8Array[] = [header];
  for (const [recordId, bytes] of rows) {
    if (bytes.length !== columns * elementBytes(element)) {
      throw PARTY.ROWS_FILE_MALFORMED(`a row has ${bytes.length} bytes for ${columns} ${element} columns`);
    }
    const id = utf8(recordId);
    const length = new Uint8Array(2);
    new DataView(length.buffer).setUint16(0, id.length, true);
    parts.push(length, id, bytes);
  }
  return concatBytes(...parts);
}

/** @throws LETHE-5102 */
export function decodeRows(file: Uint8Array): PartyRows {
  const malformed = (why: string) => PARTY.ROWS_FILE_MALFORMED(`the rows file ${why}`);
  const text = (from: number, to: number) => new TextDecoder().decode(file.subarray(from, to));
  if (file.length < HEADER_BYTES || text(0, MAGIC.length) !== MAGIC) throw malformed('does not begin as one');
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const [size, columns, count] = [0, 4, 8].map((at) => view.getUint32(MAGIC.length + at, true)) as [
    number,
    number,
    number,
  ];
  if ((size !== 1 && size !== 4) || columns < 1) throw malformed('has no known elements or no columns');
  const rows = new Map<string, Uint8Array>();
  let at = HEADER_BYTES;
  for (let row = 0; row < count; row++) {
    const idEnd = at + 2 + (at + 2 <= file.length ? view.getUint16(at, true) : 0);
    const end = idEnd + columns * size;
    if (end > file.length) throw malformed('is cut short');
    const recordId = text(at + 2, idEnd);
    if (rows.has(recordId)) throw malformed('has a record id twice');
    // A view: erasing the row overwrites the only copy of its bytes in memory.
    rows.set(recordId, file.subarray(idEnd, end));
    at = end;
  }
  if (at !== file.length) throw malformed('goes on after its last row');
  return { element: size === 1 ? 'uint8' : 'float32', columns, rows };
}

/** Writes a party's rows for `node libs/party/src/main.ts`; the file can be read by its owner only. */
export function writeRowsFile(path: string, rows: PartyRows): void {
  writeDurably(path, encodeRows(rows));
}

/** Rows that can be taken out again. */
export class RowStore {
  readonly element: PartyRows['element'];
  readonly columns: number;
  readonly #rows: Map<string, Uint8Array>;
  readonly #path: string | undefined;

  /** @param path its file, rewritten when rows are erased; none for rows that are only in memory */
  constructor({ element, columns, rows }: PartyRows, path?: string) {
    this.element = element;
    this.columns = columns;
    this.#rows = new Map(rows);
    this.#path = path;
  }

  /** Opens a file, ending first what an interrupted erasure has begun. @throws LETHE-5102 */
  static open(path: string): RowStore {
    finishErasure(path);
    return new RowStore(decodeRows(readFileSync(path)), path);
  }

  get size(): number {
    return this.#rows.size;
  }

  /** How many of these are not held. */
  missing(recordIds: readonly string[]): number {
    return recordIds.filter((id) => !this.#rows.has(id)).length;
  }

  /** [recordIds, columns]. @throws LETHE-5101 */
  matrix(recordIds: readonly string[]): Float32Array {
    const out = new Float32Array(recordIds.length * this.columns);
    for (const [i, recordId] of recordIds.entries()) {
      const bytes = this.#rows.get(recordId);
      if (!bytes) throw PARTY.ROWS_MISSING('a row is not held here');
      const at = i * this.columns;
      if (this.element === 'uint8') {
        for (let c = 0; c < this.columns; c++) out[at + c] = bytes[c]! / 255;
      } else {
        const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
        for (let c = 0; c < this.columns; c++) out[at + c] = view.getFloat32(4 * c, true);
      }
    }
    return out;
  }

  /** Out of memory and out of the file, whose old bytes are overwritten. Rows that are not held are none to erase. */
  erase(recordIds: readonly string[]): void {
    const held = recordIds.filter((id) => this.#rows.has(id));
    if (held.length === 0) return;
    for (const recordId of held) {
      this.#rows.get(recordId)!.fill(0);
      this.#rows.delete(recordId);
    }
    if (this.#path !== undefined) {
      const { element, columns } = this;
      replaceFile(this.#path, encodeRows({ element, columns, rows: this.#rows }));
    }
  }
}

/**
 * The new file takes the old one's name in one step, and only then are the old bytes overwritten, through a second link: at any
 * crash one whole file is there. Overwriting in place says nothing about copies that a file system or a disk has kept.
 */
function replaceFile(path: string, bytes: Uint8Array): void {
  finishErasure(path);
  writeDurably(`${path}.new`, bytes);
  linkSync(path, `${path}.old`);
  renameSync(`${path}.new`, path);
  syncDirectory(path);
  finishErasure(path);
}

function finishErasure(path: string): void {
  if (existsSync(`${path}.new`)) unlinkSync(`${path}.new`);
  if (!existsSync(`${path}.old`)) return;
  if (statSync(`${path}.old`).ino !== statSync(path).ino) overwrite(`${path}.old`);
  unlinkSync(`${path}.old`);
  syncDirectory(path);
}

function overwrite(path: string): void {
  const file = openSync(path, 'r+');
  try {
    const zeros = new Uint8Array(64 * 1024);
    const { size } = fstatSync(file);
    for (let at = 0; at < size; at += zeros.length) {
      writeSync(file, zeros, 0, Math.min(zeros.length, size - at), at);
    }
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

function writeDurably(path: string, bytes: Uint8Array): void {
  const file = openSync(path, 'w', 0o600);
  try {
    for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

function syncDirectory(path: string): void {
  const directory = openSync(dirname(path), 'r');
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}
