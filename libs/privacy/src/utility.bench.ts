/**
 * What a linear model on fixed features reaches under differential privacy, and a convolutional network beside it.
 *
 *     node libs/privacy/src/utility.bench.ts [WORD …] [--runs 3] [--json] [--grid]
 *
 * Tasks whose name contains a word, all without one: `mnist-record`, `mnist-subject`, `mnist-cnn`, `fashion-record`. Fashion-MNIST has to be there:
 * npx lethe data fetch fashion-mnist.
 *
 * Features are histograms of oriented gradients, fixed beforehand, every row of length 1; the model is softmax regression without a bias (a
 * bias would double the squared norm of every gradient that is clipped, for nothing). Noise and sampling are those of production, so
 * runs differ; mean and spread are given. What is tested is the mean of the last iterates: post-processing, free.
 *
 * How the settings were chosen. Test rows took no part. The features' variants, the clip norm of 0.25 and the averaging were compared on 10,000
 * of Fashion-MNIST's training rows, training on the other 50,000; its sampling and steps are round numbers near published practice
 * (large batches, few steps). The digits take over the clip norm, twice that for a subject of four rows, and sampling and steps of release 0.1.
 * Learning rates: the smallest within 0.1 points of the best by `--grid`, which trains without a sixth of the TRAINING units and scores on that part,
 * with the noise per expected unit of the final run. On private records such a search has to be charged or done on others; these sets are public.
 *
 * `nonPrivate` is the same model and optimizer with a clip norm above every gradient, no noise and four times the steps.
 *
 * `mnist-cnn`: the network of Opacus' example on the pixels of the same digits, at epsilon 3. It has no bar: it is there to be compared with `mnist-record`.
 * Its batch and number of steps are those of `mnist-record`, its clip norm is well below a typical norm, as Li et al. (2022) advise.
 */
