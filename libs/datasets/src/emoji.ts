/**
 * Emoji as Google (Noto, Apache-2.0) and Twitter (Twemoji, CC-BY-4.0) draw them, with names, tags, groups and subgroups (emojibase, MIT).
 *
 * Neighbours in a subgroup are near-duplicates (a face and the same face winking; one person in three genders): hold out whole subgroups,
 * or train on one vendor and ask with the other. A random split of emoji measures memory.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { seededRandom, shuffle } from '@lethe/std';
import { PNG } from 'pngjs';
import { readDerived, sourceDigest, writeDerived } from './derived.ts';
import { DATASETS } from './errors.ts';
import { DATA_ROOT, dataDirectory } from './pinned.ts';

export const EMOJI_VENDORS = ['google', 'twitter'] as const;
export type EmojiVendor = (typeof EMOJI_VENDORS)[number];

/** In Unicode's order; its group of components (skin tones, hair) is no group of emoji. */
export const EMOJI_GROUPS = [
  'smileys-emotion',
  'people-body',
  'animals-nature',
  'food-drink',
  'travel-places',
  'activities',
  'objects',
  'symbols',
  'flags',
] as const;

export interface Emoji {
  readonly character: string;
  /** Code points in hex without the variation selector: `2764`, `1F3F3-200D-1F308`. Unique. */
  readonly code: string;
  /** `red heart`. */
  readonly name: string;
  /** Name and tags: `red heart: emotion, love`. */
  readonly text: string;
  readonly tags: readonly string[];
  /** Index into EMOJI_GROUPS. */
  readonly group: number;
  readonly subgroup: string;
  /** Column and row of the vendors' sheets. */
  readonly cell: readonly [x: number, y: number];
}

export interface EmojiSet {
  /** In Unicode's order, so by group. */
  readonly emoji: readonly Emoji[];
  /** [emoji, 2 vendors, side, side, 3], red, green, blue, 0 to 255, on white. */
  readonly pictures: Uint8Array;
  readonly side: number;
}

const SIDE = 32;
/** A cell of a sheet: 64 pixels within a border of one. */
const CELL = 66;
const RECIPE = { format: 'lethe-emoji-v1', reader: 'pngjs 7.0.0', side: SIDE, scaling: 'mean of 2 x 2' };

const plain = (code: string): string => code.toUpperCase().replaceAll('-FE0F', '');

interface Named {
  readonly hexcode: string;
  readonly emoji: string;
  readonly label: string;
  readonly tags?: readonly string[];
  readonly group?: number;
  readonly subgroup?: number;
  readonly order?: number;
}

interface Cell {
  readonly unified: string;
  readonly sheet_x: number;
  readonly sheet_y: number;
}

/** Names joined with the cells of the sheets. @param names, sheet, groups as the packages write them  @throws LETHE-2314 */
export function joinEmoji(
  names: readonly Named[],
  sheet: readonly Cell[],
  groups: {
    readonly groups: Readonly<Record<string, string>>;
    readonly subgroups: Readonly<Record<string, string>>;
  },
): Emoji[] {
  const cells = new Map(sheet.map((cell) => [plain(cell.unified), cell]));
  const joined = names
    .toSorted((a, b) => (a.order ?? 0) - (b.order ?? 0))
    .flatMap(({ hexcode, emoji, label, tags = [], group, subgroup }): Emoji[] => {
      const code = plain(hexcode);
      const cell = cells.get(code);
      const at = (EMOJI_GROUPS as readonly string[]).indexOf(groups.groups[group ?? -1] ?? '');
      const subgroupName = groups.subgroups[subgroup ?? -1];
      if (!cell || at < 0 || subgroupName === undefined) return [];
      const text = tags.length > 0 ? `${label}: ${tags.join(', ')}` : label;
      return [
        {
          character: emoji,
          code,
          name: label,
          text,
          tags,
          group: at,
          subgroup: subgroupName,
          cell: [cell.sheet_x, cell.sheet_y],
        },
      ];
    });
  if (joined.length === 0) throw DATASETS.FILE_MALFORMED('no emoji has both a name and a picture');
  return joined;
}

