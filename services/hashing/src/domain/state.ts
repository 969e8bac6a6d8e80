/**
 * The whole state of a hash function and its index, and its one form at rest.
 *
 * Little-endian. Five sections, each a u32 length and so many bytes:
 *
 *     1  canonical JSON: format, learned root, its last position, aliases in the order of their first item, number of entries
 *     2  the dataset's specification as the vault gave it
 *     3  the function (`encodeHashFunction`)
 *     4  the sums (`encodeStatistics`)
 *     5  entries in the order of the ledger
 *          live     0x00 | item id [16] | code [K/8] | version u32 | salt [32] | label u32 | alias u32 (index) | features [D]
 *          erased   0x01 | item id [16] | version of the function that the erasure made, u64
 *
 * The feature rows are kept because the exact subtraction must take out what was added, after the record can no longer be
 * read. All of it is sealed at rest; equal states have equal bytes.
 */
import {
  decodeHashFunction,
  decodeStatistics,
  type ErasedEntry,
  encodeHashFunction,
  encodeStatistics,
  type HashFunction,
  type HeadStatistics,
  ITEM_ID_BYTES,
  type LiveEntry,
  SALT_BYTES,
} from '@lethe/hashing';
import { canonicalJson, utf8 } from '@lethe/std';
import { HASHING_SERVICE } from '../errors.ts';

/** One record in the index. */
export interface Item extends LiveEntry {
  readonly label: number;
  readonly alias: string;
  /** [D] in 0..127. */
  readonly features: Uint8Array;
}

export type Entry = Item | ErasedEntry;

export interface FunctionState {
  /** Name of the root learned up to, and its last position in the record log. */
  readonly root: string;
  readonly lastPosition: number;
  /** Canonical JSON of the dataset specification. */
  readonly datasetSpec: Uint8Array;
  readonly fn: HashFunction;
  readonly statistics: HeadStatistics;
  /** In the order of the ledger. */
  readonly entries: readonly Entry[];
}

const FORMAT = 'lethe-hash-state-v1';
const ERASED_BYTES = 1 + ITEM_ID_BYTES + 8;
const liveBytes = (codeBytes: number, featureDim: number): number =>
  1 + ITEM_ID_BYTES + codeBytes + 4 + SALT_BYTES + 4 + 4 + featureDim;

export const liveItems = (entries: readonly Entry[]): Item[] =>
  entries.filter((entry) => entry.kind === 'live');

export function encodeState(state: FunctionState): Uint8Array {
  const aliases = [...new Set(liveItems(state.entries).map((item) => item.alias))];
  const header = {
    format: FORMAT,
    root: state.root,
    lastPosition: state.lastPosition,
    aliases,
    entries: state.entries.length,
  };
  return sections([
    utf8(canonicalJson(header)),
    state.datasetSpec,
    encodeHashFunction(state.fn),
    encodeStatistics(state.statistics),
    encodeEntries(state, new Map(aliases.map((alias, index) => [alias, index]))),
  ]);
}

function sections(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + 4 + part.length, 0));
  const view = new DataView(out.buffer);
  let at = 0;
  for (const part of parts) {
    view.setUint32(at, part.length, true);
    out.set(part, at + 4);
    at += 4 + part.length;
  }
  return out;
}

function encodeEntries({ fn, entries }: FunctionState, aliasIndex: ReadonlyMap<string, number>): Uint8Array {
  const codeBytes = fn.codebook.codeBits / 8;
  const itemBytes = liveBytes(codeBytes, fn.features.featureDim);
  const out = new Uint8Array(
    entries.reduce((sum, entry) => sum + (entry.kind === 'live' ? itemBytes : ERASED_BYTES), 0),
  );
  const view = new DataView(out.buffer);
  let at = 0;
  for (const entry of entries) {
    out.set(entry.itemId, at + 1);
    let to = at + 1 + ITEM_ID_BYTES;
    if (entry.kind === 'erased') {
      out[at] = 1;
      view.setBigUint64(to, entry.seq, true);
      at += ERASED_BYTES;
      continue;
    }
    out.set(entry.code, to);
    to += codeBytes;
    view.setUint32(to, entry.fnVersion, true);
    out.set(entry.salt, to + 4);
    to += 4 + SALT_BYTES;
    view.setUint32(to, entry.label, true);
    view.setUint32(to + 4, aliasIndex.get(entry.alias)!, true);
    out.set(entry.features, to + 8);
    at += itemBytes;
  }
  return out;
}

/** Strict inverse of `encodeState`. @throws LETHE-4209 @throws LETHE-3405 */
export function decodeState(bytes: Uint8Array): FunctionState {
  const [header, datasetSpec, fnBytes, sums, entryBytes] = readSections(bytes);
  const { format, root, lastPosition, aliases, entries } = JSON.parse(new TextDecoder().decode(header)) as {
    format: string;
    root: string;
    lastPosition: number;
    aliases: string[];
    entries: number;
  };
  if (format !== FORMAT) throw damaged('it has another format');
  const fn = decodeHashFunction(fnBytes);
  const read = decodeEntries(entryBytes, fn, aliases);
  if (read.length !== entries) throw damaged('the number of entries is not the one it states');
  return { root, lastPosition, datasetSpec, fn, statistics: decodeStatistics(sums), entries: read };
}

const damaged = (why: string) => HASHING_SERVICE.STATE_DAMAGED(`the state of a function: ${why}`);

type Sections = [Uint8Array, Uint8Array, Uint8Array, Uint8Array, Uint8Array];

function readSections(bytes: Uint8Array): Sections {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const parts: Uint8Array[] = [];
  let at = 0;
  while (at + 4 <= bytes.length && parts.length < 5) {
    const end = at + 4 + view.getUint32(at, true);
    if (end > bytes.length) throw damaged('it is cut short');
    parts.push(new Uint8Array(bytes.subarray(at + 4, end)));
    at = end;
  }
  if (parts.length !== 5 || at !== bytes.length) throw damaged('it does not have its five sections');
  return parts as Sections;
}

function decodeEntries(bytes: Uint8Array, fn: HashFunction, aliases: readonly string[]): Entry[] {
  const codeBytes = fn.codebook.codeBits / 8;
  const itemBytes = liveBytes(codeBytes, fn.features.featureDim);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const entries: Entry[] = [];
  let at = 0;
  /** The next bytes as a copy of their own, so that erasing an item can overwrite its only one. */
  const take = (from: number, length: number): Uint8Array =>
    new Uint8Array(bytes.subarray(from, from + length));
  while (at < bytes.length) {
    const erased = bytes[at] === 1;
    const length = erased ? ERASED_BYTES : itemBytes;
    if (bytes[at]! > 1 || at + length > bytes.length) throw damaged('an entry is malformed');
    const itemId = take(at + 1, ITEM_ID_BYTES);
    const codeAt = at + 1 + ITEM_ID_BYTES;
    if (erased) {
      entries.push({ kind: 'erased', itemId, seq: view.getBigUint64(codeAt, true) });
    } else {
      const versionAt = codeAt + codeBytes;
      const labelAt = versionAt + 4 + SALT_BYTES;
      const alias = aliases[view.getUint32(labelAt + 4, true)];
      if (alias === undefined) throw damaged('an entry names no alias');
      entries.push({
        kind: 'live',
        itemId,
        code: take(codeAt, codeBytes),
        fnVersion: view.getUint32(versionAt, true),
        salt: take(versionAt + 4, SALT_BYTES),
        label: view.getUint32(labelAt, true),
        alias,
        features: take(labelAt + 8, fn.features.featureDim),
      });
    }
    at += length;
  }
  return entries;
}
