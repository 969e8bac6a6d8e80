import { randomUUID } from 'node:crypto';
import type { Lethe } from '@lethe/client';
import type { hashing } from '@lethe/contracts';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { integer, positive } from '../arguments.ts';
import { CLI } from '../errors.ts';
import { follow } from '../follow.ts';
import { type Plain, Progress, plain, print } from '../output.ts';
import type { Cli } from '../program.ts';
import { addHashPromote } from './hash-promote.ts';
import { addHashProof } from './hash-proof.ts';
import { addHashQuarantine } from './hash-quarantine.ts';
import { addHashSearch } from './hash-search.ts';
import { addHashWatch } from './hash-watch.ts';
import { fullName, parentName } from './names.ts';
import { addRootOptions, type RootOptions, rootOf } from './root.ts';

/** Words of `--survivors`, and the policy that each stands for. */
const SURVIVORS = {
  keep: 'SURVIVOR_CODES_KEEP',
  'reencode-changed': 'SURVIVOR_CODES_REENCODE_CHANGED',
  retire: 'SURVIVOR_CODES_RETIRE',
} as const;

interface CreateOptions extends RootOptions {
  readonly codeBits?: number;
  readonly featureDim?: number;
  readonly lambda?: number;
  readonly featureSeed?: string;
  readonly modality: hashing.Modality[];
  readonly survivors?: keyof typeof SURVIVORS;
  readonly gateEpsilon?: number;
  readonly gate?: 'hold' | 'require' | 'report';
  readonly nearDuplicates?: number;
  readonly contentBits?: number;
  readonly quarantineMargin?: number;
  readonly quarantineHubs?: boolean;
  readonly wait: boolean;
}

/** `text=embedding,language` → a modality; commander calls this once for each time the option stands there. */
function modality(text: string, before: hashing.Modality[]): hashing.Modality[] {
  const [, name, list] = /^([^=]+)=(.+)$/.exec(text) ?? [];
  if (name === undefined || list === undefined)
    throw new InvalidArgumentError('It must be NAME=FIELD[,FIELD…].');
  return [...before, { name, fields: list.split(',') }];
}

const CREATE_HELP = `
A function of several modalities gives one item for each that a record has (all its fields present), all on one codebook: a text
finds pictures. --survivors says what an erasure does with stored codes of others that the changed function would compute otherwise:
keep them (and count them in the certificate), reencode-changed, or retire every code of an earlier version.
--gate says what an update has to show before it serves: hold an update that loses more than --gate-epsilon of retrieval quality on what
is stored, require also that there be enough items to compare with, or report only and hold nothing.
--near-duplicates leaves out records that are nearly those of the same person with the same labels: at most so many of --content-bits
differ. --quarantine-margin indexes new items with a low margin and leaves them out of answers, --quarantine-hubs those that a check of hubs
has flagged (hash quarantine).

Examples:
  $ lethe hash create sensors --dataset sensors --code-bits 32
  $ lethe hash create emoji --dataset emoji --modality image=pixels --modality text=embedding
`;

const VERSIONS_HELP = `
A version has a fingerprint while its weights are kept: the newest, and the one before while it answers beside it. Those of earlier versions
are destroyed with the next one, so their fingerprint is empty and only the number of their codes is left.

Examples:
  $ lethe hash versions emoji
`;

