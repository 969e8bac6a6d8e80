/** Made-up entries, and the smallest index that holds some: for tests and benches. */
import { ITEM_ID_BYTES, labelBytes } from '@lethe/hashing';
import { type RandomSource, seededRandom } from '@lethe/std';
import { CodeIndex } from './code-index.ts';
import { MemorySegments } from './memory-segments.ts';
import { PlainTable } from './plain-table.fixture.ts';
import type { SegmentStore } from './ports.ts';
import type { CodeIndexOptions, EntryBatch } from './types.ts';

export const WIDTHS = { codeBits: 64, classes: 10 };

/** @param persons number of made-up persons among whom the items are spread at random */
export function madeUpBatch(
  count: number,
  random: RandomSource,
  { codeBits, classes, persons = 50 }: { codeBits: number; classes: number; persons?: number } = WIDTHS,
): EntryBatch {
  const labels = random.bytes(count * labelBytes(classes));
  const mask = labelBytes(classes);
  if (classes % 8 !== 0) {
    for (let row = 1; row <= count; row++) labels[row * mask - 1]! &= (1 << (classes & 7)) - 1;
  }
  return {
    ids: random.bytes(count * ITEM_ID_BYTES),
    codes: random.bytes((count * codeBits) / 8),
    fnVersions: new Uint32Array(count).fill(1),
    modalities: Uint8Array.from(random.bytes(count), (byte) => byte & 1),
    labels,
    owners: Uint32Array.from({ length: count }, () => random.below(persons)),
    aliases: Array.from({ length: persons }, (_, i) => `person-${i}`),
  };
}

export const idIn = (batch: EntryBatch, row: number): Uint8Array =>
  batch.ids.slice(row * ITEM_ID_BYTES, (row + 1) * ITEM_ID_BYTES);

export const codeIn = (batch: EntryBatch, row: number): Uint8Array => {
  const width = batch.codes.length / batch.modalities.length;
  return batch.codes.slice(row * width, (row + 1) * width);
};

/** With the table that is meant to be used. */
export const optionsOf = (store: SegmentStore, seed = 'index test') => ({
  store,
  random: seededRandom(seed),
});

/** With the plain table: to compare, and where a test reaches into the table's memory. */
export const plainly = (store: SegmentStore) => ({
  ...optionsOf(store),
  table: (codeBits: number) => new PlainTable(codeBits),
});

/** An index of made-up items, and the store that holds it. */
export async function madeUpIndex(
  count: number,
  store: SegmentStore = new MemorySegments(),
  options: CodeIndexOptions = optionsOf(store),
) {
  const index = CodeIndex.create({ ...options, ...WIDTHS });
  const batch = madeUpBatch(count, seededRandom('batch'));
  const change = await index.append(batch, 1n);
  await change.commit();
  return { index, store, batch };
}
