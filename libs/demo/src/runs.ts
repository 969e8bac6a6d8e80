/** A run of a demonstration: its folder, its tenant, its clock, what it prints, and what is left of earlier runs. */
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { hex, LetheError, secureRandom } from '@lethe/std';

/** Data of older runs that is kept, to look at. */
const RUNS_KEPT = 2;

export interface Run {
  /** Where the results go. */
  readonly out: string;
  /** Of this run alone. */
  readonly tenant: string;
  readonly folder: string;
  say(text: string): void;
  /** A new step of the story. */
  step(title: string): void;
  /** What goes on in a step. */
  note(text: string): void;
  /** Since the start, in tenths. */
  seconds(): number;
  /** Writes summary.json and report.html, and the summary to standard output if that was asked for. */
  finish(summary: object, report: string): void;
}

/** Opens a folder for the run below `out`, and drops those of old ones. With `json`, progress goes to standard error. */
function openRun(out: string, json: boolean): Run {
  const startedMs = performance.now();
  const seconds = (): number => Math.round((performance.now() - startedMs) / 100) / 10;
  const say = (text: string): void => {
    (json ? process.stderr : process.stdout).write(`${text}\n`);
  };
  const at = (): string => seconds().toFixed(1).padStart(6);
  const tenant = `demo-${hex(secureRandom().bytes(4))}`;
  const folder = join(out, 'runs', tenant);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  dropOldRuns(join(out, 'runs'), tenant);
  return {
    out,
    tenant,
    folder,
    say,
    step: (title) => say(`\n${at()} s  ${title}`),
    note: (text) => say(`${at()} s    ${text}`),
    seconds,
    finish: (summary, report) => {
      const text = `${JSON.stringify(summary, null, 2)}\n`;
      writeFileSync(join(out, 'summary.json'), text);
      writeFileSync(join(out, 'report.html'), report);
      if (json) process.stdout.write(text);
    },
  };
}

/** Reads the command line and tells one story. A refusal is printed with its remedy, and the process ends with 1. */
export async function runDemo(
  usage: string,
  defaultOut: string,
  story: (run: Run) => Promise<void>,
): Promise<void> {
  const { values: options } = parseArgs({
    options: {
      json: { type: 'boolean', default: false },
      out: { type: 'string', default: defaultOut },
      help: { type: 'boolean', default: false },
    },
  });
  if (options.help) {
    process.stdout.write(usage);
    return;
  }
  try {
    await story(openRun(resolve(options.out), options.json));
  } catch (error) {
    if (!(error instanceof LetheError)) throw error;
    process.stderr.write(`${error.message}\n${error.remedy}\n`);
    process.exitCode = 1;
  }
}

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
