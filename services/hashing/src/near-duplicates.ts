/** The near-duplicate filter of a function that has one: which new items it leaves out, and the sealed record of them. */
import { decodeSpec } from '@lethe/datasets';
import { contentCodesOf, createFeatureMap, SEGMENT_ROWS } from '@lethe/hashing';
import type { CodeIndex } from '@lethe/index';
import { isFinal } from '@lethe/service';
import { hex } from '@lethe/std';
import { decodeBlock, labelBits, labelBytesOf } from './domain/blocks.ts';
import {
  DUPLICATE_ROWS,
  type Duplicate,
  decodeDuplicates,
  encodeDuplicates,
  idsOf,
  Originals,
} from './domain/duplicates.ts';
import type { PieceRef } from './domain/head.ts';
import { PartReader } from './domain/parts.ts';
import { type Base, breathe, type DuplicateFilter, type EmptyHead, type NewItem } from './learn.ts';
import type { Attempt, PieceStore } from './sealed-state.ts';

/** As a specification names it, with every default in place. */
export interface FilterOptions {
  readonly radius: number;
  readonly contentBits: number;
}

/** Rows whose features are computed at a time. */
const STEP_ROWS = 256;
/** Comparisons of codes between two breaths: some ten milliseconds. */
const COMPARISONS = 200_000;

/**
 * The filter over what a function has learned. It reads the feature blocks that hold items of the persons whom new items are of, one at a
 * time; items of a person alone in their group are not encoded.
 * @throws LETHE-4209, LETHE-26xx such a block cannot be read
 */
export const duplicateFilter =
  (base: Base, { radius, contentBits }: FilterOptions): DuplicateFilter =>
  async (items) => {
    const labelBytes = labelBytesOf(decodeSpec(base.head.datasetSpec).label.classes.length);
    const groupOf = ({ alias, modality, labels }: NewItem): string =>
      groupKey(alias, modality, labelBits(labels, labelBytes));
    const groups = Map.groupBy(items, groupOf);
    const originals = await learnedOriginals(base, groups, radius, contentBits);
    const judged = items.filter((item) => {
      const group = groupOf(item);
      return originals.has(group) || groups.get(group)!.length > 1;
    });
    const codes = await codesOf(base.head, judged, contentBits);
    const found = new Map<NewItem, { original: NewItem | Uint8Array; distance: number }>();
    let compared = 0;
    for (const item of judged) {
      const group = groupOf(item);
      const kept = originals.get(group) ?? new Originals<NewItem | Uint8Array>(radius);
      originals.set(group, kept);
      const duplicate = kept.admit(item, codes.get(item)!);
      if (duplicate) found.set(item, duplicate);
      compared += kept.size;
      if (compared > COMPARISONS) {
        compared = 0;
        await breathe();
      }
    }
    return {
      kept: items.filter((item) => !found.has(item)),
      duplicates: [...found].map(([item, duplicate]) => ({ item, ...duplicate })),
    };
  };

const groupKey = (alias: string, modality: number, labels: Uint8Array): string =>
  `${modality}|${hex(labels)}|${alias}`;

/** What was learned of these groups, in the order of the log: item ids with their content codes. */
async function learnedOriginals(
  { head, index, store }: Base,
  groups: ReadonlyMap<string, readonly NewItem[]>,
  radius: number,
  contentBits: number,
): Promise<Map<string, Originals<NewItem | Uint8Array>>> {
  const originals = new Map<string, Originals<NewItem | Uint8Array>>();
  const learned = learnedItems(index, groups);
  for (const [modality, { fn, blocks }] of head.parts.entries()) {
    const own = learned[modality] ?? new Map<number, string>();
    const positions = [...own.keys()];
    for (const { reference, digest, first, last } of blocks) {
      if (!positions.some((position) => position >= first && position <= last)) continue;
      const block = decodeBlock(await store.verified(reference, digest));
      const codes = contentCodesOf(block.features, fn.features.featureDim, contentBits);
      for (const [row, position] of block.positions.entries()) {
        const group = own.get(position);
        if (group === undefined) continue;
        const kept = originals.get(group) ?? new Originals<NewItem | Uint8Array>(radius);
        originals.set(group, kept);
        const code = codes.slice((row * contentBits) / 8, ((row + 1) * contentBits) / 8);
        kept.keep(index.entryAt(position).itemId, code);
      }
      block.features.fill(0);
      await breathe();
    }
  }
  return originals;
}

