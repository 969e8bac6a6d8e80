import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { type Emoji, encodeSpec } from '@lethe/datasets';
import { LetheError } from '@lethe/std';
import { coloursOf, fetchMissing, labelsOf, specOf, subgroupOf } from './collection.ts';

const one = (at: number, group: number, subgroup: string, tags: readonly string[]): Emoji => ({
  character: '?',
  code: `E${at}`,
  name: `emoji ${at}`,
  text: `emoji ${at}`,
  tags,
  group,
  subgroup,
  cell: [0, 0],
});
const EMOJI = Array.from({ length: 40 }, (_, at) =>
  at < 25 ? one(at, 3, 'food-fruit', ['fruit', 'fruit', `rare ${at}`]) : one(at, 8, 'flag', ['flag']),
);

test('classes are the groups, the subgroups and the frequent tags, and an emoji has one of each', () => {
  const spec = specOf(EMOJI);
  assert.ok(encodeSpec(spec).length > 0, 'a valid specification');
  assert.deepEqual(spec.label.classes.slice(9), ['subgroup food-fruit', 'subgroup flag', 'tag fruit']);
  assert.deepEqual(labelsOf(spec, EMOJI[0]!), [3, 9, 11]);
  // The tag of that name is not frequent, and no other class has it by accident.
  assert.deepEqual(labelsOf(spec, EMOJI[39]!), [8, 10]);
  assert.equal(subgroupOf(spec, [3, 9, 11]), 'food-fruit');
  assert.equal(subgroupOf(spec, [3, 11]), '');
});

test('colours are means of squares', () => {
  const side = 16;
  const picture = new Uint8Array(side * side * 3);
  // The square right of the first one: two red pixels of four.
  for (const pixel of [2, side + 3]) picture[3 * pixel] = 200;
  const colours = coloursOf(picture, side);
  assert.equal(colours.length, 8 * 8 * 3);
  assert.deepEqual([...colours.subarray(0, 6)], [0, 0, 0, 100, 0, 0]);
  assert.equal(
    colours.reduce((sum, value) => sum + value, 0),
    100,
  );
});

test('data that cannot be fetched is announced first, and refused with the command', async (t) => {
  const root = mkdtempSync(join(tmpdir(), 'lethe-demo-'));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  const said: string[] = [];
  const offline = () => Promise.reject(new Error('no network'));
  await assert.rejects(
    fetchMissing((text) => said.push(text), root, offline),
    (error) =>
      error instanceof LetheError &&
      error.code === 'LETHE-5204' &&
      /npx lethe data fetch emoji .*no network/.test(error.message),
  );
  assert.match(said.join('\n'), /^Fetching emoji: .*\(Apache-2\.0/);
});
