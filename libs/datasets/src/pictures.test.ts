import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { isError } from '@lethe/std';
import { readDerived, writeDerived } from './derived.ts';
import { EMOJI_GROUPS, emojiSplit, halved, inkOf, joinEmoji, loadEmoji } from './emoji.ts';
import { DATASETS } from './errors.ts';
import {
  loadPhosphor,
  PHOSPHOR_CATEGORIES,
  phosphorTasks,
  readPhosphorIcons,
  renderIcon,
  taskPlan,
} from './phosphor.ts';
import { isFetched, pinnedDataset } from './pinned.ts';

const root = mkdtempSync(join(tmpdir(), 'lethe-pictures-'));
after(() => rmSync(root, { recursive: true }));

/** Without the data a test says so and how to get it; nothing is made up in its place. */
const needs = (name: string): { skip: string | false } => ({
  skip: isFetched(pinnedDataset(name)) ? false : `npx lethe data fetch ${name}`,
});

const LIST = `var t = 0, e = /* @__PURE__ */ ((i) => (i.NATURE = "nature", i.ARROWS = "arrows", i))(e || {}), a = 1;
const n = [
  {
    name: "oak-leaf",
    categories: [e.NATURE, e.ARROWS],
    tags: [
      "*new*",
      "tree"
    ],
  },
  {
    name: "up",
    categories: [e.ARROWS],
    tags: [],
  }
];`;

test('icons are read from the list as it is written', () => {
  assert.deepEqual(readPhosphorIcons(LIST), [
    { name: 'oak-leaf', text: 'oak leaf: tree', labels: [0, PHOSPHOR_CATEGORIES.indexOf('nature')] },
    { name: 'up', text: 'up', labels: [0] },
  ]);
  const unknown = LIST.replace('categories: [e.ARROWS]', 'categories: [e.OTHER]');
  for (const bad of ['', unknown]) {
    assert.throws(
      () => readPhosphorIcons(bad),
      (error) => isError(error, DATASETS.FILE_MALFORMED),
    );
  }
});

test('a rendering is the ink of the picture, opacity included', () => {
  const half =
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 4 4"><path d="M0,0H2V4H0Z" opacity="0.2"/></svg>';
  assert.deepEqual([...renderIcon(half, 4)], Array.from({ length: 4 }, () => [51, 51, 0, 0]).flat());
});

test('an item arrives with the first task that has one of its labels, and is held out or trained on, never both', () => {
  const labels = Array.from({ length: 40 }, (_, i) => (i % 3 === 0 ? [i % 6, 5] : [i % 6]));
  for (const seed of [undefined, 0, 1]) {
    const options = { classes: 6, classesPerTask: 2, holdOutEvery: 5, ...(seed !== undefined && { seed }) };
    const plan = taskPlan(labels, options);
    assert.deepEqual(taskPlan(labels, options), plan);
    assert.deepEqual(plan.tasks.flatMap(({ classes }) => classes).toSorted(), [0, 1, 2, 3, 4, 5]);
    assert.equal(plan.heldOut.length, 8);
    const all = [...plan.heldOut, ...plan.tasks.flatMap(({ items }) => items)];
    assert.deepEqual(
      all.toSorted((a, b) => a - b),
      labels.map((_, i) => i),
    );
    const known = new Set<number>();
    for (const [task, { classes, items }] of plan.tasks.entries()) {
      const before = new Set(known);
      for (const cls of classes) known.add(cls);
      const late = plan.heldOut.filter((_, at) => plan.arrivals[at] === task);
      for (const item of [...items, ...late]) {
        assert.ok(
          labels[item]!.some((cls) => known.has(cls)) && !labels[item]!.some((cls) => before.has(cls)),
        );
      }
    }
  }
  const [a, b] = [0, 1].map((seed) =>
    taskPlan(labels, { classes: 6, classesPerTask: 2, holdOutEvery: 5, seed }),
  );
  assert.notDeepEqual(a, b);
});

