/**
 * Emoji as a dataset of two modalities: what a picture looks like (edges and colours) and what its words mean. Frozen encoders and fixed
 * scales make bytes of both; nothing is fitted on them. Owners are **synthetic**: the emoji are dealt out in turn.
 */
import {
  DATA_ROOT,
  type DatasetSpec,
  EMOJI_GROUPS,
  type Emoji,
  emojiSplit,
  encodePayload,
  fetchDataset,
  HOG_WIDTH,
  hog,
  inkOf,
  isFetched,
  loadEmoji,
  obtainPackage,
  pinnedDataset,
} from '@lethe/datasets';
import { emojiTexts, USE_WIDTH, UseEncoder } from '@lethe/datasets/encoders';
import { quantiseEmbeddings } from '@lethe/hashing';
import { DEMO } from '../errors.ts';
import type { NamedRecord } from '../work.ts';

const NEEDED = ['emoji', 'use'] as const;

/** What a person asks, and where they would look: subgroups that are not held out. */
export const QUESTIONS = [
  { text: 'a happy face', subgroups: ['face-smiling'] },
  { text: 'fresh fruit', subgroups: ['food-fruit'] },
  { text: 'fast vehicle', subgroups: ['transport-ground'] },
  { text: 'flag of an island', subgroups: ['country-flag'] },
  { text: 'music', subgroups: ['music', 'musical-instrument'] },
] as const;

/** The first split that leaves every question's subgroup in. */
const SPLIT_SEED = 15;
/** More than the largest subgroup has, so that nobody owns two emoji of one subgroup: owner and subgroup name one emoji. */
export const SUBJECTS = 300;
/** A tag that so many emoji have is a class of its own. */
const TAG_EMOJI_MIN = 20;
/** Side of the picture of which the colours are taken. */
const COLOUR_SIDE = 8;

export const MODALITIES = [
  { name: 'image', fields: ['edges', 'colours'] },
  { name: 'text', fields: ['words'] },
] as const;
export type ModalityName = (typeof MODALITIES)[number]['name'];

/** An emoji with what its encoders said. */
export interface Item {
  readonly emoji: Emoji;
  readonly edges: Uint8Array;
  readonly colours: Uint8Array;
  readonly words: Uint8Array;
}

export interface Collection {
  readonly spec: DatasetSpec;
  /** By group: emoji that are stored, each with its owner. */
  readonly waves: readonly (readonly (NamedRecord & { readonly item: Item })[])[];
  /** Emoji of held-out subgroups: never stored, only asked about. */
  readonly heldOut: readonly Item[];
  /** One for each of QUESTIONS: payload of its words. */
  readonly questions: readonly Uint8Array[];
}

/** Brings what is missing onto this machine. @throws LETHE-5204 */
export async function fetchMissing(
  say: (text: string) => void,
  root = DATA_ROOT,
  obtain = obtainPackage,
): Promise<void> {
  for (const name of NEEDED) {
    const dataset = pinnedDataset(name);
    if (isFetched(dataset, root)) continue;
    say(`Fetching ${name}: ${dataset.content} (${dataset.licence}), as "npx lethe data fetch ${name}" does.`);
    await fetchDataset(dataset, root, obtain).catch((cause: unknown) => {
      const why = cause instanceof Error ? cause.message : 'no message';
      throw DEMO.DATA_MISSING(`npx lethe data fetch ${name} does not work here: ${why}`, { cause });
    });
  }
}

/** @throws LETHE-2310 not fetched */
export async function loadCollection(): Promise<Collection> {
  const { emoji, pictures, side } = loadEmoji();
  const embeddings = await emojiTexts(emoji);
  // Two vendors drew every emoji; the first one's pictures are shown.
  const size = pictures.length / emoji.length / 2;
  const itemOf = (at: number): Item => {
    const picture = pictures.subarray(2 * at * size, (2 * at + 1) * size);
    return {
      emoji: emoji[at]!,
      edges: edgesOf(picture, side),
      colours: coloursOf(picture, side),
      words: quantiseEmbeddings(embeddings.subarray(at * USE_WIDTH, (at + 1) * USE_WIDTH), USE_WIDTH),
    };
  };
  const { train, heldOut } = emojiSplit(emoji, SPLIT_SEED);
  const spec = specOf(train.map((at) => emoji[at]!));
  const records = train.map((at, i) => {
    const item = itemOf(at);
    return {
      item,
      recordId: item.emoji.code,
      subjectId: `synthetic-owner-${i % SUBJECTS}`,
      values: [item.edges, item.colours, item.words],
      labels: labelsOf(spec, item.emoji),
    };
  });
  return {
    spec,
    waves: EMOJI_GROUPS.map((_, group) => records.filter(({ item }) => item.emoji.group === group)),
    heldOut: heldOut.map(itemOf),
    questions: await ask(spec),
  };
}

