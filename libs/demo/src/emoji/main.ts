/**
 * `npm run demo:emoji`: plain words find pictures while groups of emoji arrive one by one, old codes stay as they are, and one owner is
 * forgotten. Starts a platform of its own and writes what it found to `.lethe/demo-emoji/`.
 */
import { emojiPngs, loadEmoji } from '@lethe/datasets';
import { startPlatform } from '../platform.ts';
import { type Run, runDemo } from '../runs.ts';
import { verifyFiles, writeIssued } from '../work.ts';
import { fetchMissing, loadCollection, SUBJECTS } from './collection.ts';
import { emojiReport, shownIn } from './report.ts';
import { arrive, createDataset, type EmojiStage, forgetOwner, OPTIONS } from './story.ts';
import type { Answer, EmojiSummary, Step } from './summary.ts';

const USAGE = `usage: npm run demo:emoji [-- --json] [-- --out DIRECTORY]

Plain English finds pictures while nine groups of emoji arrive one by one and no old code changes; then one synthetic owner is
forgotten. Fetches the emoji and the text encoder first if they are not here (npx lethe data fetch emoji, npx lethe data fetch use).

  --json             print the summary alone on standard output; progress goes to standard error
  --out DIRECTORY    where the results go (default .lethe/demo-emoji)
`;

async function demo(run: Run): Promise<void> {
  const { out, tenant, folder, say, step, note } = run;
  say('Lethe: words find pictures, groups arrive one by one, old codes stay, one owner is forgotten.');
  await fetchMissing(say);
  const collection = await loadCollection();
  const { spec, waves, heldOut } = collection;
  const summary: EmojiSummary = {
    codeBits: OPTIONS.codeBits,
    featureDim: OPTIONS.featureDim,
    classes: spec.label.classes.length,
    stored: waves.flat().length,
    heldOut: heldOut.length,
    subjects: SUBJECTS,
    steps: [],
  };
  say(
    `Data: ${summary.stored} emoji to store, ${summary.heldOut} of whole subgroups held out to ask with. The ${SUBJECTS} owners are synthetic: emoji are dealt out in turn.`,
  );
  step('0  The platform starts: NATS JetStream and six services behind one gRPC port');
  const platform = await startPlatform(folder, tenant);
  note(`tenant ${tenant}, gRPC on ${platform.address}`);
  const stage: EmojiStage = { platform, note, collection, byOwner: new Map() };
  try {
    await createDataset(stage);
    for (const [group, records] of waves.entries()) {
      step(`${group + 1}  ${records[0] ? spec.label.classes[group] : ''} arrives: ${records.length} emoji`);
      const arrived = await arrive(stage, group);
      summary.steps.push(arrived);
      for (const line of linesOf(arrived)) note(line);
      for (const one of arrived.answers) say(shown(one));
    }
    step('10  One owner asks to be forgotten');
    const { forgotten, files } = await forgetOwner(stage);
    summary.forgotten = forgotten;
    note(
      `${forgotten.status} after ${forgotten.secondsToCertificate.toFixed(1)} s, weakest claim ${forgotten.claim}; their items found: ${forgotten.itemsFoundBefore} before, ${forgotten.itemsFoundAfter} after`,
    );
    note(
      `scan: ${forgotten.plantedFound} planted copies found first, then ${forgotten.residualBytes} bytes left; sent again: ${forgotten.reingestionRefused ? 'refused' : 'ACCEPTED'}`,
    );
    say(shown(forgotten.before, 'before'));
    say(shown(forgotten.after, 'after'));
    summary.certificate = await verifyFiles(folder, writeIssued(out, files));
    const { verified, tamperedFailedCheck } = summary.certificate;
    note(
      `certificate verified by another process: ${verified}; changed copy refused by the check "${tamperedFailedCheck}"`,
    );
    summary.seconds = run.seconds();
    const shownCodes = shownIn(summary);
    const shownEmoji = loadEmoji().emoji.filter(({ code }) => shownCodes.has(code));
    const pngs = emojiPngs(shownEmoji, 'google');
    run.finish(summary, emojiReport(summary, new Map(shownEmoji.map(({ code }, i) => [code, pngs[i]!]))));
    step('Done');
    note(`${out}/report.html, summary.json, certificate.json, verify-key.json`);
  } finally {
    await platform.stop();
  }
}

function linesOf({ precision, ...step }: Step): string[] {
  const cost = `statistics ${step.statisticsMs.toFixed(0)} ms, solve ${step.solveMs.toFixed(0)} ms of processor time`;
  const roots = `root over them ${step.oldCodesRootBefore.slice(0, 12)}… before, ${step.oldCodesRootAfter.slice(0, 12)}… after`;
  return [
    `${cost}; ${step.updateSeconds.toFixed(1)} s until it serves; gate: ${step.gate}`,
    step.oldCodes === 0
      ? 'no old codes yet'
      : `old codes changed: ${step.oldCodesChanged} of ${step.oldCodes}; ${roots}`,
    `mAP of ${step.queries} held-out emoji: text to image ${f(precision.textToImage)}, image to text ${f(precision.imageToText)}, random order ${f(precision.randomOrder)}`,
  ];
}

const f = (value: number): string => value.toFixed(3);

const shown = ({ question, found }: Answer, when = ''): string =>
  `            ${`"${question}"`.padEnd(22)}${when.padEnd(when === '' ? 0 : 8)}${found.map(({ character }) => character).join('  ')}`;

await runDemo(USAGE, '.lethe/demo-emoji', demo);
