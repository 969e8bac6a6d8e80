/** Child processes of a test. Each is ended by its own number; none outlives the test. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { sleep } from '@lethe/std';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const OUTPUT_CHARS_KEPT = 20_000;
const POLL_MS = 5;

const living = new Set<ChildProcess>();

/** For `after`: a test that failed half-way leaves nothing running. */
export function endAll(): void {
  for (const child of living) child.kill('SIGKILL');
}
process.on('exit', endAll);

export interface Running {
  readonly pid: number;
  /** The last of what it has said, for the message of a failure. */
  said(): string;
  ended(): boolean;
  /** Settles when it is gone, however. */
  readonly gone: Promise<void>;
  signal(name: NodeJS.Signals): void;
}

/** @param script path from the top of the repository */
export function startScript(
  script: string,
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Running {
  const child = spawn(process.execPath, [join(ROOT, script), ...args], {
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  const keep = (chunk: Buffer): void => {
    said = (said + chunk.toString('utf8')).slice(-OUTPUT_CHARS_KEPT);
  };
  child.stdout.on('data', keep);
  child.stderr.on('data', keep);
  living.add(child);
  const gone = new Promise<void>((done) =>
    child.once('close', () => {
      living.delete(child);
      done();
    }),
  );
  return {
    pid: child.pid ?? 0,
    said: () => said,
    ended: () => child.exitCode !== null || child.signalCode !== null,
    gone,
    signal: (name) => void child.kill(name),
  };
}

/** Runs a script to its end. @returns exit code and what it said */
export async function runScript(
  script: string,
  args: readonly string[],
): Promise<{ code: number; said: string }> {
  const child = spawn(process.execPath, [join(ROOT, script), ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  child.stdout.on('data', (chunk: Buffer) => {
    said += chunk.toString('utf8');
  });
  living.add(child);
  const code = await new Promise<number>((done) => child.once('close', (status) => done(status ?? -1)));
  living.delete(child);
  return { code, said };
}

/** Waits until the look returns something. @throws with what `explain` says when it takes too long */
export async function until<T>(
  look: () => T | undefined | false | Promise<T | undefined | false>,
  what: string,
  options: { readonly withinMs?: number; readonly explain?: () => string } = {},
): Promise<T> {
  for (const deadline = Date.now() + (options.withinMs ?? 60_000); ; await sleep(POLL_MS)) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    if (Date.now() > deadline) throw new Error(`${what}: not in time\n${options.explain?.() ?? ''}`);
  }
}

/** A process that is not our child, by the number in a file; undefined without one. */
export function pidIn(file: string): number | undefined {
  if (!existsSync(file)) return undefined;
  const pid = Number(readFileSync(file, 'utf8').trim());
  return Number.isInteger(pid) && pid > 1 ? pid : undefined;
}

export function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
