/**
 * A segment of the code index: up to 65,536 consecutive entries of the ledger, by column, as one immutable byte string.
 *
 * Little-endian. A header of 48 bytes, then the columns in this order; each begins at a multiple of 8 bytes, the gap before it is
 * zero, and nothing follows the last one. n rows, K bits, C declared classes, e erased rows, a aliases:
 *
 *     header       "LETHESEG" | version u16 = 1 | K u16 | C u32 | number u32 | n u32 | e u32 | a u32 | bytes of aliases u32 | 0 [12]
 *     ids          [n, 16]
 *     codes        [n, K/8]
 *     salts        [n, 32]
 *     fnVersions   u32 [n]
 *     owners       u16 [n]     index into the aliases
 *     modalities   u8 [n]
 *     labels       [n, ceil(C/8)]   class c is bit c & 7 of byte c >> 3
 *     erasedBits   [ceil(n/8)]      row r is bit r & 7 of byte r >> 3
 *     erasedSeqs   u64 [e]     of the erased rows, in their order
 *     aliasEnds    u32 [a]     end of each alias in the text
 *     aliasText    UTF-8
 *
 * One accepted encoding: an erased row is zero in every column but ids; aliases are distinct, not empty, used, and in the order of
 * the first row that has them; bits beyond n and C are zero. So equal content gives equal bytes, and an erasure leaves no byte of
 * the erased entry but its id and the sequence that the ledger keeps. Entry i of the ledger is row i & 65535 of segment i >> 16:
 * segments are aligned perfect subtrees of the ledger's tree, and the segments' roots give the ledger's.
 */
import { isUtf8 } from 'node:buffer';
import { leafHash, PrunedTree } from '@lethe/merkle';
import { assert, bytesOf, compareBytes, utf8 } from '@lethe/std';
import { HASHING } from './errors.ts';
import { SALT_BYTES } from './ledger.ts';
import { ITEM_ID_BYTES } from './search/table.ts';

export const SEGMENT_ROWS = 65_536;

const MAGIC = utf8('LETHESEG');
const FORMAT_VERSION = 1;
const HEADER_BYTES = 48;

/** What fixes where everything lies. */
export interface SegmentShape {
  readonly codeBits: number;
  readonly classes: number;
  /** 0, 1, …: the first entry is 65,536 times this. */
  readonly number: number;
  readonly rows: number;
  readonly erased: number;
  readonly aliases: number;
  readonly aliasBytes: number;
}

/** Views into the segment's bytes. */
export interface SegmentColumns {
  readonly ids: Uint8Array;
  readonly codes: Uint8Array;
  readonly salts: Uint8Array;
  readonly fnVersions: Uint32Array;
  readonly owners: Uint16Array;
  readonly modalities: Uint8Array;
  readonly labels: Uint8Array;
  readonly erasedBits: Uint8Array;
  readonly erasedSeqs: BigUint64Array;
  readonly aliasEnds: Uint32Array;
  readonly aliasText: Uint8Array;
}

/** Rows to append, by column: as `SegmentColumns`, with the owners' aliases as text. */
export interface SegmentRows
  extends Pick<SegmentColumns, 'ids' | 'codes' | 'salts' | 'fnVersions' | 'modalities' | 'labels'> {
  /** [n]: index into `aliases`. */
  readonly owners: Uint32Array;
  readonly aliases: readonly string[];
}

function bitsOf(byte: number): number {
  let bits = 0;
  for (let rest = byte; rest !== 0; rest &= rest - 1) bits++;
  return bits;
}

export const labelBytes = (classes: number): number => Math.ceil(classes / 8);

/** Names, widths in bytes and places of the columns. */
function placesOf(shape: SegmentShape) {
  const { rows } = shape;
  const lengths = [
    rows * ITEM_ID_BYTES,
    (rows * shape.codeBits) / 8,
    rows * SALT_BYTES,
    4 * rows,
    2 * rows,
    rows,
    rows * labelBytes(shape.classes),
    Math.ceil(rows / 8),
    8 * shape.erased,
    4 * shape.aliases,
    shape.aliasBytes,
  ];
  let end = HEADER_BYTES;
  const places = lengths.map((length) => {
    const start = Math.ceil(end / 8) * 8;
    end = start + length;
    return { start, length };
  });
  return { places, bytes: end };
}

