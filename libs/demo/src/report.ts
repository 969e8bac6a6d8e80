/** `report.html`: one self-contained page about a run, for a person to read. No scripts, no network. */
import type { CertificateFile } from '@lethe/certificate';
import { rocPoints } from '@lethe/statistics';
import { html, page, percent, section, table, verifierSection } from './page.ts';
import type { PrivateModel, Summary } from './summary.ts';

const COLOURS = { out: '#7a7f87', keep: '#c2571a', delete: '#2b8a95' } as const;

export function report(summary: Summary, { body }: CertificateFile): string {
  const { hashing, federation, dp, unlearning, erasure, audit, certificate } = summary;
  const sections = [
    erasure && audit && certificate
      ? `<p class="lead">A synthetic person of four handwritten digits was asked to be forgotten. ${erasure.secondsToCertificate.toFixed(1)} seconds later
the records were unreadable, the search no longer returned their items (${erasure.itemsFoundBefore} before, ${erasure.itemsFoundAfter} after), models had been
brought to a state without them or, where training was private, carry a bound on what they tell of anyone, and a certificate said so: <b>${body.status}</b>, weakest claim <b>${body.overall}</b>, audit <b>${audit.verdict}</b>.</p>`
      : '',
    section(
      'What was learned, and how well',
      table(
        ['', 'accuracy or mAP', 'compared with'],
        [
          federation && [
            'Federation of two parties over binary codes',
            number(federation.accuracy),
            `${number(federation.accuracyWithoutHashing)} without hashing; ${federation.bytesPerSampleUp} bytes up and ${federation.bytesPerSampleDown} down per row and step`,
          ],
          hashing && [
            'Hash function after digits 8 and 9 arrived (mAP)',
            number(hashing.mapAfter),
            `${number(hashing.mapBefore)} before, ${number(hashing.mapFullRetrain)} by full retraining with every code computed anew`,
          ],
          hashing && ['The new digits alone (mAP)', number(hashing.mapNewClasses), ''],
          dp && [
            'Private classifier (DP-SGD), hides <b>everything of a person</b>',
            number(dp.accuracy),
            guarantee(dp),
          ],
          dp && [
            'Private classifier (DP-SGD), hides <b>one record alone</b>: the weaker promise',
            number(dp.record.accuracy),
            `${guarantee(dp.record)}; for a person of four records &epsilon; &le; ${dp.record.epsilonOfPerson}`,
          ],
          unlearning && [
            'Ensemble of 8 shards',
            number(unlearning.accuracy),
            `${number(unlearning.accuracyAfter)} after the erasure`,
          ],
        ],
      ),
    ),
    dp ? privacySection(dp) : '',
    hashing
      ? section(
          'Learning on without touching the old codes',
          `<p>${hashing.oldCodesChanged === 0 ? 'Not one byte of an old code changed' : `${hashing.oldCodesChanged} old codes changed`} in the update; the Merkle root
over them is the same before and after. The updated weights are ${hashing.weightsEqualFullRetrain ? 'bit for bit those' : '<b>not</b> those'} that another
process got from all data in shuffled order. The update saved ${percent(hashing.timeSaved)} of a full retraining's time.</p>`,
        )
      : '',
    unlearning
      ? section(
          'What forgetting cost',
          table(
            ['', 'share of a full retraining, in optimizer steps'],
            [
              ['the person', percent(unlearning.costVsRetrain)],
              [
                'the DELETE canaries of the audit (reported apart)',
                percent(unlearning.costVsRetrainOfCanaries),
              ],
            ],
          ) +
            `<p>Another process trained every shard from nothing on the survivors alone and arrived at ${unlearning.equalsNeverSeen ? 'the same digests' : '<b>other digests</b>'}.</p>`,
        )
      : '',
    body.audit ? auditSection(body.audit) : '',
    section('The certificate in plain words', certificateSection(body)),
    section(
      'What it does not cover',
      `<ul>${body.outOfScope.map((line) => `<li>${html(line)}</li>`).join('')}</ul><p>${html(body.limits)}</p>`,
    ),
    certificate ? verifierSection(certificate) : '',
  ];
  return page({
    title: 'Lethe: one person forgotten',
    heading: 'One person, forgotten',
    note: `Lethe's demonstration, ${html(body.times.issued)}. Data: 10,000 digits of MNIST; the 2,000 subjects are <b>synthetic</b>, four digits each. ${summary.seconds === undefined ? '' : `The whole run took ${summary.seconds} s.`}`,
    style: STYLE,
    sections,
  });
}
const STYLE = `.plots{display:flex;flex-wrap:wrap;gap:1.5rem}.plots figure{margin:0;flex:1 1 20rem}
svg{width:100%;height:auto;font:11px system-ui,sans-serif;fill:var(--ink)}`;

