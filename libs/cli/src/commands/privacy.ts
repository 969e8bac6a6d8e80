import type { PrivacyLoss, PrivacyRelation, SampledGaussianRun } from '@lethe/privacy';
import { type Command, Option } from 'commander';
import { CLI } from '../errors.ts';
import { type Plain, print } from '../output.ts';
import type { Cli } from '../program.ts';

/** Values as typed; they are read and checked together, so that every complaint names its option. */
interface RunOptions {
  readonly samplingProbability: string;
  readonly steps: string;
  readonly delta: string;
  readonly relation: PrivacyRelation;
  readonly cap?: string;
  readonly population?: string;
}

const HELP = `
Runs nothing and needs no platform. The mechanism: in each step every subject is drawn by itself with the sampling probability, each drawn
subject's contribution is clipped to norm C, and Gaussian noise of standard deviation (noise multiplier x C) is added to the sum. Shuffled batches are
another mechanism, and cost more.

  epsilonUpper        upper bound (privacy loss distribution), within max(1e-4, 2e-4 epsilon) of the truth unless "loose" is true
  epsilonIndependent  the same by a contour integral; null where its guard refuses
  epsilonRdp          upper bound by Renyi orders, larger
  quoted              what a certificate may say: epsilonUpper where both agree; without a second opinion the larger of the two bounds
`;

const EPSILON_EXAMPLES = `
Examples:
  $ lethe privacy epsilon --noise-multiplier 1.1 --sampling-probability 256/60000 --steps 14062 --delta 1e-5
  $ lethe privacy epsilon --noise-multiplier 1 --sampling-probability 0.01 --steps 1000 --delta 1e-6 --relation replace-one --json
`;

const NOISE_EXAMPLES = `
Examples:
  $ lethe privacy noise --epsilon 3 --sampling-probability 256/60000 --steps 14062 --delta 1e-5
  $ lethe privacy noise --epsilon 1 --sampling-probability 0.05 --steps 400 --delta 1e-6 --relation replace-one --json
`;

function addRunOptions(command: Command): Command {
  return command
    .requiredOption(
      '--sampling-probability <q>',
      'probability that a subject is in a step, in [0, 1]; a fraction like 256/60000 is fine',
    )
    .requiredOption('--steps <t>', 'number of noisy sums that are released')
    .requiredOption('--delta <d>', 'delta, in (0, 1); well below 1 / number of subjects')
    .addOption(
      new Option('--relation <relation>', 'data sets that differ in one subject: one more, or another one')
        .choices(['add-remove', 'replace-one'])
        .default('add-remove'),
    )
    .option('--cap <n>', 'truncated sampling: at most so many subjects a step; needs --population')
    .option('--population <n>', 'upper bound on the number of subjects');
}

export function addPrivacy(program: Command, cli: Cli): void {
  const privacy = program
    .command('privacy')
    .description('what private training costs, and the noise it needs');
  addRunOptions(
    privacy
      .command('epsilon')
      .requiredOption('--noise-multiplier <s>', 'standard deviation of the noise / clip norm'),
  )
    .description('epsilon of a run by three accountants')
    .addHelpText('after', HELP + EPSILON_EXAMPLES)
    .action(async (options: RunOptions & { noiseMultiplier: string }, command: Command) => {
      const noiseMultiplier = numberOf('--noise-multiplier', options.noiseMultiplier, 0, 1e6);
      const { privacyLoss } = await import('@lethe/privacy');
      const { run, delta, relation } = readRun(options);
      const loss = privacyLoss({ ...run, noiseMultiplier, delta, relation });
      show(cli, command, { ...asPlain(loss), relation, delta });
    });
  addRunOptions(
    privacy.command('noise').requiredOption('--epsilon <e>', 'epsilon that must not be passed, above 0'),
  )
    .description('about the smallest noise multiplier whose quoted epsilon keeps to an epsilon')
    .addHelpText('after', HELP + NOISE_EXAMPLES)
    .action(async (options: RunOptions & { epsilon: string }, command: Command) => {
      const epsilon = numberOf('--epsilon', options.epsilon, 0, 1e4, true);
      const { calibratedLoss } = await import('@lethe/privacy');
      const { run, delta, relation } = readRun(options);
      const { noiseMultiplier, loss } = calibratedLoss({ ...run, epsilon, delta, relation });
      show(cli, command, { noiseMultiplier, ...asPlain(loss), relation, delta });
    });
}

