import { spawnSync } from 'node:child_process';
import { cpus, loadavg } from 'node:os';
import { fileURLToPath } from 'node:url';
import {
  cnn,
  cnnParameters,
  cnnSpec,
  GraphBuilder,
  type MlpSpec,
  matmul,
  mlp,
  mul,
  type ParameterSpec,
  reshape,
  softmaxCrossEntropy,
  type TransformerSpec,
  transformer,
  transformerParameters,
  transformerSpec,
  type Value,
} from '@lethe/graph';
import { initialParameters, initialWeights, sgd, type TrainStepGraph, trainStepGraph } from '@lethe/optim';
import {
  ACCOUNTANT_VERSION,
  createDpTrainer,
  dpPlan,
  NOISE_GENERATORS,
  PrivacyRandomness,
} from '@lethe/privacy';
import { type RandomSource, secureRandom, seededRandom } from '@lethe/std';
import { float32, type Tensor, tensor, zeros } from '@lethe/tensor';
import { opacusBaseline } from './baselines/opacus.fixture.ts';
import { onnxEngine } from './engine.ts';
import { runtimeFingerprint } from './fingerprint.ts';
import { NoiseWorker } from './noise-worker.ts';
import { Session } from './session.ts';
import { TrainStep } from './train-step.ts';

/**
 * The engine's bars: `npm run bench -- engine [--json] [--seconds S]`. Each model is trained without privacy, with clipping in
 * the same graph, and as a plan: sampling, clipping and noise from a thread of its own, for sequences in runs of 16 units. The ways take turns step by step, so that whatever else the machine does meets all of them. Times are of one step, wall
 * clock: median, and first and ninth decile as spread. `products` is the time of the step's matrix products alone at the speed of a bare product.
 */
const options = process.argv.slice(2);
const isJson = options.includes('--json');
const seconds = Number(options[options.indexOf('--seconds') + 1] ?? Number.NaN) || 8;

interface Built {
  /** One value a row, masked by nothing: every row counts. */
  readonly losses: Value;
  readonly parameters: readonly Value[];
}

interface BenchModel {
  readonly name: string;
  /** Name of the same model in the baseline. */
  readonly baseline: string | undefined;
  readonly batch: number;
  readonly threads: number;
  /** Tokens of an example, 1 for pictures. */
  readonly rows: number;
  /** Units of the batch that a run of the private way takes; as many as there are, unless said otherwise. */
  readonly unitsPerRun?: number;
  readonly build: (g: GraphBuilder, units: number) => Built;
  readonly initial: (random: RandomSource) => Record<string, Tensor>;
  readonly feeds: (random: RandomSource) => Record<string, Tensor>;
}

const pictures = (batch: number, classes: number) => (random: RandomSource) => ({
  x: float32(
    [batch, 784],
    Float32Array.from({ length: batch * 784 }, () => random.uniform()),
  ),
  labels: whole(batch, classes, random),
});

const whole = (count: number, below: number, random: RandomSource): Tensor =>
  tensor(
    'int64',
    [count],
    BigInt64Array.from({ length: count }, () => BigInt(random.below(below))),
    'whole',
  );

function mlpBench(
  widths: readonly number[],
  batch: number,
  threads: number,
  baseline: string | undefined,
): BenchModel {
  const spec: MlpSpec = { widths, activation: 'relu' };
  return {
    name: `MLP ${widths.join('-')}`,
    baseline,
    batch,
    threads,
    rows: 1,
    build(g, units) {
      const { logits, parameters } = mlp(g.examples('x', [units, 784]), spec);
      return { losses: softmaxCrossEntropy(logits, g.examples('labels', [units], 'int64')), parameters };
    },
    initial: (random) => initialWeights(spec, random),
    feeds: pictures(batch, 10),
  };
}

const cnnBench = (batch: number): BenchModel => ({
  name: 'CNN 26k (Opacus MNIST example)',
  baseline: 'mnist-cnn',
  batch,
  threads: 1,
  rows: 1,
  build(g, units) {
    const { logits, parameters } = cnn(g.examples('x', [units, 784]), cnnSpec);
    return { losses: softmaxCrossEntropy(logits, g.examples('labels', [units], 'int64')), parameters };
  },
  initial: (random) => initialParameters(cnnParameters(cnnSpec), random),
  feeds: pictures(batch, 10),
});

