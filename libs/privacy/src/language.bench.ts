/**
 * A byte-level decoder on the State of the Union addresses, without privacy and at epsilon 8 and 3: held-out bits per byte.
 *
 *     npx lethe data fetch sotu
 *     node libs/privacy/src/language.bench.ts [3 | 8 | infinity …] [--json] [--threads 2] [--validate] [--rate R --steps S --batch B --clip C]
 *
 * UNIT OF PRIVACY: one window of 64 bytes. That is weak: it hides that one such piece was read, not that a text or its author was; an author
 * has thousands of windows, and what many of them share is learned. It is the unit that makes 43 authors trainable at all.
 *
 * A tenth of every author's blocks of 64 windows is held out. A byte is predicted from the at most 64 bytes of its window before it, so that
 * bits per byte are those of short contexts. `uniform` is 8 bits; `order 0` and `order 1` are counts of the training bytes (and pairs), add-one
 * smoothed, without privacy.
 *
 * The private runs: Poisson sampling with a cap, flat clipping, noise and sampling of production, Adam; delta = n^-1.1, because 1e-5 would be above 1/n.
 * `priced at` is what the plan costs; it is far below the target where less noise would have no second opinion and be quoted by RDP.
 * What is scored is the last iterate; the rate falls linearly to zero. The run without privacy reads as many windows in small batches.
 *
 * How the settings were chosen: `--validate` trains without every tenth block of the TRAINING windows, calibrated anew for so many, and scores on a
 * third of those blocks. One run each at epsilon 3: width 64 and 49,000 windows read gave 4.08, 3.76, 3.61 and 3.52
 * bits for batches of 2048, 1024, 512 and 256, rates of 0.004 to 0.024 differed by at most 0.05; width 128 gave 3.95 in more time. The final runs read four
 * times as many windows in batches twice the best: that many steps were taken for the time they need, after figures of half as many had been seen, held-out ones too; clip norm and Adam as Li et al. (2022) advise. On private records
 * such a search has to be charged.
 */
import { availableParallelism, cpus, loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { loadSotu, splitWithinAuthors, type TokenWindows } from '@lethe/datasets';
import {
  GraphBuilder,
  reduceSum,
  type TransformerSpec,
  transformerParameters,
  transformerSpec,
} from '@lethe/graph';
import { adam, initialParameters, trainStepGraph } from '@lethe/optim';
import { onnxEngine, Session, TrainStep } from '@lethe/runtime';
import { secureRandom, seededRandom } from '@lethe/std';
import type { Tensor } from '@lethe/tensor';
import {
  ACCOUNTANT_VERSION,
  calibratedPlan,
  capFor,
  createDpTrainer,
  dyadicProbability,
  NOISE_GENERATORS,
  PrivacyRandomness,
  planCost,
  tokenUnits,
  transformerModel,
} from './index.ts';

const { values: options, positionals: words } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: 'boolean', default: false },
    validate: { type: 'boolean', default: false },
    threads: { type: 'string', default: '2' },
    rate: { type: 'string' },
    steps: { type: 'string' },
    batch: { type: 'string' },
    clip: { type: 'string' },
    width: { type: 'string', default: '64' },
  },
});

const WINDOW = 64;
const HELD_OUT = 0.1;
const spec: TransformerSpec = { ...transformerSpec, sequence: WINDOW, width: Number(options.width) };
const parameters = transformerParameters(spec);
const model = transformerModel(spec);
const threads = Number(options.threads);
const engine = onnxEngine({ threads });

interface Setting {
  readonly epsilon: number;
  /** Windows of a step: expected where it is private. */
  readonly batch: number;
  readonly steps: number;
  readonly rate: number;
  readonly clip: number;
}

const chosen = (setting: Setting): Setting => ({
  ...setting,
  batch: Number(options.batch ?? setting.batch),
  steps: Number(options.steps ?? setting.steps),
  rate: Number(options.rate ?? setting.rate),
  clip: Number(options.clip ?? setting.clip),
});

const SETTINGS: readonly Setting[] = [
  { epsilon: 3, batch: 512, steps: 384, rate: 0.012, clip: 0.1 },
  { epsilon: 8, batch: 512, steps: 384, rate: 0.012, clip: 0.1 },
  { epsilon: Number.POSITIVE_INFINITY, batch: 64, steps: 3072, rate: 0.006, clip: 0 },
].map(chosen);

