/** Batches of items by column: made from items, and refused before anything is touched. */
import { HASHING, ITEM_ID_BYTES, labelBytes, SALT_BYTES } from '@lethe/hashing';
import { INDEX } from './errors.ts';
import type { EntryBatch, IndexItem } from './types.ts';

interface Widths {
  readonly codeBits: number;
  readonly classes: number;
}

/** @throws LETHE-2608, LETHE-3403, LETHE-3406 */
export function batchOf(items: readonly IndexItem[], { codeBits, classes }: Widths): EntryBatch {
  const mask = labelBytes(classes);
  const numbers = new Map<string, number>();
  const batch = {
    ids: new Uint8Array(items.length * ITEM_ID_BYTES),
    codes: new Uint8Array((items.length * codeBits) / 8),
    fnVersions: Uint32Array.from(items, ({ fnVersion }) => fnVersion),
    modalities: Uint8Array.from(items, ({ modality }) => modality),
    labels: new Uint8Array(items.length * mask),
    owners: Uint32Array.from(items, ({ owner }) => {
      if (!numbers.has(owner)) numbers.set(owner, numbers.size);
      return numbers.get(owner)!;
    }),
    aliases: [...numbers.keys()],
  };
  for (const [row, { itemId, code, fnVersion, modality, labels }] of items.entries()) {
    if (itemId.length !== ITEM_ID_BYTES) throw HASHING.SHAPE_MISMATCH('an item id has 16 bytes');
    if (8 * code.length !== codeBits) {
      throw HASHING.CODE_LENGTH_WRONG(`a code of this index has ${codeBits / 8} bytes`);
    }
    if (batch.fnVersions[row] !== fnVersion) throw invalid('fnVersion is not an integer in 0..2^32-1');
    if (batch.modalities[row] !== modality) throw invalid('modality is not an integer in 0..255');
    batch.ids.set(itemId, row * ITEM_ID_BYTES);
    batch.codes.set(code, (row * codeBits) / 8);
    for (const label of labels) {
      if (!Number.isInteger(label) || label < 0 || label >= classes) {
        throw invalid(`a label is not one of the ${classes} declared classes`);
      }
      batch.labels[row * mask + (label >> 3)]! |= 1 << (label & 7);
    }
  }
  return batch;
}

const invalid = (what: string) => INDEX.BATCH_INVALID(`a batch cannot be appended: ${what}`);

/** @returns number of rows  @throws LETHE-2608 */
export function checkBatch(batch: EntryBatch, { codeBits, classes }: Widths): number {
  const rows = batch.modalities.length;
  const mask = labelBytes(classes);
  const lengths = {
    ids: rows * ITEM_ID_BYTES,
    codes: (rows * codeBits) / 8,
    fnVersions: rows,
    labels: rows * mask,
    owners: rows,
    salts: rows * SALT_BYTES,
  };
  for (const [name, length] of Object.entries(lengths)) {
    const column = batch[name as keyof typeof lengths];
    if (column !== undefined && column.length !== length) {
      throw INDEX.BATCH_INVALID(`a batch of ${rows} items cannot be appended: its ${name} do not fit`, {
        details: { column: name, length: column.length, expected: length },
      });
    }
  }
  if (batch.owners.some((owner) => owner >= batch.aliases.length)) throw invalid('an owner has no alias');
  if (!batch.aliases.every((alias) => alias !== '' && alias.isWellFormed())) {
    throw invalid('an alias is empty or not well-formed text');
  }
  if (classes % 8 !== 0) {
    for (let row = 1; row <= rows; row++) {
      if (batch.labels[row * mask - 1]! >> (classes & 7) !== 0) {
        throw invalid(`a label is not one of the ${classes} declared classes`);
      }
    }
  }
  return rows;
}