function transformerBench(
  spec: TransformerSpec,
  batch: number,
  threads: number,
  baseline: string | undefined,
): BenchModel {
  const tokens = batch * spec.sequence;
  const parameters: readonly ParameterSpec[] = transformerParameters(spec);
  return {
    name: `transformer ${spec.blocks} x ${spec.width}, T ${spec.sequence}, vocabulary ${spec.vocabulary}`,
    baseline,
    batch,
    threads,
    rows: spec.sequence,
    unitsPerRun: 16,
    build(g, units) {
      const rows = units * spec.sequence;
      const { logits, parameters } = transformer(g.examples('ids', [rows], 'int64'), spec);
      const losses = softmaxCrossEntropy(logits, g.examples('labels', [rows], 'int64'));
      // A sequence's loss is the mean over its tokens, so that a clip norm means the same for every length.
      return { losses: mul(losses, 1 / spec.sequence), parameters };
    },
    initial: (random) => initialParameters(parameters, random),
    feeds: (random) => ({
      ids: whole(tokens, spec.vocabulary, random),
      labels: whole(tokens, spec.vocabulary, random),
    }),
  };
}

const MODELS: readonly BenchModel[] = [
  mlpBench([784, 512, 512, 10], 256, 1, 'mlp-784-512-512-10'),
  mlpBench([784, 256, 10], 256, 2, 'mlp-784-256-10'),
  mlpBench([784, 256, 10], 2048, 2, undefined),
  cnnBench(256),
  transformerBench(transformerSpec, 64, 1, 'transformer-2x128'),
  transformerBench({ ...transformerSpec, blocks: 4 }, 16, 2, undefined),
];

const MULTIPLIER = 1;
const CLIP = 1;

/** One way to train: a step that can be timed. */
interface Way {
  readonly name: 'plain' | 'clipped' | 'private';
  step(): Promise<void>;
  close(): Promise<void>;
}

async function plainWay(model: BenchModel, feeds: Record<string, Tensor>): Promise<Way> {
  const g = new GraphBuilder();
  const { losses, parameters } = model.build(g, model.batch);
  const objective = { kind: 'mean', divisor: model.batch } as const;
  const graph = trainStepGraph(g, { losses, parameters, optimizer: sgd(), objective });
  return wayOf('plain', model, graph, feeds);
}

async function clippedWay(model: BenchModel, feeds: Record<string, Tensor>): Promise<Way> {
  const g = new GraphBuilder();
  const { losses, parameters } = model.build(g, model.batch);
  const objective = {
    kind: 'clipped',
    subjects: model.batch,
    l2ClipNorm: CLIP,
    divisor: model.batch,
    noise: 'none',
    nonFinite: 'reported',
  } as const;
  const graph = trainStepGraph(g, { losses, parameters, optimizer: sgd(), objective });
  return wayOf('clipped', model, graph, feeds);
}

/** A plan in execution, of which every unit is in every draw, so that the batch is the same; noise comes from a thread of its own. */
async function privateWay(model: BenchModel, feeds: Record<string, Tensor>): Promise<Way> {
  const { batch, threads } = model;
  const plan = dpPlan({
    unit: 'record',
    relation: 'add-or-remove-one',
    // All but one in a million of the units, and room for all: the batch is that of the other ways.
    sampling: { kind: 'truncated-poisson', probability: 1 - 2 ** -20, cap: batch, population: batch },
    steps: 1_000_000,
    expectedUnits: batch,
    clipping: { kind: 'flat', l2ClipNorm: CLIP },
    noise: { multiplier: MULTIPLIER, generator: NOISE_GENERATORS[0], mode: 'production' },
    mechanism: 'dp-sgd',
    delta: 1e-5,
    accountant: ACCOUNTANT_VERSION,
  });
  const randomness = new PrivacyRandomness('production', secureRandom());
  const trainer = await createDpTrainer({
    plan,
    model: {
      build(g, units) {
        const { losses, parameters } = model.build(g, units);
        const mask = reshape(g.examples('mask', [units]), [units, 1]);
        const masked = mul(reshape(losses, [units, model.rows]), mask);
        return { losses: reshape(masked, [units * model.rows]), parameters };
      },
    },
    units: {
      population: batch,
      feeds: (units, capacity) => padded(feeds, batch, units[0] ?? 0, units.length, capacity),
    },
    optimizer: sgd(),
    learningRate: 0.01,
    initial: model.initial(seededRandom('engine.bench')),
    randomness,
    engine: onnxEngine({ threads }),
    execution: {
      unitsPerRun: model.unitsPerRun ?? batch,
      noise: NoiseWorker.start,
    },
  });
  return { name: 'private', step: () => trainer.step(), close: () => trainer.close() };
}

