import assert from 'node:assert/strict';
import { test } from 'node:test';
import { emojiReport, shownIn } from './report.ts';
import type { Answer, EmojiSummary, Found, Step } from './summary.ts';

const apple: Found = {
  character: '🍏',
  name: 'green apple',
  code: '1F34F',
  group: 'food-drink',
  distance: 3,
};
const heart: Found = { character: '❤️', name: 'heart <b>', code: '2764', group: 'smileys', distance: 40 };
const answer = (...found: Found[]): Answer => ({ question: 'fresh fruit', found });

const step = (over: Partial<Step>): Step => ({
  group: 'smileys',
  emoji: 2,
  version: 1,
  datasetRoot: 'aa',
  statisticsMs: 1,
  solveMs: 2,
  updateSeconds: 1,
  oldCodes: 0,
  oldCodesChanged: 0,
  oldCodesRootBefore: '',
  oldCodesRootAfter: '',
  gate: 'FIRST_VERSION',
  queries: 3,
  precision: { textToImage: 1, imageToText: 1, randomOrder: 1 },
  answers: [answer(heart)],
  ...over,
});
const arrived: Partial<Step> = {
  group: 'food-drink',
  version: 2,
  oldCodes: 4,
  oldCodesRootBefore: 'ab12',
  oldCodesRootAfter: 'ab12',
  precision: { textToImage: 0.75, imageToText: 0.5, randomOrder: 0.25 },
  answers: [answer(apple, heart)],
};
const summaryOf = (second: Partial<Step>): EmojiSummary => ({
  codeBits: 128,
  featureDim: 1_024,
  classes: 3,
  stored: 4,
  heldOut: 3,
  subjects: 2,
  steps: [step({}), step({ ...arrived, ...second })],
  forgotten: {
    status: 'CERTIFIED',
    secondsToCertificate: 1.25,
    emoji: [apple],
    itemsFoundBefore: 2,
    itemsFoundAfter: 0,
    residualBytes: 0,
    plantedFound: 3,
    reingestionRefused: true,
    before: answer(apple),
    after: answer(heart),
    claim: 'ERASED_EXACT',
  },
  certificate: { verified: true, tamperedRejected: true, tamperedFailedCheck: 'signature' },
  seconds: 60,
});
const pngs = new Map([apple, heart].map(({ code }) => [code, Uint8Array.of(1, 2, 3)]));

test('every picture that is shown stands in the page once, and nothing is loaded from elsewhere', () => {
  const summary = summaryOf({});
  assert.deepEqual([...shownIn(summary)].sort(), ['1F34F', '2764']);
  const page = emojiReport(summary, pngs);
  assert.match(page, /^<!doctype html>\n<html lang="en">/);
  assert.equal(page.split('data:image/png;base64,AQID').length - 1, 2);
  assert.doesNotMatch(page, /https?:|<script|src=/);
  assert.match(page, /prefers-color-scheme:dark/);
  assert.match(page, /heart &lt;b&gt;/);
  assert.doesNotMatch(page, /heart <b>/);
});

test('what has just arrived and what goes is said in words, not by colour alone', () => {
  const page = emojiReport(summaryOf({}), pngs);
  assert.match(page, /class="e u1F34F new" role="img" aria-label="green apple, just arrived"/);
  assert.match(page, /class="e u1F34F gone" role="img" aria-label="green apple, to be forgotten"/);
  assert.match(page, /class="e u2764" role="img"/);
  for (const figure of ['0.750', '0.500', '0.250', 'refused', 'ERASED_EXACT'])
    assert.ok(page.includes(figure));
});

test('a changed code or root is not called unchanged', () => {
  const good = 'Not one byte of an older code changed';
  assert.ok(emojiReport(summaryOf({}), pngs).includes(good));
  for (const bad of [{ oldCodesChanged: 1 }, { oldCodesRootAfter: 'ff34' }]) {
    const page = emojiReport(summaryOf(bad), pngs);
    assert.ok(!page.includes(good));
    assert.match(page, /older codes changed, or a root over them did/);
  }
});

test('a run that ended early has a page of what there is', () => {
  const { forgotten: _, certificate: __, ...rest } = summaryOf({});
  const page = emojiReport({ ...rest, steps: rest.steps.slice(0, 1) }, pngs);
  assert.doesNotMatch(page, /forgotten<\/h2>|NaN|undefined/);
});