test('emoji join on code points without the variation selector; components and pictures without names are left out', () => {
  const groups = {
    groups: { 0: 'smileys-emotion', 2: 'component' },
    subgroups: { 4: 'heart', 5: 'skin-tone' },
  };
  const sheet = ['2764-FE0F', '1f3fb', '1F600'].map((unified, i) => ({ unified, sheet_x: i, sheet_y: 7 }));
  const names = [
    { hexcode: '1F3FB', emoji: '🏻', label: 'light skin tone', group: 2, subgroup: 5, order: 1 },
    { hexcode: '2764', emoji: '❤️', label: 'red heart', tags: ['love'], group: 0, subgroup: 4, order: 2 },
  ];
  assert.deepEqual(joinEmoji(names, sheet, groups), [
    {
      character: '❤️',
      code: '2764',
      name: 'red heart',
      text: 'red heart: love',
      tags: ['love'],
      group: 0,
      subgroup: 'heart',
      cell: [0, 7],
    },
  ]);
  assert.throws(
    () => joinEmoji(names, [], groups),
    (error) => isError(error, DATASETS.FILE_MALFORMED),
  );
});

test('pictures are laid on white, halved, and their ink is their darkness', () => {
  const sheet = { width: 66, data: Buffer.alloc(66 * 66 * 4) };
  // One red pixel, half covering, of the four that become the first.
  sheet.data.set([255, 0, 0, 128], 4 * (66 + 1));
  const small = halved(sheet, 1, 1);
  assert.deepEqual([...small.subarray(0, 6)], [255, 223, 223, 255, 255, 255]);
  assert.deepEqual([...inkOf(Uint8Array.of(0, 0, 0, 255, 255, 255, 255, 0, 0))], [255, 0, 179]);
});

test('a derived file of another recipe, cut or changed is not there', () => {
  const recipe = { format: 'f', side: 3 };
  const bytes = Uint8Array.of(1, 2, 3);
  assert.equal(readDerived('x.bin', recipe, root), undefined);
  writeDerived('x.bin', recipe, bytes, root);
  assert.deepEqual(readDerived('x.bin', recipe, root), bytes);
  assert.equal(readDerived('x.bin', { ...recipe, side: 4 }, root), undefined);
  writeFileSync(join(root, 'derived', 'x.bin'), Uint8Array.of(1, 2));
  assert.equal(readDerived('x.bin', recipe, root), undefined);
  assert.match(readFileSync(join(root, 'derived', 'x.bin.json'), 'utf8'), /"side": 3/u);
});

test('sets that are not here are refused with the command that fetches them', () => {
  for (const load of [loadPhosphor, loadEmoji]) {
    assert.throws(
      () => load(root),
      (error) => isError(error, DATASETS.DATASET_NOT_FETCHED),
    );
  }
});

test('Phosphor: 1,512 icons, six weights, 18 categories', needs('phosphor'), () => {
  const { icons, pictures, side } = loadPhosphor();
  assert.deepEqual([icons.length, pictures.length, side], [1512, 1512 * 6 * 32 * 32, 32]);
  assert.equal(new Set(icons.flatMap(({ labels }) => labels)).size, 18);
  const several = icons.filter(({ labels }) => labels.length > 1).length / icons.length;
  assert.ok(several > 0.6 && several < 0.65, `${several} of the icons have several labels`);
  const { tasks, heldOut } = phosphorTasks(icons, 3);
  assert.deepEqual([tasks.length, heldOut.length], [6, 303]);
});

test('emoji: 1,906 of two vendors in nine groups; no subgroup is on both sides', needs('emoji'), () => {
  const { emoji, pictures } = loadEmoji();
  assert.deepEqual([emoji.length, pictures.length], [1906, 1906 * 2 * 32 * 32 * 3]);
  assert.equal(new Set(emoji.map(({ code }) => code)).size, 1906);
  const { train, heldOut } = emojiSplit(emoji);
  const subgroups = (items: readonly number[]): Set<string> => new Set(items.map((i) => emoji[i]!.subgroup));
  assert.equal(subgroups(train).intersection(subgroups(heldOut)).size, 0);
  assert.equal(train.length + heldOut.length, 1906);
  assert.equal(new Set(heldOut.map((i) => emoji[i]!.group)).size, EMOJI_GROUPS.length);
});
