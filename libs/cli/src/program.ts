/** The tree of commands, and what happens around every one of them. */
import { LetheError } from '@lethe/std';
import { Command, CommanderError, Option } from 'commander';
import { addCertificate } from './commands/certificate.ts';
import { addData } from './commands/data.ts';
import { addDataset, addIngest } from './commands/dataset.ts';
import { addErase, addErasure } from './commands/erasure.ts';
import { addEvents } from './commands/events.ts';
import { addHash } from './commands/hash.ts';
import { addModel } from './commands/model.ts';
import { addPrivacy } from './commands/privacy.ts';
import { addStatus } from './commands/status.ts';
import { addTrain } from './commands/train.ts';
import { addUp } from './commands/up.ts';
import { CLI } from './errors.ts';
import type { CliIo } from './io.ts';
import { report } from './output.ts';
import { findPlatform, type GlobalOptions, type Platform } from './platform.ts';
import { VERSION } from './version.ts';

/** What every command gets. */
export interface Cli {
  readonly io: CliIo;
  /** The status that the process ends with; a thrown error sets its own. */
  exitCode: number;
  /** Global options, wherever on the line they stand. */
  globals(command: Command): GlobalOptions;
  platform(command: Command): Platform;
}

const EPILOGUE = `
Exit status: 0 done · 1 refused or failed · 2 wrong usage, or a file that cannot be read or written

A platform is found by --address, LETHE_ADDRESS, or platform.json in the data directory (--data-dir, LETHE_DATA_DIR, .lethe);
tokens come from --token, LETHE_TOKEN, or credentials.json beside it (LETHE_CREDENTIALS). A token on a command line can be
seen by other users of the machine: prefer the file or the variable.

Examples:
  $ lethe up
  $ lethe ingest sensors.csv --dataset sensors --spec sensors.json --create
  $ lethe dataset commit sensors
  $ lethe hash create sensors --dataset sensors
  $ lethe erase operator-017 --certificate certificate.json --key verify-key.json
  $ lethe certificate verify certificate.json --key verify-key.json
`;

export function buildProgram(cli: Cli): Command {
  const program = new Command('lethe')
    .description('Learns from personal records, forgets a person, and proves it.')
    .version(VERSION)
    .option('--data-dir <dir>', 'data directory of the platform (LETHE_DATA_DIR, default .lethe)')
    .option('--address <host:port>', 'address of the platform (LETHE_ADDRESS)')
    .option('--nats-url <url>', 'NATS server of the platform (LETHE_NATS_URL)')
    .option('--token <token>', 'bearer token (LETHE_TOKEN)')
    .addOption(
      new Option('--role <role>', 'credential to use (LETHE_ROLE, default what the command needs)').choices([
        'platform',
        'client',
        'party',
        'auditor',
      ]),
    )
    .option('--tenant <tenant>', "tenant (LETHE_TENANT, default the platform's own)")
    .option('--json', 'answer in JSON: bytes in hex, times in RFC 3339')
    .addHelpText('after', EPILOGUE)
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({ writeOut: (text) => cli.io.out(text), writeErr: (text) => cli.io.err(text) })
    .showSuggestionAfterError()
    .exitOverride();
  addUp(program, cli);
  addStatus(program, cli);
  addDataset(program, cli);
  addIngest(program, cli);
  addHash(program, cli);
  addTrain(program, cli);
  addErase(program, cli);
  addErasure(program, cli);
  addCertificate(program, cli);
  addEvents(program, cli);
  addModel(program, cli);
  addPrivacy(program, cli);
  addData(program, cli);
  return program;
}

/** Mistakes of the one who types; they end with 2. */
const USAGE_CODES: ReadonlySet<string> = new Set(
  [CLI.WRONG_USAGE, CLI.FILE_UNREADABLE, CLI.FILE_UNWRITABLE].map(({ spec }) => spec.code),
);

/** @param argv without the names of node and script  @returns the exit status: 0, 1 or 2 (`up` passes its child's on) */
export async function run(argv: readonly string[], io: CliIo): Promise<number> {
  const cli: Cli = {
    io,
    exitCode: 0,
    globals: (command) => command.optsWithGlobals<GlobalOptions>(),
    platform: (command) => findPlatform(cli.globals(command), io.environment),
  };
  try {
    await buildProgram(cli).parseAsync([...argv], { from: 'user' });
    return cli.exitCode;
  } catch (error) {
    // commander has written its message already.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    report(io, error);
    return error instanceof LetheError && USAGE_CODES.has(error.code) ? 2 : 1;
  }
}
