/**
 * Feature rows that the store has lost, from the vault's records and from the blocks that are left.
 *
 * Item ids are random and name no record. But a person's items of one modality stand in the ledger in the order of the record log, as
 * every update appends in it: the n-th live item of a person is her n-th record that was learned. Where the numbers or the labels of the
 * two do not agree, nothing is rebuilt (LETHE-4217). A rebuilt block has the bytes of the lost one, which its digest shows; of
 * one whose rows cannot all come back, because a person in it is being erased, that cannot be shown: see `relearn`.
 */
import { decodePayload, type Row } from '@lethe/datasets';
import { addItems, emptyStatistics, type HeadStatistics, SEGMENT_ROWS } from '@lethe/hashing';
import { LetheError } from '@lethe/std';
import type { HashingContext } from './context.ts';
import {
  decodeBlock,
  emptyBlock,
  type FeatureBlock,
  joinBlocks,
  labelBits,
  labelBytesOf,
  takeRows,
} from './domain/blocks.ts';
import { decodeDuplicates } from './domain/duplicates.ts';
import type { BlockRef, Part } from './domain/head.ts';
import { labelsOfRow } from './domain/parts.ts';
import { isSampled } from './domain/sample.ts';
import { HASHING_SERVICE } from './errors.ts';
import { breathe, targetsFor } from './learn.ts';
import type { Learned } from './learned.ts';

/** Rows whose features are computed at a time. */
const STEP_ROWS = 256;

/** What reading lost rows needs. */
export type Sources = Pick<HashingContext, 'peers'>;

/** True for what a store answers of a piece that is damaged or gone, not of one that it cannot reach. */
export const isLoss = (error: unknown): boolean =>
  error instanceof LetheError && (error.status === 'DATA_LOSS' || error.status === 'NOT_FOUND');

/** A block as it was stored. @returns undefined for one that is damaged or gone */
export async function blockOrLoss(
  { store }: Learned,
  { reference, digest }: BlockRef,
): Promise<FeatureBlock | undefined> {
  try {
    return decodeBlock(await store.verified(reference, digest));
  } catch (error) {
    if (!isLoss(error)) throw error;
    return undefined;
  }
}

const unmatched = (why: string, details: Readonly<Record<string, number>>) =>
  HASHING_SERVICE.RECORDS_UNMATCHED(`lost feature rows cannot be rebuilt: ${why}`, { details });

/**
 * The rows of blocks of one part that cannot be read, without the items in `gone`. Reads the dataset's records once.
 * @throws LETHE-4209 the index does not have as many items there as a block  @throws LETHE-4217, LETHE-23xx
 */
export async function rowsFromRecords(
  { peers }: Sources,
  learned: Learned,
  number: number,
  refs: readonly BlockRef[],
  gone: ReadonlySet<number>,
): Promise<FeatureBlock[]> {
  const wanted = refs.map((ref) => positionsOf(learned, number, ref));
  const needed = new Set(wanted.flat().filter((position) => !gone.has(position)));
  const items = itemsOfOwners(
    learned,
    number,
    new Set(Iterator.from(needed).map((at) => learned.liveAt(at).owner)),
  );
  const rows = new Map<number, Row>();
  const seen = new Map<string, number>();
  const duplicates = await duplicatesOf(learned, number);
  const { root } = learned.head;
  for await (const record of peers.vault.readRecords({ root, afterPosition: 0n })) {
    const positions = items.get(record.subjectAlias);
    if (!positions || duplicates.has(Number(record.position))) continue;
    const row = decodePayload(learned.spec, record.payload);
    if (labelsOfRow(row).length === 0 || !learned.readers[number]!.has(row)) continue;
    const nth = seen.get(record.subjectAlias) ?? 0;
    seen.set(record.subjectAlias, nth + 1);
    const position = positions[nth];
    if (position !== undefined && needed.has(position)) rows.set(position, row);
  }
  for (const [owner, positions] of items) {
    if (seen.get(owner) === positions.length) continue;
    throw unmatched('a person has another number of records than of items', {
      items: positions.length,
      records: seen.get(owner) ?? 0,
    });
  }
  const blocks: FeatureBlock[] = [];
  for (const positions of wanted)
    blocks.push(
      await blockOf(
        learned,
        number,
        positions.filter((position) => needed.has(position)),
        rows,
      ),
    );
  return blocks;
}

