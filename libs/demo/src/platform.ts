/** Child processes of the demonstration: the platform, the parties, independent workers. All end with it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Lethe, lethe } from '@lethe/client';
import { readCredentials } from '@lethe/rpc';
import { sleep } from '@lethe/std';
import { DEMO } from './errors.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const START_MS_MAX = 60_000;

const children = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of children) child.kill('SIGTERM');
});
// A signal that ends this process without its 'exit' would leave the children running.
process.once('SIGINT', () => process.exit(130));
process.once('SIGTERM', () => process.exit(143));

function run(
  script: string,
  args: readonly string[],
  environment: Record<string, string> = {},
): ChildProcess {
  const child = spawn(process.execPath, [join(ROOT, script), ...args], {
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.add(child);
  child.once('exit', () => children.delete(child));
  return child;
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((done) => child.once('exit', done));
  child.kill('SIGTERM');
  await gone;
}

/** Runs a script to its end. @returns what it printed and its exit code */
export async function runToEnd(
  script: string,
  args: readonly string[],
): Promise<{ output: string; code: number }> {
  const child = run(script, args);
  let output = '';
  child.stdout?.on('data', (chunk: Buffer) => {
    output += chunk.toString('utf8');
  });
  const code = await new Promise<number>((done) => child.once('close', (status) => done(status ?? 1)));
  return { output, code };
}

/** Runs a worker that prints one line of JSON. @throws LETHE-5202 */
export async function runWorker<Result>(script: string, ...args: readonly string[]): Promise<Result> {
  const { output, code } = await runToEnd(script, args);
  if (code !== 0) throw DEMO.WORKER_FAILED(`${script} ended with ${code}`, { details: { script, code } });
  return JSON.parse(output) as Result;
}

export interface Platform {
  readonly address: string;
  readonly tenant: string;
  /** Clients by role: what each may do is the access table's business. */
  readonly client: Lethe;
  readonly auditor: Lethe;
  readonly operator: Lethe;
  /** Holds the party's token among others; mode 0600. */
  readonly credentialsFile: string;
  stop(): Promise<void>;
}

/** Starts a platform of its own: tenant, data folder, ports and NATS server belong to this run. @throws LETHE-5201 */
export async function startPlatform(dataDirectory: string, tenant: string): Promise<Platform> {
  const child = run('services/platform/src/main.ts', [], {
    LETHE_DATA_DIR: dataDirectory,
    LETHE_TENANT: tenant,
    LETHE_PORT: '0',
    LETHE_LOG: process.env.LETHE_LOG ?? 'warn',
  });
  // Its log lines belong beside ours, not on standard output.
  child.stdout?.pipe(process.stderr, { end: false });
  const file = join(dataDirectory, 'platform.json');
  for (const deadline = Date.now() + START_MS_MAX; !existsSync(file); await sleep(50)) {
    if (child.exitCode !== null || Date.now() > deadline) {
      throw DEMO.PLATFORM_DID_NOT_START(`the platform did not start (exit code ${child.exitCode ?? 'none'})`);
    }
  }
  const { address } = JSON.parse(readFileSync(file, 'utf8')) as { address: string };
  const credentialsFile = join(dataDirectory, 'credentials.json');
  const credentials = readCredentials(credentialsFile);
  const tokenOf = (role: string): string => credentials.find((credential) => credential.role === role)!.token;
  const as = (role: string): Lethe => lethe({ address, token: tokenOf(role) });
  const [client, auditor, operator] = [as('client'), as('auditor'), as('platform')];
  return {
    address,
    tenant,
    client,
    auditor,
    operator,
    credentialsFile,
    async stop() {
      for (const connection of [client, auditor, operator]) connection.close();
      await end(child);
    },
  };
}

/** Starts a federation party as a process of its own with the configuration in `file`. @returns how to stop it */
export function startParty(file: string): () => Promise<void> {
  const child = run('libs/party/src/main.ts', ['--config', file], {
    LETHE_LOG: process.env.LETHE_LOG ?? 'warn',
  });
  child.stdout?.pipe(process.stderr, { end: false });
  return () => end(child);
}