/** Windows in one run of the graph. */
const CHUNK = 64;
const WARM_UP = 0.05;
/** Rises over the first twentieth of the steps, then falls to zero. */
const rateAt =
  ({ rate, steps }: Setting) =>
  (step: number): number =>
    rate * Math.min((step + 1) / (WARM_UP * steps), (steps - step) / (steps * (1 - WARM_UP)));

type Weights = Readonly<Record<string, Tensor<'float32'>>>;

const initial = (): Weights => initialParameters(parameters, seededRandom('language', 'initial'));

/** Windows at these places. */
const picked = (
  { length, tokens, authors }: TokenWindows,
  keep: (window: number) => boolean,
): TokenWindows => {
  const places = [...authors.keys()].filter(keep);
  const out = new Uint8Array(places.length * (length + 1));
  for (const [to, from] of places.entries())
    out.set(tokens.subarray(from * (length + 1), (from + 1) * (length + 1)), to * (length + 1));
  return { length, tokens: out, authors: Uint16Array.from(places, (place) => authors[place]!) };
};

function parts(): { readonly train: TokenWindows; readonly scored: TokenWindows } {
  const { train, heldOut } = splitWithinAuthors(loadSotu(), WINDOW, HELD_OUT);
  if (!options.validate) return { train, scored: heldOut };
  const isAway = (window: number): boolean => Math.floor(window / 64) % 10 === 9;
  // A third of them tells settings apart.
  const isScored = (window: number): boolean => Math.floor(window / 64) % 30 === 9;
  return { train: picked(train, (window) => !isAway(window)), scored: picked(train, isScored) };
}

/** Mean bits of a predicted byte. */
async function bitsPerByte(weights: Weights, windows: TokenWindows): Promise<number> {
  const units = tokenUnits(windows);
  const g = new GraphBuilder();
  // A window's loss is the mean over its bytes, and all windows are full.
  g.output('sum', reduceSum(model.build(g, CHUNK).losses));
  const session = await Session.create(g.build(), { threads });
  let sum = 0;
  for (let at = 0; at < units.population; at += CHUNK) {
    const some = Uint32Array.from({ length: Math.min(CHUNK, units.population - at) }, (_, i) => at + i);
    const { sum: part } = await session.run({ ...weights, ...units.feeds(some, CHUNK) });
    sum += part!.data[0] as number;
  }
  await session.close();
  return sum / units.population / Math.LN2;
}

/** Bits of a byte by counts, given the last `order` bytes (0 or 1). */
function countedBits(train: TokenWindows, scored: TokenWindows, order: 0 | 1): number {
  const counts = new Float64Array(256 ** (order + 1)).fill(1);
  const totals = new Float64Array(256 ** order).fill(256);
  const each = ({ tokens, length }: TokenWindows, visit: (context: number, byte: number) => void): void => {
    for (let i = 0; i < tokens.length; i++)
      if (i % (length + 1) > 0) visit(order === 0 ? 0 : tokens[i - 1]!, tokens[i]!);
  };
  each(train, (context, byte) => {
    counts[context * 256 + byte]!++;
    totals[context]!++;
  });
  let bits = 0;
  each(scored, (context, byte) => {
    bits -= Math.log2(counts[context * 256 + byte]! / totals[context]!);
  });
  return bits / (scored.authors.length * scored.length);
}

interface Trained {
  readonly weights: Weights;
  readonly privacy: {
    readonly epsilonUpper: number;
    readonly noiseMultiplier: number;
    readonly delta: number;
  } | null;
}

