/** A platform in a process of its own, which can be killed and started again on the same directory. */
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type Lethe, lethe } from '@lethe/client';
import type { Role } from '@lethe/contracts';
import { loadOrCreateCredentials } from '@lethe/rpc';
import { isAlive, pidIn, type Running, startScript, until } from './processes.ts';

export const TENANT = 'acme';

/** Clients by role: what each may do is the access table's business. */
export interface Clients {
  readonly client: Lethe;
  readonly auditor: Lethe;
  readonly operator: Lethe;
  close(): void;
}

export interface Platform extends Clients {
  readonly directory: string;
  readonly address: string;
  readonly natsUrl: string;
  readonly process: Running;
  /** SIGKILL, then waits until its NATS server is gone too. */
  kill(): Promise<void>;
  /** SIGTERM; what was running is ended in order. */
  stop(): Promise<void>;
}

export interface PlatformOptions {
  readonly port: number;
  readonly environment?: Readonly<Record<string, string>>;
}

const START_MS_MAX = 60_000;

export function clientsOf(
  address: string,
  credentialsFile: string,
  addresses: Parameters<typeof lethe>[0]['addresses'] = {},
): Clients {
  const credentials = loadOrCreateCredentials(credentialsFile, TENANT);
  const as = (role: Role): Lethe =>
    lethe({ address, addresses, token: credentials.find((credential) => credential.role === role)!.token });
  const [client, auditor, operator] = [as('client'), as('auditor'), as('platform')] as const;
  return {
    client,
    auditor,
    operator,
    close: () => {
      for (const connection of [client, auditor, operator]) connection.close();
    },
  };
}

/** Starts a platform's process without waiting for it. */
export function spawnPlatform(directory: string, { port, environment = {} }: PlatformOptions): Running {
  rmSync(join(directory, 'platform.json'), { force: true });
  return startScript('services/platform/src/main.ts', [], {
    LETHE_DATA_DIR: directory,
    LETHE_TENANT: TENANT,
    LETHE_PORT: String(port),
    LETHE_LOG: 'warn',
    ...environment,
  });
}

export async function startPlatform(directory: string, options: PlatformOptions): Promise<Platform> {
  const child = spawnPlatform(directory, options);
  const { address, natsUrl } = await served(directory, child);
  const clients = clientsOf(address, join(directory, 'credentials.json'));
  return {
    ...clients,
    directory,
    address,
    natsUrl,
    process: child,
    async kill() {
      clients.close();
      await killPlatform(directory, child);
    },
    async stop() {
      clients.close();
      child.signal('SIGTERM');
      await child.gone;
    },
  };
}

/** What a process has written to `platform.json` once it serves. */
export async function served(
  directory: string,
  child: Running,
): Promise<{ readonly address: string; readonly natsUrl: string }> {
  const file = join(directory, 'platform.json');
  return await until(
    () => {
      if (child.ended()) throw new Error(`the process ended before it served:\n${child.said()}`);
      if (!existsSync(file)) return undefined;
      const text = readFileSync(file, 'utf8');
      if (!text.endsWith('\n')) return undefined;
      const facts = JSON.parse(text) as { address: string; natsUrl: string; pid: number };
      return facts.pid === child.pid ? facts : undefined;
    },
    'the start of a process',
    { withinMs: START_MS_MAX, explain: child.said },
  );
}

/** SIGKILL, then waits until the NATS server that the platform has started is gone too. */
export async function killPlatform(directory: string, child: Running): Promise<void> {
  const natsPid = natsPidOf(directory);
  child.signal('SIGKILL');
  await child.gone;
  if (natsPid !== undefined) {
    await until(() => !isAlive(natsPid), 'the end of the NATS server after its platform was killed');
  }
}

export const natsPidOf = (directory: string): number | undefined =>
  pidIn(join(directory, 'nats', 'nats-server.pid'));