/** By modality: live items of these groups, position in the ledger and group. */
function learnedItems(
  index: CodeIndex,
  groups: ReadonlyMap<string, readonly NewItem[]>,
): Map<number, string>[] {
  const persons = new Set([...groups.values()].map(([item]) => item!.alias));
  const found: Map<number, string>[] = [];
  for (const [number, segment] of index.segments().entries()) {
    const { owners, modalities, labels } = segment.columns;
    const aliases = segment.aliases.map((alias) => (persons.has(alias) ? alias : undefined));
    if (aliases.every((alias) => alias === undefined)) continue;
    const width = labels.length / segment.rows;
    for (let row = 0; row < segment.rows; row++) {
      const alias = aliases[owners[row]!];
      if (alias === undefined || segment.isErased(row)) continue;
      const modality = modalities[row]!;
      const group = groupKey(alias, modality, labels.subarray(row * width, (row + 1) * width));
      if (!groups.has(group)) continue;
      found[modality] ??= new Map();
      found[modality].set(number * SEGMENT_ROWS + row, group);
    }
  }
  return found;
}

async function codesOf(
  head: EmptyHead,
  items: readonly NewItem[],
  contentBits: number,
): Promise<Map<NewItem, Uint8Array>> {
  const spec = decodeSpec(head.datasetSpec);
  const codes = new Map<NewItem, Uint8Array>();
  for (const [modality, part] of head.parts.entries()) {
    const own = items.filter((item) => item.modality === modality);
    const reader = new PartReader(spec, part);
    const map = createFeatureMap(part.fn.features);
    for (let at = 0; at < own.length; at += STEP_ROWS) {
      const step = own.slice(at, at + STEP_ROWS);
      const features = map.apply(reader.inputs(step.map(({ row }) => row)));
      const all = contentCodesOf(features, map.spec.featureDim, contentBits);
      for (const [i, item] of step.entries())
        codes.set(item, all.slice((i * contentBits) / 8, ((i + 1) * contentBits) / 8));
      await breathe();
    }
  }
  return codes;
}

async function storePiece(attempt: Attempt, rows: readonly Duplicate[]): Promise<PieceRef> {
  const bytes = encodeDuplicates(rows);
  const [piece] = await attempt.put('duplicates', [bytes]);
  const { reference, digest } = piece!;
  return { reference, digest, rows: rows.length };
}

/** Stores new rows, filling up the last piece first. @param replaced gets what the new pieces replace */
export async function storeDuplicates(
  attempt: Attempt,
  store: PieceStore,
  before: readonly PieceRef[],
  added: readonly Duplicate[],
  replaced: string[],
): Promise<readonly PieceRef[]> {
  if (added.length === 0) return before;
  const pieces = [...before];
  const last = pieces.at(-1);
  const open = last && last.rows < DUPLICATE_ROWS ? await rowsOrLoss(store, last) : undefined;
  let rows = added;
  if (last && open) {
    pieces.pop();
    replaced.push(last.reference);
    rows = [...open, ...added];
  }
  for (let at = 0; at < rows.length; at += DUPLICATE_ROWS)
    pieces.push(await storePiece(attempt, rows.slice(at, at + DUPLICATE_ROWS)));
  return pieces;
}

/** The pieces without the duplicates of these items, and what of them a scan is to look for. */
export interface WithoutDuplicates {
  readonly pieces: readonly PieceRef[];
  /** The ids of each row that is gone, 32 bytes. */
  readonly gone: readonly Uint8Array[];
  readonly replaced: readonly string[];
  /** Rows of pieces that could not be read: they are gone as well, whomever they were of. */
  readonly lost: number;
}

/** Rows of a piece; undefined of one that is damaged or gone. What is learned never depends on them, so it holds up nothing. */
async function rowsOrLoss(
  store: PieceStore,
  { reference, digest }: PieceRef,
): Promise<Duplicate[] | undefined> {
  try {
    const bytes = await store.verified(reference, digest);
    const rows = decodeDuplicates(bytes);
    bytes.fill(0);
    return rows;
  } catch (error) {
    if (!isFinal(error)) throw error;
    return undefined;
  }
}

/** Rewrites the pieces that hold duplicates of the items. One that cannot be read is dropped: it may hold some. */
export async function withoutDuplicatesOf(
  attempt: Attempt,
  store: PieceStore,
  before: readonly PieceRef[],
  itemIds: readonly Uint8Array[],
): Promise<WithoutDuplicates> {
  const erased = new Set(itemIds.map(hex));
  const pieces: PieceRef[] = [];
  const gone: Uint8Array[] = [];
  const replaced: string[] = [];
  let lost = 0;
  for (const piece of before) {
    const rows = await rowsOrLoss(store, piece);
    if (!rows) {
      replaced.push(piece.reference);
      lost += piece.rows;
      continue;
    }
    const kept = rows.filter(({ original }) => !erased.has(hex(original)));
    if (kept.length === rows.length) {
      pieces.push(piece);
      continue;
    }
    replaced.push(piece.reference);
    for (const row of rows) {
      if (!erased.has(hex(row.original))) continue;
      gone.push(idsOf(row));
      row.id.fill(0);
    }
    if (kept.length > 0) pieces.push(await storePiece(attempt, kept));
    await breathe();
  }
  return { pieces, gone, replaced, lost };
}