function columnsOf(bytes: Uint8Array, shape: SegmentShape): SegmentColumns {
  const { places } = placesOf(shape);
  const u8 = (i: number) => bytes.subarray(places[i]!.start, places[i]!.start + places[i]!.length);
  const at = (i: number) => bytes.byteOffset + places[i]!.start;
  return {
    ids: u8(0),
    codes: u8(1),
    salts: u8(2),
    fnVersions: new Uint32Array(bytes.buffer, at(3), shape.rows),
    owners: new Uint16Array(bytes.buffer, at(4), shape.rows),
    modalities: u8(5),
    labels: u8(6),
    erasedBits: u8(7),
    erasedSeqs: new BigUint64Array(bytes.buffer, at(8), shape.erased),
    aliasEnds: new Uint32Array(bytes.buffer, at(9), shape.aliases),
    aliasText: u8(10),
  };
}

export class Segment {
  readonly shape: SegmentShape;
  /** The one form at rest. Read only. */
  readonly bytes: Uint8Array;
  readonly columns: SegmentColumns;
  #tree: PrunedTree | undefined;
  /** Over the rows that `hashSome` has come to. */
  #begun: PrunedTree | undefined;
  #aliases: readonly string[] | undefined;
  /** By byte of `erasedBits`: erased rows before it. */
  #erasedBefore: Uint32Array | undefined;

  private constructor(bytes: Uint8Array, shape: SegmentShape) {
    this.shape = shape;
    this.bytes = bytes;
    this.columns = columnsOf(bytes, shape);
  }

  /**
   * Reads a segment. It keeps the bytes (a copy where they are not aligned to 8 bytes, and then overwrites the given ones). Of a Buffer
   * it keeps the memory and not the object: a Buffer's `slice` is no copy.
   * @throws LETHE-3420 with what is wrong and the segment's number, where it can be read
   */
  static decode(given: Uint8Array): Segment {
    const shape = readHeader(given);
    const aligned = given.byteOffset % 8 === 0;
    const bytes = aligned ? bytesOf(given) : new Uint8Array(given);
    if (!aligned) given.fill(0);
    const segment = new Segment(bytes, shape);
    const wrong = firstFault(segment);
    if (wrong !== undefined) throw malformed(wrong, shape.number);
    return segment;
  }

