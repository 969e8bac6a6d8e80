/**
 * Phosphor icons (MIT): 1,512 icons in six weights, the benchmark of lifelong cross-modal hashing. The picture of an icon is its rendering, its text
 * is its name and tags, its labels are 1 to 4 of 18 categories.
 *
 * Renderings of one icon are near-duplicates: whatever splits this set splits icons, never renderings.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { seededRandom, shuffle } from '@lethe/std';
import { readDerived, sourceDigest, writeDerived } from './derived.ts';
import { DATASETS } from './errors.ts';
import { DATA_ROOT, dataDirectory } from './pinned.ts';

export const PHOSPHOR_WEIGHTS = ['regular', 'thin', 'light', 'bold', 'fill', 'duotone'] as const;

/** As the package declares them, in its order. */
export const PHOSPHOR_CATEGORIES = [
  'arrows',
  'brands',
  'commerce',
  'communications',
  'design',
  'technology & development',
  'editor',
  'finances',
  'games',
  'health & wellness',
  'maps & travel',
  'media',
  'nature',
  'objects',
  'office',
  'people',
  'system',
  'weather',
] as const;

export interface PhosphorIcon {
  readonly name: string;
  /** Name and tags as a reader would write them: `acorn: savings, nut, vegetable`. */
  readonly text: string;
  /** Indices into PHOSPHOR_CATEGORIES, ascending, at least one. */
  readonly labels: readonly number[];
}

export interface Phosphor {
  /** By name. */
  readonly icons: readonly PhosphorIcon[];
  /** [icons, 6 weights, side, side], row-major: the share of a pixel that is ink, 0 to 255. */
  readonly pictures: Uint8Array;
  readonly side: number;
}

const SIDE = 32;
const RECIPE = { format: 'lethe-phosphor-v1', renderer: '@resvg/resvg-js 2.6.2', side: SIDE };

/**
 * The icons, their texts and labels, read from the package's list without running it.
 * @param source text of the package's `dist/index.mjs`  @throws LETHE-2314 it is not such a list
 */
export function readPhosphorIcons(source: string): PhosphorIcon[] {
  const [, names = ''] = /, e = .*?\(\(i\) => \((.*?), i\)\)\(e/su.exec(source) ?? [];
  const categories = new Map<string, number>();
  for (const [, constant, value] of names.matchAll(/i\.([A-Z]+) = "([^"]*)"/gu)) {
    categories.set(constant!, (PHOSPHOR_CATEGORIES as readonly string[]).indexOf(value!));
  }
  const entries = source.matchAll(/ {4}name: "([^"]+)",.*?categories: \[([^\]]*)\],.*?tags: \[([^\]]*)\]/gsu);
  const icons = [...entries].map(([, name, memberships, tags]): PhosphorIcon => {
    const labels = memberships!
      .split(',')
      .map((item) => item.trim())
      .filter((item) => item !== '')
      .map((item) => categories.get(item.replace(/^e\./u, '')) ?? -1)
      .toSorted((a, b) => a - b);
    if (labels.length === 0 || labels[0]! < 0) {
      throw DATASETS.FILE_MALFORMED(`the icon ${name} has a category that the package does not declare`);
    }
    // "*new*" and "*updated*" speak of the package's versions, not of the icon.
    const words = [...tags!.matchAll(/"([^"]*)"/gu)]
      .map(([, tag]) => tag!)
      .filter((tag) => !tag.startsWith('*'));
    const title = name!.replaceAll('-', ' ');
    return { name: name!, text: words.length > 0 ? `${title}: ${words.join(', ')}` : title, labels };
  });
  if (icons.length === 0) throw DATASETS.FILE_MALFORMED('the list of icons is empty');
  return icons;
}

/** Loaded when something is rendered: services that import this library need no native renderer. */
const renderer = (): typeof import('@resvg/resvg-js') =>
  createRequire(import.meta.url)('@resvg/resvg-js') as typeof import('@resvg/resvg-js');

/** The ink of one SVG at side x side pixels. */
export function renderIcon(svg: string | Buffer, side: number): Uint8Array {
  const { Resvg } = renderer();
  const { pixels } = new Resvg(svg, {
    fitTo: { mode: 'width', value: side },
    font: { loadSystemFonts: false },
  }).render();
  return Uint8Array.from({ length: side * side }, (_, i) => pixels[4 * i + 3]!);
}

