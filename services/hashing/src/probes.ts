/** The sample of live items that figures are measured on, and the rankings over it. It reads the sealed sample blocks, never all rows. */
import {
  distance,
  encodeFeatures,
  expectedAveragePrecision,
  type HashFunction,
  popcount64,
} from '@lethe/hashing';
import { compareBytes, concatBytes, hex } from '@lethe/std';
import { labelsOfBits } from './domain/blocks.ts';
import { openBlock } from './erase.ts';
import { breathe } from './learn.ts';
import type { Learned } from './learned.ts';

export interface SampledItem {
  readonly itemId: Uint8Array;
  /** Position in the ledger. */
  readonly index: number;
  readonly owner: string;
  /** Modality number. */
  readonly part: number;
  readonly labels: readonly number[];
  readonly fnVersion: number;
  /** As it is stored. */
  readonly code: Uint8Array;
  /** [D] */
  readonly features: Uint8Array;
}

/**
 * Live items of the state's samples: all of them while a part has at most 4,096, a random sample by item id above.
 * @param excluded owners who are contained  @throws LETHE-4209, LETHE-26xx
 */
export async function sampledItems(learned: Learned, excluded: ReadonlySet<string>): Promise<SampledItem[]> {
  const out: SampledItem[] = [];
  for (const [part, { sample }] of learned.head.parts.entries()) {
    if (!sample.block) continue;
    const { positions, labels, labelBytes, features, featureDim } = await openBlock(learned, sample.block);
    positions.forEach((position, row) => {
      const entry = learned.index.entryAt(position);
      // Versions share one index: an erasure that is being made takes entries out before its version serves.
      if (entry.kind === 'erased' || excluded.has(entry.owner)) return;
      const { itemId, owner, code, fnVersion } = entry;
      const own = labelsOfBits(labels.subarray(row * labelBytes, (row + 1) * labelBytes));
      const at = row * featureDim;
      out.push({
        ...{ itemId, index: position, owner, part, labels: own, fnVersion, code },
        features: features.subarray(at, at + featureDim),
      });
    });
    await breathe();
  }
  return out;
}

/** One item for each person, that of the smallest id, at most so many, by id: the same for the same items in any order. */
export function onePerPerson<Item extends Pick<SampledItem, 'itemId' | 'owner'>>(
  items: readonly Item[],
  most: number,
): Item[] {
  const first = new Map<string, Item>();
  for (const item of items) {
    const known = first.get(item.owner);
    if (known === undefined || compareBytes(item.itemId, known.itemId) < 0) first.set(item.owner, item);
  }
  return [...first.values()].sort((a, b) => compareBytes(a.itemId, b.itemId)).slice(0, most);
}

/** Rows that are encoded between two breaths. */
const STEP_ROWS = 256;

/** The items with the codes that functions give them, in their order. @param functions by modality number */
export async function encodedBy(
  functions: readonly HashFunction[],
  items: readonly SampledItem[],
): Promise<SampledItem[]> {
  const out = [...items];
  for (const [part, fn] of functions.entries()) {
    const rows = [...items.keys()].filter((i) => items[i]!.part === part);
    const bytes = fn.codebook.codeBits / 8;
    for (let at = 0; at < rows.length; at += STEP_ROWS) {
      const step = rows.slice(at, at + STEP_ROWS);
      const codes = encodeFeatures(fn, concatBytes(...step.map((i) => items[i]!.features)));
      for (const [row, i] of step.entries())
        out[i] = { ...items[i]!, code: codes.slice(row * bytes, (row + 1) * bytes) };
      await breathe();
    }
  }
  return out;
}

/** Who asks for what: a code, and the labels of which an item must have one to be relevant. */
export interface Question {
  readonly code: Uint8Array;
  readonly labels: readonly number[];
  /** Whose items it does not rank; undefined: it ranks all. */
  readonly owner: string | undefined;
}

/** Codes that questions are held against between two breaths: a few milliseconds. */
const STEP_CODES = 262_144;

type Ranked = Pick<SampledItem, 'owner' | 'labels' | 'code'>;

/**
 * Tie-aware average precision of each question over the gallery without the items of who asks; NaN where nothing else is relevant.
 * One shared label makes an item relevant, as in `rankingQuality` of `libs/hashing`, which cannot leave a person out by question.
 */
export async function precisions(
  questions: readonly Question[],
  gallery: readonly Ranked[],
  codeBits: number,
): Promise<Float64Array> {
  const shelves = shelvesOf(gallery, codeBits);
  const own = Map.groupBy(gallery, ({ owner }) => owner);
  const out = new Float64Array(questions.length);
  const every = Math.max(1, Math.floor(STEP_CODES / Math.max(1, gallery.length)));
  for (const [at, { code, labels, owner }] of questions.entries()) {
    const query = wordsOf([code], codeBits);
    const share = (others: readonly number[]): boolean => others.some((label) => labels.includes(label));
    const relevant = new Uint32Array(codeBits + 1);
    const others = new Uint32Array(codeBits + 1);
    for (const shelf of shelves) countDistances(query, shelf.words, share(shelf.labels) ? relevant : others);
    for (const item of owner === undefined ? [] : (own.get(owner) ?? [])) {
      const d = distance(code, 0, item.code, 0, codeBits / 8);
      (share(item.labels) ? relevant : others)[d]!--;
    }
    out[at] = expectedAveragePrecision(
      relevant.map((count, d) => count + others[d]!),
      relevant,
    );
    if (at % every === every - 1) await breathe();
  }
  return out;
}

/** Codes of the items of one set of labels: which of them are relevant is then one question for all. */
interface Shelf {
  readonly labels: readonly number[];
  /** [n, 2 ceil(K / 64)]. */
  readonly words: Int32Array;
}

function shelvesOf(gallery: readonly Ranked[], codeBits: number): Shelf[] {
  const bySet = Map.groupBy(gallery, ({ labels }) => labels.join());
  return [...bySet.values()].map((items) => ({
    labels: items[0]!.labels,
    words: wordsOf(
      items.map(({ code }) => code),
      codeBits,
    ),
  }));
}

/** Adds to counts by distance. */
function countDistances(query: Int32Array, words: Int32Array, counts: Uint32Array): void {
  for (let at = 0; at < words.length; ) {
    let d = 0;
    for (let w = 0; w < query.length; w += 2, at += 2)
      d += popcount64(query[w]! ^ words[at]!, query[w + 1]! ^ words[at + 1]!);
    counts[d]!++;
  }
}

/** Codes as pairs of 32-bit words, [n, 2 ceil(K / 64)]; the bits beyond K are 0. */
function wordsOf(codes: readonly Uint8Array[], codeBits: number): Int32Array {
  const bytes = 8 * Math.ceil(codeBits / 64);
  const out = new Uint8Array(codes.length * bytes);
  for (const [i, code] of codes.entries()) out.set(code, i * bytes);
  return new Int32Array(out.buffer);
}

/** Mean of those that are numbers; undefined of fewer than `least`. */
export function meanMeasured(values: Iterable<number>, least: number): number | undefined {
  const measured = [...values].filter((value) => !Number.isNaN(value));
  if (measured.length < Math.max(1, least)) return undefined;
  return measured.reduce((sum, value) => sum + value, 0) / measured.length;
}

export const idText = ({ itemId }: Pick<SampledItem, 'itemId'>): string => hex(itemId);
