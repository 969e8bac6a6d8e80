/**
 * Deep lifelong training. A session reads new records and the sums of old codes, nothing else, and gives the next parameters and the new records'
 * discrete codes. The first session is one over empty sums.
 *
 * An epoch: one graph run for each batch of the shuffled new records, then new codes by discrete descent, then the value on the validation split,
 * which is cut from the new records: queries have no place to enter. The parameters of the best epoch come out.
 */
import { bytesOf, canonicalJson, equalBytes, seededRandom, sha256, shuffle } from '@lethe/std';
import { float32, type Tensor } from '@lethe/tensor';
import { HASHING } from '../errors.ts';
import { type ClassRows, targetRow } from './class-rows.ts';
import {
  addCodes,
  type CodeSums,
  checkLabels,
  classCounts,
  emptyCodeSums,
  type LifelongSums,
  lifelongSums,
  unitLabels,
} from './code-sums.ts';
import { descend, newCodeProblem } from './discrete.ts';
import { requireMethod } from './methods.ts';
import {
  checkDeepSpec,
  type DeepEngine,
  type DeepParameters,
  type DeepSpec,
  type DeepStep,
  deepOutputs,
  deepParameterShapes,
  deepStepGraph,
  initialDeepParameters,
  signCodes,
} from './networks.ts';
import type { LossWeights } from './terms.ts';

/** Records with one row a modality; what a record lacks is a row of zeros that `present` marks. */
export interface DeepItems {
  /** Frozen encoder outputs, [n, width] for each modality. */
  readonly inputs: Readonly<Record<string, Float32Array>>;
  /** 1 or 0 for each record; absent means that all have the modality. */
  readonly present?: Readonly<Record<string, Uint8Array>>;
  /** n sets of distinct classes of the classRows. */
  readonly labels: readonly (readonly number[])[];
}

export interface DeepOptions {
  readonly weights: LossWeights;
  /** Weight of the new codes beside the old ones. */
  readonly rho: number;
  /** Of the first epoch; half a cosine leads it to 0. */
  readonly learningRate: number;
  readonly epochs: number;
  readonly batchRows: number;
  /** Share of the new records that only validates, in [0, 0.5]; 0 stops nothing early and keeps the last epoch. */
  readonly validationShare: number;
  /** Epochs without a better validation value after which training ends. */
  readonly patience: number;
  /** New codes are updated after every so many epochs. */
  readonly codesEvery: number;
  /** Cycles of one update. */
  readonly cycles: number;
  /** Of `distillation`. */
  readonly temperature: number;
}

/**
 * A starting point that learns the synthetic records of the tests, not one that was searched for. An increment also wants `distillation`, 300 there.
 * The published rate of an increment, 1e-7, moves nothing.
 */
export const DEFAULT_DEEP_OPTIONS: DeepOptions = {
  weights: { similarity: 1, quantisation: 10, balance: 1 },
  rho: 1,
  learningRate: 1e-3,
  epochs: 40,
  batchRows: 128,
  validationShare: 0.1,
  patience: 8,
  codesEvery: 4,
  cycles: 5,
  temperature: 0.2,
};

export interface EpochReport {
  /** 1, 2, … */
  readonly epoch: number;
  readonly trainingLoss: number;
  /** Mean squared error of `K S - B Bᵀ` of the validation records' signs against all codes, over K²; NaN without a split. */
  readonly validation: number;
  /** Bits of new codes that the discrete descent changed. */
  readonly flips: number;
}

/** A session at the end of an epoch. Holds new records' codes, hence nothing of old ones. */
export interface DeepCheckpoint {
  /** SHA-256 of everything that the session depends on. */
  readonly fingerprint: Uint8Array;
  readonly epochs: readonly EpochReport[];
  readonly parameters: DeepParameters;
  readonly optimizerState: DeepParameters;
  readonly steps: number;
  readonly codes: Int8Array;
  readonly best: { readonly epoch: number; readonly validation: number; readonly parameters: DeepParameters };
}

export interface DeepSession {
  readonly spec: DeepSpec;
  readonly options: DeepOptions;
  /** Codes of all classes, old and new. */
  readonly classRows: ClassRows;
  /** Sums of the codes that exist; `emptyCodeSums` before the first session. */
  readonly old: CodeSums;
  readonly items: DeepItems;
  /** Warm start, and the teacher of `distillation`; absent in the first session. */
  readonly previous?: DeepParameters;
  readonly seed: string;
  readonly engine: DeepEngine;
  readonly signal?: AbortSignal;
  /** Called after every epoch; `checkpoint` may be kept and resumed from. */
  readonly onEpoch?: (report: EpochReport, checkpoint: () => DeepCheckpoint) => void;
  readonly resume?: DeepCheckpoint;
}

