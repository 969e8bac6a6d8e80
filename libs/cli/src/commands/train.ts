import { randomUUID } from 'node:crypto';
import type { Lethe } from '@lethe/client';
import type { learning } from '@lethe/contracts';
import type { Command } from 'commander';
import { integer, positive } from '../arguments.ts';
import { CLI } from '../errors.ts';
import { follow } from '../follow.ts';
import { type Plain, Progress, plain, print } from '../output.ts';
import type { Cli } from '../program.ts';
import { fullName, parentName } from './names.ts';
import { addRootOptions, type RootOptions, rootOf } from './root.ts';

type Method = NonNullable<learning.TrainingSpec['method']>;
type TrainOptions<Spec> = Spec & RootOptions & { readonly wait: boolean };

export function addTrain(program: Command, cli: Cli): void {
  const train = program.command('train').description('training runs and the models they make');
  const run = async (
    id: string,
    options: RootOptions & { readonly wait: boolean },
    command: Command,
    method: (tenant: string) => Promise<Method>,
  ): Promise<void> => {
    const platform = cli.platform(command);
    const tenant = platform.tenant();
    await platform.withClients('client', async (clients) => {
      const made = await clients.learning.createTrainingRun({
        parent: await parentName(tenant),
        runId: id,
        spec: { root: await rootOf(clients, tenant, options), method: await method(tenant) },
        requestId: randomUUID(),
      });
      const json = cli.globals(command).json === true;
      if (!options.wait) return print(cli.io, json, await view(clients, made));
      const progress = new Progress(cli.io);
      const end = await follow({
        open: () => clients.learning.watchTrainingRun({ name: made.name }),
        isFinal: ({ state }) => state === SUCCEEDED || state === FAILED,
        seen: ({ progress: at }) => at && progress.show(at.phase || 'training', at.done, at.total),
      }).finally(() => progress.end());
      print(cli.io, json, await view(clients, end));
      if (end.state === FAILED) throw CLI.OPERATION_FAILED(`${end.name} has failed`);
    });
  };
  addRootOptions(train.command('dp <run>'))
    .description('softmax regression by DP-SGD, private per subject; watches until it ends')
    .option('--epsilon <x>', 'upper bound of the privacy loss', positive(), 3)
    .option('--delta <x>', 'delta of that bound', positive(0.999), 1e-5)
    .option('--sampling-probability <x>', 'expected fraction of the subjects in a step', positive(1), 0.25)
    .option('--steps <n>', 'optimiser steps', integer(1), 60)
    .option('--l2-clip-norm <x>', "bound of a subject's gradient", positive(), 1)
    .option('--learning-rate <x>', 'learning rate', positive(), 2)
    .option('--momentum <x>', 'heavy-ball momentum, 0 for none', momentum, 0.9)
    .option('--rows-per-subject-max <n>', 'a subject with more rows is refused', integer(1), 16)
    .option('--no-wait', 'return as soon as it is requested')
    .addHelpText('after', '\nExamples:\n  $ lethe train dp sensors-dp --dataset sensors --epsilon 3\n')
    .action((id: string, options: TrainOptions<learning.DpSgdSpec>, command: Command) => {
      const { dataset, root, wait, ...value } = options;
      return run(id, options, command, async () => ({ $case: 'dpSgd', value }));
    });
  addRootOptions(train.command('ensemble <run>'))
    .description('sharded, sliced ensemble (SISA) that can forget exactly; watches until it ends')
    .option('--shard-count <n>', 'shards', integer(1), 8)
    .option('--slice-count <n>', 'slices of a shard', integer(1), 4)
    .option('--hidden-units <n>', 'width of the hidden layer', integer(1), 64)
    .option('--epochs <n>', 'epochs of every segment', integer(1), 8)
    .option('--batch-size <n>', 'rows in a batch', integer(1), 32)
    .option('--learning-rate <x>', 'learning rate', positive(), 0.05)
    .option('--audit <name>', 'audit whose canaries take part')
    .option('--no-wait', 'return as soon as it is requested')
    .addHelpText(
      'after',
      '\nExamples:\n  $ lethe train ensemble sensors --dataset sensors --shard-count 4 --slice-count 2\n',
    )
    .action(
      (
        id: string,
        options: TrainOptions<Omit<learning.ShardedEnsembleSpec, 'audit'> & { audit?: string }>,
        command: Command,
      ) => {
        const { dataset, root, wait, audit, ...value } = options;
        return run(id, options, command, async (tenant) => ({
          $case: 'shardedEnsemble',
          value: { ...value, audit: audit === undefined ? '' : await fullName('audit', tenant, audit) },
        }));
      },
    );
  train
    .command('get <run>')
    .description('show a run and, when it has succeeded, its model')
    .action(async (typed: string, _options: unknown, command: Command) => {
      const platform = cli.platform(command);
      const name = await fullName('trainingRun', platform.tenant(), typed);
      const shown = await platform.withClients('client', async (clients) =>
        view(clients, await clients.learning.getTrainingRun({ name })),
      );
      print(cli.io, cli.globals(command).json === true, shown);
    });
}

/** As numbers, because the generated table belongs to the network modules. */
const SUCCEEDED: learning.TrainingRun_State.STATE_SUCCEEDED = 2;
const FAILED: learning.TrainingRun_State.STATE_FAILED = 3;

function momentum(text: string): number {
  return Number(text) === 0 ? 0 : positive(0.999)(text);
}

async function view(clients: Lethe, run: learning.TrainingRun): Promise<Plain> {
  const { common, learning: contract } = await import('@lethe/contracts');
  const shown = plain(run, {
    state: [contract.TrainingRun_State, 'STATE_'],
    status: [common.ConditionStatus, 'CONDITION_STATUS_'],
  });
  if (run.model === '') return { run: shown };
  return { run: shown, model: plain(await clients.learning.getModel({ name: run.model })) };
}