async function privately(setting: Setting, train: TokenWindows): Promise<Trained> {
  const { epsilon, steps, clip, batch } = setting;
  const units = tokenUnits(train);
  const n = units.population;
  const probability = dyadicProbability(batch / n);
  const { plan } = calibratedPlan(
    {
      unit: 'record',
      relation: 'add-or-remove-one',
      sampling: { kind: 'truncated-poisson', probability, cap: capFor(n, probability, 8), population: n },
      steps,
      expectedUnits: batch,
      clipping: { kind: 'flat', l2ClipNorm: clip },
      noise: { generator: NOISE_GENERATORS[0], mode: 'production' },
      mechanism: 'dp-sgd',
      delta: n ** -1.1,
      accountant: ACCOUNTANT_VERSION,
    },
    epsilon,
  );
  const trainer = await createDpTrainer({
    plan,
    model,
    units,
    optimizer: adam({ beta2: 0.99 }),
    learningRate: rateAt(setting),
    initial: initial(),
    randomness: new PrivacyRandomness('production', secureRandom()),
    engine,
    execution: { unitsPerRun: CHUNK },
  });
  for (let step = 0; step < steps; step++) await trainer.step();
  const weights = trainer.parameters();
  await trainer.close();
  const { epsilonUpper, delta } = planCost(plan);
  return { weights, privacy: { epsilonUpper, delta, noiseMultiplier: plan.noise.multiplier } };
}

async function plainly(setting: Setting, train: TokenWindows): Promise<Trained> {
  const { batch, steps } = setting;
  const units = tokenUnits(train);
  const g = new GraphBuilder();
  const graph = trainStepGraph(g, {
    ...model.build(g, batch),
    optimizer: adam({ beta2: 0.99 }),
    objective: { kind: 'mean', divisor: batch },
  });
  const state = await TrainStep.create(graph, initial(), { threads });
  const random = seededRandom('language', 'batches');
  for (let step = 0; step < steps; step++) {
    const drawn = Uint32Array.from({ length: batch }, () => random.below(units.population));
    await state.run(units.feeds(drawn, batch), rateAt(setting)(step));
  }
  const weights = state.parameters();
  await state.close();
  return { weights, privacy: null };
}

const say = (text: string): void => void (options.json ? process.stderr : process.stdout).write(`${text}\n`);
const { train, scored } = parts();
const size = parameters.reduce(
  (sum, { shape }) => sum + shape.reduce((product, side) => product * side, 1),
  0,
);
const baselines = {
  uniform: 8,
  order0: countedBits(train, scored, 0),
  order1: countedBits(train, scored, 1),
};
const part = options.validate ? 'validation' : 'held out';
say(
  `${train.authors.length} windows of ${WINDOW} bytes to train on, ${scored.authors.length} ${part}; ` +
    `decoder of ${spec.blocks} blocks, width ${spec.width}, ${size} parameters\n` +
    `unit of privacy: ONE WINDOW of ${WINDOW} bytes, not a text and not an author\n` +
    `bits per byte: uniform 8, order 0 ${baselines.order0.toFixed(3)}, order 1 ${baselines.order1.toFixed(3)}`,
);
const rows = [];
for (const setting of SETTINGS) {
  const { epsilon } = setting;
  if (words.length > 0 && !words.includes(String(epsilon).toLowerCase())) continue;
  const begun = performance.now();
  const { weights, privacy } = await (epsilon < Number.POSITIVE_INFINITY ? privately : plainly)(
    setting,
    train,
  );
  const seconds = (performance.now() - begun) / 1000;
  const bits = await bitsPerByte(weights, scored);
  say(
    `epsilon ${epsilon}: ${bits.toFixed(3)} bits per byte ${part}; ${setting.steps} steps of ${setting.batch} windows, rate ${setting.rate}` +
      `${privacy ? `, priced at epsilon ${privacy.epsilonUpper}, clip norm ${setting.clip}, noise ${privacy.noiseMultiplier}, delta ${privacy.delta.toExponential(2)}` : ''}; ${seconds.toFixed(0)} s`,
  );
  rows.push({
    ...setting,
    epsilon: privacy ? epsilon : 'infinity',
    clip: privacy ? setting.clip : null,
    privacy,
    bitsPerByte: bits,
    seconds,
  });
}
if (options.json) {
  const machine = { cpu: cpus()[0]?.model, cores: availableParallelism(), threads, load: loadavg()[0] };
  const data = { trainWindows: train.authors.length, scoredWindows: scored.authors.length, scored: part };
  process.stdout.write(
    `${JSON.stringify({ machine, node: process.version, unit: `one window of ${WINDOW} bytes`, model: { ...spec, parameters: size }, data, baselines, rows })}\n`,
  );
}
