/** The networks of the deep tier: one perceptron for each modality, on frozen encoder outputs, K real outputs whose signs are the code. */
import { GraphBuilder, type Model, mlp, mlpParameters, mul, reshape, tanh, type Value } from '@lethe/graph';
import { adam, initialWeights, type TrainStepGraph, trainStepGraph } from '@lethe/optim';
import { seededRandom } from '@lethe/std';
import { type DType, float32, type Tensor } from '@lethe/tensor';
import { emptyCodebook } from '../codebook.ts';
import { HASHING } from '../errors.ts';
import { type LossContext, type LossWeights, weightedLoss } from './terms.ts';

type Tensors = Readonly<Record<string, Tensor>>;

/** A graph that runs; `Session` of @lethe/runtime is one. */
export interface DeepGraph {
  run(feeds: Tensors): Promise<Tensors>;
  close(): Promise<void>;
}

/** A step graph that keeps its state; `TrainStep` of @lethe/runtime is one. */
export interface DeepStep {
  readonly steps: number;
  run(feeds: Tensors, learningRate: number): Promise<Tensors>;
  parameters(): Record<string, Tensor<'float32'>>;
  optimizerState(): Record<string, Tensor<'float32'>>;
  load(parameters: Tensors, optimizerState?: Tensors, steps?: number): void;
  close(): Promise<void>;
}

/** What runs graphs: `onnxEngine()` of @lethe/runtime. */
export interface DeepEngine {
  load(model: Model): Promise<DeepGraph>;
  loadStep(graph: TrainStepGraph, initial: Tensors): Promise<DeepStep>;
}

export interface DeepModality {
  readonly name: string;
  /** Width of a row of the frozen encoder's output. */
  readonly width: number;
}

export interface DeepSpec {
  /** K, a power of two in 16..256. */
  readonly codeBits: number;
  /** One or more. */
  readonly modalities: readonly DeepModality[];
  /** Units of the one hidden layer of each network. */
  readonly hidden: number;
}

export type DeepParameters = Readonly<Record<string, Tensor<'float32'>>>;

/** @throws LETHE-3410 */
export function checkDeepSpec({ codeBits, modalities, hidden }: DeepSpec): void {
  emptyCodebook(codeBits);
  const names = new Set(modalities.map(({ name }) => name));
  const whole = [hidden, ...modalities.map(({ width }) => width)].every(
    (size) => Number.isInteger(size) && size >= 1,
  );
  if (codeBits < 16 || !whole || names.size === 0 || names.size !== modalities.length) {
    throw HASHING.OPTION_INVALID(
      'a deep function has 16 to 256 bits and modalities of distinct names and positive widths',
    );
  }
}

const layers = ({ codeBits, hidden }: DeepSpec, { width }: DeepModality) =>
  ({ widths: [width, hidden, codeBits], activation: 'relu' }) as const;

/** Parameters to start from. The same seed gives the same bytes. */
export function initialDeepParameters(spec: DeepSpec, seed: string): Record<string, Tensor<'float32'>> {
  checkDeepSpec(spec);
  const all: Record<string, Tensor<'float32'>> = {};
  for (const modality of spec.modalities) {
    const initial = initialWeights(layers(spec, modality), seededRandom('deep-weights', seed, modality.name));
    for (const [name, value] of Object.entries(initial)) all[`${modality.name}.${name}`] = value;
  }
  return all;
}

/** Names and shapes of the parameters, `image.dense0.w` and so on. */
export const deepParameterShapes = (
  spec: DeepSpec,
): { readonly name: string; readonly shape: readonly number[] }[] =>
  spec.modalities.flatMap((modality) =>
    mlpParameters(layers(spec, modality)).map(({ name, shape }) => ({
      name: `${modality.name}.${name}`,
      shape,
    })),
  );

/** One modality's network on `rows` rows: input `name` [rows, width], output `outputs` [rows, K]. */
export function encoderGraph(spec: DeepSpec, modality: DeepModality, rows: number): Model {
  const g = new GraphBuilder();
  const x = g.examples(modality.name, [rows, modality.width]);
  g.output(
    'outputs',
    g.scope(modality.name, () => mlp(x, layers(spec, modality)).logits),
  );
  return g.build();
}

export interface LossShape {
  readonly rows: number;
  readonly codeBits: number;
  readonly classes: number;
  readonly modalities: readonly string[];
  readonly weights: LossWeights;
  /** M old classes and the temperature of `distillation`; 0 classes for none. */
  readonly teacher: { readonly classes: number; readonly temperature: number };
}