function readRun(options: RunOptions): {
  readonly run: Omit<SampledGaussianRun, 'noiseMultiplier'>;
  readonly delta: number;
  readonly relation: PrivacyRelation;
} {
  const { cap, population } = options;
  if ((cap === undefined) !== (population === undefined))
    throw CLI.WRONG_USAGE('--cap and --population go together');
  return {
    run: {
      samplingProbability: numberOf('--sampling-probability', options.samplingProbability, 0, 1),
      steps: wholeOf('--steps', options.steps, 0, 1e8),
      ...(cap !== undefined && population !== undefined
        ? {
            cap: wholeOf('--cap', cap, 1, 2 ** 40),
            population: wholeOf('--population', population, 1, 2 ** 40),
          }
        : {}),
    },
    delta: strictlyBelowOne('--delta', options.delta),
    relation: options.relation,
  };
}

/** A number, or a fraction of two. @throws LETHE-5013 */
function numberOf(option: string, text: string, min: number, max: number, above = false): number {
  const [numerator, denominator = '1', ...more] = text.split('/').map((part) => part.trim());
  const value =
    numerator === '' || denominator === '' || more.length > 0
      ? Number.NaN
      : Number(numerator) / Number(denominator);
  if (!(value >= min && value <= max) || (above && value === min)) {
    throw CLI.WRONG_USAGE(
      `${option} is ${text}; it has to be a number ${above ? `above ${min}` : `from ${min}`} ${above ? 'and at most' : 'to'} ${max}`,
    );
  }
  return value;
}

function wholeOf(option: string, text: string, min: number, max: number): number {
  const value = numberOf(option, text, min, max);
  if (!Number.isInteger(value)) throw CLI.WRONG_USAGE(`${option} is ${text}; it has to be a whole number`);
  return value;
}

function strictlyBelowOne(option: string, text: string): number {
  const value = numberOf(option, text, 0, 1, true);
  if (value === 1) throw CLI.WRONG_USAGE(`${option} is ${text}; it has to be below 1`);
  return value;
}

/** JSON has no infinity: null, and a note that says so. */
const finite = (value: number | null): number | null =>
  value !== null && Number.isFinite(value) ? value : null;

function asPlain(loss: PrivacyLoss): { readonly [key: string]: Plain } {
  const notes: string[] = [];
  for (const key of ['epsilonUpper', 'epsilonRdp'] as const) {
    if (loss[key] === Infinity) notes.push(`${key} is infinite: no bound was found`);
  }
  if (loss.epsilonIndependent === null)
    notes.push('no second opinion was possible: the guard of the independent accountant refuses');
  if (loss.loose) notes.push('loose: the bound holds, but its distance from the truth is not promised');
  return {
    epsilonUpper: finite(loss.epsilonUpper),
    epsilonIndependent: finite(loss.epsilonIndependent),
    epsilonRdp: finite(loss.epsilonRdp),
    quoted: finite(loss.quoted),
    agreement: loss.agreement,
    loose: loss.loose,
    accountant: loss.accountantVersion,
    notes,
  };
}

function show(cli: Cli, command: Command, answer: { readonly [key: string]: Plain }): void {
  if (cli.globals(command).json === true) {
    print(cli.io, true, answer);
    return;
  }
  const { notes, ...values } = answer;
  const shown = Object.entries(values).map(([key, value]) => [key, value === null ? 'none' : value] as const);
  print(cli.io, false, Object.fromEntries([...shown, ['notes', notes ?? []]]));
}
