import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { integer } from '../arguments.ts';
import { CLI } from '../errors.ts';
import type { CliIo } from '../io.ts';
import { credentialsPathOf, dataDirectoryOf, type GlobalOptions, readPlatformFile } from '../platform.ts';
import type { Cli } from '../program.ts';

/** A process of its own: the command line imports no service. */
const PLATFORM = fileURLToPath(new URL('../../../../services/platform/src/main.ts', import.meta.url));
const POLL_MS = 200;
const FORWARDED = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

const EXAMPLES = `
Runs until SIGINT or SIGTERM; state survives a restart. Further settings are the LETHE_* variables of services/platform/README.md.

Examples:
  $ lethe up
  $ lethe up --data-dir /var/lib/lethe --port 0 --tenant acme
`;

export function addUp(program: Command, cli: Cli): void {
  program
    .command('up')
    .description('start the platform, all services in one process, and keep it up')
    .option(
      '--port <port>',
      'port for gRPC, 0 for any free one (LETHE_PORT, default 7420)',
      integer(0, 65_535),
    )
    .addHelpText('after', EXAMPLES)
    .action(async (options: { port?: number }, command: Command) => {
      cli.exitCode = await up({
        io: cli.io,
        globals: cli.globals(command),
        port: options.port,
        entry: PLATFORM,
      });
    });
}

/**
 * Starts `entry` under this Node with the terminal's streams, passes signals on, and waits for its end.
 * @returns the child's status; 128 + its number where a signal ended it  @throws LETHE-5022
 */
export async function up(options: {
  readonly io: CliIo;
  readonly globals: GlobalOptions;
  readonly port: number | undefined;
  readonly entry: string;
}): Promise<number> {
  const { io, globals, port, entry } = options;
  const dataDirectory = dataDirectoryOf(globals, io.environment);
  // The credentials of a directory were made for the tenant of its first start.
  const tenant = globals.tenant ?? io.environment.LETHE_TENANT ?? readPlatformFile(dataDirectory)?.tenant;
  const child = spawn(process.execPath, [entry], {
    stdio: 'inherit',
    env: {
      ...io.environment,
      LETHE_DATA_DIR: dataDirectory,
      ...(port === undefined ? {} : { LETHE_PORT: String(port) }),
      ...(tenant === undefined ? {} : { LETHE_TENANT: tenant }),
      ...(globals.natsUrl === undefined ? {} : { LETHE_NATS_URL: globals.natsUrl }),
    },
  });
  const forward = (signal: NodeJS.Signals): void => void child.kill(signal);
  for (const signal of FORWARDED) process.on(signal, forward);
  const announced = setInterval(() => {
    const file = readPlatformFile(dataDirectory);
    if (!file || file.pid !== child.pid) return;
    clearInterval(announced);
    io.err(
      `Lethe serves on ${file.address} (tenant ${file.tenant}).\n` +
        `Credentials: ${credentialsPathOf(dataDirectory, io.environment)} (readable by you only). Stop it with Ctrl-C.\n`,
    );
  }, POLL_MS);
  try {
    return await new Promise<number>((done, fail) => {
      child.once('error', (cause) =>
        fail(CLI.CHILD_NOT_STARTED('the platform could not be started', { cause })),
      );
      child.once('exit', (code, signal) => done(code ?? 128 + (signal ? constants.signals[signal] : 0)));
    });
  } finally {
    clearInterval(announced);
    for (const signal of FORWARDED) process.off(signal, forward);
  }
}
