import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type Bus,
  connectJetStream,
  findNatsServer,
  freePort,
  type NatsServer,
  startNatsServer,
} from '@lethe/events';
import { sleep } from '@lethe/std';

export interface RunningServers {
  readonly version: string;
  readonly servers: readonly NatsServer[];
  open(instance: string): Promise<Bus>;
  stop(): Promise<void>;
}

/** One server, the one that users get, in a temporary directory. */
export async function startSingle(): Promise<RunningServers> {
  const directory = mkdtempSync(join(tmpdir(), 'lethe-nats-'));
  const binary = findNatsServer({ environment: process.env, announce: (line) => console.error(line) });
  return running([await startNatsServer({ binary, directory })], directory);
}

/** Three servers on loopback that replicate to each other. @param binary nats-server of 2.9.21 or newer */
export async function startCluster(binary: string): Promise<RunningServers> {
  const directory = mkdtempSync(join(tmpdir(), 'lethe-nats-'));
  const routes = await freePorts(3);
  const servers = await Promise.all(
    routes.map((port, i) =>
      startNatsServer({
        binary,
        directory: join(directory, `n${i}`),
        serverName: `n${i}`,
        password: 'of-all-three',
        extraConfiguration: `cluster {
  name: conformance
  listen: 127.0.0.1:${port}
  routes: [${routes.map((route) => `"nats-route://127.0.0.1:${route}"`).join(', ')}]
}`,
      }),
    ),
  );
  const cluster = running(servers, directory);
  // The first stream can be placed once the servers have elected who places it.
  for (let i = 0; ; i++) {
    try {
      const bus = await cluster.open('probe');
      try {
        await bus.ensureStream({ name: 'PROBE', subjects: ['probe'], maxBytes: 1024, replicas: 3 });
        return cluster;
      } finally {
        await bus.close();
      }
    } catch (error) {
      if (i === 100) throw error;
      await sleep(500);
    }
  }
}

function running(servers: readonly NatsServer[], directory: string): RunningServers {
  const url = servers.map((server) => server.url).join(',');
  return {
    version: servers[0]?.version ?? '',
    servers,
    open: (instance) => connectJetStream({ url, name: 'conformance', instancePrefix: instance }),
    stop: async () => {
      await Promise.all(servers.map((server) => server.stop()));
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

async function freePorts(count: number): Promise<number[]> {
  const ports = new Set<number>();
  while (ports.size < count) ports.add(await freePort());
  return [...ports];
}