/** Live items of a part between the ends of a block: those that it holds. */
function positionsOf({ index }: Learned, number: number, { first, last, rows }: BlockRef): number[] {
  const positions: number[] = [];
  for (let position = first; position <= last; position++) {
    const entry = index.entryAt(position);
    if (entry.kind === 'live' && entry.modality === number) positions.push(position);
  }
  if (positions.length === rows) return positions;
  throw HASHING_SERVICE.STATE_DAMAGED('the index has not the items of a feature block', {
    details: { items: positions.length, rows },
  });
}

/** Positions of all live items of the part by owner, ascending. */
function itemsOfOwners(
  { index }: Learned,
  number: number,
  owners: ReadonlySet<string>,
): Map<string, number[]> {
  const items = new Map<string, number[]>();
  for (const [at, segment] of index.segments().entries()) {
    const names = segment.aliases.map((alias) => (owners.has(alias) ? alias : undefined));
    const { owners: ofRows, modalities } = segment.columns;
    for (const [row, owner] of ofRows.entries()) {
      const name = names[owner];
      if (name === undefined || modalities[row] !== number || segment.isErased(row)) continue;
      const position = at * SEGMENT_ROWS + row;
      const own = items.get(name);
      if (own) own.push(position);
      else items.set(name, [position]);
    }
  }
  return items;
}

/** Positions in the record log that the near-duplicate filter has left out of the part. */
async function duplicatesOf({ head, store }: Learned, number: number): Promise<Set<number>> {
  const positions = new Set<number>();
  for (const { reference, digest } of head.duplicates) {
    for (const { modality, position } of decodeDuplicates(await store.verified(reference, digest)))
      if (modality === number) positions.add(position);
  }
  return positions;
}

async function blockOf(
  learned: Learned,
  number: number,
  positions: readonly number[],
  rows: ReadonlyMap<number, Row>,
): Promise<FeatureBlock> {
  const { featureDim } = learned.head.parts[number]!.fn.features;
  const labelBytes = labelBytesOf(learned.index.classes);
  const block: FeatureBlock = {
    positions: Uint32Array.from(positions),
    featureDim,
    labelBytes,
    labels: new Uint8Array(positions.length * labelBytes),
    features: new Uint8Array(positions.length * featureDim),
  };
  for (let at = 0; at < positions.length; at += STEP_ROWS) {
    const some = positions.slice(at, at + STEP_ROWS);
    const own = some.map((position) => rows.get(position)!);
    for (const [i, position] of some.entries()) {
      const labels = labelBits(labelsOfRow(own[i]!), labelBytes);
      const { labels: stored } = learned.liveAt(position);
      if (!Buffer.from(labels).equals(labelBits(stored, labelBytes)))
        throw unmatched('a record has other labels than its item', { position });
      block.labels.set(labels, (at + i) * labelBytes);
    }
    block.features.set(learned.features(number, own), at * featureDim);
    await breathe();
  }
  return block;
}

/** A sample that cannot be read, from the blocks. @param blocks all of the part, in any order; rows of items that are to be left out are not in them */
export class SampleRows {
  readonly #learned: Learned;
  readonly #halvings: number;
  #block: FeatureBlock;

  constructor(learned: Learned, { fn, sample }: Part) {
    this.#learned = learned;
    this.#halvings = sample.halvings;
    this.#block = emptyBlock(fn.features.featureDim, labelBytesOf(learned.index.classes));
  }