/** Payload of one modality of an emoji, to ask with. */
export const questionOf = (
  spec: DatasetSpec,
  { edges, colours, words }: Item,
  of: ModalityName,
): Uint8Array =>
  encodePayload(spec, {
    values: of === 'image' ? [edges, colours, undefined] : [undefined, undefined, words],
  });

async function ask(spec: DatasetSpec): Promise<Uint8Array[]> {
  const encoder = await UseEncoder.load();
  try {
    const embeddings = quantiseEmbeddings(await encoder.embed(QUESTIONS.map(({ text }) => text)), USE_WIDTH);
    return QUESTIONS.map((_, i) =>
      encodePayload(spec, {
        values: [undefined, undefined, embeddings.slice(i * USE_WIDTH, (i + 1) * USE_WIDTH)],
      }),
    );
  } finally {
    await encoder.close();
  }
}

const subgroupClass = (subgroup: string): string => `subgroup ${subgroup}`;
const tagClass = (tag: string): string => `tag ${tag}`;

/** Groups come first, so that the lowest label of an emoji is its group. */
export function specOf(stored: readonly Emoji[]): DatasetSpec {
  const tags = new Map<string, number>();
  for (const tag of stored.flatMap((one) => [...new Set(one.tags)])) tags.set(tag, (tags.get(tag) ?? 0) + 1);
  const frequent = [...tags].filter(([, count]) => count >= TAG_EMOJI_MIN).map(([tag]) => tag);
  const subgroups = new Set(stored.map((one) => one.subgroup));
  const vector = (name: string, shape: readonly number[]) =>
    ({ kind: 'numeric-vector', name, element: 'uint8', shape, min: 0, max: 255, optional: true }) as const;
  return {
    format: 'lethe-dataset-v1',
    name: 'emoji',
    provenance: 'emoji of emoji-datasource and emojibase-data; the owners are synthetic',
    subjectField: 'owner',
    fields: [
      vector('edges', [HOG_WIDTH]),
      vector('colours', [COLOUR_SIDE, COLOUR_SIDE, 3]),
      vector('words', [USE_WIDTH]),
    ],
    label: {
      name: 'topics',
      classes: [...EMOJI_GROUPS, ...[...subgroups].map(subgroupClass), ...frequent.map(tagClass)],
      multiple: true,
    },
  };
}

/** Group, subgroup and frequent tags of an emoji, ascending. */
export function labelsOf({ label }: DatasetSpec, { group, subgroup, tags }: Emoji): number[] {
  const names = new Set([subgroupClass(subgroup), ...tags.map(tagClass)]);
  return label.classes.flatMap((name, at) => (at === group || names.has(name) ? [at] : []));
}

/** What names one stored emoji: nobody owns two of a subgroup. @param labels of an item that was found */
export function subgroupOf({ label }: DatasetSpec, labels: readonly number[]): string {
  const name = labels.map((at) => label.classes[at]!).find((text) => text.startsWith(subgroupClass('')));
  return name?.slice(subgroupClass('').length) ?? '';
}

/** A picture without any edge has no direction to scale: it gets the middle of the range. */
function edgesOf(picture: Uint8Array, side: number): Uint8Array {
  const edges = hog(inkOf(picture), side, side);
  return edges.some((value) => value !== 0)
    ? quantiseEmbeddings(edges, HOG_WIDTH)
    : new Uint8Array(HOG_WIDTH).fill(128);
}

/** Mean colour of each square of pixels. @param picture [side, side, 3] @returns [8, 8, 3] */
export function coloursOf(picture: Uint8Array, side: number): Uint8Array {
  const step = side / COLOUR_SIDE;
  const sums = new Float64Array(COLOUR_SIDE * COLOUR_SIDE * 3);
  for (let i = 0; i < picture.length; i++) {
    const pixel = Math.floor(i / 3);
    const row = Math.floor(pixel / side / step);
    const column = Math.floor((pixel % side) / step);
    sums[3 * (row * COLOUR_SIDE + column) + (i % 3)]! += picture[i]!;
  }
  return Uint8Array.from(sums, (sum) => Math.round(sum / step ** 2));
}
