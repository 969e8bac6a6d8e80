import { randomUUID } from 'node:crypto';
import { basename, extname } from 'node:path';
import type { Lethe } from '@lethe/client';
import type { DatasetSpec } from '@lethe/datasets';
import { equalBytes } from '@lethe/std';
import { type Command, Option } from 'commander';
import { CLI } from '../errors.ts';
import { readFile, readText } from '../files.ts';
import { type Plain, Progress, plain, print } from '../output.ts';
import type { Cli } from '../program.ts';
import { recordIds, withoutColumn } from '../record-ids.ts';
import { fullName, parentName } from './names.ts';

export function addDataset(program: Command, cli: Cli): void {
  const dataset = program.command('dataset').description('declare datasets and commit what they hold');
  dataset
    .command('create <name>')
    .description('declare a dataset; again with the same specification it changes nothing')
    .requiredOption('--spec <file>', 'specification: fields, ranges, label (libs/datasets/README.md)')
    .addHelpText(
      'after',
      '\nExamples:\n  $ lethe dataset create sensors --spec libs/datasets/fixtures/sensors.json\n',
    )
    .action(async (name: string, options: { spec: string }, command: Command) => {
      const platform = cli.platform(command);
      const spec = await canonicalSpec(options.spec);
      const made = await platform.withClients('client', (clients) =>
        create(clients, platform.tenant(), name, spec),
      );
      print(cli.io, cli.globals(command).json === true, view(made));
    });
  dataset
    .command('get <name>')
    .description('show a dataset: its counts, its newest root, with --json its specification')
    .action(async (name: string, _options: unknown, command: Command) => {
      const platform = cli.platform(command);
      const full = await fullName('dataset', platform.tenant(), name);
      const found = await platform.withClients('client', ({ vault }) => vault.getDataset({ name: full }));
      const json = cli.globals(command).json === true;
      const spec: Plain = JSON.parse(new TextDecoder().decode(found.spec));
      print(cli.io, json, json ? { ...view(found), spec } : view(found));
    });
  dataset
    .command('commit <name>')
    .description('commit a Merkle root over all present records; learning names a committed root')
    .addHelpText('after', '\nExamples:\n  $ lethe dataset commit sensors\n')
    .action(async (name: string, _options: unknown, command: Command) => {
      const platform = cli.platform(command);
      const full = await fullName('dataset', platform.tenant(), name);
      const root = await platform.withClients('client', ({ vault }) =>
        vault.commitDatasetRoot({ dataset: full, requestId: randomUUID() }),
      );
      print(cli.io, cli.globals(command).json === true, plain(root));
    });
}

const view = ({ spec: _, ...shown }: Awaited<ReturnType<Lethe['vault']['getDataset']>>) =>
  plain(shown) as { readonly [key: string]: Plain };

async function canonicalSpec(path: string): Promise<Uint8Array> {
  const { decodeSpec, encodeSpec } = await import('@lethe/datasets');
  return encodeSpec(decodeSpec(readFile(path)));
}

const create = async (clients: Lethe, tenant: string, datasetId: string, spec: Uint8Array) =>
  await clients.vault.createDataset({
    parent: await parentName(tenant),
    datasetId,
    spec,
    requestId: randomUUID(),
  });

interface IngestOptions {
  readonly dataset: string;
  readonly spec?: string;
  readonly create?: true;
  readonly idColumn?: string;
  readonly idPrefix?: string;
}

const INGEST_HELP = `
FILE is CSV (RFC 4180) in UTF-8 whose header names the subject's column, the fields and the label of the specification; see
libs/datasets/README.md. A record is known by its id: by default the file's name without ending and the row (sensors-2 is the first
row below the header), so that the same file can be sent again and nothing is stored twice.

Examples:
  $ lethe ingest sensors.csv --dataset sensors --spec sensors.json --create
  $ lethe ingest july.csv --dataset sensors --id-column reading
`;

export function addIngest(program: Command, cli: Cli): void {
  program
    .command('ingest <file>')
    .description('store the records of a CSV file, each sealed under the key of its person')
    .requiredOption('--dataset <name>', 'dataset to store into')
    .option('--spec <file>', 'specification that the dataset must have')
    .option('--create', 'declare the dataset with --spec if it is not there yet')
    .addOption(
      new Option(
        '--id-column <column>',
        'column with record ids; may stand beside the columns of the spec',
      ).conflicts('idPrefix'),
    )
    .option('--id-prefix <text>', "record ids are this and the row's number (default: the file's name)")
    .addHelpText('after', INGEST_HELP)
    .action(async (file: string, options: IngestOptions, command: Command) => {
      const platform = cli.platform(command);
      if (options.create && options.spec === undefined) throw CLI.WRONG_USAGE('--create needs --spec FILE');
      const wanted = options.spec === undefined ? undefined : await canonicalSpec(options.spec);
      const text = readText(file);
      const answer = await platform.withClients('client', async (clients) => {
        if (options.create && wanted) await create(clients, platform.tenant(), options.dataset, wanted);
        const dataset = await fullName('dataset', platform.tenant(), options.dataset);
        const { spec } = await clients.vault.getDataset({ name: dataset });
        if (wanted && !equalBytes(wanted, spec)) {
          throw CLI.SPEC_DIFFERS(`${dataset} has another specification than ${options.spec}`);
        }
        const { decodeSpec } = await import('@lethe/datasets');
        const prefix = options.idPrefix ?? basename(file, extname(file));
        const records = await read(decodeSpec(spec), text, prefix, options.idColumn);
        return await send(cli, clients, dataset, records);
      });
      print(cli.io, cli.globals(command).json === true, plain(answer));
    });
}

interface Outgoing {
  readonly subjectId: string;
  readonly recordId: string;
  readonly payload: Uint8Array;
}

async function read(
  spec: DatasetSpec,
  text: string,
  prefix: string,
  idColumn: string | undefined,
): Promise<readonly Outgoing[]> {
  const { csvRecords, encodePayload, parseCsv } = await import('@lethe/datasets');
  const rows = parseCsv(text);
  const ids = recordIds(rows, prefix, idColumn);
  const isOfSpec = [spec.subjectField, spec.label.name, ...spec.fields.map(({ name }) => name)].some(
    (name) => idColumn === name || idColumn?.replace(/_\d+$/, '') === name,
  );
  const table = idColumn === undefined || isOfSpec ? text : withoutColumn(rows, idColumn);
  return csvRecords(spec, table).map((record, i) => ({
    subjectId: record.subjectId,
    recordId: ids[i]!,
    payload: encodePayload(spec, record),
  }));
}

/** Shorter ones need no progress. */
const QUIET_MS = 1_000;

async function send(cli: Cli, clients: Lethe, dataset: string, records: readonly Outgoing[]) {
  const progress = new Progress(cli.io);
  const startMs = performance.now();
  async function* messages() {
    yield { message: { $case: 'header' as const, value: { dataset, requestId: randomUUID() } } };
    for (const [i, record] of records.entries()) {
      if (performance.now() - startMs > QUIET_MS) progress.show('records sent', i, records.length);
      yield { message: { $case: 'record' as const, value: { ...record, sequence: BigInt(i + 1) } } };
    }
  }
  try {
    return await clients.vault.ingest(messages());
  } finally {
    progress.end();
  }
}
