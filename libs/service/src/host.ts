/**
 * Hosts services in a process: finds or starts NATS, opens one gRPC port, starts the services, and stops all of it in order.
 * `services/platform` hosts all of them; each service's own `main.ts` hosts itself.
 */
import { mkdirSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { lethe } from '@lethe/client';
import {
  connectJetStream,
  ensurePlatformStreams,
  freePort,
  type JetStreamBus,
  openNats,
} from '@lethe/events';
import {
  certificateAuthenticator,
  createServer,
  firstOf,
  loadOrCreateCredentials,
  type RpcServer,
  readPrivateFile,
  tokenAuthenticator,
  writePrivateFile,
} from '@lethe/rpc';
import { assert, LetheError, type Logger, secureRandom, systemClock } from '@lethe/std';
import { createLogger, startTelemetry } from '@lethe/telemetry';
import { type Config, readConfig, SERVICE } from './config.ts';
import type { Service, ServiceDeps } from './service.ts';

/** What the host knows that some services need at their creation. */
export interface HostFacts {
  readonly config: Config;
  /** Directory of our own NATS server's files; undefined when the server is somebody else's. */
  readonly natsStoreDirectory: string | undefined;
}

export type CreateService = (deps: ServiceDeps, facts: HostFacts) => Promise<Service> | Service;

export interface Host {
  readonly address: string;
  readonly natsUrl: string;
  /** Tenant of the configuration, or the first that has credentials. */
  readonly tenant: string;
  readonly bus: JetStreamBus;
  readonly server: RpcServer;
  readonly logger: Logger;
  close(): Promise<void>;
}

export async function startHost(
  config: Config,
  name: string,
  creates: readonly CreateService[],
): Promise<Host> {
  const logger = createLogger({ name, level: config.logLevel });
  mkdirSync(config.dataDirectory, { recursive: true, mode: 0o700 });
  const credentials = loadOrCreateCredentials(config.credentialsPath, config.tenant);
  const token = credentials.find((credential) => credential.role === 'platform')?.token;
  assert(token, 'the credentials hold none for the platform');
  const tenant = config.tenant ?? credentials.find(({ tenants }) => !tenants.includes('*'))?.tenants[0];
  assert(tenant, 'the credentials hold none for a tenant');
  const undo: (() => Promise<void>)[] = [];
  const close = async (): Promise<void> => {
    for (const step of undo.splice(0).reverse()) await step();
  };
  try {
    const telemetry = await startTelemetry({
      serviceName: name,
      endpoint: config.environment.LETHE_OTLP_ENDPOINT,
    });
    undo.push(() => telemetry.shutdown());
    const nats = await openNats({
      environment: config.environment,
      directory: join(config.dataDirectory, 'nats'),
      announce: (line) => process.stderr.write(`${line}\n`),
      logger,
    });
    if (nats.server) undo.push(() => nats.server!.stop());
    const bus = await connectJetStream({
      url: nats.url,
      name,
      logger,
      ...(config.instancePrefix === undefined ? {} : { instancePrefix: config.instancePrefix }),
      ...(nats.server ? { diskRoom: () => diskRoomOf(nats.server!.storeDirectory) } : {}),
    });
    undo.push(() => bus.close());
    await ensurePlatformStreams(bus, { limits: config.limits, replicas: config.replicas });
    // Clients of the services are made before the server, and need to know its port.
    const port = config.port === 0 ? await freePort(config.host) : config.port;
    const tls = tlsOf(config);
    const peers = lethe({
      address: `${config.host}:${port}`,
      token,
      addresses: config.addresses,
      ...(tls ? { tls: { authority: tls.clientAuthority, key: tls.key, certificate: tls.certificate } } : {}),
    });
    undo.push(async () => peers.close());
    const deps: ServiceDeps = { bus, peers, clock: systemClock, random: secureRandom(), logger };
    const facts: HostFacts = { config, natsStoreDirectory: nats.server?.storeDirectory };
    const services: Service[] = [];
    for (const create of creates) services.push(await create(deps, facts));
    const server = await createServer({
      services: services.flatMap((service) => service.bindings),
      authenticate: firstOf(tokenAuthenticator(credentials), certificateAuthenticator),
      logger,
      host: config.host,
      port,
      ...(tls ? { tls } : {}),
    });
    undo.push(() => server.close());
    // Ready means: consumers run and what a stop interrupted has been taken up again.
    server.health.setAll(false);
    for (const service of services) {
      await service.start();
      undo.push(() => service.close());
    }
    server.health.setAll(true);
    logger.info('serving', { address: server.address, services: services.map((service) => service.name) });
    return { address: server.address, natsUrl: nats.url, tenant, bus, server, logger, close };
  } catch (error) {
    await close();
    throw error;
  }
}

function tlsOf({ environment }: Config) {
  const { LETHE_TLS_CERT, LETHE_TLS_KEY, LETHE_TLS_CLIENT_CA } = environment;
  const named = [LETHE_TLS_CERT, LETHE_TLS_KEY, LETHE_TLS_CLIENT_CA].filter((path) => path);
  if (named.length === 0) return undefined;
  if (!LETHE_TLS_CERT || !LETHE_TLS_KEY || !LETHE_TLS_CLIENT_CA) {
    throw SERVICE.CONFIG_INVALID('TLS needs LETHE_TLS_CERT, LETHE_TLS_KEY and LETHE_TLS_CLIENT_CA together');
  }
  return {
    certificate: readPrivateFile(LETHE_TLS_CERT),
    key: readPrivateFile(LETHE_TLS_KEY),
    clientAuthority: readPrivateFile(LETHE_TLS_CLIENT_CA),
  };
}

async function diskRoomOf(directory: string): Promise<{ free: number; total: number }> {
  const { bavail, blocks, bsize } = await statfs(directory);
  return { free: bavail * bsize, total: blocks * bsize };
}

/** Where a running platform can be reached, for the CLI. Readable by its owner only. */
export const PLATFORM_FILE = 'platform.json';

/** What a process's entry point runs: reads the environment, hosts, and ends with 1 and words for people where that cannot be. */
export async function runMain(name: string, creates: readonly CreateService[]): Promise<void> {
  try {
    await runHost(readConfig(process.env), name, creates);
  } catch (error) {
    if (!(error instanceof LetheError)) throw error;
    process.stderr.write(`${error.message}\n${error.remedy}\n`);
    process.exit(1);
  }
}

/** Runs a host until SIGTERM or SIGINT, then stops it in order. */
export async function runHost(
  config: Config,
  name: string,
  creates: readonly CreateService[],
): Promise<Host> {
  const host = await startHost(config, name, creates);
  writePrivateFile(
    join(config.dataDirectory, PLATFORM_FILE),
    `${JSON.stringify({ address: host.address, natsUrl: host.natsUrl, pid: process.pid, tenant: host.tenant })}\n`,
  );
  let stopping = false;
  const stop = (signal: string): void => {
    if (stopping) return;
    stopping = true;
    host.logger.info('stopping', { signal });
    host.close().then(
      () => process.exit(0),
      (error: unknown) => {
        host.logger.error('could not stop in order', { error });
        process.exit(1);
      },
    );
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  return host;
}