/** The inputs of the loss around the networks' raw outputs: `labels`, `codes`, `g`, `p`, `q`, `prototypes`, and for each modality `mask.` and `relations.`. */
export function lossContext(
  g: GraphBuilder,
  shape: LossShape,
  raw: readonly Value[],
  dtype: DType,
): LossContext {
  const { rows, codeBits, classes, modalities, teacher } = shape;
  const masks = modalities.map((name) => g.examples(`mask.${name}`, [rows, 1], dtype));
  return {
    rows,
    codeBits,
    masks,
    outputs: raw.map((f, m) => mul(tanh(f), masks[m]!)),
    labels: g.examples('labels', [rows, classes], dtype),
    codes: g.examples('codes', [rows, codeBits], dtype),
    g: g.shared('g', [codeBits, codeBits], dtype),
    p: g.shared('p', [classes, codeBits], dtype),
    q: g.shared('q', [classes, classes], dtype),
    ...(teacher.classes === 0
      ? {}
      : {
          teacher: {
            relations: modalities.map((name) =>
              g.examples(`relations.${name}`, [rows, teacher.classes], dtype),
            ),
            prototypes: g.shared('prototypes', [teacher.classes, codeBits], dtype),
            temperature: teacher.temperature,
          },
        }),
  };
}

/** One step of all networks as one graph: forward, loss, backward and Adam. Its bytes depend on shapes and weights, never on how many items are old. */
export function deepStepGraph(spec: DeepSpec, shape: LossShape): TrainStepGraph {
  const g = new GraphBuilder();
  const networks = spec.modalities.map((modality) => {
    const x = g.examples(modality.name, [shape.rows, modality.width]);
    return g.scope(modality.name, () => mlp(x, layers(spec, modality)));
  });
  const context = lossContext(
    g,
    shape,
    networks.map(({ logits }) => logits),
    'float32',
  );
  return trainStepGraph(g, {
    losses: reshape(weightedLoss(context, shape.weights), [1]),
    parameters: networks.flatMap(({ parameters }) => parameters),
    optimizer: adam(),
    objective: { kind: 'mean', divisor: 1 },
  });
}

const ENCODE_ROWS = 256;

/**
 * Raw outputs of one network for any number of rows. The last run is padded; a row's outputs do not depend on the rows beside it.
 * @param inputs [n, width] @returns [n, K]  @throws LETHE-3453
 */
export async function deepOutputs(
  engine: DeepEngine,
  spec: DeepSpec,
  parameters: DeepParameters,
  name: string,
  inputs: Float32Array,
): Promise<Float32Array> {
  const modality = spec.modalities.find((known) => known.name === name);
  if (!modality || inputs.length % modality.width !== 0 || !inputs.every(Number.isFinite)) {
    throw HASHING.INPUTS_INVALID(`inputs of ${name} are not finite rows of a modality of this function`);
  }
  const { width } = modality;
  const n = inputs.length / width;
  const session = await engine.load(encoderGraph(spec, modality, ENCODE_ROWS));
  const own = Object.entries(parameters).filter(([parameter]) => parameter.startsWith(`${name}.`));
  const all = new Float32Array(n * spec.codeBits);
  try {
    for (let start = 0; start < n; start += ENCODE_ROWS) {
      const x = new Float32Array(ENCODE_ROWS * width);
      x.set(inputs.subarray(start * width, Math.min(n, start + ENCODE_ROWS) * width));
      const out = await session.run({ ...Object.fromEntries(own), [name]: float32([ENCODE_ROWS, width], x) });
      const rows = Math.min(ENCODE_ROWS, n - start);
      all.set((out.outputs!.data as Float32Array).subarray(0, rows * spec.codeBits), start * spec.codeBits);
    }
  } finally {
    await session.close();
  }
  return all;
}

/** +1 where an output is positive, else -1: as the analytic head, 0 is -1 and no code has a third value. */
export const signCodes = (outputs: Float32Array): Int8Array =>
  Int8Array.from(outputs, (value) => (value > 0 ? 1 : -1));

/** Network-derived codes. @param inputs [n, width] @returns [n, K] of +1 and -1  @throws LETHE-3453 */
export const deepCodes = async (...of: Parameters<typeof deepOutputs>): Promise<Int8Array> =>
  signCodes(await deepOutputs(...of));