  /** The segment with the rows behind those of `before`. Columns must fit each other; see `SegmentRows`. */
  static appended(
    before: Segment | undefined,
    place: { readonly codeBits: number; readonly classes: number; readonly number: number },
    rows: SegmentRows,
  ): Segment {
    const old = before?.shape.rows ?? 0;
    const count = rows.modalities.length;
    assert(old + count <= SEGMENT_ROWS && count > 0, 'a segment has 1..65,536 rows');
    // Aliases already there keep their places: they are in the order of their first rows.
    const known = new Map((before?.aliases ?? []).map((alias, i) => [alias, i]));
    const placeOf = new Int32Array(rows.aliases.length).fill(-1);
    const fresh: Uint8Array[] = [];
    for (const owner of rows.owners) {
      if (placeOf[owner] !== -1) continue;
      const alias = rows.aliases[owner]!;
      placeOf[owner] = known.get(alias) ?? known.size;
      if (placeOf[owner] < known.size) continue;
      known.set(alias, known.size);
      fresh.push(utf8(alias));
    }
    const freshBytes = fresh.reduce((sum, text) => sum + text.length, 0);
    const out = Segment.#blank({
      ...place,
      rows: old + count,
      erased: before?.shape.erased ?? 0,
      aliases: known.size,
      aliasBytes: (before?.shape.aliasBytes ?? 0) + freshBytes,
    });
    const { columns } = out;
    if (before) copyColumns(before.columns, columns);
    columns.ids.set(rows.ids, old * ITEM_ID_BYTES);
    columns.codes.set(rows.codes, (old * place.codeBits) / 8);
    columns.salts.set(rows.salts, old * SALT_BYTES);
    columns.fnVersions.set(rows.fnVersions, old);
    columns.modalities.set(rows.modalities, old);
    columns.labels.set(rows.labels, old * labelBytes(place.classes));
    for (let i = 0; i < count; i++) columns.owners[old + i] = placeOf[rows.owners[i]!]!;
    appendTexts(columns, before, fresh);
    out.#tree = before?.tree.extended(old + count, (row) => out.leaf(row));
    return out;
  }

  /** The segment with the rows erased by the fact at `seq`. @param rows ascending, live */
  erased(rows: readonly number[], seq: bigint): Segment {
    const gone = new Uint8Array(this.shape.rows);
    for (const row of rows) {
      assert(!this.isErased(row), 'an erased row cannot be erased again');
      gone[row] = 1;
    }
    const { owners, aliasEnds, aliasText } = this.columns;
    const stays = (row: number): boolean => gone[row] === 0 && !this.isErased(row);
    const { placeOf, order } = aliasOrder(owners, aliasEnds.length, stays);
    const texts = order.map((alias) => aliasText.subarray(this.#aliasStart(alias), aliasEnds[alias]));
    const out = Segment.#blank({
      ...this.shape,
      erased: this.shape.erased + rows.length,
      aliases: order.length,
      aliasBytes: texts.reduce((sum, text) => sum + text.length, 0),
    });
    const { columns } = out;
    copyColumns(this.columns, columns);
    for (let row = 0; row < owners.length; row++) {
      columns.owners[row] = stays(row) ? placeOf[owners[row]!]! : 0;
    }
    for (const row of rows) out.#clear(row);
    let old = 0;
    let next = 0;
    for (let row = 0; row < gone.length; row++) {
      if (gone[row] === 1) columns.erasedSeqs[next++] = seq;
      else if (this.isErased(row)) columns.erasedSeqs[next++] = this.columns.erasedSeqs[old++]!;
    }
    appendTexts(columns, undefined, texts);
    out.#tree = this.tree.replaced(rows, (row) => out.leaf(row));
    return out;
  }

  /** The segment in which live rows have other codes under fresh salts. @param rows ascending  @param codes [rows, K/8]  @param salts [rows, 32] */
  reencoded(rows: readonly number[], codes: Uint8Array, salts: Uint8Array, fnVersion: number): Segment {
    const out = new Segment(this.bytes.slice(), this.shape);
    const width = this.shape.codeBits / 8;
    for (const [i, row] of rows.entries()) {
      assert(!this.isErased(row), 'an erased row has no code');
      out.columns.codes.set(codes.subarray(i * width, (i + 1) * width), row * width);
      out.columns.salts.set(salts.subarray(i * SALT_BYTES, (i + 1) * SALT_BYTES), row * SALT_BYTES);
      out.columns.fnVersions[row] = fnVersion;
    }
    out.#tree = this.tree.replaced(rows, (row) => out.leaf(row));
    return out;
  }

  get rows(): number {
    return this.shape.rows;
  }

  /** Aliases by the number that `owners` has. */
  get aliases(): readonly string[] {
    this.#aliases ??= Array.from(this.columns.aliasEnds, (end, i) =>
      new TextDecoder().decode(this.columns.aliasText.subarray(this.#aliasStart(i), end)),
    );
    return this.#aliases;
  }

  /** @returns the alias's number, -1 if no live row has it; looks at bytes and makes no strings */
  aliasIndex(alias: string): number {
    const text = Buffer.from(
      this.columns.aliasText.buffer,
      this.columns.aliasText.byteOffset,
      this.shape.aliasBytes,
    );
    const { aliasEnds } = this.columns;
    const needle = utf8(alias);
    if (needle.length === 0) return -1;
    for (let at = text.indexOf(needle); at !== -1; at = text.indexOf(needle, at + 1)) {
      const index = firstAbove(aliasEnds, at);
      if (this.#aliasStart(index) === at && aliasEnds[index] === at + needle.length) return index;
    }
    return -1;
  }

  isErased(row: number): boolean {
    return ((this.columns.erasedBits[row >> 3]! >> (row & 7)) & 1) === 1;
  }

  /** Position of the erasure's fact. @param row an erased one */
  erasedSeq(row: number): bigint {
    const { erasedBits, erasedSeqs } = this.columns;
    if (this.#erasedBefore === undefined) {
      this.#erasedBefore = new Uint32Array(erasedBits.length);
      let before = 0;
      for (let i = 0; i < erasedBits.length; i++) {
        this.#erasedBefore[i] = before;
        before += bitsOf(erasedBits[i]!);
      }
    }
    const inByte = bitsOf(erasedBits[row >> 3]! & ((1 << (row & 7)) - 1));
    return erasedSeqs[this.#erasedBefore[row >> 3]! + inByte]!;
  }

  /** Rows that are erased, ascending. */
  erasedRows(): number[] {
    const rows: number[] = [];
    if (this.shape.erased === 0) return rows;
    for (let row = 0; row < this.rows; row++) if (this.isErased(row)) rows.push(row);
    return rows;
  }

  /** RFC 6962 leaf hash of a row: `ledgerLeaf` of its entry. */
  leaf(row: number): Uint8Array {
    const { ids, codes, salts, fnVersions } = this.columns;
    const id = ids.subarray(row * ITEM_ID_BYTES, (row + 1) * ITEM_ID_BYTES);
    if (this.isErased(row)) {
      const data = new Uint8Array(1 + ITEM_ID_BYTES + 8);
      data[0] = 1;
      data.set(id, 1);
      new DataView(data.buffer).setBigUint64(1 + ITEM_ID_BYTES, this.erasedSeq(row), true);
      return leafHash(data);
    }
    const width = this.shape.codeBits / 8;
    const codeAt = 1 + ITEM_ID_BYTES + 4;
    const data = new Uint8Array(codeAt + width + SALT_BYTES);
    data.set(id, 1);
    new DataView(data.buffer).setUint32(1 + ITEM_ID_BYTES, fnVersions[row]!, true);
    data.set(codes.subarray(row * width, (row + 1) * width), codeAt);
    data.set(salts.subarray(row * SALT_BYTES, (row + 1) * SALT_BYTES), codeAt + width);
    const hash = leafHash(data);
    data.fill(0);
    return hash;
  }

  /** The ledger's subtree over these rows; computed when first asked for, unless `hashSome` has done so before. */
  get tree(): PrunedTree {
    if (!this.#tree) this.hashSome(this.rows);
    return this.#tree!;
  }

  /**
   * Hashes the next rows for `tree`, so that a caller who has time can do so piece by piece.
   * @param rows 1 and more  @returns false when nothing is left  @throws LETHE-3410
   */
  hashSome(rows: number): boolean {
    if (!Number.isInteger(rows) || rows < 1) {
      throw HASHING.OPTION_INVALID('the number of rows is not a positive integer');
    }
    if (this.#tree) return false;
    const leaf = (row: number): Uint8Array => this.leaf(row);
    const begun = this.#begun ?? PrunedTree.of(0, leaf);
    const end = Math.min(this.rows, begun.size + rows);
    this.#begun = begun.extended(end, leaf);
    if (end < this.rows) return true;
    this.#tree = this.#begun;
    this.#begun = undefined;
    return false;
  }

  root(): Uint8Array {
    return this.tree.rangeRoot(0, this.rows);
  }

  /** Overwrites the segment's memory. For one that another has replaced. */
  wipe(): void {
    this.bytes.fill(0);
    this.#aliases = undefined;
  }

  static #blank(shape: SegmentShape): Segment {
    const bytes = new Uint8Array(placesOf(shape).bytes);
    const view = new DataView(bytes.buffer);
    bytes.set(MAGIC);
    view.setUint16(8, FORMAT_VERSION, true);
    view.setUint16(10, shape.codeBits, true);
    const { classes, number, rows, erased, aliases, aliasBytes } = shape;
    for (const [i, value] of [classes, number, rows, erased, aliases, aliasBytes].entries()) {
      view.setUint32(12 + 4 * i, value, true);
    }
    const kept = { codeBits: shape.codeBits, classes, number, rows, erased, aliases, aliasBytes };
    return new Segment(bytes, kept);
  }

  #aliasStart(alias: number): number {
    return alias === 0 ? 0 : this.columns.aliasEnds[alias - 1]!;
  }

  #clear(row: number): void {
    const { codes, salts, fnVersions, owners, modalities, labels, erasedBits } = this.columns;
    const width = this.shape.codeBits / 8;
    const mask = labelBytes(this.shape.classes);
    codes.fill(0, row * width, (row + 1) * width);
    salts.fill(0, row * SALT_BYTES, (row + 1) * SALT_BYTES);
    labels.fill(0, row * mask, (row + 1) * mask);
    fnVersions[row] = 0;
    owners[row] = 0;
    modalities[row] = 0;
    erasedBits[row >> 3]! |= 1 << (row & 7);
  }
}

const malformed = (what: string, number?: number) =>
  HASHING.SEGMENT_MALFORMED(`${number === undefined ? 'a segment' : `segment ${number}`}: ${what}`, {
    details: number === undefined ? {} : { segment: number },
  });

/** @throws LETHE-3420 */
function readHeader(bytes: Uint8Array): SegmentShape {
  if (bytes.length < HEADER_BYTES) throw malformed('it is shorter than a header');
  if (compareBytes(bytes.subarray(0, MAGIC.length), MAGIC) !== 0)
    throw malformed('these bytes are no segment');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const u32 = (i: number): number => view.getUint32(12 + 4 * i, true);
  const number = u32(1);
  if (view.getUint16(8, true) !== FORMAT_VERSION) throw malformed('it has another format version', number);
  const shape = {
    codeBits: view.getUint16(10, true),
    classes: u32(0),
    number,
    rows: u32(2),
    erased: u32(3),
    aliases: u32(4),
    aliasBytes: u32(5),
  };
  const { codeBits, classes, rows, erased, aliases } = shape;
  const fits = codeBits % 8 === 0 && codeBits >= 8 && codeBits <= 256 && classes <= 0xffff;
  if (!fits || rows < 1 || rows > SEGMENT_ROWS || erased > rows || aliases > rows - erased) {
    throw malformed('its counts do not fit each other', number);
  }
  const { bytes: expected } = placesOf(shape);
  if (expected !== bytes.length) throw malformed(`it has ${bytes.length} bytes, not ${expected}`, number);
  return shape;
}

/** What is wrong with the columns, if anything is. */
function firstFault({ shape, bytes, columns }: Segment): string | undefined {
  if (!gapsAreZero(bytes, shape)) return 'a gap is not zero';
  const { rows, classes, codeBits } = shape;
  const { erasedBits, labels, owners, aliasEnds } = columns;
  if (rows % 8 !== 0 && erasedBits.at(-1)! >> (rows & 7) !== 0) return 'a row beyond the last is erased';
  const mask = labelBytes(classes);
  if (classes % 8 !== 0) {
    for (let row = 1; row <= rows; row++) {
      if (labels[row * mask - 1]! >> (classes & 7) !== 0) return 'a label beyond the last class is set';
    }
  }
  let erased = 0;
  let aliases = 0;
  for (let row = 0; row < rows; row++) {
    if ((erasedBits[row >> 3]! >> (row & 7)) & 1) {
      erased++;
      if (!rowIsZero(columns, row, codeBits / 8, mask)) return 'an erased row is not zero';
    } else if (owners[row]! >= aliases) {
      if (owners[row] !== aliases++) return 'aliases are not in the order of their rows';
    }
  }
  if (erased !== shape.erased || aliases !== shape.aliases) return 'its counts are not those of its rows';
  let start = 0;
  for (const end of aliasEnds) {
    if (end <= start) return 'an alias is empty';
    start = end;
  }
  if (start !== shape.aliasBytes) return 'text follows the last alias';
  return aliasesAreDistinct(columns) ? undefined : 'aliases are not distinct or not UTF-8';
}

function gapsAreZero(bytes: Uint8Array, shape: SegmentShape): boolean {
  const zero = (from: number, to: number): boolean => bytes.subarray(from, to).every((byte) => byte === 0);
  let end = HEADER_BYTES - 12;
  return placesOf(shape).places.every(({ start, length }) => {
    const clean = zero(end, start);
    end = start + length;
    return clean;
  });
}

function rowIsZero(columns: SegmentColumns, row: number, width: number, mask: number): boolean {
  const zero = (column: Uint8Array, bytes: number): boolean =>
    column.subarray(row * bytes, (row + 1) * bytes).every((byte) => byte === 0);
  const { fnVersions, owners, modalities } = columns;
  if (fnVersions[row] !== 0 || owners[row] !== 0 || modalities[row] !== 0) return false;
  return zero(columns.codes, width) && zero(columns.salts, SALT_BYTES) && zero(columns.labels, mask);
}

/** By a hash table over the bytes (FNV-1a): a string for each of ten million aliases would cost more than the rest. */
function aliasesAreDistinct({ aliasEnds, aliasText }: SegmentColumns): boolean {
  if (!isUtf8(aliasText)) return false;
  let slots = 1;
  while (slots < 2 * aliasEnds.length) slots *= 2;
  const table = new Int32Array(slots).fill(-1);
  const startOf = (alias: number): number => (alias === 0 ? 0 : aliasEnds[alias - 1]!);
  for (let alias = 0; alias < aliasEnds.length; alias++) {
    const start = startOf(alias);
    const end = aliasEnds[alias]!;
    // Each alias by itself must be text: none begins within a character.
    if ((aliasText[start]! & 0xc0) === 0x80) return false;
    let hash = 0x811c_9dc5;
    for (let i = start; i < end; i++) hash = Math.imul(hash ^ aliasText[i]!, 0x0100_0193);
    for (let slot = (hash ^ (hash >>> 15)) & (slots - 1); ; slot = (slot + 1) & (slots - 1)) {
      const other = table[slot]!;
      if (other === -1) {
        table[slot] = alias;
        break;
      }
      const from = startOf(other);
      if (aliasEnds[other]! - from !== end - start) continue;
      let same = 0;
      while (same < end - start && aliasText[from + same] === aliasText[start + same]) same++;
      if (same === end - start) return false;
    }
  }
  return true;
}

/** Columns with a row each, and the erasures so far. The owners' numbers stay those of `from`. */
function copyColumns(from: SegmentColumns, to: SegmentColumns): void {
  to.ids.set(from.ids);
  to.codes.set(from.codes);
  to.salts.set(from.salts);
  to.fnVersions.set(from.fnVersions);
  to.owners.set(from.owners);
  to.modalities.set(from.modalities);
  to.labels.set(from.labels);
  to.erasedBits.set(from.erasedBits);
  to.erasedSeqs.set(from.erasedSeqs);
}

function appendTexts(to: SegmentColumns, before: Segment | undefined, texts: readonly Uint8Array[]): void {
  if (before) {
    to.aliasEnds.set(before.columns.aliasEnds);
    to.aliasText.set(before.columns.aliasText);
  }
  let alias = before?.shape.aliases ?? 0;
  let end = before?.shape.aliasBytes ?? 0;
  for (const text of texts) {
    to.aliasText.set(text, end);
    end += text.length;
    to.aliasEnds[alias++] = end;
  }
}

/** Aliases in the order of the first row that has them: their old numbers in the new order, and each one's new number (-1: unused). */
function aliasOrder(owners: Uint16Array, aliases: number, counts: (row: number) => boolean) {
  const placeOf = new Int32Array(aliases).fill(-1);
  const order: number[] = [];
  for (let row = 0; row < owners.length; row++) {
    const owner = owners[row]!;
    if (placeOf[owner] === -1 && counts(row)) placeOf[owner] = order.push(owner) - 1;
  }
  return { placeOf, order };
}

/** Index of the first value above `bound`. */
function firstAbove(ascending: Uint32Array, bound: number): number {
  let low = 0;
  let high = ascending.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (ascending[middle]! <= bound) low = middle + 1;
    else high = middle;
  }
  return low;
}