/** All icons; they are rendered at the first call (some seconds) and kept. @throws LETHE-2310 not fetched  @throws LETHE-2314 */
export function loadPhosphor(root = DATA_ROOT): Phosphor {
  const directory = dataDirectory('phosphor', root);
  const icons = readPhosphorIcons(readFileSync(join(directory, 'icons.mjs'), 'utf8'));
  const recipe = { ...RECIPE, weights: PHOSPHOR_WEIGHTS, source: sourceDigest('phosphor', root) };
  const file = `phosphor-${SIDE}.bin`;
  const pictures =
    readDerived(file, recipe, root) ?? writeDerived(file, recipe, renderAll(icons, directory), root);
  return { icons, pictures, side: SIDE };
}

function renderAll(icons: readonly PhosphorIcon[], directory: string): Uint8Array {
  const size = SIDE * SIDE;
  const pictures = new Uint8Array(icons.length * PHOSPHOR_WEIGHTS.length * size);
  for (const [at, { name }] of icons.entries()) {
    for (const [w, weight] of PHOSPHOR_WEIGHTS.entries()) {
      const path = join(
        directory,
        'assets',
        weight,
        `${name}${weight === 'regular' ? '' : `-${weight}`}.svg`,
      );
      pictures.set(renderIcon(readFileSync(path), SIDE), (at * PHOSPHOR_WEIGHTS.length + w) * size);
    }
  }
  return pictures;
}

/** Items that arrive task by task, and those that are never trained on. */
export interface TaskPlan {
  /** By arrival: the classes that are new, and the training items (indices) that come with them. */
  readonly tasks: readonly { readonly classes: readonly number[]; readonly items: readonly number[] }[];
  /** Indices of the items that are only ever asked with; `arrivals[i]` is the task of `heldOut[i]`. */
  readonly heldOut: readonly number[];
  readonly arrivals: readonly number[];
}

/**
 * Classes in groups, one group a task; an item arrives with the first task that has one of its labels. Every `holdOutEvery`-th item is held out.
 * @param seed decides the order of the classes and which items are held out; without it both are as they stand
 */
export function taskPlan(
  labels: readonly (readonly number[])[],
  options: {
    readonly classes: number;
    readonly classesPerTask: number;
    readonly holdOutEvery: number;
    readonly seed?: number;
  },
): TaskPlan {
  const { classes, classesPerTask, holdOutEvery, seed } = options;
  const ordered = (length: number, purpose: string): number[] => {
    const all = Array.from({ length }, (_, i) => i);
    return seed === undefined
      ? all
      : shuffle(all, seededRandom('lethe', 'datasets', 'task plan', purpose, seed));
  };
  const order = ordered(classes, 'classes');
  const taskOf = new Map(order.map((cls, at) => [cls, Math.floor(at / classesPerTask)]));
  const arrival = (item: number): number => Math.min(...labels[item]!.map((cls) => taskOf.get(cls)!));
  const places = ordered(labels.length, 'items');
  const heldOut = places.filter((_, at) => at % holdOutEvery === 0).toSorted((a, b) => a - b);
  const train = places.filter((_, at) => at % holdOutEvery !== 0).toSorted((a, b) => a - b);
  return {
    tasks: Array.from({ length: Math.ceil(classes / classesPerTask) }, (_, task) => ({
      classes: order.slice(task * classesPerTask, (task + 1) * classesPerTask),
      items: train.filter((item) => arrival(item) === task),
    })),
    heldOut,
    arrivals: heldOut.map(arrival),
  };
}

/** The benchmark's plan: 6 tasks of 3 categories, every fifth icon held out. */
export const phosphorTasks = (icons: readonly PhosphorIcon[], seed?: number): TaskPlan =>
  taskPlan(
    icons.map(({ labels }) => labels),
    {
      classes: PHOSPHOR_CATEGORIES.length,
      classesPerTask: 3,
      holdOutEvery: 5,
      ...(seed !== undefined && { seed }),
    },
  );
