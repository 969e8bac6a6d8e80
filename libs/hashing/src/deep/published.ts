/**
 * A baseline: Deep Lifelong Cross-modal Hashing as its authors published it (Xu et al., arXiv 2304.13357, with their public code), in our own words, its
 * defects included, to compare with. Do not use it for anything else.
 *
 * Stage 1 (original data): a label net beside the networks of the two modalities, epoch by epoch in turn, SGD, against buffers of all outputs; then
 * codes sign(2F + H) and sign(2G + H). Stage 2 (an increment): samples of *all* data, old records included, each modality by itself, Adam.
 *
 * Kept as published:
 *   (a) the term of the new codes is not part of the loss;
 *   (b) the anchor of the discrete update of new codes is 0;
 *   (c) row i of a sample is drawn to the code of database row i, which is another record's;
 *   (d) the balance term is the plain sum of all outputs;
 *   (e) a database code is sign(B_x + B_y): 0 where they disagree, so it has three values;
 *   (f) a learning rate of 1e-7, falling, in stage 2;
 *   (g) where the caller lets it `peek` at the queries, the best epoch of stage 2 by them is the one that is kept.
 *
 * Differences that remain: frozen encoder outputs and a perceptron in place of CNN-F, which the authors tune; a row's place in the buffer holds its
 * output from before the step, not from within it; batches are filled up from the start of their epoch; stage 2 computes the term of the old codes by
 * G, P and Q, which gives the same gradients; a sum of exactly 0 in an update gives +1. Epochs are options, because 200 of them are slow.
 */
import {
  add,
  GraphBuilder,
  matmul,
  mlp,
  mul,
  normalizeRows,
  reduceSum,
  reduceSumSquare,
  relu,
  reshape,
  sub,
  tanh,
  type Value,
} from '@lethe/graph';
import { adam, sgd, type TrainStepGraph, trainStepGraph } from '@lethe/optim';
import { assert, seededRandom, shuffle } from '@lethe/std';
import { float32, type Tensor } from '@lethe/tensor';
import { HASHING } from '../errors.ts';
import { addCodes, checkLabels, emptyCodeSums, lifelongSums, unitLabels } from './code-sums.ts';
import { discreteSweep } from './discrete.ts';
import {
  type DeepEngine,
  type DeepParameters,
  type DeepSpec,
  deepOutputs,
  initialDeepParameters,
} from './networks.ts';
import { LOSS_TERMS } from './terms.ts';
import type { DeepItems } from './trainer.ts';

export interface PublishedOptions {
  /** Of stage 1 and of every stage 2; 200 as published. */
  readonly originalEpochs: number;
  readonly incrementEpochs: number;
  /** Samples that stage 2 draws; 2,000 as published. */
  readonly samples: number;
  readonly batchRows: number;
  readonly originalRate: number;
  readonly incrementRate: number;
}

export const PUBLISHED_OPTIONS: PublishedOptions = {
  originalEpochs: 200,
  incrementEpochs: 200,
  samples: 2_000,
  batchRows: 128,
  originalRate: 1e-3,
  incrementRate: 1e-7,
};

const ALPHA = 10;
const BETA = 100;
const RATE_DECAY = 0.95;
const RATE_END = 1e-10;

export interface PublishedRun {
  /** Exactly two modalities, as published. `hidden` is 8,192 there. */
  readonly spec: DeepSpec;
  readonly options: PublishedOptions;
  readonly seed: string;
  readonly engine: DeepEngine;
  /** The quality of parameters on the queries, larger is better: defect (g). */
  readonly peek?: (parameters: DeepParameters) => Promise<number>;
}

/** All records with their codes; the method reads old records again in every increment. */
export interface PublishedState {
  readonly parameters: DeepParameters;
  readonly items: DeepItems;
  readonly classes: number;
  /** B_x and B_y, [n, K] of +1 and -1. */
  readonly codes: readonly [Int8Array, Int8Array];
}

const signs = (values: ArrayLike<number>): Int8Array =>
  Int8Array.from(values, (value) => (value < 0 ? -1 : 1));

/** sign(B_x + B_y), [n, K] of +1, 0 and -1: the label-derived database codes, as published. */
export const publishedDatabaseCodes = ({ codes: [x, y] }: PublishedState): Int8Array =>
  x.map((bit, at) => Math.sign(bit + y[at]!));

const rowsOf = (matrix: ArrayLike<number>, width: number, rows: ArrayLike<number>): Tensor<'float32'> => {
  const data = new Float32Array(rows.length * width);
  for (let i = 0; i < rows.length; i++) {
    for (let k = 0; k < width; k++) data[i * width + k] = matrix[rows[i]! * width + k]!;
  }
  return float32([rows.length, width], data);
};

