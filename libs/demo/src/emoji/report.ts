/** `report.html` of the emoji demonstration: what was found as groups arrived, the figures, and what went when one owner was forgotten. */
import { base64 } from '@lethe/std';
import { html, page, section, table, verifierSection } from '../page.ts';
import type { Answer, EmojiSummary, Forgotten, Found, Step } from './summary.ts';

const LINES = [
  { key: 'textToImage', name: 'words find pictures', dash: '', mark: 'var(--first)' },
  { key: 'imageToText', name: 'pictures find words', dash: '6 3', mark: 'var(--second)' },
  { key: 'randomOrder', name: 'random order', dash: '2 4', mark: 'var(--soft)' },
] as const;

const STYLE = `:root{--first:#1f6f78;--second:#c2571a}
@media(prefers-color-scheme:dark){:root{--first:#5cc3cf;--second:#f0975f}}
body{max-width:66rem}.wide{overflow-x:auto}.wide table{min-width:54rem}.wide td{vertical-align:middle}td:first-child{font-weight:600}.wide td:first-child{white-space:nowrap}.found{display:flex;gap:3px;white-space:nowrap}
.e{display:inline-block;width:26px;height:26px;padding:2px;border-radius:6px;border:1px solid transparent;background:#fff center/24px no-repeat;vertical-align:middle}
.e.new{border-color:var(--good);box-shadow:0 0 0 1px var(--good)}.e.gone{border-color:var(--second);box-shadow:0 0 0 1px var(--second)}
figure{margin:1rem 0}svg{width:100%;max-width:44rem;height:auto;font:12px system-ui,sans-serif;fill:var(--ink)}`;

const answersOf = ({ steps, forgotten }: EmojiSummary): Answer[] => [
  ...steps.flatMap((step) => step.answers),
  ...(forgotten ? [forgotten.before, forgotten.after] : []),
];

/** Codes of all emoji that the report shows. */
export const shownIn = (summary: EmojiSummary): Set<string> =>
  new Set([
    ...answersOf(summary).flatMap(({ found }) => found.map(({ code }) => code)),
    ...(summary.forgotten?.emoji ?? []).map(({ code }) => code),
  ]);

/** @param pngs picture of each emoji in `shownIn`, by code */
export function emojiReport(summary: EmojiSummary, pngs: ReadonlyMap<string, Uint8Array>): string {
  const { steps, forgotten, certificate, seconds } = summary;
  const pictures = [...pngs].map(
    ([code, png]) => `.u${code}{background-image:url(data:image/png;base64,${base64(png)})}`,
  );
  const changed = steps.reduce((sum, step) => sum + step.oldCodesChanged, 0);
  const rootsEqual = steps.every((step) => step.oldCodesRootBefore === step.oldCodesRootAfter);
  return page({
    title: 'Lethe: words find pictures',
    heading: 'Words find pictures, and old codes stay',
    note: `Lethe's emoji demonstration: ${summary.stored} emoji stored, ${summary.heldOut} held out; codes of ${summary.codeBits} bits. The ${summary.subjects} owners are <b>synthetic</b>. ${
      seconds === undefined ? '' : `The whole run took ${seconds} s.`
    }`,
    style: `${STYLE}\n${pictures.join('\n')}`,
    sections: [
      `<p class="lead">${steps.length} groups of emoji arrived one after the other. Each time the function learned from the new ones alone. ${
        changed === 0 && rootsEqual
          ? 'Not one byte of an older code changed, and the Merkle root over them stayed what it was'
          : `<b>${changed} older codes changed, or a root over them did</b>`
      }, and yet the same plain words find what has just come.</p>`,
      section('The same questions after every arrival', questionsTable(steps)),
      section('How well, on emoji that were never stored', precisionSection(steps)),
      section('What an arrival cost, and what it left alone', costTable(steps)),
      forgotten ? section('One owner is forgotten', forgottenSection(forgotten)) : '',
      certificate ? verifierSection(certificate) : '',
      section('Where the pictures and words come from', SOURCES),
    ],
  });
}

const SOURCES = `<p class="note">Pictures: Noto emoji by Google (Apache-2.0). Names, tags and groups: emojibase (MIT). Words are read by the Universal Sentence Encoder
Lite (Apache-2.0), pictures by histograms of oriented gradients and an 8 &times; 8 thumbnail of their colours: all frozen, nothing is fitted on the emoji but the
linear map onto the codes. Among pictures at one distance the order is that of random item ids, so it differs from run to run.</p>`;

/** May be wider than the screen; the keyboard scrolls it too. */
const wide = (label: string, inner: string): string =>
  `<div class="wide" role="region" aria-label="${label}" tabindex="0">${inner}</div>`;

const picture = ({ code, name }: Pick<Found, 'code' | 'name'>, mark: string, more = ''): string =>
  `<span class="e u${html(code)}${mark}" role="img" aria-label="${html(name)}${more}" title="${html(name)}"></span>`;

const pictures = (found: readonly Found[], mark: (one: Found) => 'new' | 'gone' | ''): string =>
  `<span class="found">${found.map((one) => markedPicture(one, mark(one))).join('')}</span>`;

const markedPicture = (one: Found, mark: 'new' | 'gone' | ''): string =>
  mark === ''
    ? picture(one, '')
    : picture(one, ` ${mark}`, mark === 'new' ? ', just arrived' : ', to be forgotten');

