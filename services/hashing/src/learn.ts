/** Learning: sums of new examples on top, weights solved anew, the new examples' codes appended. Entries that were there stay. */
import { type DatasetSpec, decodeSpec, type Row } from '@lethe/datasets';
import {
  addItems,
  allocateClasses,
  createFeatureMap,
  emptyCodebook,
  emptyStatistics,
  encodeFeatures,
  fitHashFunction,
  ITEM_ID_BYTES,
  targetCode,
} from '@lethe/hashing';
import type { CodeIndex, EntryBatch } from '@lethe/index';
import type { RandomSource } from '@lethe/std';
import { processorMs } from '@lethe/telemetry';
import {
  BLOCK_ROWS,
  type FeatureBlock,
  joinBlocks,
  labelBits,
  labelBytesOf,
  labelsOfBits,
  sliceBlock,
  takeRows,
} from './domain/blocks.ts';
import type { Duplicate } from './domain/duplicates.ts';
import { countItems, type Head, type Part } from './domain/head.ts';
import { labelsOfRow, PartReader, type PartSpec } from './domain/parts.ts';
import { isSampled } from './domain/sample.ts';
import type { PieceStore } from './sealed-state.ts';

/** Rows per step: tens of milliseconds, after which searches get their turn. */
const STEP_ROWS = 256;

export const breathe = (): Promise<void> => new Promise((done) => setImmediate(done));

export type EmptyHead = Omit<Head, 'index'>;

/** What a change starts from: the version that serves, or a function that has seen nothing. */
export interface Base {
  readonly head: EmptyHead;
  readonly index: CodeIndex;
  readonly store: PieceStore;
}

/** What a function is before it has seen a record; every declared class has its code from the beginning. */
export function emptyHead(
  datasetSpec: Uint8Array,
  parts: readonly PartSpec[],
  options: { seed: string; featureDim: number; codeBits: number; lambda: number },
): EmptyHead {
  const spec = decodeSpec(datasetSpec);
  const { seed, featureDim, codeBits, lambda } = options;
  const codebook = allocateClasses(emptyCodebook(codeBits), spec.label.classes);
  return {
    version: 0,
    root: '',
    lastPosition: 0,
    datasetSpec,
    live: { codes: [], labels: [] },
    duplicates: [],
    quarantine: [],
    parts: parts.map((part) => {
      const inputWidth = new PartReader(spec, part).width;
      const features = createFeatureMap({ seed, featureDim, inputWidth }).spec;
      const weights = new Float64Array(featureDim * codeBits);
      return {
        ...part,
        fn: { features, codebook, lambda, version: 0, weights },
        statistics: emptyStatistics(featureDim, codeBits),
        blocks: [],
        sample: { halvings: 0, block: undefined },
      };
    }),
  };
}

/** A labelled record and whose it is. */
export interface Example {
  readonly alias: string;
  readonly row: Row;
  /** In the dataset's record log. */
  readonly position: number;
}

/** Divides new items into those that are learned and near-duplicates: a duplicate's original is an item that is kept, or an item id. */
export type DuplicateFilter = (items: readonly NewItem[]) => Promise<{
  readonly kept: readonly NewItem[];
  readonly duplicates: readonly {
    readonly item: NewItem;
    readonly original: NewItem | Uint8Array;
    readonly distance: number;
  }[];
}>;

/** What learning gives, before anything of it is stored. */
export interface LearnedRecords {
  readonly head: EmptyHead;
  /** New entries, in the order of the records, parts of a record in theirs. */
  readonly batch: EntryBatch;
  /** By part: features of the new items by ascending position, and which of their rows are in the sample. */
  readonly added: readonly { readonly block: FeatureBlock; readonly sampled: readonly number[] }[];
  /** What the filter has left out, in the order of the records. */
  readonly duplicates: readonly Duplicate[];
  /** Features and sums. */
  readonly statisticsMs: number;
  readonly solveMs: number;
}

