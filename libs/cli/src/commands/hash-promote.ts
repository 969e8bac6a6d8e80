/** `lethe hash promote`: an operator's decision about a version that the gate holds. */
import { randomUUID } from 'node:crypto';
import type { Lethe } from '@lethe/client';
import type { hashing } from '@lethe/contracts';
import { type Command, Option } from 'commander';
import { CLI } from '../errors.ts';
import type { Cli } from '../program.ts';
import { fullName } from './names.ts';

const PROMOTE_HELP = `
hash show has the report of the gate: what was compared, and what was lost. --force: the held version answers for all codes, which stay
as they are. --fan-out: each version answers for its own codes while stored codes are moved to the new one in the background; then the
weights of the old one are destroyed (hash versions shows how far it is).

Examples:
  $ lethe hash promote sensors --fan-out
`;

interface PromoteOptions {
  readonly force?: true;
  readonly fanOut?: true;
  readonly root?: string;
  readonly wait: boolean;
}

/** @param finish follows the function until it has learned, and prints it */
export function addHashPromote(
  hash: Command,
  cli: Cli,
  finish: (clients: Lethe, made: hashing.HashFunction, wait: boolean, json: boolean) => Promise<void>,
): void {
  hash
    .command('promote <name>')
    .description('serve a version that the gate holds')
    .addOption(new Option('--force', 'for all codes').conflicts('fanOut'))
    .option('--fan-out', 'beside the version before, until stored codes are moved')
    .option('--root <root>', 'only if the held version learned this root (full name)')
    .option('--no-wait', 'return as soon as it is requested')
    .addHelpText('after', PROMOTE_HELP)
    .action(async (typed: string, options: PromoteOptions, command: Command) => {
      if (!options.force && !options.fanOut) throw CLI.WRONG_USAGE('say how: --force or --fan-out');
      const platform = cli.platform(command);
      await platform.withClients('client', async (clients) => {
        const { hashing: contract } = await import('@lethe/contracts');
        const { MODE_FORCE, MODE_FAN_OUT } = contract.PromoteHashVersionRequest_Mode;
        const made = await clients.hashing.promoteHashVersion({
          name: await fullName('hashFunction', platform.tenant(), typed),
          root: options.root ?? '',
          mode: options.force ? MODE_FORCE : MODE_FAN_OUT,
          requestId: randomUUID(),
        });
        await finish(clients, made, options.wait, cli.globals(command).json === true);
      });
    });
}
