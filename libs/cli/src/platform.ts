/**
 * Finding a platform: what an option says, else what the environment says, else what the running platform has written into its
 * data directory. Network modules are loaded when a command connects, not before: `certificate verify` never loads them.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Lethe, Part } from '@lethe/client';
import type { Role } from '@lethe/contracts';
import type { JetStreamBus } from '@lethe/events';
import type { ConnectOptions } from '@lethe/rpc';
import { CLI } from './errors.ts';
import { readFile } from './files.ts';

/** Options that every command takes. */
export interface GlobalOptions {
  readonly dataDir?: string;
  readonly address?: string;
  readonly natsUrl?: string;
  readonly token?: string;
  readonly role?: Role;
  readonly tenant?: string;
  readonly json?: boolean;
}

export interface PlatformFile {
  readonly address: string;
  readonly natsUrl: string;
  readonly pid: number;
  readonly tenant: string;
}

export interface Platform {
  readonly dataDirectory: string;
  readonly credentialsPath: string;
  /** @throws LETHE-5011 */
  address(): string;
  /** @throws LETHE-5011 */
  natsUrl(): string;
  tenant(): string;
  /** Runs `use` with clients for the role (an option or LETHE_ROLE overrides it), and closes them. */
  withClients<T>(role: Role, use: (clients: Lethe) => Promise<T>): Promise<T>;
  /** Runs `use` with what connects to the address; a token only where one is needed. */
  connectOptions(role: Role | undefined): Promise<ConnectOptions>;
  withBus<T>(use: (bus: JetStreamBus) => Promise<T>): Promise<T>;
}

type Environment = Readonly<Record<string, string | undefined>>;

const PARTS: readonly Part[] = ['vault', 'hashing', 'learning', 'federation', 'audit', 'erasure'];

export const dataDirectoryOf = (options: GlobalOptions, environment: Environment): string =>
  resolve(options.dataDir ?? environment.LETHE_DATA_DIR ?? '.lethe');

export const credentialsPathOf = (dataDirectory: string, environment: Environment): string =>
  resolve(environment.LETHE_CREDENTIALS ?? join(dataDirectory, 'credentials.json'));

export function findPlatform(options: GlobalOptions, environment: Environment): Platform {
  const dataDirectory = dataDirectoryOf(options, environment);
  const credentialsPath = credentialsPathOf(dataDirectory, environment);
  const address = (): string =>
    options.address ?? environment.LETHE_ADDRESS ?? runningPlatform(dataDirectory).address;
  const natsUrl = (): string =>
    options.natsUrl ?? environment.LETHE_NATS_URL ?? runningPlatform(dataDirectory).natsUrl;
  const tenant = (): string =>
    options.tenant ?? environment.LETHE_TENANT ?? readPlatformFile(dataDirectory)?.tenant ?? 'default';

  const token = async (role: Role): Promise<string> => {
    const given = options.token ?? environment.LETHE_TOKEN;
    if (given) return given;
    if (!existsSync(credentialsPath)) {
      throw CLI.CREDENTIALS_NOT_FOUND(`there are no credentials at ${credentialsPath}`);
    }
    const { mayActIn, readCredentials } = await import('@lethe/rpc');
    const found = readCredentials(credentialsPath).find(
      (credential) => credential.role === role && mayActIn(credential, tenant()),
    );
    if (!found) {
      throw CLI.CREDENTIALS_NOT_FOUND(`${credentialsPath} holds none for role ${role} in tenant ${tenant()}`);
    }
    return found.token;
  };

  const connectOptions = async (role: Role | undefined): Promise<ConnectOptions> => {
    const tls = tlsOf(environment);
    const at = address();
    if (!tls) checkLoopback(at);
    return {
      address: at,
      ...(role === undefined ? {} : { token: await token(roleOf(options, environment) ?? role) }),
      ...(tls ? { tls } : {}),
    };
  };

  return {
    dataDirectory,
    credentialsPath,
    address,
    natsUrl,
    tenant,
    connectOptions,
    async withClients(role, use) {
      const settings = await connectOptions(role);
      const { lethe } = await import('@lethe/client');
      const addresses = addressesOf(environment);
      if (!settings.tls) for (const each of Object.values(addresses)) checkLoopback(each);
      const clients = lethe({ ...settings, addresses });
      try {
        return await use(clients);
      } finally {
        clients.close();
      }
    },
    async withBus(use) {
      const url = natsUrl();
      const { connectJetStream } = await import('@lethe/events');
      const prefix = environment.LETHE_INSTANCE;
      const bus = await connectJetStream({
        url,
        name: 'lethe-cli',
        ...(prefix ? { instancePrefix: prefix } : {}),
      });
      try {
        return await use(bus);
      } finally {
        await bus.close();
      }
    },
  };
}

