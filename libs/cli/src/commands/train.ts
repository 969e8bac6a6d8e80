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
        isFinal: ({ state }) => state === SUCCEEDED || state === FAILED || state === CANCELLED,
        seen: ({ progress: at }) => at && progress.show(at.phase || 'training', at.done, at.total),
      }).finally(() => progress.end());
      print(cli.io, json, await view(clients, end));
      if (end.state === FAILED) throw CLI.OPERATION_FAILED(`${end.name} has failed`);
      if (end.state === CANCELLED) throw CLI.OPERATION_FAILED(`${end.name} was cancelled`);
    });
  };
  addRootOptions(train.command('dp <run>'))
    .description('a classifier by DP-SGD, private per subject; watches until it ends')
    .option('--epsilon <x>', 'upper bound of the privacy loss', positive())
    .option('--delta <x>', 'delta of that bound', positive(0.999))
    .option('--sampling-probability <x>', 'expected fraction of the units in a step', positive(1))
    .option('--steps <n>', 'optimiser steps', integer(1))
    .option('--l2-clip-norm <x>', "bound of a unit's gradient", positive())
    .option('--learning-rate <x>', 'learning rate', positive())
    .option('--momentum <x>', 'heavy-ball momentum, 0 for none', momentum, 0.9)
    .option(
      '--rows-per-subject-max <n>',
      'most rows of a subject; one with more is refused (default 16)',
      integer(1),
    )
    .option('--unit <unit>', 'what the guarantee hides: subject or record (default subject)')
    .option('--features <name>', 'fixed transform of the rows: none or hog (default none)')
    .option('--architecture <name>', 'linear or mlp (default linear)')
    .option('--hidden-units <n>', 'of an mlp', integer(1))
    .option('--clipping <kind>', 'flat, automatic or adaptive (default flat)')
    .option('--cap <n>', 'most units in a step; its cost is charged', integer(1))
    .option('--relation <name>', 'add-or-remove-one or replace-one (default add-or-remove-one)')
    .option('--noise-mode <mode>', 'production, or research, which is not for release (default production)')
    .option('--no-wait', 'return as soon as it is requested')
    .addHelpText(
      'after',
      '\nWhat is left out takes the default that the literature advises for the number of records: lethe train defaults.' +
        '\nSet --rows-per-subject-max to the most rows that a subject can have. The sum over subjects is divided by the expected' +
        '\nrecords over it, so that 16 where nobody has more than 4 makes each step 4 times too long. Pictures: --features hog.' +
        '\n\nExamples:' +
        '\n  $ lethe train dp sensors-dp --dataset sensors --epsilon 3 --rows-per-subject-max 4' +
        '\n  $ lethe train dp digits-dp --dataset digits --features hog --rows-per-subject-max 4\n',
    )
    .action((id: string, options: TrainOptions<Partial<learning.DpSgdSpec>>, command: Command) => {
      const { dataset, root, wait, ...given } = options;
      return run(id, options, command, async () => ({ $case: 'dpSgd', value: { ...DEFAULTS, ...given } }));
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
  const withRun = async (
    typed: string,
    command: Command,
    use: (clients: Lethe, name: string) => Promise<Plain>,
  ): Promise<void> => {
    const platform = cli.platform(command);
    const name = await fullName('trainingRun', platform.tenant(), typed);
    const shown = await platform.withClients('client', (clients) => use(clients, name));
    print(cli.io, cli.globals(command).json === true, shown);
  };
  train
    .command('get <run>')
    .description('show a run and, when it has succeeded, its model')
    .action((typed: string, _options: unknown, command: Command) =>
      withRun(typed, command, async (clients, name) =>
        view(clients, await clients.learning.getTrainingRun({ name })),
      ),
    );
  train
    .command('cancel <run>')
    .description('ask a run to stop; what it has charged stays charged')
    .action((typed: string, _options: unknown, command: Command) =>
      withRun(typed, command, async (clients, name) =>
        view(clients, await clients.learning.cancelTrainingRun({ name })),
      ),
    );
  train
    .command('resume <run>')
    .description('go on with a cancelled or failed run: a private one from its last stored weights')
    .action((typed: string, _options: unknown, command: Command) =>
      withRun(typed, command, async (clients, name) =>
        view(clients, await clients.learning.resumeTrainingRun({ name })),
      ),
    );
  addListsAndBudgets(train, cli);
}

function addListsAndBudgets(train: Command, cli: Cli): void {
  const ask = async (
    command: Command,
    role: 'client' | 'platform' | 'auditor',
    use: (clients: Lethe, tenant: string) => Promise<Plain>,
  ): Promise<void> => {
    const platform = cli.platform(command);
    const shown = await platform.withClients(role, (clients) => use(clients, platform.tenant()));
    print(cli.io, cli.globals(command).json === true, shown);
  };
  train
    .command('list')
    .description('every run, oldest first')
    .action((_options: unknown, command: Command) =>
      ask(command, 'client', async (clients, tenant) => {
        const parent = await parentName(tenant);
        const runs: Plain[] = [];
        for (let pageToken = '', more = true; more; more = pageToken !== '') {
          const page = await clients.learning.listTrainingRuns({ parent, pageToken });
          for (const listed of page.trainingRuns) runs.push(await plainRun(listed));
          pageToken = page.nextPageToken;
        }
        return runs;
      }),
    );
  train
    .command('models')
    .description('the newest version of every model')
    .action((_options: unknown, command: Command) =>
      ask(command, 'client', async (clients, tenant) => {
        const parent = await parentName(tenant);
        const models: Plain[] = [];
        for (let pageToken = '', more = true; more; more = pageToken !== '') {
          const page = await clients.learning.listModels({ parent, pageToken });
          models.push(...page.models.map(plainModel));
          pageToken = page.nextPageToken;
        }
        return models;
      }),
    );
  train
    .command('promote <model>')
    .description(
      "point an alias of the model's dataset at it; predictions on the alias ask its newest version",
    )
    .option('--alias <id>', 'the alias', 'serving')
    .action((typed: string, { alias }: { readonly alias: string }, command: Command) =>
      ask(command, 'client', async (clients, tenant) => {
        const name = await fullName('model', tenant, typed);
        return plain(await clients.learning.promoteModel({ name, aliasId: alias }));
      }),
    );
  const budget = train
    .command('budget')
    .description('what private trainings may spend on a dataset, and have');
  budget
    .command('get <dataset>')
    .description("limit, reservations and the reading: every subject's upper bound")
    .option('--delta <x>', "delta of the reading (default the limit's, or 1e-5)", positive(0.999))
    .action((typed: string, { delta }: { readonly delta?: number }, command: Command) =>
      ask(command, 'client', async (clients, tenant) =>
        plain(
          await clients.learning.getPrivacyBudget({
            dataset: await fullName('dataset', tenant, typed),
            ...(delta === undefined ? {} : { delta }),
          }),
        ),
      ),
    );
  budget
    .command('set <dataset>')
    .description('set the limit; runs that would pass it are refused before they start')
    .requiredOption('--epsilon <x>', 'most that all runs together may spend', positive())
    .option('--delta <x>', 'delta of the limit', positive(0.999), 1e-5)
    .option('--unit <unit>', 'subject or record', 'subject')
    .addHelpText('after', '\nExamples:\n  $ lethe train budget set sensors --epsilon 8 --delta 1e-6\n')
    .action(
      (
        typed: string,
        options: { readonly epsilon: number; readonly delta: number; readonly unit: string },
        command: Command,
      ) =>
        ask(command, 'platform', async (clients, tenant) =>
          plain(
            await clients.learning.setPrivacyBudget({
              dataset: await fullName('dataset', tenant, typed),
              ...options,
            }),
          ),
        ),
    );
  budget
    .command('subject <dataset...>')
    .description('what everyone whose records are in all of these datasets has spent at most')
    .option('--delta <x>', 'delta of the reading (default 1e-5)', positive(0.999))
    .action((typed: readonly string[], { delta }: { readonly delta?: number }, command: Command) =>
      ask(command, 'auditor', async (clients, tenant) =>
        plain(
          await clients.learning.getSubjectSpending({
            parent: await parentName(tenant),
            datasets: await Promise.all(typed.map((name) => fullName('dataset', tenant, name))),
            ...(delta === undefined ? {} : { delta }),
          }),
        ),
      ),
    );
  train
    .command('defaults')
    .description('what a private run takes where nothing is said, and why; asks no platform')
    .option('--records <n>', 'records of the dataset', integer(1), 10_000)
    .option('--l2-clip-norm <x>', 'the bound that you use, if it is another', positive())
    .action(
      async (
        { records, l2ClipNorm }: { readonly records: number; readonly l2ClipNorm?: number },
        command: Command,
      ) => {
        const { DP_SGD_ADVICE, dpSgdDefaults } = await import('@lethe/privacy');
        const values = dpSgdDefaults(records, l2ClipNorm);
        const shown = Object.entries(DP_SGD_ADVICE).map(([name, why]): [string, Plain] => [
          name,
          { value: values[name as keyof typeof values], why },
        ]);
        print(cli.io, cli.globals(command).json === true, Object.fromEntries(shown));
      },
    );
}

/** Zeros, which the service reads as its defaults. */
const DEFAULTS: learning.DpSgdSpec = {
  epsilon: 0,
  delta: 0,
  samplingProbability: 0,
  steps: 0,
  l2ClipNorm: 0,
  learningRate: 0,
  momentum: 0,
  rowsPerSubjectMax: 0,
};

/** As numbers, because the generated table belongs to the network modules. */
const SUCCEEDED: learning.TrainingRun_State.STATE_SUCCEEDED = 2;
const FAILED: learning.TrainingRun_State.STATE_FAILED = 3;
const CANCELLED: learning.TrainingRun_State.STATE_CANCELLED = 4;

function momentum(text: string): number {
  return Number(text) === 0 ? 0 : positive(0.999)(text);
}

async function view(clients: Lethe, run: learning.TrainingRun): Promise<Plain> {
  const shown = await plainRun(run);
  if (run.model === '') return { run: shown };
  return { run: shown, model: plainModel(await clients.learning.getModel({ name: run.model })) };
}

/** A run with its plan as what it says, not as bytes. */
async function plainRun({ plan, ...run }: learning.TrainingRun): Promise<Plain> {
  const { common, learning: contract } = await import('@lethe/contracts');
  const shown = plain(run, {
    state: [contract.TrainingRun_State, 'STATE_'],
    status: [common.ConditionStatus, 'CONDITION_STATUS_'],
  }) as { readonly [key: string]: Plain };
  return plan.length === 0 ? shown : { ...shown, plan: JSON.parse(new TextDecoder().decode(plan)) as Plain };
}

/** A model without its plan, which stands in the run. */
function plainModel(model: learning.Model): Plain {
  if (!model.privacy) return plain(model);
  const { plan: _, ...privacy } = model.privacy;
  return plain({ ...model, privacy });
}