/** Targets of items with these label sets; equal sets share one array, which makes the sums faster. */
export function targetsFor(part: Part, labels: Uint8Array, labelBytes: number): Int8Array[] {
  const known = new Map<string, Int8Array>();
  return Array.from({ length: labels.length / labelBytes }, (_, i) => {
    const bits = labels.subarray(i * labelBytes, (i + 1) * labelBytes);
    const key = String.fromCharCode(...bits);
    const target = known.get(key) ?? targetCode(part.fn.codebook, labelsOfBits(bits));
    known.set(key, target);
    return target;
  });
}

/**
 * The next version of a function that has `size` entries in its ledger.
 * @param base its state; what it has stored is not read  @param filter leaves near-duplicates out; absent: nothing is left out
 */
export async function learnExamples(
  base: EmptyHead,
  size: number,
  upTo: { readonly root: string; readonly lastPosition: number },
  examples: readonly Example[],
  random: RandomSource,
  onProgress: (done: number) => void,
  filter?: DuplicateFilter,
): Promise<LearnedRecords> {
  const spec = decodeSpec(base.datasetSpec);
  const all = itemsOf(spec, base.parts, examples);
  const { kept: items, duplicates } = filter ? await filter(all) : { kept: all, duplicates: [] };
  const labelBytes = labelBytesOf(spec.label.classes.length);
  const version = base.version + 1;
  const ids = random.bytes(items.length * ITEM_ID_BYTES);
  const places = new Map(duplicates.length > 0 ? items.map((item, i) => [item, i]) : []);
  const idOf = (item: NewItem): Uint8Array => {
    const at = places.get(item)! * ITEM_ID_BYTES;
    return ids.slice(at, at + ITEM_ID_BYTES);
  };
  const codeBytes = base.parts[0]!.fn.codebook.codeBits / 8;
  const batch = columns(items, { ids, codeBytes, labelBytes, version });
  let statisticsMs = 0;
  let solveMs = 0;
  let done = 0;
  const parts: Part[] = [];
  const added: { block: FeatureBlock; sampled: readonly number[] }[] = [];
  for (const [number, part] of base.parts.entries()) {
    const own = items.flatMap(({ modality, row }, i) => (modality === number ? [{ i, row }] : []));
    const { featureDim } = part.fn.features;
    const block: FeatureBlock = {
      positions: Uint32Array.from(own, ({ i }) => size + i),
      featureDim,
      labelBytes,
      labels: new Uint8Array(own.length * labelBytes),
      features: new Uint8Array(own.length * featureDim),
    };
    const reader = new PartReader(spec, part);
    const map = createFeatureMap(part.fn.features);
    let { statistics } = part;
    for (let at = 0; at < own.length; at += STEP_ROWS) {
      const step = own.slice(at, at + STEP_ROWS);
      const inputs = reader.inputs(step.map(({ row }) => row));
      for (const [j, { i }] of step.entries())
        block.labels.set(batch.labels.subarray(i * labelBytes, (i + 1) * labelBytes), (at + j) * labelBytes);
      const { labels } = sliceBlock(block, at, at + step.length);
      const startedMs = processorMs();
      const features = map.apply(inputs);
      statistics = addItems(statistics, { features, targets: targetsFor(part, labels, labelBytes) });
      statisticsMs += processorMs() - startedMs;
      block.features.set(features, at * featureDim);
      done += step.length;
      onProgress(Math.floor((done * examples.length) / items.length));
      await breathe();
    }
    const startedMs = processorMs();
    const fn = fitHashFunction(statistics, { ...part.fn, version });
    solveMs += processorMs() - startedMs;
    for (let at = 0; at < own.length; at += STEP_ROWS) {
      const step = own.slice(at, at + STEP_ROWS);
      const codes = encodeFeatures(fn, sliceBlock(block, at, at + step.length).features);
      for (const [j, { i }] of step.entries())
        batch.codes.set(codes.subarray(j * codeBytes, (j + 1) * codeBytes), i * codeBytes);
      await breathe();
    }
    const { halvings } = part.sample;
    const sampled = own.flatMap(({ i }, row) => (isSampled(ids, i, halvings) ? [row] : []));
    parts.push({ ...part, fn, statistics });
    added.push({ block, sampled });
  }
  const counted = items.map(({ modality, labels }) => ({ fnVersion: version, modality, labels }));
  const live = countItems(base.live, counted, 1);
  return {
    head: { ...base, ...upTo, version, parts, live },
    batch,
    added,
    duplicates: duplicates.map(({ item: { position, modality }, original, distance: away }) => ({
      original: original instanceof Uint8Array ? original : idOf(original),
      id: random.bytes(ITEM_ID_BYTES),
      position,
      distance: away,
      modality,
    })),
    statisticsMs,
    solveMs,
  };
}