export interface DeepOutcome {
  readonly parameters: DeepParameters;
  /** Label-derived codes of the new records, [n, K]: for a database whose owner opted in. Network-derived ones come from `deepCodes`. */
  readonly labelCodes: Int8Array;
  readonly epochs: readonly EpochReport[];
  /** The epoch whose parameters these are. */
  readonly bestEpoch: number;
}

interface Part {
  /** Row numbers in the session's items. */
  readonly rows: Int32Array;
  readonly inputs: Readonly<Record<string, Float32Array>>;
  readonly present: Readonly<Record<string, Uint8Array>>;
  readonly labels: readonly (readonly number[])[];
  /** Ŷ [n, C]. */
  readonly units: Float64Array;
}

function checkItems({ spec, items, classRows, old }: DeepSession): void {
  const n = items.labels.length;
  checkLabels(items.labels, classRows.rows.length);
  for (const { name, width } of spec.modalities) {
    const rows = items.inputs[name];
    const present = items.present?.[name];
    if (rows?.length !== n * width || !rows.every(Number.isFinite) || (present && present.length !== n)) {
      throw HASHING.INPUTS_INVALID(`${name} is not ${n} finite rows of ${width}`, {
        details: { name, rows: n, width },
      });
    }
  }
  if (
    old.codeBits !== spec.codeBits ||
    classRows.codeBits !== spec.codeBits ||
    old.classes !== classRows.rows.length
  ) {
    throw HASHING.SHAPE_MISMATCH(
      'sums, classRows and specification are not of one hash function; widen the sums first',
    );
  }
}

function checkOptions({ options, items, previous, spec }: DeepSession): void {
  const { epochs, batchRows, validationShare, patience, codesEvery, cycles } = options;
  const counts = [epochs, batchRows, patience, codesEvery, cycles].every(
    (count) => Number.isInteger(count) && count >= 1,
  );
  const strange = Object.keys(options.weights).find((name) => requireMethod(name).kind !== 'loss');
  if (strange) throw HASHING.OPTION_INVALID('a weight is of no loss', { details: { name: strange } });
  const weights = Object.values(options.weights);
  const positive = [options.learningRate, options.rho, options.temperature].every(
    (value) => value > 0 && Number.isFinite(value),
  );
  const share = validationShare >= 0 && validationShare <= 0.5;
  const weighed =
    weights.every((value) => value >= 0 && Number.isFinite(value)) && (options.weights.similarity ?? 0) > 0;
  if (!(counts && positive && share && weighed && items.labels.length >= 2)) {
    throw HASHING.OPTION_INVALID(
      'an option of deep training is out of its range, or there are fewer than two records',
    );
  }
  if ((options.weights.distillation ?? 0) > 0 && !previous) {
    throw HASHING.OPTION_INVALID('distillation needs the network of the session before');
  }
  const fits = deepParameterShapes(spec).every(
    ({ name, shape }) => previous?.[name]?.shape.join() === shape.join(),
  );
  if (previous && !fits)
    throw HASHING.SHAPE_MISMATCH('the previous parameters are those of another function');
}

function partOf({ spec, items, classRows }: DeepSession, rows: Int32Array): Part {
  const labels = Array.from(rows, (row) => items.labels[row]!);
  const inputs: Record<string, Float32Array> = {};
  const present: Record<string, Uint8Array> = {};
  for (const { name, width } of spec.modalities) {
    const own = new Float32Array(rows.length * width);
    rows.forEach((row, i) => {
      own.set(items.inputs[name]!.subarray(row * width, (row + 1) * width), i * width);
    });
    inputs[name] = own;
    present[name] = Uint8Array.from(rows, (row) => items.present?.[name]?.[row] ?? 1);
  }
  return { rows, inputs, present, labels, units: unitLabels(labels, classRows.rows.length) };
}

function split(session: DeepSession): { readonly training: Part; readonly validation: Part } {
  const n = session.items.labels.length;
  const order = shuffle(
    Int32Array.from({ length: n }, (_, i) => i),
    seededRandom('deep-split', session.seed),
  );
  const held = Math.floor(n * session.options.validationShare);
  return {
    training: partOf(session, order.slice(held).sort()),
    validation: partOf(session, order.slice(0, held).sort()),
  };
}

