/** Taking persons out: their features from the sums, exactly; their rows from the blocks that hold them; what that changes for others. */
import { encodeFeatures, fitHashFunction, subtractItems } from '@lethe/hashing';
import { isFinal } from '@lethe/service';
import { clopperPearson } from '@lethe/statistics';
import { processorMs } from '@lethe/telemetry';
import { decodeBlock, type FeatureBlock, takeRows } from './domain/blocks.ts';
import type { BlockRef, Part } from './domain/head.ts';
import { isSampled } from './domain/sample.ts';
import { HASHING_SERVICE } from './errors.ts';
import { breathe, targetsFor } from './learn.ts';
import type { Learned, LiveItem } from './learned.ts';
import { isLoss, relearn, type Sources } from './rebuild.ts';

const STEP_ROWS = 256;

/** A part without the persons, before anything of it is stored. */
export interface ErasedPart {
  readonly part: Part;
  /** Blocks that held them, without them, by their place among the part's blocks. */
  readonly blocks: ReadonlyMap<number, FeatureBlock>;
  /** The sample without them; undefined where it held none. */
  readonly sample: FeatureBlock | undefined;
  /** Their rows of features, as far as they could be read, for the scan: the caller overwrites them. */
  readonly rows: readonly Uint8Array[];
  /** Blocks that could not be read and are made again from records. */
  readonly rebuilt: number;
}

export interface ErasedItems {
  /** By modality number. */
  readonly parts: readonly ErasedPart[];
  readonly statisticsMs: number;
  readonly solveMs: number;
}

/** @throws LETHE-4209, LETHE-26xx a block is not what the state says */
export async function openBlock({ store }: Learned, { reference, digest }: BlockRef): Promise<FeatureBlock> {
  return decodeBlock(await store.verified(reference, digest));
}

/** Blocks that are on their way while one is worked on: bounds their memory. */
const AHEAD = 4;

/** Opens blocks of a part in their order, the next ones meanwhile. @param places among its blocks @throws LETHE-4209, LETHE-26xx */
async function* openBlocks(
  learned: Learned,
  { blocks }: Part,
  places: readonly number[],
): AsyncGenerator<{ readonly at: number; readonly block: FeatureBlock }> {
  const coming: Promise<FeatureBlock>[] = [];
  let next = 0;
  for (const at of places) {
    for (; next < places.length && coming.length < AHEAD; next++) {
      const opening = openBlock(learned, blocks[places[next]!]!);
      // It is awaited in its turn; one that fails before must not count as unhandled.
      opening.catch(() => undefined);
      coming.push(opening);
    }
    yield { at, block: await coming.shift()! };
  }
}

/**
 * The next version of every part, without these items. Nothing is stored or changed. A part of which a block that holds one of them, or
 * the sample, cannot be read is learned again from those who stay.
 * @throws LETHE-4209, LETHE-4217, LETHE-23xx, LETHE-26xx
 */
export async function subtract(
  sources: Sources,
  learned: Learned,
  items: readonly LiveItem[],
): Promise<ErasedItems> {
  const version = learned.version + 1;
  const timing = { statisticsMs: 0, solveMs: 0 };
  const parts: ErasedPart[] = [];
  for (const [number, part] of learned.head.parts.entries()) {
    const gone = new Set(items.flatMap(({ modality, index }) => (modality === number ? [index] : [])));
    parts.push(
      gone.size === 0
        ? {
            part: { ...part, fn: { ...part.fn, version } },
            blocks: new Map(),
            sample: undefined,
            rows: [],
            rebuilt: 0,
          }
        : await subtractPart(learned, part, gone, version, timing).catch(async (error: unknown) => {
            if (!isLoss(error)) throw error;
            return await relearnPart(sources, learned, number, gone, version, timing);
          }),
    );
    await breathe();
  }
  return { parts, ...timing };
}

