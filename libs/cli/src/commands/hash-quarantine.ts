/** `lethe hash quarantine` and `lethe hash near-duplicates`: items that are left out of answers, records that are left out of learning. */
import type { hashing } from '@lethe/contracts';
import type { Command } from 'commander';
import { CLI } from '../errors.ts';
import { plain, print } from '../output.ts';
import type { Cli } from '../program.ts';
import { fullName } from './names.ts';

const QUARANTINE_HELP = `
A function that was created with --quarantine-margin or --quarantine-hubs indexes such items and leaves them out of answers until you
decide. release: they answer like others. retire: they never answer again (a release takes it back); what the function has learned of them
stays until their person is erased. Needs the role platform.

Examples:
  $ lethe hash quarantine list sensors
  $ lethe hash quarantine release sensors 000102030405060708090a0b0c0d0e0f
`;

const DUPLICATES_HELP = `
Of a function that was created with --near-duplicates: the position of each record that was left out, and the item that stands for it.
Needs the role auditor.

Examples:
  $ lethe hash near-duplicates sensors
`;

type Decision = keyof typeof DECISIONS;
const DECISIONS = { release: 'RESOLUTION_RELEASE', retire: 'RESOLUTION_RETIRE' } as const;

export function addHashQuarantine(hash: Command, cli: Cli): void {
  const quarantine = hash
    .command('quarantine')
    .description('items that are left out of answers: list, release or retire them')
    .addHelpText('after', QUARANTINE_HELP);
  quarantine
    .command('list <name>')
    .description('items in quarantine, and why')
    .option('--retired', 'those that were retired as well')
    .action(async (typed: string, { retired = false }: { retired?: boolean }, command: Command) => {
      const platform = cli.platform(command);
      const name = await fullName('hashFunction', platform.tenant(), typed);
      const items = await platform.withClients('platform', (clients) =>
        collected(clients.hashing.listQuarantine({ name, retired })),
      );
      const { hashing: contract } = await import('@lethe/contracts');
      const shown = plain(items, { reason: [contract.QuarantinedItem_Reason, 'REASON_'] });
      print(cli.io, cli.globals(command).json === true, shown);
    });
  for (const decision of ['release', 'retire'] as const) {
    quarantine
      .command(`${decision} <name> <items...>`)
      .description(
        decision === 'release'
          ? 'the items (32 hex digits each) answer like others'
          : 'the items (32 hex digits each) never answer again',
      )
      .action(async (typed: string, items: readonly string[], _options: unknown, command: Command) => {
        await resolve(cli, command, decision, typed, items);
      });
  }
  hash
    .command('near-duplicates <name>')
    .description('records that are remembered as near-duplicates of an item of the same person')
    .addHelpText('after', DUPLICATES_HELP)
    .action(async (typed: string, _options: unknown, command: Command) => {
      const platform = cli.platform(command);
      const name = await fullName('hashFunction', platform.tenant(), typed);
      const rows = await platform.withClients('auditor', (clients) =>
        collected(clients.hashing.listNearDuplicates({ name })),
      );
      print(cli.io, cli.globals(command).json === true, plain(rows));
    });
}

async function collected<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const out: Item[] = [];
  for await (const item of items) out.push(item);
  return out;
}

async function resolve(
  cli: Cli,
  command: Command,
  decision: Decision,
  typed: string,
  items: readonly string[],
): Promise<void> {
  if (!items.every((item) => /^[0-9a-f]{32}$/u.test(item)))
    throw CLI.WRONG_USAGE('each of ITEMS must be 32 lower-case hex digits');
  const platform = cli.platform(command);
  const name = await fullName('hashFunction', platform.tenant(), typed);
  const { hashing: contract } = await import('@lethe/contracts');
  const resolution = contract.ResolveQuarantineRequest_Resolution[DECISIONS[decision]];
  const itemIds = items.map((item) => Buffer.from(item, 'hex'));
  const made: hashing.HashFunction = await platform.withClients('platform', (clients) =>
    clients.hashing.resolveQuarantine({ name, itemIds, resolution }),
  );
  const { version, quarantinedItems, retiredItems } = made;
  const shown = plain({ name: made.name, version, quarantinedItems, retiredItems });
  print(cli.io, cli.globals(command).json === true, shown);
}