/** tanh of the outputs of every modality, rows of 0 where it lacks. */
async function boundedOutputs(
  { spec, engine }: DeepSession,
  parameters: DeepParameters,
  part: Part,
): Promise<Float32Array[]> {
  const all: Float32Array[] = [];
  for (const { name } of spec.modalities) {
    const raw = await deepOutputs(engine, spec, parameters, name, part.inputs[name]!);
    all.push(
      raw.map((value, at) => (part.present[name]![Math.floor(at / spec.codeBits)] ? Math.tanh(value) : 0)),
    );
  }
  return all;
}

/**
 * `‖K S - B B_allᵀ‖² / (K² rows n)` by G, P and Q: how far the Hamming geometry of these records' codes is from their labels'.
 * @param codes [rows, K]; a row of 0 weighs nothing
 */
function geometryError(
  codes: ArrayLike<number>,
  units: Float64Array,
  K: number,
  { g, p, q, items }: LifelongSums,
): number {
  const C = units.length / (codes.length / K);
  let value = 0;
  let rows = 0;
  for (let i = 0; i < codes.length / K; i++) {
    if (codes[i * K] === 0) continue;
    rows++;
    for (let c = 0; c < C; c++) {
      const y = units[i * C + c]!;
      if (y === 0) continue;
      for (let d = 0; d < C; d++) value += K * K * y * q[c * C + d]! * units[i * C + d]!;
      for (let k = 0; k < K; k++) value -= 2 * K * y * p[c * K + k]! * codes[i * K + k]!;
    }
    for (let k = 0; k < K; k++) {
      let row = 0;
      for (let l = 0; l < K; l++) row += g[k * K + l]! * codes[i * K + l]!;
      value += row * codes[i * K + k]!;
    }
  }
  return value / (K * K * Math.max(1, rows) * Math.max(1, items));
}

interface SharedFeeds {
  readonly feeds: Readonly<Record<string, Tensor>>;
  readonly all: LifelongSums;
}

/** (old + rho new) / n, as the step reads it. */
function sharedFeeds(
  { old, spec, classRows, options }: DeepSession,
  training: Part,
  codes: Int8Array,
): SharedFeeds {
  const C = classRows.rows.length;
  const K = spec.codeBits;
  const own = addCodes(emptyCodeSums(K, C), { codes, labels: training.labels });
  const [before, fresh] = [lifelongSums(old), lifelongSums(own)];
  const items = before.items + fresh.items;
  const mixed = (name: 'g' | 'p' | 'q'): Float64Array =>
    before[name].map((value, i) => value + options.rho * fresh[name][i]!);
  const all = { items, g: mixed('g'), p: mixed('p'), q: mixed('q') };
  const scaled = (part: Float64Array, rows: number): Tensor =>
    float32(
      [rows, part.length / rows],
      Float32Array.from(part, (value) => value / items),
    );
  return { all, feeds: { g: scaled(all.g, K), p: scaled(all.p, C), q: scaled(all.q, C) } };
}

interface Teacher {
  readonly classes: number;
  readonly prototypes: Float32Array;
  /** [n, M] for each modality. */
  readonly relations: readonly Float32Array[];
}

const NO_TEACHER: Teacher = { classes: 0, prototypes: new Float32Array(0), relations: [] };

/** What the previous net says of the new records' relations to the old classes' codes: new data only. */
async function teacherOf(session: DeepSession, training: Part): Promise<Teacher> {
  const { previous, options, old, classRows, spec } = session;
  if (!previous || !((options.weights.distillation ?? 0) > 0)) return NO_TEACHER;
  const classes = [...classCounts(old).entries()].filter(([, count]) => count > 0).map(([c]) => c);
  if (classes.length === 0) return NO_TEACHER;
  const K = spec.codeBits;
  const prototypes = Float32Array.from(classes.flatMap((c) => [...classRows.rows[c]!]));
  const outputs = await boundedOutputs(session, previous, training);
  const relations = outputs.map((u) => {
    const rows = new Float32Array((u.length / K) * classes.length);
    for (let i = 0; i < u.length / K; i++) {
      const row = u.subarray(i * K, (i + 1) * K);
      const size = Math.sqrt(K * row.reduce((sum, value) => sum + value * value, 1e-12));
      const scores = classes.map((_, m) =>
        Math.exp(
          row.reduce((sum, value, k) => sum + value * prototypes[m * K + k]!, 0) /
            (size * options.temperature),
        ),
      );
      const total = scores.reduce((sum, score) => sum + score);
      scores.forEach((score, m) => {
        rows[i * classes.length + m] = score / total;
      });
    }
    return rows;
  });
  return { classes: classes.length, prototypes, relations };
}