/** What a record is to one part. */
export interface NewItem extends Example {
  readonly modality: number;
  readonly labels: readonly number[];
}

/** One item for each part that a labelled record has. */
function itemsOf(spec: DatasetSpec, parts: readonly PartSpec[], examples: readonly Example[]): NewItem[] {
  const readers = parts.map((part) => new PartReader(spec, part));
  return examples.flatMap(({ alias, row, position }) => {
    const labels = labelsOfRow(row);
    if (labels.length === 0) return [];
    return readers.flatMap((reader, modality) =>
      reader.has(row) ? [{ alias, row, position, modality, labels }] : [],
    );
  });
}

function columns(
  items: readonly NewItem[],
  {
    ids,
    codeBytes,
    labelBytes,
    version,
  }: { ids: Uint8Array; codeBytes: number; labelBytes: number; version: number },
): EntryBatch & { readonly codes: Uint8Array } {
  const aliases = [...new Set(items.map(({ alias }) => alias))];
  const numbers = new Map(aliases.map((alias, number) => [alias, number]));
  const labels = new Uint8Array(items.length * labelBytes);
  items.forEach((item, i) => {
    labels.set(labelBits(item.labels, labelBytes), i * labelBytes);
  });
  return {
    ids,
    codes: new Uint8Array(items.length * codeBytes),
    fnVersions: new Uint32Array(items.length).fill(version),
    modalities: Uint8Array.from(items, ({ modality }) => modality),
    labels,
    owners: Uint32Array.from(items, ({ alias }) => numbers.get(alias)!),
    aliases,
  };
}

/** Blocks of new rows after a last one that is not full: the first of them replaces it. */
export function packBlocks(last: FeatureBlock | undefined, added: FeatureBlock): FeatureBlock[] {
  const all = last ? joinBlocks(last, added) : added;
  const out: FeatureBlock[] = [];
  for (let at = 0; at < all.positions.length; at += BLOCK_ROWS)
    out.push(sliceBlock(all, at, Math.min(at + BLOCK_ROWS, all.positions.length)));
  return out;
}

/** The sample with new rows, thinned by halves until it is at most a block. @param idOf item id at a position */
export function growSample(
  sample: { readonly halvings: number; readonly block: FeatureBlock | undefined },
  added: { readonly block: FeatureBlock; readonly sampled: readonly number[] },
  idOf: (position: number) => Uint8Array,
): { readonly halvings: number; readonly block: FeatureBlock } {
  const more = takeRows(added.block, added.sampled);
  let block = sample.block ? joinBlocks(sample.block, more) : more;
  let { halvings } = sample;
  while (block.positions.length > BLOCK_ROWS) {
    halvings++;
    const { positions } = block;
    block = takeRows(
      block,
      positions
        .keys()
        .filter((row) => isSampled(idOf(positions[row]!), 0, halvings))
        .toArray(),
    );
  }
  return { halvings, block };
}