/** Batches of exactly `size` rows of a shuffled order that begins again where it ends. */
function batches(order: Int32Array, size: number): Int32Array[] {
  return Array.from({ length: Math.ceil(order.length / size) }, (_, b) =>
    Int32Array.from({ length: size }, (_, i) => order[(b * size + i) % order.length]!),
  );
}

function check({ spec }: PublishedRun, items: DeepItems, classes: number): void {
  checkLabels(items.labels, classes);
  if (spec.modalities.length !== 2 || items.present) {
    throw HASHING.OPTION_INVALID('the published method takes paired records of exactly two modalities');
  }
}

const LABEL = 'label';

interface OriginalTerm {
  /** Buffer of which net; its weight. */
  readonly buffer: string;
  readonly weight: number;
}

/** `1 / (b n) sum (relu(cos(u_i, v_j)) - S_ij)²`. */
function likenessLoss(u: Value, buffer: Value, likeness: Value): Value {
  const cosines = relu(matmul(normalizeRows(u), normalizeRows(buffer), { transB: true }));
  return mul(reduceSumSquare(sub(cosines, likeness)), 1 / (u.shape[0]! * buffer.shape[0]!));
}

interface OriginalNet {
  readonly width: number;
  readonly name: string;
  readonly terms: readonly OriginalTerm[];
  /** Codes it is drawn to, each with weight. */
  readonly codes: readonly number[];
  readonly codeWeight: number;
}

function originalGraph(
  { spec, options }: PublishedRun,
  net: OriginalNet,
  n: number,
  classes: number,
): TrainStepGraph {
  const { codeBits: K, hidden } = spec;
  const b = options.batchRows;
  const g = new GraphBuilder();
  const x = g.examples(net.name, [b, net.width]);
  const { logits: u, parameters } = g.scope(net.name, () =>
    mlp(x, { widths: [net.width, hidden, K], activation: 'relu' }),
  );
  const likeness = matmul(g.examples('labels', [b, classes]), g.shared('all.labels', [n, classes]), {
    transB: true,
  });
  const parts = net.terms.map(({ buffer, weight }) =>
    mul(likenessLoss(u, g.shared(`buffer.${buffer}`, [n, K]), likeness), weight),
  );
  for (const side of net.codes) {
    parts.push(mul(reduceSumSquare(sub(u, g.examples(`codes.${side}`, [b, K]))), net.codeWeight / (b * K)));
  }
  g.output('raw', u);
  const losses = reshape(
    parts.reduce((sum, part) => add(sum, part)),
    [1],
  );
  return trainStepGraph(g, { losses, parameters, optimizer: sgd(), objective: { kind: 'mean', divisor: 1 } });
}

