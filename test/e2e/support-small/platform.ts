/** A platform inside the test's process: real sockets, a real nats-server, a data folder of its own. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Lethe, lethe } from '@lethe/client';
import type { Role } from '@lethe/contracts';
import { ALL } from '@lethe/platform';
import type { Credential } from '@lethe/rpc';
import { type Host, readConfig, startHost } from '@lethe/service';

export const TENANT = 'acme';

export type Environment = Readonly<Record<string, string | undefined>>;

/** What every platform of these tests is told; the rest is given by the test. */
export const environmentOf = (dataDirectory: string, more: Environment = {}): Environment => ({
  PATH: process.env.PATH,
  LETHE_DATA_DIR: dataDirectory,
  LETHE_PORT: '0',
  LETHE_TENANT: TENANT,
  LETHE_LOG: process.env.LETHE_TEST_LOG ?? 'silent',
  // The default reserves 1.7 GB of disk, which a test's machine need not have.
  LETHE_RECORDS_MAX_BYTES: String(64 * 1024 * 1024),
  LETHE_ARTEFACTS_MAX_BYTES: String(256 * 1024 * 1024),
  LETHE_EVENTS_MAX_BYTES: String(32 * 1024 * 1024),
  LETHE_DEAD_LETTERS_MAX_BYTES: String(4 * 1024 * 1024),
  ...more,
});

export interface Running {
  readonly host: Host;
  readonly directory: string;
  readonly client: Lethe;
  readonly auditor: Lethe;
  readonly operator: Lethe;
  readonly party: Lethe;
  close(): Promise<void>;
}

export function tokenOf(directory: string, role: Role): string {
  const credentials = JSON.parse(
    readFileSync(join(directory, 'credentials.json'), 'utf8'),
  ) as readonly Credential[];
  return credentials.find((credential) => credential.role === role)?.token ?? '';
}

export const asRole = (address: string, directory: string, role: Role): Lethe =>
  lethe({ address, token: tokenOf(directory, role) });

export async function startPlatform(directory: string, more: Environment = {}): Promise<Running> {
  const host = await startHost(readConfig(environmentOf(directory, more)), 'lethe', ALL);
  const as = (role: Role): Lethe => asRole(host.address, directory, role);
  const [client, auditor, operator, party] = [as('client'), as('auditor'), as('platform'), as('party')];
  return {
    host,
    directory,
    client,
    auditor,
    operator,
    party,
    async close() {
      for (const connection of [client, auditor, operator, party]) connection.close();
      await host.close();
    },
  };
}

const folders = new Set<string>();
process.once('exit', () => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** A folder that is gone when the process ends. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'lethe-e2e-'));
  folders.add(directory);
  return directory;
}

/** Runs a test with a folder that is gone afterwards, whatever happens. */
export async function withDirectory<T>(use: (directory: string) => Promise<T>): Promise<T> {
  const directory = temporaryDirectory();
  try {
    return await use(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
    folders.delete(directory);
  }
}
