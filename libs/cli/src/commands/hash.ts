import { randomUUID } from 'node:crypto';
import type { Lethe } from '@lethe/client';
import type { hashing } from '@lethe/contracts';
import { fromHex } from '@lethe/std';
import { type Command, Option } from 'commander';
import { integer, positive } from '../arguments.ts';
import { CLI } from '../errors.ts';
import { readText } from '../files.ts';
import { follow } from '../follow.ts';
import { type Plain, Progress, plain, print } from '../output.ts';
import type { Platform } from '../platform.ts';
import type { Cli } from '../program.ts';
import { fullName, parentName } from './names.ts';
import { addRootOptions, type RootOptions, rootOf } from './root.ts';

interface CreateOptions extends RootOptions {
  readonly codeBits?: number;
  readonly featureDim?: number;
  readonly lambda?: number;
  readonly featureSeed?: string;
  readonly wait: boolean;
}

interface SearchOptions {
  readonly code?: string;
  readonly rows?: string;
  readonly k: number;
}

export function addHash(program: Command, cli: Cli): void {
  const hash = program.command('hash').description('lifelong hash functions: learn, update, search');
  addRootOptions(hash.command('create <name>'))
    .description('learn a hash function and index the codes; watches until it serves')
    .option('--code-bits <n>', 'power of two, 8 to 256 (default 64)', integer(8, 256))
    .option('--feature-dim <n>', 'number of fixed random features (default 768)', integer(8, 4096))
    .option('--lambda <x>', 'ridge parameter (default 65536)', positive())
    .option('--feature-seed <text>', 'public seed of the fixed features')
    .option('--no-wait', 'return as soon as it is requested')
    .addHelpText('after', '\nExamples:\n  $ lethe hash create sensors --dataset sensors --code-bits 32\n')
    .action(async (name: string, options: CreateOptions, command: Command) => {
      const platform = cli.platform(command);
      await platform.withClients('client', async (clients) => {
        const tenant = platform.tenant();
        const { wait, dataset, root, ...settings } = options;
        const made = await clients.hashing.createHashFunction({
          parent: await parentName(tenant),
          functionId: name,
          spec: { root: await rootOf(clients, tenant, options), ...settings },
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
  hash
    .command('get <name>')
    .description('show a hash function: version, roots of its codes, digests')
    .action(async (typed: string, _options: unknown, command: Command) => {
      const platform = cli.platform(command);
      const name = await fullName('hashFunction', platform.tenant(), typed);
      const found = await platform.withClients('client', (clients) =>
        clients.hashing.getHashFunction({ name }),
      );
      print(cli.io, cli.globals(command).json === true, await view(found));
    });
  hash
    .command('search <name>')
    .description('exact nearest neighbours of a code, or of every row of a CSV file')
    .addOption(new Option('--code <hex>', 'code to look for').conflicts('rows'))
    .option('--rows <file>', "CSV with the dataset's columns; each row is looked for, none is stored")
    .option('-k <n>', 'neighbours, 1 to 1000', integer(1, 1000), 10)
    .addHelpText(
      'after',
      '\nExamples:\n  $ lethe hash search sensors --code 1f0a33c4e5d6b7a8 -k 5\n  $ lethe hash search sensors --rows query.csv --json\n',
    )
    .action(async (typed: string, options: SearchOptions, command: Command) => {
      const platform = cli.platform(command);
      const answers = await platform.withClients('client', (clients) =>
        search(clients, platform, typed, options),
      );
      print(cli.io, cli.globals(command).json === true, answers);
    });
}

async function search(
  clients: Lethe,
  platform: Platform,
  typed: string,
  { code, rows, k }: SearchOptions,
): Promise<Plain> {
  const name = await fullName('hashFunction', platform.tenant(), typed);
  if (code !== undefined) {
    if (!/^([0-9a-f]{2})+$/i.test(code)) throw CLI.WRONG_USAGE('--code takes hex digits, two per byte');
    return plain(await clients.hashing.search({ name, query: { $case: 'code', value: fromHex(code) }, k }));
  }
  if (rows === undefined) throw CLI.WRONG_USAGE('say what to look for: --code HEX or --rows FILE');
  const text = readText(rows);
  const { csvRecords, decodeSpec, encodePayload } = await import('@lethe/datasets');
  const { spec } = await clients.hashing.getHashFunction({ name });
  const dataset = spec?.root.replace(/\/roots\/[^/]+$/, '') ?? '';
  const datasetSpec = decodeSpec((await clients.vault.getDataset({ name: dataset })).spec);
  const answers: Plain[] = [];
  for (const [i, record] of csvRecords(datasetSpec, text).entries()) {
    const value = encodePayload(datasetSpec, record);
    const answer = await clients.hashing.search({ name, query: { $case: 'payload', value }, k });
    answers.push({ row: i + 2, answer: plain(answer) });
  }
  return answers;
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
}

async function view(shown: hashing.HashFunction): Promise<Plain> {
  const { common, hashing: contract } = await import('@lethe/contracts');
  return plain(shown, {
    state: [contract.HashFunction_State, 'STATE_'],
    status: [common.ConditionStatus, 'CONDITION_STATUS_'],
  });
}
