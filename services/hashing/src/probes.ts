/** The sample of live items that figures are measured on, and the rankings over it. It reads the sealed sample blocks, never all rows. */
import { distance, expectedAveragePrecision } from '@lethe/hashing';
import { compareBytes, hex } from '@lethe/std';
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
      const { itemId, owner, code, fnVersion } = learned.liveAt(position);
      if (excluded.has(owner)) return;
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
  const sorted = items.toSorted((a, b) => compareBytes(a.itemId, b.itemId));
  return [...new Map(sorted.toReversed().map((item) => [item.owner, item])).values()]
    .sort((a, b) => compareBytes(a.itemId, b.itemId))
    .slice(0, most);
}

/** Who asks for what: a code, and the labels of which an item must have one to be relevant. */
export interface Question {
  readonly code: Uint8Array;
  readonly labels: readonly number[];
  /** Whose items it does not rank; undefined: it ranks all. */
  readonly owner: string | undefined;
}

/** Questions between two breaths. */
const STEP = 16;

/**
 * Tie-aware average precision of each question over the gallery without the items of who asks; NaN where nothing else is relevant.
 * One shared label makes an item relevant, as in `rankingQuality` of `libs/hashing`, which cannot leave a person out by question.
 */
export async function precisions(
  questions: readonly Question[],
  gallery: readonly (Pick<SampledItem, 'owner' | 'labels'> & { readonly code: Uint8Array })[],
  codeBits: number,
): Promise<Float64Array> {
  const bytes = codeBits / 8;
  const out = new Float64Array(questions.length);
  for (const [at, { code, labels, owner }] of questions.entries()) {
    const wanted = new Set(labels);
    const sizes = new Uint32Array(codeBits + 1);
    const relevant = new Uint32Array(codeBits + 1);
    for (const item of gallery) {
      if (item.owner === owner) continue;
      const d = distance(code, 0, item.code, 0, bytes);
      sizes[d]!++;
      if (item.labels.some((label) => wanted.has(label))) relevant[d]!++;
    }
    out[at] = expectedAveragePrecision(sizes, relevant);
    if (at % STEP === STEP - 1) await breathe();
  }
  return out;
}

/** Mean of those that are numbers; undefined of fewer than `least`. */
export function meanMeasured(values: Iterable<number>, least: number): number | undefined {
  const measured = [...values].filter((value) => !Number.isNaN(value));
  if (measured.length < Math.max(1, least)) return undefined;
  return measured.reduce((sum, value) => sum + value, 0) / measured.length;
}

export const idText = ({ itemId }: Pick<SampledItem, 'itemId'>): string => hex(itemId);