/** Stage 1. @throws LETHE-3410, LETHE-3450, LETHE-3453 */
export async function trainPublished(
  run: PublishedRun,
  items: DeepItems,
  classes: number,
): Promise<PublishedState> {
  check(run, items, classes);
  const { options, seed, engine } = run;
  const { codeBits: K } = run.spec;
  const [x, y] = run.spec.modalities as [DeepSpec['modalities'][0], DeepSpec['modalities'][0]];
  const spec = { ...run.spec, modalities: [x, y, { name: LABEL, width: classes }] };
  const units = unitLabels(items.labels, classes);
  const n = items.labels.length;
  const inputs: Record<string, Float32Array> = {
    ...items.inputs,
    [LABEL]: Float32Array.from(units, (value) => Math.sign(value)),
  };
  const initial = initialDeepParameters(spec, seed);
  const buffers: Record<string, Float32Array> = {};
  for (const { name } of spec.modalities)
    buffers[name] = await deepOutputs(engine, spec, initial, name, inputs[name]!);
  const nets: OriginalNet[] = [
    {
      name: LABEL,
      width: classes,
      terms: [term(LABEL, 10), term(x.name, 1), term(y.name, 10)],
      codes: [0, 1],
      codeWeight: 0.5,
    },
    { name: x.name, width: x.width, terms: [term(x.name, 10), term(LABEL, 1)], codes: [0], codeWeight: 1 },
    { name: y.name, width: y.width, terms: [term(y.name, 10), term(LABEL, 1)], codes: [1], codeWeight: 1 },
  ];
  const mixed = (name: string): Int8Array =>
    signs(buffers[name]!.map((value, at) => 2 * value + buffers[LABEL]![at]!));
  let codes: [Int8Array, Int8Array] = [mixed(x.name), mixed(y.name)];
  const steps = await Promise.all(
    nets.map((net) => {
      const own = Object.entries(initial).filter(([name]) => name.startsWith(`${net.name}.`));
      return engine.loadStep(originalGraph(run, net, n, classes), Object.fromEntries(own));
    }),
  );
  const everyLabel = float32([n, classes], Float32Array.from(units));
  for (let epoch = 0; epoch < options.originalEpochs; epoch++) {
    const rate =
      options.originalRate +
      ((RATE_END - options.originalRate) * epoch) / Math.max(1, options.originalEpochs - 1);
    for (const [at, net] of nets.entries()) {
      const order = shuffle(
        Int32Array.from({ length: n }, (_, i) => i),
        seededRandom('published', seed, net.name, epoch),
      );
      for (const rows of batches(order, options.batchRows)) {
        const out = await steps[at]!.run(
          {
            [net.name]: rowsOf(inputs[net.name]!, net.width, rows),
            labels: rowsOf(units, classes, rows),
            'all.labels': everyLabel,
            ...Object.fromEntries(
              net.terms.map(({ buffer }) => [`buffer.${buffer}`, float32([n, K], buffers[buffer]!)]),
            ),
            ...Object.fromEntries(net.codes.map((side) => [`codes.${side}`, rowsOf(codes[side]!, K, rows)])),
          },
          rate,
        );
        const raw = out.raw!.data as Float32Array;
        rows.forEach((row, i) => {
          buffers[net.name]!.set(raw.subarray(i * K, (i + 1) * K), row * K);
        });
      }
    }
    codes = [mixed(x.name), mixed(y.name)];
  }
  const parameters = Object.assign({}, ...steps.map((step) => step.parameters())) as Record<
    string,
    Tensor<'float32'>
  >;
  for (const step of steps) await step.close();
  // The label net serves stage 1 only.
  for (const name of Object.keys(parameters)) if (name.startsWith(`${LABEL}.`)) delete parameters[name];
  return { parameters, items, classes, codes };
}

const term = (buffer: string, weight: number): OriginalTerm => ({ buffer, weight });

function incrementGraph(
  { spec, options }: PublishedRun,
  side: number,
  classes: number,
  perPair: number,
): TrainStepGraph {
  const { codeBits: K, hidden } = spec;
  const { name, width } = spec.modalities[side]!;
  const rows = options.batchRows;
  const g = new GraphBuilder();
  const x = g.examples(name, [rows, width]);
  const { logits, parameters } = g.scope(name, () =>
    mlp(x, { widths: [width, hidden, K], activation: 'relu' }),
  );
  const u = tanh(logits);
  const codes = g.examples('codes', [rows, K]);
  const old = LOSS_TERMS.similarity.build({
    rows,
    codeBits: K,
    outputs: [u],
    masks: [g.constant('float32', [rows, 1], new Float32Array(rows).fill(1))],
    labels: g.examples('labels', [rows, classes]),
    codes,
    g: g.shared('g', [K, K]),
    p: g.shared('p', [classes, K]),
    q: g.shared('q', [classes, classes]),
  });
  const drawn = mul(reduceSumSquare(sub(codes, u)), ALPHA * perPair);
  const balance = mul(reduceSum(u), BETA * perPair);
  const losses = reshape(add(add(old, drawn), balance), [1]);
  return trainStepGraph(g, {
    losses,
    parameters,
    optimizer: adam(),
    objective: { kind: 'mean', divisor: 1 },
  });
}

const joined = (a: Float32Array, b: Float32Array): Float32Array => {
  const both = new Float32Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
};

/** Stage 2: the new records' codes join, no old code changes. @throws LETHE-3410, LETHE-3450, LETHE-3453 */
export async function incrementPublished(
  run: PublishedRun,
  state: PublishedState,
  fresh: DeepItems,
  classes: number,
): Promise<PublishedState> {
  check(run, fresh, classes);
  assert(classes >= state.classes, 'declared classes never become fewer');
  const { spec, options, seed } = run;
  const labels = [...state.items.labels, ...fresh.labels];
  const inputs = Object.fromEntries(
    spec.modalities.map(({ name }) => [name, joined(state.items.inputs[name]!, fresh.inputs[name]!)]),
  );
  const random = seededRandom('published-increment', seed, labels.length);
  // The retrieval list is in random order, and a sample is a set of positions in it (c).
  const list = shuffle(
    Int32Array.from({ length: labels.length }, (_, i) => i),
    random,
  );
  const sample = list.slice(0, Math.min(options.samples, list.length));
  let parameters = state.parameters;
  const codes: Int8Array[] = [];
  for (const side of [0, 1]) {
    const merged = {
      run,
      side,
      classes,
      items: { inputs, labels },
      sample,
      old: state.codes[side]!,
      fresh: fresh.labels.length,
    };
    const trained = await trainSide(merged, parameters);
    parameters = trained.parameters;
    codes.push(Int8Array.from([...state.codes[side]!, ...trained.codes]));
  }
  return { parameters, items: { inputs, labels }, classes, codes: codes as [Int8Array, Int8Array] };
}