async function subtractPart(
  learned: Learned,
  part: Part,
  gone: ReadonlySet<number>,
  version: number,
  timing: { statisticsMs: number; solveMs: number },
): Promise<ErasedPart> {
  const blocks = new Map<number, FeatureBlock>();
  let { statistics } = part;
  const rows: Uint8Array[] = [];
  let found = 0;
  const places = part.blocks
    .keys()
    .filter((at) => holdsSome(part.blocks[at]!, gone))
    .toArray();
  for await (const { at, block } of openBlocks(learned, part, places)) {
    const { out, kept } = split(block, gone);
    if (out.positions.length === 0) continue;
    const startedMs = processorMs();
    const targets = targetsFor(part, out.labels, out.labelBytes);
    statistics = subtractItems(statistics, { features: out.features, targets });
    timing.statisticsMs += processorMs() - startedMs;
    found += out.positions.length;
    blocks.set(at, kept);
    for (const row of out.positions.keys()) {
      rows.push(out.features.slice(row * out.featureDim, (row + 1) * out.featureDim));
    }
    for (const bytes of [out.features, block.features]) bytes.fill(0);
  }
  if (found !== gone.size) {
    throw HASHING_SERVICE.STATE_DAMAGED('the feature blocks lack items that the index has', {
      details: { missing: gone.size - found },
    });
  }
  const startedMs = processorMs();
  const fn = fitHashFunction(statistics, { ...part.fn, version });
  timing.solveMs += processorMs() - startedMs;
  const sampled = part.sample.block && split(await openBlock(learned, part.sample.block), gone);
  return {
    part: { ...part, fn, statistics },
    blocks,
    sample: sampled && sampled.out.positions.length > 0 ? sampled.kept : undefined,
    rows,
    rebuilt: 0,
  };
}

async function relearnPart(
  sources: Sources,
  learned: Learned,
  number: number,
  gone: ReadonlySet<number>,
  version: number,
  timing: { statisticsMs: number; solveMs: number },
): Promise<ErasedPart> {
  const part = learned.head.parts[number]!;
  const startedMs = processorMs();
  const relearned = await relearn(sources, learned, number, gone, (block) => split(block, gone));
  const solvedMs = processorMs();
  timing.statisticsMs += solvedMs - startedMs;
  const { statistics, sample, ...rest } = relearned;
  const fn = fitHashFunction(statistics, { ...part.fn, version });
  timing.solveMs += processorMs() - solvedMs;
  return { ...rest, part: { ...part, fn, statistics }, sample: part.sample.block && sample };
}

const holdsSome = ({ first, last }: BlockRef, positions: ReadonlySet<number>): boolean =>
  positions.values().some((position) => position >= first && position <= last);

function split(
  block: FeatureBlock,
  gone: ReadonlySet<number>,
): { readonly out: FeatureBlock; readonly kept: FeatureBlock } {
  const out: number[] = [];
  const kept: number[] = [];
  block.positions.forEach((position, row) => {
    (gone.has(position) ? out : kept).push(row);
  });
  return { out: takeRows(block, out), kept: takeRows(block, kept) };
}

/** How many survivors the absence of the persons would give another code. */
export interface Churn {
  readonly survivors: number;
  /** Code by the new version differs from that by the version before. */
  readonly churn: number;
  /** Stored code differs from that by the new version: churn, and what updates since then have changed. */
  readonly storedDiffer: number;
  /** Undefined where all survivors were counted; otherwise the two numbers above are of the sample. */
  readonly sampled: number | undefined;
  /** Code of the refusal of a block of others that could not be read: the two numbers above are then unknown. */
  readonly unreadable?: string;
}

/**
 * Counts exactly up to `exactMax` survivors; above, on the sample of items that the state keeps, and says so. The figure is no condition
 * of the erasure: where a block of others is damaged or gone, it is unknown.
 * @param erased what `subtract` gave for this version
 */
export async function measureChurn(
  learned: Learned,
  erased: ErasedItems,
  gone: ReadonlySet<number>,
  exactMax: number,
): Promise<Churn> {
  const survivors = learned.index.live - gone.size;
  try {
    return await countChurn(learned, erased, survivors, exactMax);
  } catch (error) {
    if (!isFinal(error)) throw error;
    return { survivors, churn: 0, storedDiffer: 0, sampled: undefined, unreadable: error.code };
  }
}

