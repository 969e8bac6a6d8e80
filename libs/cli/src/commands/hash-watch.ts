/** `lethe hash metrics` and `lethe hash check`: what a function keeps and forgets, what it is open to. */
import { randomUUID } from 'node:crypto';
import type { hashing } from '@lethe/contracts';
import { Argument, type Command } from 'commander';
import { integer, positive } from '../arguments.ts';
import { CLI } from '../errors.ts';
import { follow } from '../follow.ts';
import { type Plain, plain, print } from '../output.ts';
import type { Cli } from '../program.ts';
import { fullName, parentName } from './names.ts';

const KINDS = { hubs: 'KIND_HUBS', uniqueness: 'KIND_UNIQUENESS', targeted: 'KIND_TARGETED' } as const;

interface CheckOptions {
  readonly id?: string;
  readonly modality?: string;
  readonly root?: string;
  readonly falseAlarms?: number;
  readonly newerThan?: number;
  readonly epsilon?: number;
  readonly wait: boolean;
}

const CHECK_HELP = `
hubs: items of later versions that are among the ten nearest of far too many probes. uniqueness: whether distances tell who was learned;
it needs records under a later root that the function has not learned. targeted: whether inputs changed by at most --epsilon find
another class. Needs the role auditor. Searches go on meanwhile.

Examples:
  $ lethe hash check sensors hubs
  $ lethe hash check emoji targeted --modality image --epsilon 8
`;

export function addHashWatch(hash: Command, cli: Cli): void {
  hash
    .command('metrics <name>')
    .description(
      'scores by version and group of classes, forgetting, transfer and compatibility, the watch for drift',
    )
    .addHelpText('after', '\nExamples:\n  $ lethe hash metrics sensors\n')
    .action(async (typed: string, _options: unknown, command: Command) => {
      const platform = cli.platform(command);
      const name = await fullName('hashFunction', platform.tenant(), typed);
      const found = await platform.withClients('client', (to) => to.hashing.getHashMetrics({ name }));
      const { hashing: contract } = await import('@lethe/contracts');
      const shown = plain(found, { state: [contract.DriftWatch_State, 'STATE_'] });
      print(cli.io, cli.globals(command).json === true, shown);
    });
  hash
    .command('check <name>')
    .addArgument(new Argument('<kind>', 'what to look for').choices(Object.keys(KINDS)))
    .description('run an attack check; watches until it has a result')
    .option('--id <id>', 'id of the check (default: a new one)')
    .option('--modality <name>', 'modality to check, where there are several')
    .option('--root <root>', "records to use (default: the dataset's newest root)")
    .option(
      '--false-alarms <share>',
      'hubs: honest new items that may be flagged (default 0.001)',
      positive(),
    )
    .option('--newer-than <version>', 'hubs: judge items of later versions (default: the newest)', integer(1))
    .option('--epsilon <bytes>', 'targeted: largest change of an input byte (default 8)', integer(1, 255))
    .option('--no-wait', 'return as soon as it is requested')
    .addHelpText('after', CHECK_HELP)
    .action(async (typed: string, kind: keyof typeof KINDS, options: CheckOptions, command: Command) => {
      const platform = cli.platform(command);
      const tenant = platform.tenant();
      const { hashing: contract } = await import('@lethe/contracts');
      const name = await fullName('hashFunction', tenant, typed);
      const request = {
        parent: await parentName(tenant),
        checkId: options.id ?? `${kind}-${randomUUID().slice(0, 8)}`,
        spec: {
          function: name,
          kind: contract.HashCheckSpec_Kind[KINDS[kind]],
          modality: options.modality ?? '',
          root: options.root ?? '',
          falseAlarms: options.falseAlarms ?? 0,
          newerThanVersion: options.newerThan ?? 0,
          epsilon: options.epsilon ?? 0,
        },
        requestId: randomUUID(),
      };
      const { STATE_RUNNING, STATE_FAILED } = contract.HashCheck_State;
      const end = await platform.withClients('auditor', async (to) => {
        const made = await to.hashing.createHashCheck(request);
        if (!options.wait) return made;
        return await follow({
          open: () => to.hashing.watchHashCheck({ name: made.name }),
          isFinal: ({ state }) => state !== STATE_RUNNING,
          seen: () => undefined,
        });
      });
      print(cli.io, cli.globals(command).json === true, await view(end));
      if (end.state === STATE_FAILED) throw CLI.OPERATION_FAILED(`${end.name} has no result`);
    });
  hash
    .command('check-result <check>')
    .description('show an attack check, with the items that it flagged')
    .addHelpText('after', '\nExamples:\n  $ lethe hash check-result hubs-1f0a33c4\n')
    .action(async (typed: string, _options: unknown, command: Command) => {
      const platform = cli.platform(command);
      const name = await fullName('hashCheck', platform.tenant(), typed);
      const found = await platform.withClients('auditor', (to) => to.hashing.getHashCheck({ name }));
      print(cli.io, cli.globals(command).json === true, await view(found));
    });
}

async function view(check: hashing.HashCheck): Promise<Plain> {
  const { common, hashing: contract } = await import('@lethe/contracts');
  return plain(check, {
    state: [contract.HashCheck_State, 'STATE_'],
    status: [common.ConditionStatus, 'CONDITION_STATUS_'],
    kind: [contract.HashCheckSpec_Kind, 'KIND_'],
  });
}