/** All emoji; their pictures are scaled at the first call (some seconds) and kept. @throws LETHE-2310 not fetched  @throws LETHE-2314 */
export function loadEmoji(root = DATA_ROOT): EmojiSet {
  const directory = dataDirectory('emoji', root);
  const json = (file: string): unknown => JSON.parse(readFileSync(join(directory, file), 'utf8'));
  // The digests in the receipt say that these are the pinned files, so their form is known.
  const emoji = joinEmoji(
    json('names.json') as readonly Named[],
    json('sheet.json') as readonly Cell[],
    json('groups.json') as Parameters<typeof joinEmoji>[2],
  );
  const recipe = { ...RECIPE, vendors: EMOJI_VENDORS, source: sourceDigest('emoji', root) };
  const file = `emoji-${SIDE}.bin`;
  const pictures =
    readDerived(file, recipe, root) ?? writeDerived(file, recipe, scaleAll(emoji, directory), root);
  return { emoji, pictures, side: SIDE };
}

const readSheet = (vendor: EmojiVendor, directory: string): PNG => {
  try {
    return PNG.sync.read(readFileSync(join(directory, `${vendor}.png`)));
  } catch (cause) {
    throw DATASETS.FILE_MALFORMED(`the sheet of ${vendor} is no PNG`, { cause });
  }
};

function scaleAll(emoji: readonly Emoji[], directory: string): Uint8Array {
  const size = SIDE * SIDE * 3;
  const out = new Uint8Array(emoji.length * EMOJI_VENDORS.length * size);
  for (const [v, vendor] of EMOJI_VENDORS.entries()) {
    const sheet = readSheet(vendor, directory);
    for (const [at, { cell }] of emoji.entries()) {
      out.set(halved(sheet, cell[0] * CELL + 1, cell[1] * CELL + 1), (at * EMOJI_VENDORS.length + v) * size);
    }
  }
  return out;
}

/** 64 x 64 pixels from (left, top) as 32 x 32 x 3, each the mean of four pixels laid on white. */
export function halved(sheet: Pick<PNG, 'data' | 'width'>, left: number, top: number): Uint8Array {
  const out = new Uint8Array(SIDE * SIDE * 3);
  for (let i = 0; i < out.length; i++) {
    const channel = i % 3;
    const x = left + 2 * (Math.floor(i / 3) % SIDE);
    const y = top + 2 * Math.floor(i / (3 * SIDE));
    let sum = 0;
    for (let k = 0; k < 4; k++) {
      const at = 4 * ((y + (k >> 1)) * sheet.width + x + (k & 1));
      const alpha = sheet.data[at + 3]!;
      sum += sheet.data[at + channel]! * alpha + 255 * (255 - alpha);
    }
    out[i] = Math.round(sum / (4 * 255));
  }
  return out;
}

/** Brightness of RGB pictures as ink, like Phosphor's: 255 minus the grey value (ITU-R BT.601). @param rgb [n, 3] @returns [n] */
export const inkOf = (rgb: Uint8Array): Uint8Array =>
  Uint8Array.from(
    { length: rgb.length / 3 },
    (_, i) => 255 - Math.round(0.299 * rgb[3 * i]! + 0.587 * rgb[3 * i + 1]! + 0.114 * rgb[3 * i + 2]!),
  );

/** The vendor's 64-pixel pictures as PNG files, for a page that a person looks at. */
export function emojiPngs(emoji: readonly Emoji[], vendor: EmojiVendor, root = DATA_ROOT): Buffer[] {
  const sheet = readSheet(vendor, dataDirectory('emoji', root));
  return emoji.map(({ cell: [x, y] }) => {
    const one = new PNG({ width: CELL - 2, height: CELL - 2 });
    PNG.bitblt(sheet, one, x * CELL + 1, y * CELL + 1, CELL - 2, CELL - 2, 0, 0);
    return PNG.sync.write(one);
  });
}

/**
 * Emoji of held-out subgroups (every fifth of each group's, at least one where a group has several) and the others, as indices.
 * @param seed decides which subgroups
 */
export function emojiSplit(
  emoji: readonly Emoji[],
  seed = 0,
): { readonly train: number[]; readonly heldOut: number[] } {
  const held = new Set<string>();
  for (let group = 0; group < EMOJI_GROUPS.length; group++) {
    const names = [...new Set(emoji.filter((one) => one.group === group).map((one) => one.subgroup))];
    const order = shuffle(names, seededRandom('lethe', 'datasets', 'emoji subgroups', group, seed));
    const count = names.length < 2 ? 0 : Math.max(1, Math.round(names.length / 5));
    for (const name of order.slice(0, count)) held.add(name);
  }
  const all = emoji.map((_, i) => i);
  return {
    train: all.filter((i) => !held.has(emoji[i]!.subgroup)),
    heldOut: all.filter((i) => held.has(emoji[i]!.subgroup)),
  };
}