export function addHash(program: Command, cli: Cli): void {
  const hash = program.command('hash').description('lifelong hash functions: learn, update, search');
  addRootOptions(hash.command('create <name>'))
    .description('learn a hash function and index the codes; watches until it serves')
    .option('--code-bits <n>', 'power of two, 8 to 256 (default 64)', integer(8, 256))
    .option('--feature-dim <n>', 'number of fixed random features (default 768)', integer(8, 4096))
    .option('--lambda <x>', 'ridge parameter (default 65536)', positive())
    .option('--feature-seed <text>', 'public seed of the fixed features')
    .option(
      '--modality <name=fields>',
      'fields that are hashed together; again for each modality',
      modality,
      [],
    )
    .addOption(
      new Option('--survivors <policy>', 'codes of others after an erasure (default keep)').choices(
        Object.keys(SURVIVORS),
      ),
    )
    .addOption(
      new Option('--gate <mode>', 'when an update is held (default hold)').choices([
        'hold',
        'require',
        'report',
      ]),
    )
    .option('--gate-epsilon <x>', 'loss of mAP that counts as none (default 0.05)', positive(1))
    .option('--near-duplicates <bits>', "distance of a person's own near-duplicates", integer(0, 4096))
    .option('--content-bits <n>', 'length of what they are compared by (default 256)', integer(8, 4096))
    .option('--quarantine-margin <share>', 'of honest new items that may be held', positive(0.5))
    .option('--quarantine-hubs', 'hold items that a check of hubs has flagged')
    .option('--no-wait', 'return as soon as it is requested')
    .addHelpText('after', CREATE_HELP)
    .action(async (name: string, options: CreateOptions, command: Command) => {
      const platform = cli.platform(command);
      await platform.withClients('client', async (clients) => {
        const tenant = platform.tenant();
        const {
          wait,
          dataset,
          root,
          modality: modalities,
          survivors,
          gate,
          gateEpsilon: epsilon = 0,
          nearDuplicates: radius,
          contentBits,
          quarantineMargin: marginShare = 0,
          quarantineHubs: flaggedHubs = false,
          ...settings
        } = options;
        if (contentBits !== undefined && radius === undefined)
          throw CLI.WRONG_USAGE('--content-bits needs --near-duplicates');
        const { hashing: contract } = await import('@lethe/contracts');
        const survivorCodes = survivors && contract.HashFunctionSpec_SurvivorCodes[SURVIVORS[survivors]];
        const made = await clients.hashing.createHashFunction({
          parent: await parentName(tenant),
          functionId: name,
          spec: {
            root: await rootOf(clients, tenant, options),
            modalities,
            ...(survivorCodes === undefined ? {} : { survivorCodes }),
            ...(gate || epsilon > 0
              ? { gate: { epsilon, require: gate === 'require', reportOnly: gate === 'report' } }
              : {}),
            ...(radius === undefined ? {} : { nearDuplicates: { radius, contentBits: contentBits ?? 0 } }),
            ...(marginShare > 0 || flaggedHubs ? { quarantine: { marginShare, flaggedHubs } } : {}),
            ...settings,
          },
          requestId: randomUUID(),
        });
        await finish(cli, clients, made, options.wait, cli.globals(command).json === true);
      });
    });
  addRootOptions(hash.command('update <name>'))
    .description('learn what is new under a later root; old codes stay as they are')
    .option('--no-wait', 'return as soon as it is requested')
    .addHelpText('after', '\nExamples:\n  $ lethe hash update sensors --dataset sensors\n')
    .action(async (typed: string, options: RootOptions & { wait: boolean }, command: Command) => {
      const platform = cli.platform(command);
      await platform.withClients('client', async (clients) => {
        const tenant = platform.tenant();
        const name = await fullName('hashFunction', tenant, typed);
        const root = await rootOf(clients, tenant, options);
        const made = await clients.hashing.createUpdate({ name, root, requestId: randomUUID() });
        await finish(cli, clients, made, options.wait, cli.globals(command).json === true);
      });
    });
  addHashPromote(hash, cli, (clients, made, wait, json) => finish(cli, clients, made, wait, json));
  addShows(hash, cli);
  addHashSearch(hash, cli);
  addHashWatch(hash, cli);
  addHashProof(hash, cli);
  addHashQuarantine(hash, cli);
}