/** The rows of so many units, from one on, then zeros with mask 0. */
function padded(
  feeds: Record<string, Tensor>,
  batch: number,
  first: number,
  count: number,
  capacity: number,
): Record<string, Tensor> {
  const out: Record<string, Tensor> = {
    mask: float32([capacity], new Float32Array(capacity).fill(1, 0, count)),
  };
  for (const [name, { dtype, shape, data }] of Object.entries(feeds)) {
    const [rows, ...rest] = shape;
    const size = data.length / batch;
    const target = zeros(dtype, [(rows! / batch) * capacity, ...rest]);
    target.data.set(data.subarray(first * size, (first + count) * size) as never);
    out[name] = target;
  }
  return out;
}

async function wayOf(
  name: Way['name'],
  { initial, threads }: BenchModel,
  graph: TrainStepGraph,
  feeds: Record<string, Tensor>,
): Promise<Way> {
  const step = await TrainStep.create(graph, initial(seededRandom('engine.bench')), { threads });
  return {
    name,
    step: async () => {
      await step.run(feeds, 0.01);
    },
    close: () => step.close(),
  };
}

interface Times {
  readonly median: number;
  readonly low: number;
  readonly high: number;
  readonly steps: number;
}

/** Times of the ways, taking turns until the time is up. */
async function times(ways: readonly Way[]): Promise<Record<string, Times>> {
  const taken = new Map<Way, number[]>(ways.map((way) => [way, []]));
  for (const way of ways) for (let i = 0; i < 5; i++) await way.step();
  const end = performance.now() + 1000 * seconds;
  while (performance.now() < end || taken.get(ways[0]!)!.length < 20) {
    for (const way of ways) {
      const start = performance.now();
      await way.step();
      taken.get(way)!.push(performance.now() - start);
    }
  }
  return Object.fromEntries(
    ways.map((way) => {
      const sorted = taken.get(way)!.sort((a, b) => a - b);
      const at = (share: number): number => sorted[Math.floor(share * (sorted.length - 1))]!;
      return [way.name, { median: at(0.5), low: at(0.1), high: at(0.9), steps: sorted.length }];
    }),
  );
}

async function measured(model: BenchModel) {
  const feeds = model.feeds(seededRandom('engine.bench', 'feeds'));
  const ways = [await plainWay(model, feeds), await clippedWay(model, feeds), await privateWay(model, feeds)];
  const result = await times(ways);
  for (const way of ways) await way.close();
  return result;
}

/** Speed of one bare product [256, 784] x [784, 512], in 10^9 operations a second. */
async function productSpeed(threads: number): Promise<number> {
  const g = new GraphBuilder();
  g.output('y', matmul(g.examples('a', [256, 784]), g.shared('b', [784, 512])));
  const session = await Session.create(g.build(), { threads });
  const feeds = {
    a: float32([256, 784], new Float32Array(256 * 784).fill(0.5)),
    b: float32([784, 512], new Float32Array(784 * 512).fill(0.5)),
  };
  const fetches = { y: float32([256, 512], new Float32Array(256 * 512)) };
  const taken: number[] = [];
  for (let i = 0; i < 200; i++) {
    const start = performance.now();
    await session.runInto(feeds, fetches);
    taken.push(performance.now() - start);
  }
  await session.close();
  return (2 * 256 * 784 * 512) / 1e6 / taken.sort((a, b) => a - b)[100]!;
}

/** What a process grows by at most while it trains, in MB: of a process of its own. */
function memoryOf(index: number, way: string): number {
  const { stdout } = spawnSync(process.execPath, [import.meta.filename, '--memory', String(index), way], {
    encoding: 'utf8',
  });
  return Number(stdout.trim());
}