const guarantee = ({ epsilonUpper, delta, neighboringRelation, unit }: PrivateModel): string =>
  `&epsilon; &le; ${epsilonUpper} at &delta; = ${delta}, ${html(neighboringRelation)} ${html(unit)}`;

function privacySection({ record, ...subject }: NonNullable<Summary['dp']>): string {
  const models = [subject, record];
  const opinion = ({ epsilonIndependent, secondOpinion }: PrivateModel): string =>
    epsilonIndependent === undefined
      ? html(secondOpinion)
      : `${epsilonIndependent.toFixed(4)}, ${html(secondOpinion)}`;
  const rows = models.map((model) => [
    html(model.unit),
    String(model.epsilonUpper),
    opinion(model),
    String(model.delta),
    model.noiseMultiplier.toFixed(3),
    `${model.steps} at probability ${Number(model.samplingProbability.toPrecision(4))}`,
  ]);
  const both = subject.epsilonUpper + record.epsilonOfPerson;
  return section(
    'What the private models promise',
    `${table(['hides', '&epsilon; quoted', 'second opinion', '&delta;', 'noise multiplier', 'steps'], rows)}
<p>Both are linear models on fixed features (<code>${html(subject.features)}</code>) that nothing was fitted for. The first is clipped per <b>subject</b>: whether a person took part, with
all of their records, changes the odds of any outcome by at most e<sup>&epsilon;</sup>, but for &delta;. The second is clipped per <b>record</b>. That is weaker: it hides a single digit, and for a
person of four the bound is &epsilon; &le; ${record.epsilonOfPerson}. What both models together tell of a person is bounded by &epsilon; &le; ${both.toFixed(2)} at twice the &delta;. &epsilon; is an
upper bound by a privacy loss distribution; the second opinion is an accountant that shares no code with it.</p>`,
  );
}

type Audit = NonNullable<CertificateFile['body']['audit']>;

function auditSection({ scores, result }: Audit): string {
  const text = `<p>${scores.out.length} canary subjects were never trained on (OUT), ${scores.keep.length} were trained and kept (KEEP), ${scores.delete.length} were trained and then deleted with the
person (DELETE). None of them is anybody. A membership attack tells KEEP from OUT with AUC ${number(result.keepAuc)}, so it can see
training; it tells DELETE from OUT with AUC ${number(result.deleteAuc)}, where 0.5 means nothing left to see. Had a quarter of the effect remained, this audit
would not have passed with probability ${number(result.power)}. Verdict: <b>${result.verdict}</b>.</p>`;
  return section(
    'The audit',
    `${text}<div class="plots"><figure>${rocPlot(scores)}<figcaption>ROC of the attack: kept canaries rise above the diagonal, deleted ones should lie on it.</figcaption></figure>
<figure>${histogram(scores)}<figcaption>Membership scores (log-odds of the label by the shard that holds or would hold the canary).</figcaption></figure></div>`,
  );
}

function certificateSection(body: CertificateFile['body']): string {
  const claims = table(
    ['artefact', 'claim', 'how'],
    body.claims.map((claim) => [
      `${html(claim.kind)}<br><code>${html(claim.artefact)}</code>`,
      `<b>${html(claim.claim)}</b>${claim.guarantee ? `<br>&epsilon; = ${claim.guarantee.epsilon}, &delta; = ${claim.guarantee.delta}, per ${html(claim.guarantee.unit)}` : ''}`,
      html(claim.method),
    ]),
  );
  const found = body.scan?.needles.reduce((sum, needle) => sum + needle.found, 0);
  const planted = body.scan?.stores.reduce((sum, store) => sum + store.plantedFoundBefore, 0);
  const scan = body.scan
    ? `<p>${megabytes(body.scan.bytesScanned)} on disk were searched for ${body.scan.needles.reduce((sum, needle) => sum + needle.needles, 0)} byte strings that must be gone
(${body.scan.needles.map((needle) => html(needle.kind)).join(', ')}): <b>${found} found</b>, by a scanner that had found its ${planted} planted copies before.</p>`
    : '';
  const datasets = body.datasets
    .map(
      (dataset) =>
        `<p>The log held ${dataset.countBefore} records under the root <code>${dataset.rootBefore}</code>; it now holds ${dataset.countAfter} under <code>${dataset.rootAfter}</code>. The person's
${dataset.removed.length} leaves are proven to be in the first and not in the second.</p>`,
    )
    .join('');
  return `<p>It names no one: <code>${body.subject}</code> can be linked to the person only by whoever holds the secret that the requester was given.</p>${claims}${datasets}${scan}
<p>${body.parties.length} federation parties signed that they removed the rows and retrained without them.</p>`;
}

