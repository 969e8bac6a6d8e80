/** `lethe hash search`: codes, or the rows of a table, against the index. */
import type { Lethe } from '@lethe/client';
import type { hashing } from '@lethe/contracts';
import { fromHex, hex } from '@lethe/std';
import { type Command, Option } from 'commander';
import { integer } from '../arguments.ts';
import { CLI } from '../errors.ts';
import { readText } from '../files.ts';
import { type Plain, plain, print, printable } from '../output.ts';
import type { Cli } from '../program.ts';
import { fullName } from './names.ts';

interface SearchOptions {
  readonly code?: string;
  readonly rows?: string;
  readonly k?: number;
  readonly radius?: number;
  readonly modality?: string;
  readonly find: string[];
  readonly label: string[];
  readonly allLabels: string[];
  readonly functionVersion: number[];
  readonly minSequence?: number;
}

const NEIGHBOURS = 10;

const SEARCH_HELP = `
A file of queries has the dataset's columns; of optional fields only those of the query need to be there, so a file with texts alone finds
pictures with --find image. Subject and label columns must stand in the header and may hold anything that the dataset declares.

Examples:
  $ lethe hash search sensors --code 1f0a33c4e5d6b7a8 -k 5
  $ lethe hash search sensors --rows query.csv --json
  $ lethe hash search emoji --rows texts.csv --find image -k 3
  $ lethe hash search emoji --code 1f0a33c4e5d6b7a8 --radius 6 --label animal --label food
`;

const collect =
  <T>(parse: (text: string) => T) =>
  (text: string, before: readonly T[]): T[] => [...before, parse(text)];
const asItIs = (text: string): string => text;

export function addHashSearch(hash: Command, cli: Cli): void {
  hash
    .command('search <name>')
    .description('exact nearest neighbours of a code, or of every row of a CSV file')
    .addOption(new Option('--code <hex>', 'code to look for').conflicts('rows'))
    .option('--rows <file>', "CSV with the dataset's columns; each row is looked for, none is stored")
    .option(
      '-k <n>',
      'neighbours, 1 to 1000 (default 10; with --radius all within it, at most 1000)',
      integer(1, 1000),
    )
    .option('--radius <n>', 'only neighbours at this Hamming distance or nearer', integer(0, 256))
    .option('--modality <name>', 'modality of the rows, where they have several')
    .option('--find <modality>', 'only items of this modality; again for several', collect(asItIs), [])
    .option('--label <class>', 'only items of this class; again for any of several', collect(asItIs), [])
    .option(
      '--all-labels <class>',
      'only items of this class, and of each other so named',
      collect(asItIs),
      [],
    )
    .option(
      '--function-version <n>',
      'only codes of this version; again for several',
      collect(integer(1, 2 ** 32 - 1)),
      [],
    )
    .option('--min-sequence <n>', 'refuse an answer from before this event of the function', integer(0))
    .addHelpText('after', SEARCH_HELP)
    .action(async (typed: string, options: SearchOptions, command: Command) => {
      const platform = cli.platform(command);
      const name = await fullName('hashFunction', platform.tenant(), typed);
      const found = await platform.withClients('client', (clients) => search(clients, name, options));
      if (cli.globals(command).json === true) print(cli.io, true, asJson(found));
      else cli.io.out(page(found));
    });
}

interface Found {
  /** Line in the file; of a code there is none. */
  readonly row: number | undefined;
  readonly answer: hashing.SearchResponse;
}

interface Findings {
  readonly found: readonly Found[];
  readonly classes: readonly string[];
}

async function search(clients: Lethe, name: string, options: SearchOptions): Promise<Findings> {
  const { code, rows } = options;
  if (code !== undefined && !/^([0-9a-f]{2})+$/i.test(code))
    throw CLI.WRONG_USAGE('--code takes hex digits, two per byte');
  if (code === undefined && rows === undefined)
    throw CLI.WRONG_USAGE('say what to look for: --code HEX or --rows FILE');
  const text = rows === undefined ? '' : readText(rows);
  const { csvRecords, decodeSpec, encodePayload } = await import('@lethe/datasets');
  const { spec } = await clients.hashing.getHashFunction({ name });
  const dataset = spec?.root.replace(/\/roots\/[^/]+$/, '') ?? '';
  const declared = decodeSpec((await clients.vault.getDataset({ name: dataset })).spec);
  const { classes } = declared.label;
  const request = { name, ...conditions(options, classes) };
  if (code !== undefined) {
    const query = { $case: 'code' as const, value: fromHex(code) };
    return {
      found: [{ row: undefined, answer: await clients.hashing.search({ ...request, query }) }],
      classes,
    };
  }
  const found: Found[] = [];
  for (const [i, record] of csvRecords(declared, text).entries()) {
    const query = { $case: 'payload' as const, value: encodePayload(declared, record) };
    found.push({ row: i + 2, answer: await clients.hashing.search({ ...request, query }) });
  }
  return { found, classes };
}

/** What is asked for, without the query. @throws LETHE-5013 a class that the dataset does not declare */
function conditions(options: SearchOptions, classes: readonly string[]) {
  const { k, radius, modality, find, label, allLabels, functionVersion, minSequence } = options;
  const indexOf = (text: string): number => {
    const index = classes.indexOf(text);
    if (index < 0) throw CLI.WRONG_USAGE(`the dataset declares no class ${printable(text)}`);
    return index;
  };
  const [labelsAny, labelsAll] = [label.map(indexOf), allLabels.map(indexOf)];
  return {
    k: k ?? (radius === undefined ? NEIGHBOURS : 0),
    ...(radius === undefined ? {} : { radius }),
    modality: modality ?? '',
    filter: { modalities: find, labelsAny, labelsAll, functionVersions: functionVersion },
    minAppliedSequence: BigInt(minSequence ?? 0),
  };
}

/** A code has one answer, a file a list with the line of each row. */
function asJson({ found }: Findings): Plain {
  const [only] = found;
  if (only && only.row === undefined) return plain(only.answer);
  return found.map(({ row, answer }) => ({ row: row ?? 0, answer: plain(answer) }));
}

/** A line for each neighbour: distance, modality, classes by name, item, version, whose. */
function page({ found, classes }: Findings): string {
  const lines = found.flatMap(({ row, answer }) => [
    `${row === undefined ? '' : `row ${row}: `}${answer.neighbours.length} neighbours by version ${answer.functionVersion}${answer.truncated ? ', and there are more within the radius' : ''}`,
    ...answer.neighbours.map(({ distance, modality, labels, itemId, functionVersion, subjectAlias }) => {
      const names = labels.map((label) => classes[label] ?? label).join('|');
      return `  ${String(distance).padStart(3)}  ${modality}  ${names}  ${hex(itemId)}  v${functionVersion}  ${subjectAlias}`;
    }),
  ]);
  return lines.map((line) => `${printable(line)}\n`).join('');
}