function questionsTable(steps: readonly Step[]): string {
  const head = [
    'after',
    ...(steps[0]?.answers ?? []).map(({ question }) => `&ldquo;${html(question)}&rdquo;`),
  ];
  const rows = steps.map(({ group, answers }) => [
    html(group),
    ...answers.map(({ found }) => pictures(found, (one) => (one.group === group ? 'new' : ''))),
  ]);
  return `<p>The five nearest pictures. A ring says that the picture came with the group of its row. Before the right group is there, the nearest of the wrong ones are shown.</p>
${wide('answers', table(head, rows))}`;
}

function precisionSection(steps: readonly Step[]): string {
  const rows = steps.map(({ group, queries, precision }) => [
    html(group),
    String(queries),
    ...LINES.map(({ key }) => precision[key].toFixed(3)),
  ]);
  return `<p>Whole subgroups of emoji were held out, so no near-duplicate of a query is stored. Each held-out emoji of the groups that are there is asked once by its words and once by its
picture; what is of its group counts as found. Mean average precision over all ranks, in expectation over ties. With one group there is nothing to confuse; it gets harder with every one that arrives.</p>
<figure>${chart(steps)}</figure>${table(['after', 'queries', ...LINES.map(({ name }) => name)], rows)}`;
}

const WIDTH = 640;
const HEIGHT = 260;
const LEFT = 40;
const RIGHT = 16;
const TOP = 34;
const BOTTOM = 40;

function chart(steps: readonly Step[]): string {
  const x = (i: number): string =>
    (LEFT + (i * (WIDTH - LEFT - RIGHT)) / Math.max(1, steps.length - 1)).toFixed(1);
  const y = (value: number): string => (TOP + (1 - value) * (HEIGHT - TOP - BOTTOM)).toFixed(1);
  const grid = [0, 0.25, 0.5, 0.75, 1].map(
    (value) =>
      `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y(value)}" y2="${y(value)}" stroke="var(--line)"/><text x="${LEFT - 6}" y="${Number(y(value)) + 4}" text-anchor="end">${value}</text>`,
  );
  const ticks = steps.map(
    (_, i) => `<text x="${x(i)}" y="${HEIGHT - BOTTOM + 18}" text-anchor="middle">${i + 1}</text>`,
  );
  const curves = LINES.map(({ key, name, dash, mark }, at) => {
    const points = steps.map(({ precision }, i) => `${x(i)},${y(precision[key])}`).join(' ');
    const legend = LEFT + at * 190;
    const style = `fill="none" stroke="${mark}" stroke-width="2.5" stroke-dasharray="${dash}"`;
    return `<polyline points="${points}" ${style}/><line x1="${legend}" x2="${legend + 28}" y1="12" y2="12" ${style}/><text x="${legend + 34}" y="16">${name}</text>`;
  });
  return `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="mean average precision after each arrival; the figures are in the table below">${grid.join('')}${ticks.join('')}${curves.join('')}
<text x="${(LEFT + WIDTH - RIGHT) / 2}" y="${HEIGHT - 4}" text-anchor="middle">groups that have arrived</text></svg>`;
}

function costTable(steps: readonly Step[]): string {
  const rows = steps.map((step) => [
    html(step.group),
    String(step.emoji),
    `${step.statisticsMs.toFixed(0)} ms`,
    `${step.solveMs.toFixed(0)} ms`,
    `${step.updateSeconds.toFixed(1)} s`,
    html(step.gate),
    step.oldCodes === 0 ? 'none yet' : `<b>${step.oldCodesChanged}</b> of ${step.oldCodes}`,
    step.oldCodes === 0
      ? ''
      : `<code>${step.oldCodesRootBefore.slice(0, 12)}</code> ${step.oldCodesRootBefore === step.oldCodesRootAfter ? '=' : '&ne;'} <code>${step.oldCodesRootAfter.slice(0, 12)}</code>`,
  ]);
  const head = [
    'group',
    'emoji',
    'statistics',
    'solve',
    'until it serves',
    'gate',
    'old codes changed',
    'root over them, before and after',
  ];
  return `<p>Statistics and solve are processor time of the update. The solve depends on the number of features and not on how much was learned before.
The gate compares a new version with those that stored codes are of; UNTESTED says that of one of them fewer than 100 owners have an item, too few to compare.</p>${wide('costs', table(head, rows))}`;
}

function forgottenSection(forgotten: Forgotten): string {
  const { emoji, before, after } = forgotten;
  const theirs = new Set(emoji.map(({ code }) => code));
  const mark = ({ code }: Found): 'gone' | '' => (theirs.has(code) ? 'gone' : '');
  return `<p>A synthetic owner had ${emoji.length} emoji: ${emoji.map((one) => `${picture(one, '')} ${html(one.name)}`).join(', ')}. They asked to be forgotten.
${forgotten.secondsToCertificate.toFixed(1)} seconds later a certificate said <b>${html(forgotten.status)}</b>, weakest claim <b>${html(forgotten.claim)}</b>.</p>
${table(
  ['', 'before', 'after'],
  [
    [`&ldquo;${html(before.question)}&rdquo;`, pictures(before.found, mark), pictures(after.found, mark)],
    [
      'their items among the 1,000 nearest of each of their pictures and texts',
      String(forgotten.itemsFoundBefore),
      String(forgotten.itemsFoundAfter),
    ],
    [
      'byte scan',
      `${forgotten.plantedFound} planted copies found`,
      `${forgotten.residualBytes} bytes of the owner left`,
    ],
    ['their records, sent again', '', forgotten.reingestionRefused ? 'refused' : '<b>accepted</b>'],
  ],
)}`;
}
