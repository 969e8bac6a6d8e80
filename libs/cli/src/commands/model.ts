import type { LayerSummary, ModelSummary } from '@lethe/graph';
import type { Command } from 'commander';
import { integer } from '../arguments.ts';
import { readFile } from '../files.ts';
import { type Plain, print, printable } from '../output.ts';
import type { Cli } from '../program.ts';

const SHOW_HELP = `
Reads any ONNX file and runs nothing. Layers are the nodes with parameters; "norm" is how private training would have the gradient norm
of one example over that parameter: ghost (without its gradient), instantiated (with it), or refused, and why. Activations are
all results of operators for one batch: what a backward pass could keep at most.

Examples:
  $ lethe model show encoder.onnx
  $ lethe model show encoder.onnx --batch 256 --json
`;

export function addModel(program: Command, cli: Cli): void {
  program
    .command('model')
    .description('model files')
    .command('show <file>')
    .description('layers, shapes, parameters and memory of an ONNX file, and how each norm would be had')
    .option('--batch <n>', 'examples of one run, where the file leaves them open', integer(1, 1_048_576), 32)
    .addHelpText('after', SHOW_HELP)
    .action(async (file: string, { batch }: { batch: number }, command: Command) => {
      const { readOnnx, summarizeModel } = await import('@lethe/graph');
      const summary = summarizeModel(readOnnx(readFile(file)), { batch });
      if (cli.globals(command).json === true) print(cli.io, true, asPlain(summary));
      else cli.io.out(page(summary));
    });
}

/** The summary as JSON has it: what is absent is left out, and an open axis is null. */
const asPlain = (summary: ModelSummary): Plain => JSON.parse(JSON.stringify(summary));

const UNITS = ['B', 'KiB', 'MiB', 'GiB'] as const;

function size(bytes: number): string {
  const power = Math.min(UNITS.length - 1, Math.floor(Math.log2(Math.max(1, bytes)) / 10));
  const value = bytes / 1024 ** power;
  return `${power === 0 ? value : value.toFixed(1)} ${UNITS[power]}`;
}

const shape = (sizes: readonly (number | string | undefined)[] | undefined): string =>
  sizes ? `[${sizes.map((item) => item ?? '?').join(', ')}]` : 'of unknown shape';

const counts = (items: Readonly<Record<string, number>>): string =>
  Object.entries(items)
    .map(([name, count]) => `${name} ${count}`)
    .join(', ');

function layerLines({ name, operator, parameters, shape: result }: LayerSummary): string[] {
  return [
    `  ${name} (${operator})${result ? ` gives ${shape(result)}` : ''}`,
    ...parameters.map((parameter) => {
      const norm = parameter.norm ? `; norm ${parameter.norm.rule}: ${parameter.norm.reason}` : '';
      return `    ${parameter.name} ${shape(parameter.shape)} ${size(parameter.bytes)}${norm}`;
    }),
  ];
}

/** What a person reads. Names come from the file, so control characters are taken out. */
function page(summary: ModelSummary): string {
  const { producer, documentation, opsets, metadata, inputs, outputs, operators, parameters, layers, run } =
    summary;
  const sets = Object.entries(opsets).map(([domain, version]) => `${domain || 'standard'} ${version}`);
  const ports = (kind: string, items: ModelSummary['inputs']): string[] =>
    items.map((port) => `${kind}: ${port.name} ${port.dtype} ${shape(port.shape)}`);
  const lines = [
    `producer: ${producer || 'unknown'}; operator sets: ${sets.join(', ')}`,
    ...(documentation === '' ? [] : [`documentation: ${documentation}`]),
    ...Object.entries(metadata).map(([key, value]) => `${key}: ${value}`),
    ...ports('input', inputs),
    ...ports('output', outputs),
    `operators: ${counts(operators)}`,
    `parameters: ${parameters.count} in ${layers.length} layers, ${size(parameters.bytes)}`,
    ...layers.flatMap(layerLines),
    ...(run
      ? [
          `activations: ${size(run.activationBytes)} for ${run.batch} examples, the largest ${size(run.largest.bytes)} (${run.largest.name})`,
          ...(Object.keys(run.opaque).length > 0
            ? [`opaque: ${counts(run.opaque)} (run as they stand; nothing before them can be trained)`]
            : []),
        ]
      : [`shapes, memory and norms are not known: ${summary.notBuilt}`]),
  ];
  return lines.map((line) => `${printable(line)}\n`).join('');
}