async function growWith(model: BenchModel, name: Way['name']): Promise<void> {
  const feeds = model.feeds(seededRandom('engine.bench', 'feeds'));
  const before = process.memoryUsage().rss;
  const make = { plain: plainWay, clipped: clippedWay, private: privateWay }[name];
  const way = await make(model, feeds);
  for (let i = 0; i < 8; i++) await way.step();
  const growth = 1024 * process.resourceUsage().maxRSS - before;
  await way.close();
  console.log((growth / 1e6).toFixed(0));
}

async function report(): Promise<void> {
  const speeds = { 1: await productSpeed(1), 2: await productSpeed(2) };
  const { runtime, cpuModel } = runtimeFingerprint();
  const machine = `${cpuModel}, ${cpus().length} cores, ${runtime}, Node ${process.version}`;
  const load = loadavg()[0]!;
  const baseline = opacusBaseline(process.env.LETHE_BASELINE_PYTHON);
  const say = isJson ? console.error : console.log;
  say(
    `${machine}, load ${load.toFixed(1)}; bare product ${speeds[1].toFixed(0)} GFLOP/s with 1 thread, ${speeds[2].toFixed(0)} with 2`,
  );
  if ('notMeasured' in baseline) say(baseline.notMeasured);
  const rows = [];
  for (const [index, model] of MODELS.entries()) {
    const steps = await measured(model);
    const memory = {
      plain: memoryOf(index, 'plain'),
      clipped: memoryOf(index, 'clipped'),
      private: memoryOf(index, 'private'),
    };
    const peer =
      'rows' in baseline ? baseline.rows.find((row) => row.model === model.baseline)?.modes : undefined;
    const ratio = {
      clipped: steps.clipped!.median / steps.plain!.median,
      private: steps.private!.median / steps.plain!.median,
    };
    rows.push({
      name: model.name,
      batch: model.batch,
      threads: model.threads,
      rowsPerExample: model.rows,
      milliseconds: steps,
      ratio,
      memoryMegabytes: memory,
      opacus: peer ?? null,
    });
    const text = ({ median, low, high }: Times): string =>
      `${median.toFixed(2)} [${low.toFixed(2)}, ${high.toFixed(2)}]`;
    say(
      `${model.name}, batch ${model.batch}, ${model.threads} thread(s)\n` +
        `  plain ${text(steps.plain!)} ms   clipped ${text(steps.clipped!)} = ${ratio.clipped.toFixed(2)} x   private ${text(steps.private!)} = ${ratio.private.toFixed(2)} x` +
        (model.rows > 1
          ? `   ${((1000 * model.batch * model.rows) / steps.plain!.median).toFixed(0)} tokens/s plain`
          : '') +
        `\n  memory: grows by ${memory.plain} MB plain, ${memory.clipped} MB clipped, ${memory.private} MB private (with the noise's thread)` +
        (peer
          ? `\n  Opacus: plain ${peer.plain?.wallMs.median.toFixed(1)}, ghost ${peer.ghost?.wallMs.median.toFixed(1)}, hooks ${peer.hooks?.wallMs.median.toFixed(1)} ms`
          : ''),
    );
  }
  const noise = benchOf('../../privacy/src/noise/noise.bench.ts');
  const accountants = benchOf('../../privacy/src/accountants/accountants.bench.ts');
  if (isJson)
    console.log(
      JSON.stringify({
        bench: 'engine',
        machine,
        load,
        productGflops: speeds,
        secondsPerModel: seconds,
        baseline: 'rows' in baseline ? { torch: baseline.torch, opacus: baseline.opacus } : baseline,
        rows,
        noise,
        accountants,
      }),
    );
}

/** The figures of another measurement, or its text on the terminal. */
function benchOf(path: string): unknown {
  const file = fileURLToPath(new URL(path, import.meta.url));
  if (!isJson) {
    spawnSync(process.execPath, [file], { stdio: 'inherit' });
    return undefined;
  }
  const { stdout } = spawnSync(process.execPath, [file, '--json'], { encoding: 'utf8' });
  return JSON.parse(stdout);
}

const memory = options.indexOf('--memory');
if (memory >= 0) await growWith(MODELS[Number(options[memory + 1])]!, options[memory + 2] as Way['name']);
else await report();
