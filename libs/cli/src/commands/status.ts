import { LetheError } from '@lethe/std';
import type { Command } from 'commander';
import { CLI } from '../errors.ts';
import { print } from '../output.ts';
import type { Platform } from '../platform.ts';
import type { Cli } from '../program.ts';
import { VERSION } from '../version.ts';

export function addStatus(program: Command, cli: Cli): void {
  program
    .command('status')
    .description('health of every service, versions, and how full the streams are')
    .addHelpText(
      'after',
      '\nEnds with 1 when a service does not serve.\n\nExamples:\n  $ lethe status\n  $ lethe status --json\n',
    )
    .action(async (_options: unknown, command: Command) => {
      const platform = cli.platform(command);
      const services = await healthOf(platform);
      const bus = await busOf(platform);
      print(cli.io, cli.globals(command).json === true, {
        address: platform.address(),
        tenant: platform.tenant(),
        services,
        versions: { lethe: VERSION, node: process.versions.node, natsServer: bus.version },
        streams: bus.streams,
        ...(bus.problem === undefined ? {} : { natsProblem: bus.problem }),
      });
      const down = Object.entries(services).filter(([, status]) => status !== 'SERVING');
      if (down.length > 0) throw CLI.NOT_SERVING(`not serving: ${down.map(([name]) => name).join(', ')}`);
    });
}

/** Health needs no credential. */
async function healthOf(platform: Platform): Promise<Record<string, string>> {
  const { health, ...contracts } = await import('@lethe/contracts');
  const { connect } = await import('@lethe/rpc');
  const definitions = {
    vault: contracts.vault.VaultServiceDefinition,
    hashing: contracts.hashing.HashingServiceDefinition,
    learning: contracts.learning.LearningServiceDefinition,
    federation: contracts.federation.FederationServiceDefinition,
    audit: contracts.audit.AuditServiceDefinition,
    erasure: contracts.erasure.ErasureServiceDefinition,
  };
  const connection = connect(await platform.connectOptions(undefined));
  try {
    const client = connection.client(health.HealthDefinition);
    const names = Object.entries(health.HealthCheckResponse_ServingStatus);
    const entries = Object.entries(definitions).map(
      async ([name, { fullName }]): Promise<[string, string]> => {
        const { status } = await client.check({ service: fullName });
        return [name, names.find(([, value]) => value === status)?.[0] ?? String(status)];
      },
    );
    return Object.fromEntries(await Promise.all(entries));
  } finally {
    connection.close();
  }
}

type StreamFill = { messages: number; bytes: number; maxBytes: number; filled: string };

interface BusFacts {
  readonly version: string;
  readonly streams: Record<string, StreamFill>;
  readonly problem?: string;
}

async function busOf(platform: Platform): Promise<BusFacts> {
  const { STREAMS } = await import('@lethe/events');
  try {
    return await platform.withBus(async (bus) => {
      const entries = Object.entries(STREAMS).map(async ([name, stream]): Promise<[string, StreamFill]> => {
        const { messages, bytes, maxBytes } = await bus.streamState(stream);
        return [name, { messages, bytes, maxBytes, filled: `${((100 * bytes) / maxBytes).toFixed(1)} %` }];
      });
      return { version: bus.server().version, streams: Object.fromEntries(await Promise.all(entries)) };
    });
  } catch (error) {
    // The health of the services is worth showing where the bus cannot be reached from here.
    if (!(error instanceof LetheError)) throw error;
    return { version: 'unknown', streams: {}, problem: error.message };
  }
}