interface Side {
  readonly run: PublishedRun;
  readonly side: number;
  readonly classes: number;
  readonly items: DeepItems;
  readonly sample: Int32Array;
  /** [n_o, K] */
  readonly old: Int8Array;
  /** n_n */
  readonly fresh: number;
}

async function trainSide(
  given: Side,
  start: DeepParameters,
): Promise<{ parameters: DeepParameters; codes: Int8Array }> {
  const { run, side, classes, items, sample, old, fresh } = given;
  const { spec, options, seed, engine, peek } = run;
  const K = spec.codeBits;
  const { name, width } = spec.modalities[side]!;
  const total = items.labels.length;
  const sums = lifelongSums(
    addCodes(emptyCodeSums(K, classes), { codes: old, labels: items.labels.slice(0, total - fresh) }),
  );
  const scaled = (part: Float64Array, rows: number): Tensor =>
    float32(
      [rows, part.length / rows],
      Float32Array.from(part, (value) => value / total),
    );
  const shared = { g: scaled(sums.g, K), p: scaled(sums.p, classes), q: scaled(sums.q, classes) };
  const units = unitLabels(items.labels, classes);
  const own = Object.fromEntries(
    Object.entries(start).filter(([parameter]) => parameter.startsWith(`${name}.`)),
  );
  const perPair = 1 / (options.batchRows * total);
  const step = await engine.loadStep(incrementGraph(run, side, classes, perPair), own);
  let best = { value: Number.NEGATIVE_INFINITY, parameters: start };
  for (let epoch = 0; epoch < options.incrementEpochs; epoch++) {
    const order = shuffle(
      Int32Array.from(sample.keys()),
      seededRandom('published-order', seed, name, epoch, total),
    );
    for (const places of batches(order, options.batchRows)) {
      const rows = places.map((place) => sample[place]!);
      // Place i of the sample is paired with database row i, whoever that is (c).
      const paired = places.map((place) => place % (total - fresh));
      const feeds = {
        [name]: rowsOf(items.inputs[name]!, width, rows),
        labels: rowsOf(units, classes, rows),
        codes: rowsOf(old, K, paired),
      };
      await step.run({ ...feeds, ...shared }, options.incrementRate * RATE_DECAY ** epoch);
    }
    if (!peek) continue;
    const now = { ...start, ...step.parameters() };
    const value = await peek(now);
    if (value > best.value) best = { value, parameters: now };
  }
  const parameters = peek ? best.parameters : { ...start, ...step.parameters() };
  await step.close();
  const outputs = await deepOutputs(
    engine,
    spec,
    parameters,
    name,
    rowsOf(items.inputs[name]!, width, sample).data,
  );
  return { parameters, codes: updated(outputs.map(Math.tanh), units, given) };
}

/** B_n[:, k] = sign(p_k - B'_n U'ᵀ u_k), P = K S_nᵀ U + alpha · 0 (b), once over the bits from the signs of P. */
function updated(
  u: Float32Array,
  units: Float64Array,
  { run, classes: C, items, sample, fresh }: Side,
): Int8Array {
  const K = run.spec.codeBits;
  const byClass = new Float64Array(C * K);
  const gram = new Float64Array(K * K);
  for (const [i, row] of sample.entries()) {
    for (let k = 0; k < K; k++) {
      for (let c = 0; c < C; c++) byClass[c * K + k]! += units[row * C + c]! * u[i * K + k]!;
      for (let l = 0; l < K; l++) gram[k * K + l]! += u[i * K + k]! * u[i * K + l]!;
    }
  }
  const first = items.labels.length - fresh;
  const pull = new Float64Array(fresh * K);
  for (let i = 0; i < fresh; i++) {
    for (let c = 0; c < C; c++) {
      const y = K * units[(first + i) * C + c]!;
      if (y !== 0) for (let k = 0; k < K; k++) pull[i * K + k]! += y * byClass[c * K + k]!;
    }
  }
  const codes = signs(pull);
  discreteSweep({ codeBits: K, pull, gram }, codes);
  return codes;
}