const ROLES: readonly Role[] = ['platform', 'client', 'party', 'auditor'];

function roleOf(options: GlobalOptions, environment: Environment): Role | undefined {
  const named = options.role ?? environment.LETHE_ROLE;
  if (!named) return undefined;
  const role = ROLES.find((known) => known === named);
  if (!role) throw CLI.WRONG_USAGE(`LETHE_ROLE must be one of ${ROLES.join(', ')}`);
  return role;
}

const addressesOf = (environment: Environment): Partial<Record<Part, string>> =>
  Object.fromEntries(
    PARTS.flatMap((part) => {
      const address = environment[`LETHE_${part.toUpperCase()}_ADDRESS`];
      return address ? [[part, address]] : [];
    }),
  );

function tlsOf({ LETHE_TLS_CA, LETHE_TLS_CERT, LETHE_TLS_KEY }: Environment): ConnectOptions['tls'] {
  if (!LETHE_TLS_CA || !LETHE_TLS_CERT || !LETHE_TLS_KEY) return undefined;
  const [authority, certificate, key] = [LETHE_TLS_CA, LETHE_TLS_CERT, LETHE_TLS_KEY].map((path) =>
    Buffer.from(readFile(path)),
  );
  return { authority: authority!, certificate: certificate!, key: key! };
}

/** A token in plain text goes to this machine only. @throws LETHE-5021, LETHE-5013 */
function checkLoopback(address: string): void {
  const host = /^\[?(.+?)\]?:\d{1,5}$/.exec(address)?.[1];
  if (host === undefined) throw CLI.WRONG_USAGE('an address is host:port, for example 127.0.0.1:7420');
  if (host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host)) return;
  throw CLI.INSECURE_ADDRESS(`${host} is not a loopback address and no TLS is configured`);
}

/** @returns what the last platform of this directory wrote; undefined where there is none */
export function readPlatformFile(dataDirectory: string): PlatformFile | undefined {
  const path = join(dataDirectory, 'platform.json');
  if (!existsSync(path)) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(path, 'utf8'));
  } catch (cause) {
    throw CLI.PLATFORM_NOT_FOUND(`${path} cannot be read`, { cause });
  }
  const file = value as Partial<Record<keyof PlatformFile, unknown>> | null;
  if (
    typeof file?.address !== 'string' ||
    typeof file.natsUrl !== 'string' ||
    typeof file.pid !== 'number' ||
    typeof file.tenant !== 'string'
  ) {
    throw CLI.PLATFORM_NOT_FOUND(`${path} is not what a platform writes`);
  }
  return { address: file.address, natsUrl: file.natsUrl, pid: file.pid, tenant: file.tenant };
}

/** @throws LETHE-5011 none was started there, or its process has ended */
function runningPlatform(dataDirectory: string): PlatformFile {
  const file = readPlatformFile(dataDirectory);
  if (!file) throw CLI.PLATFORM_NOT_FOUND(`no platform has been started in ${dataDirectory}`);
  if (!isAlive(file.pid)) {
    throw CLI.PLATFORM_NOT_FOUND(`the platform of ${dataDirectory} does not run any more`);
  }
  return file;
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    // Somebody else's process is alive, too.
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}