import { availableParallelism, cpus, loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { hog, loadFashionMnist, loadMnist } from '@lethe/datasets';
import { cnn, cnnParameters, cnnSpec, dense, GraphBuilder } from '@lethe/graph';
import { initialParameters, momentum } from '@lethe/optim';
import { onnxEngine, Session } from '@lethe/runtime';
import { secureRandom, seededRandom, shuffle } from '@lethe/std';
import { float32, type Tensor, zeros } from '@lethe/tensor';
import {
  ACCOUNTANT_VERSION,
  calibratedPlan,
  capFor,
  createDpTrainer,
  type DpPlan,
  dpPlan,
  dyadicProbability,
  type Network,
  NOISE_GENERATORS,
  PrivacyRandomness,
  type PrivacyUnit,
  planCost,
  rowClassifier,
  rowUnits,
  type UnitRows,
} from './index.ts';

const DELTA = 1e-5;
const MOMENTUM = 0.9;
const EPSILONS = [1, 3, 8] as const;
type Epsilon = (typeof EPSILONS)[number];

/** What is trained on a row. */
interface Learner {
  /** Values of a row. */
  readonly width: number;
  readonly rows: (pixels: Uint8Array) => Float32Array;
  readonly network: Network;
  readonly initial: () => Weights;
  /** Units in one run of the graph. */
  readonly unitsPerRun: number;
  /** Without privacy: a clip norm for a row that no gradient reaches, and the rate for units of one row. */
  readonly nonPrivate: { readonly l2ClipNorm: number; readonly learningRate: number };
}
type Weights = Readonly<Record<string, Tensor<'float32'>>>;

interface Task {
  readonly name: string;
  readonly learner: Learner;
  readonly epsilons: readonly Epsilon[];
  readonly unit: PrivacyUnit;
  readonly rowsPerUnit: number;
  readonly load: () => { readonly train: UnitRows[]; readonly test: UnitRows };
  readonly probability: number;
  readonly steps: number;
  readonly l2ClipNorm: number;
  /** Last iterates whose mean is the result. */
  readonly averaged: number;
  /** Of each of `epsilons`. */
  readonly learningRate: Readonly<Partial<Record<Epsilon, number>>>;
  readonly grid: readonly number[];
  readonly bar: Readonly<Record<Epsilon, number | null>>;
}

const CLASSES = 10;
const SIDE = 28;

/** Softmax regression without a bias on fixed features: `w` [1089, 10]. */
const LINEAR: Learner = {
  width: 1089,
  rows: (pixels) => hog(pixels, SIDE, SIDE),
  network(x) {
    const w = x.graph.parameter('w', [1089, CLASSES]);
    return { logits: dense(x, w), parameters: [w] };
  },
  initial: () => ({ w: zeros('float32', [1089, CLASSES]) }),
  unitsPerRun: 1_024,
  // The gradient of one row of length 1 is no longer than sqrt(2).
  nonPrivate: { l2ClipNorm: 1.5, learningRate: 40 },
};

const CNN: Learner = {
  width: SIDE * SIDE,
  rows: (pixels) => Float32Array.from(pixels, (value) => value / 255),
  network: (x) => cnn(x, cnnSpec),
  initial: () => initialParameters(cnnParameters(cnnSpec), seededRandom('utility', 'cnn')),
  unitsPerRun: 256,
  nonPrivate: { l2ClipNorm: 1e4, learningRate: 0.1 },
};

/** Units of so many consecutive rows. */
function unitsOf(
  { rows, width }: Learner,
  pixels: Uint8Array,
  labels: ArrayLike<number>,
  rowsPerUnit: number,
): UnitRows[] {
  const features = rows(pixels);
  return Array.from({ length: labels.length / rowsPerUnit }, (_, unit) => ({
    features: features.subarray(unit * rowsPerUnit * width, (unit + 1) * rowsPerUnit * width),
    labels: Array.from({ length: rowsPerUnit }, (_, r) => labels[unit * rowsPerUnit + r]!),
  }));
}

const mnist = (learner: Learner, rowsPerUnit: number) => () => {
  const { waves, test } = loadMnist();
  // A subject's four records stand together.
  const [train, tested] = [waves.flat(), test].map((rows) => ({
    pixels: Uint8Array.from(rows.flatMap(({ values }) => [...(values[0] as Uint8Array)])),
    labels: rows.map(({ label }) => label!),
  }));
  return {
    train: unitsOf(learner, train!.pixels, train!.labels, rowsPerUnit),
    test: unitsOf(learner, tested!.pixels, tested!.labels, tested!.labels.length)[0]!,
  };
};

const fashion = () => {
  const { train, test } = loadFashionMnist();
  return {
    train: unitsOf(LINEAR, train.pixels, train.labels, 1),
    test: unitsOf(LINEAR, test.pixels, test.labels, test.labels.length)[0]!,
  };
};

const TASKS: readonly Task[] = [
  {
    name: 'mnist-record',
    learner: LINEAR,
    epsilons: EPSILONS,
    unit: 'record',
    rowsPerUnit: 1,
    load: mnist(LINEAR, 1),
    probability: 1 / 4,
    steps: 60,
    l2ClipNorm: 0.25,
    averaged: 10,
    learningRate: { 1: 20, 3: 40, 8: 40 },
    grid: [5, 10, 20, 40, 80],
    bar: { 1: 0.945, 3: 0.955, 8: 0.955 },
  },
  {
    name: 'mnist-subject',
    learner: LINEAR,
    epsilons: EPSILONS,
    unit: 'subject',
    rowsPerUnit: 4,
    load: mnist(LINEAR, 4),
    probability: 1 / 4,
    steps: 60,
    l2ClipNorm: 0.5,
    averaged: 10,
    learningRate: { 1: 2.5, 3: 5, 8: 10 },
    grid: [2.5, 5, 10, 20],
    bar: { 1: null, 3: 0.88, 8: null },
  },
  {
    name: 'mnist-cnn',
    learner: CNN,
    epsilons: [3],
    unit: 'record',
    rowsPerUnit: 1,
    load: mnist(CNN, 1),
    probability: 1 / 4,
    steps: 60,
    l2ClipNorm: 0.1,
    averaged: 10,
    learningRate: { 3: 16 },
    grid: [4, 8, 16, 32],
    bar: { 1: null, 3: null, 8: null },
  },
  {
    name: 'fashion-record',
    learner: LINEAR,
    epsilons: EPSILONS,
    unit: 'record',
    rowsPerUnit: 1,
    load: fashion,
    probability: 1 / 15,
    steps: 150,
    l2ClipNorm: 0.25,
    averaged: 50,
    learningRate: { 1: 80, 3: 160, 8: 240 },
    grid: [40, 80, 120, 160, 240, 360],
    bar: { 1: 0.88, 3: 0.887, 8: 0.89 },
  },
];

const planFields = (task: Task, units: number) => ({
  unit: task.unit,
  relation: 'add-or-remove-one' as const,
  sampling: {
    kind: 'truncated-poisson' as const,
    probability: dyadicProbability(task.probability),
    cap: capFor(units, task.probability, 8),
    population: units,
  },
  steps: task.steps,
  expectedUnits: units * task.probability,
  clipping: { kind: 'flat' as const, l2ClipNorm: task.l2ClipNorm },
  noise: { generator: NOISE_GENERATORS[0], mode: 'production' as const },
  mechanism: 'dp-sgd' as const,
  delta: DELTA,
  accountant: ACCOUNTANT_VERSION,
});

interface Run {
  readonly task: Task;
  readonly plan: DpPlan;
  readonly train: readonly UnitRows[];
  readonly learningRate: number;
  readonly noisy: boolean;
}

/** @returns the mean of the last iterates */
async function trained({ task, plan, train, learningRate, noisy }: Run): Promise<Weights> {
  const { learner, rowsPerUnit, averaged } = task;
  const silent = ({ lengths }: { readonly lengths: readonly number[] }) => ({
    mode: 'research' as const,
    next: () => lengths.map((length) => new Float32Array(length)),
    close: () => undefined,
  });
  const trainer = await createDpTrainer({
    plan,
    model: rowClassifier(learner.width, rowsPerUnit, learner.network),
    units: rowUnits(train, rowsPerUnit, learner.width),
    optimizer: momentum({ decay: MOMENTUM }),
    learningRate,
    initial: learner.initial(),
    randomness: new PrivacyRandomness(plan.noise.mode, noisy ? secureRandom() : seededRandom('utility')),
    engine: onnxEngine(),
    execution: { unitsPerRun: learner.unitsPerRun, ...(noisy ? {} : { noise: silent }) },
  });
  const mean = Object.entries(trainer.parameters()).map(([name, { shape, data }]) => ({
    name,
    shape,
    sum: new Float64Array(data.length),
  }));
  for (let step = 0; step < plan.steps; step++) {
    await trainer.step();
    if (step < plan.steps - averaged) continue;
    const parameters = trainer.parameters();
    for (const { name, sum } of mean)
      for (let i = 0; i < sum.length; i++) sum[i]! += parameters[name]!.data[i]!;
  }
  await trainer.close();
  return Object.fromEntries(
    mean.map(({ name, shape, sum }) => [
      name,
      float32(
        shape,
        Float32Array.from(sum, (value) => value / averaged),
      ),
    ]),
  );
}

const TESTED = 500;

async function accuracy(
  { width, network }: Learner,
  weights: Weights,
  { features, labels }: UnitRows,
): Promise<number> {
  const g = new GraphBuilder();
  g.output('logits', network(g.examples('x', [TESTED, width])).logits);
  const session = await Session.create(g.build());
  let right = 0;
  for (let at = 0; at < labels.length; at += TESTED) {
    const x = new Float32Array(TESTED * width);
    x.set(features.subarray(at * width, (at + TESTED) * width));
    const { logits } = await session.run({ ...weights, x: float32([TESTED, width], x) });
    labels.slice(at, at + TESTED).forEach((label, r) => {
      const row = (logits!.data as Float32Array).subarray(r * CLASSES, (r + 1) * CLASSES);
      if (row.indexOf(Math.max(...row)) === label) right++;
    });
  }
  await session.close();
  return right / labels.length;
}

function joined(units: readonly UnitRows[]): UnitRows {
  const labels = units.flatMap((unit) => unit.labels);
  const features = new Float32Array(units.reduce((sum, unit) => sum + unit.features.length, 0));
  let at = 0;
  for (const unit of units) {
    features.set(unit.features, at);
    at += unit.features.length;
  }
  return { features, labels };
}

const { values: options, positionals: words } = parseArgs({
  allowPositionals: true,
  options: {
    runs: { type: 'string', default: '3' },
    json: { type: 'boolean', default: false },
    grid: { type: 'boolean', default: false },
  },
});
const runs = Number(options.runs);
const say = (text: string): void => void (options.json ? process.stderr : process.stdout).write(`${text}\n`);
const percent = (value: number): string => `${(100 * value).toFixed(2)} %`;
const meanOf = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

const HELD_OUT = 1 / 6;

/** Chooses nothing: prints the held-out accuracy of every learning rate. */
async function grid(task: Task, train: readonly UnitRows[]): Promise<void> {
  const shuffled = shuffle([...train], seededRandom('utility', task.name, 'held out'));
  const held = joined(shuffled.slice(0, Math.round(train.length * HELD_OUT)));
  const seen = shuffled.slice(Math.round(train.length * HELD_OUT));
  for (const epsilon of task.epsilons) {
    const { multiplier } = calibratedPlan(planFields(task, train.length), epsilon).plan.noise;
    const fields = planFields(task, seen.length);
    const noise = { ...fields.noise, multiplier: (multiplier * seen.length) / train.length };
    for (const learningRate of task.grid) {
      const scores: number[] = [];
      for (let run = 0; run < runs; run++) {
        const plan = dpPlan({ ...fields, noise });
        scores.push(
          await accuracy(
            task.learner,
            await trained({ task, plan, train: seen, learningRate, noisy: true }),
            held,
          ),
        );
      }
      say(`${task.name} epsilon ${epsilon} rate ${learningRate}: held-out ${percent(meanOf(scores))}`);
    }
  }
}

async function nonPrivate(task: Task, train: readonly UnitRows[], test: UnitRows): Promise<number> {
  const fields = planFields(task, train.length);
  const { l2ClipNorm } = task.learner.nonPrivate;
  const plan = dpPlan({
    ...fields,
    steps: 4 * task.steps,
    clipping: { kind: 'flat', l2ClipNorm: l2ClipNorm * task.rowsPerUnit },
    noise: { ...fields.noise, mode: 'research', multiplier: 1 },
  });
  const learningRate = task.learner.nonPrivate.learningRate / task.rowsPerUnit;
  return accuracy(task.learner, await trained({ task, plan, train, learningRate, noisy: false }), test);
}

async function measure(task: Task, train: readonly UnitRows[], test: UnitRows) {
  const reference = await nonPrivate(task, train, test);
  const rows = [];
  for (const epsilon of task.epsilons) {
    const { plan } = calibratedPlan(planFields(task, train.length), epsilon);
    const learningRate = task.learningRate[epsilon]!;
    const scores: number[] = [];
    const begun = performance.now();
    for (let run = 0; run < runs; run++)
      scores.push(
        await accuracy(task.learner, await trained({ task, plan, train, learningRate, noisy: true }), test),
      );
    const secondsPerRun = (performance.now() - begun) / 1000 / runs;
    const bar = task.bar[epsilon];
    const mean = meanOf(scores);
    say(
      `${task.name} epsilon ${epsilon}: ${percent(mean)} (${percent(Math.min(...scores))} to ${percent(Math.max(...scores))}, ${runs} runs)` +
        `${bar === null ? '' : `, bar ${percent(bar)} ${mean >= bar ? 'met' : 'MISSED'}`}; not private ${percent(reference)}; ` +
        `noise ${plan.noise.multiplier}, rate ${learningRate}, ${secondsPerRun.toFixed(1)} s`,
    );
    rows.push({
      task: task.name,
      epsilon,
      epsilonUpper: planCost(plan).epsilonUpper,
      bar,
      met: bar === null ? null : mean >= bar,
      accuracy: { mean, min: Math.min(...scores), max: Math.max(...scores), runs: scores },
      nonPrivate: reference,
      learningRate,
      momentum: MOMENTUM,
      averaged: task.averaged,
      secondsPerRun,
      plan,
    });
  }
  return rows;
}

const results = [];
for (const task of TASKS) {
  if (words.length > 0 && !words.some((word) => task.name.includes(word))) continue;
  const { train, test } = task.load();
  if (options.grid) await grid(task, train);
  else results.push(...(await measure(task, train, test)));
}
if (options.json && !options.grid) {
  const machine = { cpu: cpus()[0]?.model, cores: availableParallelism(), load: loadavg()[0] };
  process.stdout.write(
    `${JSON.stringify({ machine, node: process.version, delta: DELTA, rows: results })}\n`,
  );
}