function addShows(hash: Command, cli: Cli): void {
  hash
    .command('list')
    .description('every hash function, oldest first')
    .addHelpText('after', '\nExamples:\n  $ lethe hash list\n  $ lethe hash list --json\n')
    .action(async (_options: unknown, command: Command) => {
      const platform = cli.platform(command);
      const parent = await parentName(platform.tenant());
      const functions = await platform.withClients('client', (clients) => listed(clients, parent));
      const json = cli.globals(command).json === true;
      const shown = await Promise.all(functions.map((item) => (json ? view(item) : summary(item))));
      print(cli.io, json, shown);
    });
  const get = async (typed: string, command: Command): Promise<hashing.HashFunction> => {
    const platform = cli.platform(command);
    const name = await fullName('hashFunction', platform.tenant(), typed);
    return await platform.withClients('client', (clients) => clients.hashing.getHashFunction({ name }));
  };
  hash
    .command('get <name>')
    .alias('show')
    .description('show a hash function: version, roots of its codes, digests')
    .addHelpText('after', '\nExamples:\n  $ lethe hash show sensors\n')
    .action(async (typed: string, _options: unknown, command: Command) => {
      print(cli.io, cli.globals(command).json === true, await view(await get(typed, command)));
    });
  hash
    .command('versions <name>')
    .description(
      'versions that stored codes are of, what the gate said of the newest and holds, what the index holds',
    )
    .addHelpText('after', VERSIONS_HELP)
    .action(async (typed: string, _options: unknown, command: Command) => {
      const found = await get(typed, command);
      const { name, version, liveVersions, modalities, ledgerSize, segmentCount, ledgerRoot, itemCount } =
        found;
      const { gate, held, reencoding } = found;
      const index = { itemCount, ledgerSize, segmentCount, ledgerRoot };
      const shown = { name, version, liveVersions, modalities, index, gate, held, reencoding };
      print(cli.io, cli.globals(command).json === true, await view(shown));
    });
}

async function listed(clients: Lethe, parent: string): Promise<hashing.HashFunction[]> {
  const functions: hashing.HashFunction[] = [];
  for (let pageToken = '', more = true; more; more = pageToken !== '') {
    const page = await clients.hashing.listHashFunctions({ parent, pageToken });
    functions.push(...page.hashFunctions);
    pageToken = page.nextPageToken;
  }
  return functions;
}

/** A list says what there is and how far it is; `hash get` shows the rest. */
async function summary(shown: hashing.HashFunction): Promise<Plain> {
  const { hashing: contract } = await import('@lethe/contracts');
  const { name, state, version, itemCount, spec, learnedRoot } = shown;
  const modalities = spec?.modalities.map((item) => item.name) ?? [];
  const failed = shown.conditions.find(({ type, reason }) => type === 'Learning' && reason === 'Failed');
  const chosen = {
    ...{ name, state, version, itemCount, codeBits: spec?.codeBits, modalities, learnedRoot },
    ...(failed && { failure: failed.message }),
  };
  return plain(chosen, { state: [contract.HashFunction_State, 'STATE_'] });
}

/** No root is being learned any more. */
const isSettled = ({ conditions }: hashing.HashFunction): boolean =>
  conditions.every(({ reason }) => reason !== 'RootRequested');

async function finish(
  cli: Cli,
  clients: Lethe,
  made: hashing.HashFunction,
  wait: boolean,
  json: boolean,
): Promise<void> {
  if (!wait) return print(cli.io, json, await view(made));
  const progress = new Progress(cli.io);
  const end = await follow({
    open: () => clients.hashing.watchHashFunction({ name: made.name }),
    isFinal: isSettled,
    seen: ({ progress: at }) => at && progress.show(at.phase || 'learning', at.done, at.total),
  }).finally(() => progress.end());
  print(cli.io, json, await view(end));
  const failed = end.conditions.find(({ type, reason }) => type === 'Learning' && reason === 'Failed');
  if (failed) throw CLI.OPERATION_FAILED(`${end.name} has not learned the root`);
  if (end.held) throw CLI.VERSION_HELD(`the gate holds the version that was learned from ${end.held.root}`);
}

async function view(shown: Partial<hashing.HashFunction>): Promise<Plain> {
  const { common, hashing: contract } = await import('@lethe/contracts');
  return plain(shown, {
    state: [contract.HashFunction_State, 'STATE_'],
    status: [common.ConditionStatus, 'CONDITION_STATUS_'],
    survivorCodes: [contract.HashFunctionSpec_SurvivorCodes, 'SURVIVOR_CODES_'],
    tier: [contract.HashFunctionSpec_Tier, 'TIER_'],
    verdict: [contract.GateReport_Verdict, 'VERDICT_'],
    kind: [contract.GateComparison_Kind, 'KIND_'],
  });
}