  add(block: FeatureBlock): void {
    const rows = block.positions
      .keys()
      .filter((row) =>
        isSampled(this.#learned.index.entryAt(block.positions[row]!).itemId, 0, this.#halvings),
      )
      .toArray();
    this.#block = joinBlocks(this.#block, takeRows(block, rows));
  }

  /** By ascending position. */
  get block(): FeatureBlock {
    const { positions } = this.#block;
    return takeRows(
      this.#block,
      [...positions.keys()].sort((a, b) => positions[a]! - positions[b]!),
    );
  }
}

/** A part learned again from those who stay. */
export interface Relearned {
  readonly statistics: HeadStatistics;
  /** By place among the part's blocks: those that held somebody in `gone`, and those that were lost, all without them. */
  readonly blocks: ReadonlyMap<number, FeatureBlock>;
  readonly sample: FeatureBlock;
  /** Rows of `gone` that could still be read. */
  readonly rows: readonly Uint8Array[];
  /** Blocks that could not be read. */
  readonly rebuilt: number;
}

/**
 * The sums over everybody but the items in `gone`, added anew from all blocks and, for blocks that cannot be read, from records: what a
 * function has that never saw the others. No digest vouches for a rebuilt block that has lost rows for good. What does: the records and the items
 * agree in number, order and labels, and the sums that go away are those of as many rows of values in 0..127 as `gone` has.
 * @param split takes rows out of a block @throws LETHE-4209, LETHE-4217, LETHE-23xx
 */
export async function relearn(
  sources: Sources,
  learned: Learned,
  number: number,
  gone: ReadonlySet<number>,
  split: (block: FeatureBlock) => { readonly out: FeatureBlock; readonly kept: FeatureBlock },
): Promise<Relearned> {
  const part = learned.head.parts[number]!;
  const { featureDim } = part.fn.features;
  let statistics = emptyStatistics(featureDim, part.fn.codebook.codeBits);
  const sample = new SampleRows(learned, part);
  const blocks = new Map<number, FeatureBlock>();
  const rows: Uint8Array[] = [];
  const lost: number[] = [];
  const add = async (kept: FeatureBlock): Promise<void> => {
    const { features, labels, labelBytes } = kept;
    if (kept.positions.length > 0)
      statistics = addItems(statistics, { features, targets: targetsFor(part, labels, labelBytes) });
    sample.add(kept);
    await breathe();
  };
  for (const [at, ref] of part.blocks.entries()) {
    const block = await blockOrLoss(learned, ref);
    if (!block) {
      lost.push(at);
      continue;
    }
    const { out, kept } = split(block);
    if (out.positions.length > 0) blocks.set(at, kept);
    for (const row of out.positions.keys())
      rows.push(out.features.slice(row * featureDim, (row + 1) * featureDim));
    await add(kept);
  }
  const refs = lost.map((at) => part.blocks[at]!);
  for (const [i, kept] of (await rowsFromRecords(sources, learned, number, refs, gone)).entries()) {
    blocks.set(lost[i]!, kept);
    await add(kept);
  }
  refuseImpossible(part.statistics, statistics, gone.size);
  return { statistics, blocks, sample: sample.block, rows, rebuilt: lost.length };
}

/** @throws LETHE-4217 the difference is not one of so many rows */
function refuseImpossible(before: HeadStatistics, after: HeadStatistics, rows: number): void {
  const { featureDim } = before;
  const most = rows * 127 * 127;
  const at = (i: number, j: number): number =>
    before.gram[i * featureDim + j]! - after.gram[i * featureDim + j]!;
  let possible = before.items - after.items === rows;
  // Products of features are not negative, and Cauchy-Schwarz holds of what a set of rows adds.
  for (let i = 0; possible && i < featureDim; i++) {
    for (let j = 0; possible && j <= i; j++) {
      const sum = at(i, j);
      possible = sum >= 0 && sum <= most && sum * sum <= at(i, i) * at(j, j);
    }
  }
  if (!possible) throw unmatched('the sums do not follow from the records', { rows });
}
