/** A demonstration as a new user would run it. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

export interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** @param script of `libs/demo`, relative to the repository  @param out folder for its results */
export const runDemo = (script: string, out: string): Promise<Ended> =>
  new Promise((done) => {
    const { LETHE_DATA_DIR: _, LETHE_PORT: __, ...environment } = process.env;
    const options = { cwd: ROOT, env: environment, maxBuffer: 16 * 1024 * 1024, timeout: 400_000 };
    const args = [script, '--json', '--out', out];
    const child = execFile(process.execPath, args, options, (_error, stdout, stderr) =>
      done({ code: child.exitCode ?? -1, stdout, stderr }),
    );
  });