/** Rows of a matrix in a fixed number of rows, the missing ones 0. */
function gathered(
  matrix: ArrayLike<number>,
  width: number,
  rows: readonly number[],
  most: number,
): Tensor<'float32'> {
  const data = new Float32Array(most * width);
  rows.forEach((row, i) => {
    for (let k = 0; k < width; k++) data[i * width + k] = matrix[row * width + k]!;
  });
  return float32([most, width], data);
}

function batchFeeds(
  session: DeepSession,
  training: Part,
  codes: Int8Array,
  teacher: Teacher,
  rows: readonly number[],
): Record<string, Tensor> {
  const { spec, classRows, options } = session;
  const most = options.batchRows;
  const feeds: Record<string, Tensor> = {
    labels: gathered(training.units, classRows.rows.length, rows, most),
    codes: gathered(codes, spec.codeBits, rows, most),
  };
  for (const [m, { name, width }] of spec.modalities.entries()) {
    feeds[name] = gathered(training.inputs[name]!, width, rows, most);
    feeds[`mask.${name}`] = gathered(training.present[name]!, 1, rows, most);
    const relations = teacher.relations[m];
    if (relations) feeds[`relations.${name}`] = gathered(relations, teacher.classes, rows, most);
  }
  if (teacher.classes > 0) feeds.prototypes = float32([teacher.classes, spec.codeBits], teacher.prototypes);
  return feeds;
}

function fingerprintOf({ spec, options, classRows, old, items, previous, seed }: DeepSession): Uint8Array {
  const text = canonicalJson({
    spec: {
      codeBits: spec.codeBits,
      hidden: spec.hidden,
      modalities: spec.modalities.map(({ name, width }) => ({ name, width })),
    },
    options: { ...options, weights: { ...options.weights } },
    classRows: classRows.kind,
    labels: items.labels.map((set) => [...set]),
    seed,
  });
  const arrays = spec.modalities.flatMap(({ name }) => [
    items.inputs[name]!,
    items.present?.[name] ?? new Uint8Array(0),
  ]);
  const warm = previous ? deepParameterShapes(spec).map(({ name }) => previous[name]!.data) : [];
  const { g, p } = lifelongSums(old);
  const geometry = [...classRows.rows, classRows.tie];
  return sha256(text, ...[...arrays, ...warm, ...geometry, g, p].map((part) => sha256(bytesOf(part))));
}

/** One pass over the training part. @returns mean loss of the batches  @throws LETHE-3452, LETHE-3455 */
async function epochSteps(
  session: DeepSession,
  step: DeepStep,
  training: Part,
  feedsOf: (rows: readonly number[]) => Record<string, Tensor>,
  epoch: number,
): Promise<number> {
  const { options, seed, signal } = session;
  const order = shuffle([...training.rows.keys()], seededRandom('deep-order', seed, epoch));
  const batches = Math.ceil(order.length / options.batchRows);
  const rate = (options.learningRate / 2) * (1 + Math.cos((Math.PI * (epoch - 1)) / options.epochs));
  let sum = 0;
  for (let b = 0; b < batches; b++) {
    if (signal?.aborted)
      throw HASHING.TRAINING_CANCELLED(`training was cancelled in epoch ${epoch}`, { details: { epoch } });
    const out = await step.run(
      feedsOf(order.slice(b * options.batchRows, (b + 1) * options.batchRows)),
      rate,
    );
    sum += out.loss!.data[0] as number;
  }
  if (!Number.isFinite(sum))
    throw HASHING.TRAINING_DIVERGED(`the loss of epoch ${epoch} is not finite`, { details: { epoch } });
  return sum / batches;
}

const copies = (parameters: DeepParameters): DeepParameters =>
  Object.fromEntries(
    Object.entries(parameters).map(([name, { shape, data }]) => [name, float32(shape, data.slice())]),
  );

/**
 * Runs a session. Deterministic: equal session, equal bytes, on one engine fingerprint; a resumed session ends as an uninterrupted one.
 * @throws LETHE-3403, LETHE-3410, LETHE-3450, LETHE-3453 what is given does not fit  @throws LETHE-3452 cancelled  @throws LETHE-3454 the checkpoint is of
 * another session  @throws LETHE-3455 the loss is not finite
 */
