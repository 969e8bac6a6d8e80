/**
 * The state of a function as releases before the segmented index wrote it: one artefact for everything. Read, never written: the next
 * change stores what it holds in the present form.
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
 */
import {
  decodeHashFunction,
  decodeStatistics,
  type ErasedEntry,
  type HashFunction,
  type HeadStatistics,
  ITEM_ID_BYTES,
  type LiveEntry,
  SALT_BYTES,
} from '@lethe/hashing';
import { HASHING_SERVICE } from '../errors.ts';
import { readSections } from './head.ts';

/** One record in the index. */
export interface ItemV1 extends LiveEntry {
  readonly label: number;
  readonly alias: string;
  /** [D] in 0..127. */
  readonly features: Uint8Array;
}

export type EntryV1 = ItemV1 | ErasedEntry;

export interface StateV1 {
  readonly root: string;
  readonly lastPosition: number;
  readonly datasetSpec: Uint8Array;
  readonly fn: HashFunction;
  readonly statistics: HeadStatistics;
  /** In the order of the ledger. */
  readonly entries: readonly EntryV1[];
}

export const FORMAT_V1 = 'lethe-hash-state-v1';
const ERASED_BYTES = 1 + ITEM_ID_BYTES + 8;
const liveBytes = (codeBytes: number, featureDim: number): number =>
  1 + ITEM_ID_BYTES + codeBytes + 4 + SALT_BYTES + 4 + 4 + featureDim;

const damaged = (why: string) => HASHING_SERVICE.STATE_DAMAGED(`the state of a function: ${why}`);

/** @throws LETHE-4209 @throws LETHE-3405 */
export function decodeStateV1(bytes: Uint8Array): StateV1 {
  const [header, datasetSpec, fnBytes, sums, entryBytes, ...more] = readSections(bytes);
  if (!datasetSpec || !fnBytes || !sums || !entryBytes || more.length > 0)
    throw damaged('it does not have its five sections');
  const { format, root, lastPosition, aliases, entries } = JSON.parse(new TextDecoder().decode(header)) as {
    format: string;
    root: string;
    lastPosition: number;
    aliases: string[];
    entries: number;
  };
  if (format !== FORMAT_V1) throw damaged('it has another format');
  const fn = decodeHashFunction(fnBytes);
  const read = decodeEntries(entryBytes, fn, aliases);
  if (read.length !== entries) throw damaged('the number of entries is not the one it states');
  return { root, lastPosition, datasetSpec, fn, statistics: decodeStatistics(sums), entries: read };
}

function decodeEntries(bytes: Uint8Array, fn: HashFunction, aliases: readonly string[]): EntryV1[] {
  const codeBytes = fn.codebook.codeBits / 8;
  const itemBytes = liveBytes(codeBytes, fn.features.featureDim);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const entries: EntryV1[] = [];
  let at = 0;
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