async function countChurn(
  learned: Learned,
  erased: ErasedItems,
  survivors: number,
  exactMax: number,
): Promise<Churn> {
  const counts = { rows: 0, churn: 0, storedDiffer: 0 };
  const exact = survivors <= exactMax;
  const halvings = Math.max(...learned.head.parts.map(({ sample }) => sample.halvings));
  for (const [number, part] of learned.head.parts.entries()) {
    const after = erased.parts[number]!;
    if (exact) {
      for (const [at, ref] of part.blocks.entries())
        await compare(
          learned,
          part,
          after.part,
          after.blocks.get(at) ?? (await openBlock(learned, ref)),
          counts,
        );
    } else if (part.sample.block) {
      const sample = after.sample ?? (await openBlock(learned, part.sample.block));
      // Thinned to the sparsest part's: then every survivor of any part has the same chance.
      const rows = sample.positions
        .keys()
        .filter((row) => isSampled(learned.index.entryAt(sample.positions[row]!).itemId, 0, halvings))
        .toArray();
      await compare(learned, part, after.part, takeRows(sample, rows), counts);
    }
  }
  const { churn, storedDiffer } = counts;
  return { survivors, churn, storedDiffer, sampled: exact ? undefined : counts.rows };
}

async function compare(
  learned: Learned,
  before: Part,
  after: Part,
  block: FeatureBlock,
  counts: { rows: number; churn: number; storedDiffer: number },
): Promise<void> {
  const codeBytes = learned.codeBits / 8;
  for (let at = 0; at < block.positions.length; at += STEP_ROWS) {
    const positions = block.positions.subarray(at, at + STEP_ROWS);
    const features = block.features.subarray(
      at * block.featureDim,
      (at + positions.length) * block.featureDim,
    );
    const old = Buffer.from(encodeFeatures(before.fn, features));
    const now = Buffer.from(encodeFeatures(after.fn, features));
    positions.forEach((position, i) => {
      const own = now.subarray(i * codeBytes, (i + 1) * codeBytes);
      if (!own.equals(old.subarray(i * codeBytes, (i + 1) * codeBytes))) counts.churn++;
      if (!own.equals(learned.liveAt(position).code)) counts.storedDiffer++;
    });
    counts.rows += positions.length;
    await breathe();
  }
}

const LEVEL = 0.95;

/** Claim details: exact counts as numbers, estimates as a sentence with their interval, so that neither passes for the other. */
export function churnDetails({
  survivors,
  churn,
  storedDiffer,
  sampled,
  unreadable,
}: Churn): Readonly<Record<string, string>> {
  if (unreadable !== undefined) {
    const churnMethod = `not measured: a feature block of others could not be read (${unreadable})`;
    const unknown = 'an unknown number';
    return { churn: unknown, storedCodesThatDiffer: unknown, churnMethod };
  }
  if (sampled === undefined) {
    return { churn: String(churn), storedCodesThatDiffer: String(storedDiffer), churnMethod: 'counted' };
  }
  const estimate = (hits: number): string => {
    if (sampled === 0) return 'an unknown number';
    const [low, high] = clopperPearson(hits, sampled, LEVEL);
    const [about, from, to] = [hits / sampled, low, high].map((share) => Math.round(share * survivors));
    return `about ${about} (between ${from} and ${to})`;
  };
  return {
    churn: estimate(churn),
    storedCodesThatDiffer: estimate(storedDiffer),
    churnMethod: `estimated on a random sample of ${sampled} of them, Clopper-Pearson intervals at ${LEVEL}`,
    churnSample: String(sampled),
    churnInSample: String(churn),
    storedCodesThatDifferInSample: String(storedDiffer),
  };
}

/** Codes that a policy stores anew. */
export interface NewCode {
  readonly itemId: Uint8Array;
  readonly code: Uint8Array;
}

/**
 * Codes of survivors as the present version gives them.
 * @param all of every item whose code is of an earlier version; otherwise only those that differ
 */
export async function newCodes(learned: Learned, all: boolean): Promise<NewCode[]> {
  const codeBytes = learned.codeBits / 8;
  const out: NewCode[] = [];
  for (const part of learned.head.parts) {
    for (const ref of part.blocks) {
      const block = await openBlock(learned, ref);
      for (let at = 0; at < block.positions.length; at += STEP_ROWS) {
        const positions = block.positions.subarray(at, at + STEP_ROWS);
        const rows = block.features.subarray(
          at * block.featureDim,
          (at + positions.length) * block.featureDim,
        );
        const codes = encodeFeatures(part.fn, rows);
        positions.forEach((position, i) => {
          const { itemId, code, fnVersion } = learned.liveAt(position);
          const own = codes.slice(i * codeBytes, (i + 1) * codeBytes);
          if (all ? fnVersion < learned.version : !Buffer.from(own).equals(code))
            out.push({ itemId, code: own });
        });
        await breathe();
      }
    }
  }
  return out;
}