const WIDTH = 360;
const HEIGHT = 300;
const PAD = 38;
const x = (share: number): string => (PAD + share * (WIDTH - 2 * PAD)).toFixed(1);
const y = (share: number): string => (HEIGHT - PAD - share * (HEIGHT - 2 * PAD)).toFixed(1);

function frame(inner: string, xLabel: string, yLabel: string): string {
  return `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img"><rect x="${PAD}" y="${PAD}" width="${WIDTH - 2 * PAD}" height="${HEIGHT - 2 * PAD}" fill="none" stroke="var(--line)"/>${inner}
<text x="${WIDTH / 2}" y="${HEIGHT - 8}" text-anchor="middle">${xLabel}</text><text transform="translate(12 ${HEIGHT / 2}) rotate(-90)" text-anchor="middle">${yLabel}</text></svg>`;
}

const legend = (entries: readonly (readonly [string, string])[]): string =>
  entries
    .map(
      ([name, colour], i) =>
        `<rect x="${PAD + 4 + i * 90}" y="16" width="10" height="10" fill="${colour}"/><text x="${PAD + 18 + i * 90}" y="25">${name}</text>`,
    )
    .join('');

function rocPlot(scores: Audit['scores']): string {
  const curve = (members: readonly number[], colour: string): string => {
    const points = rocPoints(members, scores.out).map((point) => `${x(point.fpr)},${y(point.tpr)}`);
    return `<polyline points="${points.join(' ')}" fill="none" stroke="${colour}" stroke-width="2"/>`;
  };
  const diagonal = `<line x1="${x(0)}" y1="${y(0)}" x2="${x(1)}" y2="${y(1)}" stroke="var(--line)" stroke-dasharray="4 4"/>`;
  const ticks = [0, 0.5, 1]
    .map(
      (t) =>
        `<text x="${x(t)}" y="${HEIGHT - PAD + 14}" text-anchor="middle">${t}</text><text x="${PAD - 5}" y="${y(t)}" text-anchor="end">${t}</text>`,
    )
    .join('');
  const keys = legend([
    ['KEEP', COLOURS.keep],
    ['DELETE', COLOURS.delete],
  ]);
  return frame(
    diagonal + curve(scores.keep, COLOURS.keep) + curve(scores.delete, COLOURS.delete) + ticks + keys,
    'OUT canaries above the threshold',
    'canaries of the arm above it',
  );
}

const BINS = 40;

function histogram(scores: Audit['scores']): string {
  const all = [...scores.out, ...scores.keep, ...scores.delete].sort((a, b) => a - b);
  const low = all[Math.floor(all.length * 0.005)]!;
  const high = all[Math.ceil(all.length * 0.995) - 1]!;
  const densities = (arm: readonly number[]): number[] => {
    const bins = new Array<number>(BINS).fill(0);
    for (const score of arm) {
      const bin = Math.floor(((score - low) / (high - low)) * BINS);
      bins[Math.min(BINS - 1, Math.max(0, bin))]! += 1 / arm.length;
    }
    return bins;
  };
  const arms = (['out', 'keep', 'delete'] as const).map((arm) => ({ arm, bins: densities(scores[arm]) }));
  const top = Math.max(...arms.flatMap(({ bins }) => bins));
  const lines = arms.map(({ arm, bins }) => {
    const points = bins.map((share, bin) => `${x((bin + 0.5) / BINS)},${y(share / top)}`);
    return `<polyline points="${points.join(' ')}" fill="none" stroke="${COLOURS[arm]}" stroke-width="2"/>`;
  });
  const ticks = [low, (low + high) / 2, high]
    .map(
      (value, i) =>
        `<text x="${x(i / 2)}" y="${HEIGHT - PAD + 14}" text-anchor="middle">${value.toFixed(1)}</text>`,
    )
    .join('');
  const keys = legend([
    ['OUT', COLOURS.out],
    ['KEEP', COLOURS.keep],
    ['DELETE', COLOURS.delete],
  ]);
  return frame(lines.join('') + ticks + keys, 'membership score', 'share of the arm');
}

const number = (value: number): string => value.toFixed(3);
const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(0)} MB`;
