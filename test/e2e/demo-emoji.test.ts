/** `npm run demo:emoji -- --json`, where its data has been fetched; every figure is held to a bar. Nothing is fetched here. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { isFetched, pinnedDataset } from '@lethe/datasets';
import type { EmojiSummary } from '@lethe/demo/emoji-summary';
import { runDemo } from './support-small/demo.ts';
import { withDirectory } from './support-small/platform.ts';

const needs = ['emoji', 'use']
  .filter((name) => !isFetched(pinnedDataset(name)))
  .map((name) => `npx lethe data fetch ${name}`)
  .join(' && ');
const options = { skip: needs || false, timeout: 420_000 };

test('words find pictures, old codes stay, one owner goes', options, async (t) => {
  await withDirectory(async (out) => {
    const { code, stdout, stderr } = await runDemo('libs/demo/src/emoji/main.ts', out);
    assert.equal(code, 0, stderr.slice(-2_000));
    assert.match(stderr, /The 300 owners are synthetic/, 'progress goes to standard error');
    assert.equal(readFileSync(join(out, 'summary.json'), 'utf8'), stdout);
    const { steps, forgotten, certificate, stored, heldOut, seconds } = JSON.parse(stdout) as EmojiSummary;
    assert.ok(forgotten && certificate && seconds);
    t.diagnostic(`${seconds} s; ${JSON.stringify(steps.map(({ precision }) => precision))}`);
    assert.equal(steps.length, 9);
    assert.equal(
      steps.reduce((sum, { emoji }) => sum + emoji, 0),
      stored,
    );
    for (const [i, step] of steps.entries()) {
      assert.equal(step.version, i + 1);
      assert.equal(step.oldCodesChanged, 0);
      assert.equal(step.oldCodesRootAfter, step.oldCodesRootBefore);
      assert.match(step.oldCodesRootAfter, i === 0 ? /^$/ : /^[0-9a-f]{64}$/);
      // Each emoji gives two items.
      assert.equal(step.oldCodes, 2 * steps.slice(0, i).reduce((sum, { emoji }) => sum + emoji, 0));
      if (i === 0) continue;
      const { textToImage, imageToText, randomOrder } = step.precision;
      assert.ok(textToImage > 1.3 * randomOrder, step.group);
      assert.ok(imageToText > 1.3 * randomOrder, step.group);
    }
    assert.equal(steps.at(-1)!.queries, heldOut);
    const answerTo = (question: string, group: string) =>
      steps
        .find((step) => step.group === group)!
        .answers.find((one) => one.question === question)!
        .found.filter((one) => one.group === group).length;
    for (const [question, group] of [
      ['fresh fruit', 'food-drink'],
      ['fast vehicle', 'travel-places'],
      ['flag of an island', 'flags'],
    ] as const)
      assert.ok(answerTo(question, group) >= 4, `${question} after ${group}`);
    assert.equal(forgotten.status, 'CERTIFIED');
    assert.equal(forgotten.claim, 'ERASED_EXACT');
    assert.equal(forgotten.itemsFoundBefore, 2 * forgotten.emoji.length);
    assert.equal(forgotten.itemsFoundAfter, 0);
    assert.equal(forgotten.residualBytes, 0);
    assert.ok(forgotten.plantedFound > 0 && forgotten.reingestionRefused);
    const theirs = new Set(forgotten.emoji.map((one) => one.code));
    assert.ok(forgotten.before.found.some((one) => theirs.has(one.code)));
    assert.ok(!forgotten.after.found.some((one) => theirs.has(one.code)));
    assert.deepEqual([certificate.verified, certificate.tamperedRejected], [true, true]);
    assert.doesNotMatch(readFileSync(join(out, 'report.html'), 'utf8'), /(?:src|href)="https?:/);
  });
});