export async function trainDeepSession(session: DeepSession): Promise<DeepOutcome> {
  const { spec, options, classRows, engine, resume } = session;
  checkDeepSpec(spec);
  checkItems(session);
  checkOptions(session);
  const fingerprint = fingerprintOf(session);
  if (resume && !equalBytes(resume.fingerprint, fingerprint)) {
    throw HASHING.CHECKPOINT_MISMATCH('the checkpoint is of another session');
  }
  const { training, validation } = split(session);
  const teacher = await teacherOf(session, training);
  const graph = deepStepGraph(spec, {
    rows: options.batchRows,
    codeBits: spec.codeBits,
    classes: classRows.rows.length,
    modalities: spec.modalities.map(({ name }) => name),
    weights: options.weights,
    teacher: { classes: teacher.classes, temperature: options.temperature },
  });
  // Which inputs a step reads depends on the terms that have a weight.
  const read = new Set(graph.model.inputs.map(({ name }) => name));
  const initial = session.previous ?? initialDeepParameters(spec, session.seed);
  const step = await engine.loadStep(graph, initial);
  let codes: Int8Array =
    resume?.codes.slice() ?? Int8Array.from(training.labels.flatMap((set) => [...targetRow(classRows, set)]));
  let best = resume?.best ?? {
    epoch: 0,
    validation: Number.POSITIVE_INFINITY,
    parameters: copies(initial as DeepParameters),
  };
  const epochs = [...(resume?.epochs ?? [])];
  if (resume) step.load(resume.parameters, resume.optimizerState, resume.steps);
  try {
    let shared = sharedFeeds(session, training, codes);
    for (
      let epoch = epochs.length + 1;
      epoch <= options.epochs && epoch - best.epoch <= options.patience;
      epoch++
    ) {
      const feedsOf = (rows: readonly number[]) => {
        const feeds = { ...batchFeeds(session, training, codes, teacher, rows), ...shared.feeds };
        return Object.fromEntries(Object.entries(feeds).filter(([name]) => read.has(name)));
      };
      const trainingLoss = await epochSteps(session, step, training, feedsOf, epoch);
      const parameters = step.parameters();
      let flips = 0;
      if (epoch % options.codesEvery === 0) {
        ({ codes, flips } = await updatedCodes(session, parameters, training, codes));
        shared = sharedFeeds(session, training, codes);
      }
      const value = await validationValue(session, parameters, validation, shared.all);
      if (Number.isNaN(value) || value < best.validation) best = { epoch, validation: value, parameters };
      const report = { epoch, trainingLoss, validation: value, flips };
      epochs.push(report);
      session.onEpoch?.(report, () => ({
        fingerprint,
        epochs: [...epochs],
        parameters,
        optimizerState: step.optimizerState(),
        steps: step.steps,
        codes: codes.slice(),
        best,
      }));
    }
  } finally {
    await step.close();
  }
  return {
    parameters: best.parameters,
    labelCodes: await allCodes(session, best.parameters, training, codes),
    epochs,
    bestEpoch: best.epoch,
  };
}

async function updatedCodes(
  session: DeepSession,
  parameters: DeepParameters,
  part: Part,
  start: Int8Array,
): Promise<{ codes: Int8Array; flips: number }> {
  const { spec, classRows, options } = session;
  const outputs = await boundedOutputs(session, parameters, part);
  const n = part.labels.length;
  // The loss divides the similarity by b n and the quantisation by b K: multiplied out, this is the weight of one against the other.
  const anchor = ((options.weights.quantisation ?? 0) * n) / (spec.codeBits * options.weights.similarity!);
  const { rho } = options;
  const problem = newCodeProblem({
    codeBits: spec.codeBits,
    classes: classRows.rows.length,
    outputs,
    labels: part.units,
    rho,
    anchor,
  });
  return descend(problem, start, options.cycles);
}

/** Mean over the modalities; NaN without a split. */
async function validationValue(
  session: DeepSession,
  parameters: DeepParameters,
  validation: Part,
  all: LifelongSums,
): Promise<number> {
  if (validation.rows.length === 0) return Number.NaN;
  const outputs = await boundedOutputs(session, parameters, validation);
  const { codeBits } = session.spec;
  const errors = outputs.map((u, m) => {
    const present = validation.present[session.spec.modalities[m]!.name]!;
    const codes = signCodes(u).map((bit, at) => bit * present[Math.floor(at / codeBits)]!);
    return geometryError(codes, validation.units, codeBits, all);
  });
  return errors.reduce((sum, error) => sum + error) / errors.length;
}

/** Codes of all new records, validation ones included, from those of the training part and the class rows. */
async function allCodes(
  session: DeepSession,
  parameters: DeepParameters,
  training: Part,
  codes: Int8Array,
): Promise<Int8Array> {
  const K = session.spec.codeBits;
  const whole = partOf(session, Int32Array.from(session.items.labels.keys()));
  const start = Int8Array.from(whole.labels.flatMap((set) => [...targetRow(session.classRows, set)]));
  training.rows.forEach((row, i) => {
    start.set(codes.subarray(i * K, (i + 1) * K), row * K);
  });
  return (await updatedCodes(session, parameters, whole, start)).codes;
}
