import { GraphBuilder, type MlpSpec, mlp, mul, softmaxCrossEntropy } from '@lethe/graph';
import { type Objective, type Optimizer, type TrainStepGraph, trainStepGraph } from '@lethe/optim';
import { assert } from '@lethe/std';
import { float32, scalar, type Tensor, tensor, tensorsDigest, zeros } from '@lethe/tensor';
import { RUNTIME } from './errors.ts';
import { Session, type SessionOptions, type Tensors } from './session.ts';

/**
 * Runs a step graph again and again. Parameters and optimizer state live in two sets of buffers: a run reads one and writes
 * the other, then they swap, so that a step allocates nothing and copies nothing.
 */
export class TrainStep {
  readonly graph: TrainStepGraph;
  readonly #session: Session;
  #state: Record<string, Tensor>;
  #next: Record<string, Tensor>;
  readonly #extra: Record<string, Tensor> = {};
  /** Inputs that stay as they were given: parameters that are not trained. */
  readonly #frozen: Record<string, Tensor> = {};
  #steps = 0;
  #running = false;

  private constructor(graph: TrainStepGraph, session: Session, initial: Tensors) {
    this.graph = graph;
    this.#session = session;
    const states = [...graph.parameters, ...graph.slots];
    const blank = (): Record<string, Tensor> =>
      Object.fromEntries(states.map(({ name, shape }) => [name, zeros('float32', shape)]));
    this.#state = blank();
    this.#next = blank();
    for (const { name, dtype, shape } of session.outputs) {
      if (!name.startsWith('next.')) this.#extra[name] = zeros(dtype, shape);
    }
    const isState = (name: string): boolean => states.some((state) => state.name === name);
    for (const { name } of session.inputs) {
      if (initial[name] && !isState(name)) this.#frozen[name] = initial[name];
    }
    this.load(initial);
  }

  /** @param initial every parameter by name, trained ones copied; those that are not trained stay as they are. @throws LETHE-3060 a parameter is missing or misshapen; LETHE-3061 */
  static async create(
    graph: TrainStepGraph,
    initial: Tensors,
    options: SessionOptions = {},
  ): Promise<TrainStep> {
    return new TrainStep(graph, await Session.create(graph.model, options), initial);
  }

  /**
   * One step.
   * @param feeds the model's inputs, `noise.*` included; parameters, optimizer state and `step` are ours
   * @param accept looks at the outputs other than state before the step is taken; where it says no, the state stays that before the step
   * @returns the outputs other than state; valid until the next run, because the buffers are used again
   * @throws LETHE-3060; LETHE-3062, after which the state is that before the step
   */
  async run(
    feeds: Tensors,
    learningRate: number,
    accept: (outputs: Tensors) => boolean = () => true,
  ): Promise<Tensors> {
    const counted = this.graph.countsSteps ? { step: scalar(this.#steps + 1) } : {};
    const next = Object.fromEntries(
      Object.entries(this.#next).map(([name, value]) => [`next.${name}`, value]),
    );
    assert(!this.#running, 'two steps run at once on one set of buffers');
    this.#running = true;
    try {
      await this.#session.runInto(
        { ...this.#frozen, ...feeds, ...this.#state, ...counted, learningRate: scalar(learningRate) },
        { ...next, ...this.#extra },
      );
    } finally {
      this.#running = false;
    }
    if (accept(this.#extra)) {
      [this.#state, this.#next] = [this.#next, this.#state];
      this.#steps += 1;
    }
    return this.#extra;
  }

  /** Copies of the parameters. */
  parameters(): Record<string, Tensor<'float32'>> {
    return this.#copies(this.graph.parameters);
  }

  /** Copies of the optimizer's state; with `parameters` and `steps` a checkpoint. */
  optimizerState(): Record<string, Tensor<'float32'>> {
    return this.#copies(this.graph.slots);
  }

  /** The parameters themselves, trained and frozen: valid until the next run. */
  current(): Tensors {
    const trained = this.graph.parameters.map(({ name }) => [name, this.#state[name]!] as const);
    return { ...this.#frozen, ...Object.fromEntries(trained) };
  }

  get steps(): number {
    return this.#steps;
  }

  #copies(names: readonly { readonly name: string }[]): Record<string, Tensor<'float32'>> {
    return Object.fromEntries(
      names.map(({ name }) => {
        const { shape, data } = this.#state[name]!;
        return [name, float32(shape, Float32Array.from(data as Float32Array))];
      }),
    );
  }

  /**
   * Starts over from parameters, and from optimizer state or from zeros.
   * @throws LETHE-3060 a parameter is missing or misshapen
   */
  load(parameters: Tensors, optimizerState?: Tensors, steps = 0): void {
    const given: Tensors = { ...parameters, ...optimizerState };
    for (const { name } of [...this.graph.parameters, ...(optimizerState ? this.graph.slots : [])]) {
      const value = given[name];
      const target = this.#state[name]!;
      if (value?.dtype !== 'float32' || value.data.length !== target.data.length) {
        throw RUNTIME.INPUT_MISMATCH(
          `${name} (float32, ${target.data.length} elements) is missing or misshapen`,
          {
            details: { name },
          },
        );
      }
      (target.data as Float32Array).set(value.data as Float32Array);
    }
    if (!optimizerState) for (const { name } of this.graph.slots) this.#state[name]!.data.fill(0 as never);
    this.#steps = steps;
  }

  /** SHA-256 of the parameters, 32 bytes. */
  digest(): Uint8Array {
    return tensorsDigest(
      Object.fromEntries(this.graph.parameters.map(({ name }) => [name, this.#state[name]!])),
    );
  }

  async close(): Promise<void> {
    await this.#session.close();
  }
}

export interface MlpStepSpec {
  readonly model: MlpSpec;
  /** Rows of one step; with a clipped objective a multiple of its `subjects`. */
  readonly rows: number;
  readonly optimizer: Optimizer;
  readonly objective: Objective;
}

/** One batch in row-major arrays; for subjects with m rows, [subjects, m, features] is the same memory. */
export interface MlpBatch {
  /** [rows, features] */
  readonly x: Float32Array;
  /** [rows]; a masked row needs a label in range, too. */
  readonly labels: BigInt64Array;
  /** [rows], 1 for a row that counts and 0 for a missing one. */
  readonly mask: Float32Array;
  readonly learningRate: number;
  /** Noise by parameter name, already scaled; required exactly when the objective says `noise: 'input'`. */
  readonly noise?: Readonly<Record<string, Float32Array>>;
}

export interface StepResult {
  /** Sum of the masked losses over the objective's divisor. */
  readonly loss: number;
  /** Upper bounds of the subjects' gradient norms, [subjects]; clipped objectives only. Sensitive. */
  readonly norms?: Float32Array;
  /** Clip factors, [subjects]; clipped objectives only. Sensitive. */
  readonly factors?: Float32Array;
}

/** The step graph of a perceptron with softmax cross-entropy; inputs `x`, `labels`, `mask` and those of `trainStepGraph`. */
export function mlpStepGraph({ model, rows, optimizer, objective }: MlpStepSpec): TrainStepGraph {
  const g = new GraphBuilder();
  const x = g.examples('x', [rows, model.widths[0]!]);
  const labels = g.examples('labels', [rows], 'int64');
  const mask = g.examples('mask', [rows]);
  const { logits, parameters } = mlp(x, model);
  const losses = mul(softmaxCrossEntropy(logits, labels), mask);
  return trainStepGraph(g, { losses, parameters, optimizer, objective });
}

/** A perceptron's training step, ready to run. */
export interface MlpTrainStep {
  readonly step: TrainStep;
  run(batch: MlpBatch): Promise<StepResult>;
  parameters(): Record<string, Tensor<'float32'>>;
  load(parameters: Tensors): void;
  digest(): Uint8Array;
  close(): Promise<void>;
}

/**
 * Builds and loads the whole training step of a perceptron.
 * @param spec `initial`: parameters by name (`initialWeights` of @lethe/optim) @throws LETHE-3020 to 3024, 3060, 3061
 */
export async function buildTrainStep(
  spec: MlpStepSpec & SessionOptions & { readonly initial: Tensors },
): Promise<MlpTrainStep> {
  const { rows } = spec;
  const features = spec.model.widths[0]!;
  const classes = BigInt(spec.model.widths.at(-1)!);
  const graph = mlpStepGraph(spec);
  const step = await TrainStep.create(graph, spec.initial, spec);
  return {
    step,
    async run({ x, labels, mask, learningRate, noise = {} }) {
      for (const label of labels) {
        if (label < 0n || label >= classes) {
          throw RUNTIME.LABEL_OUT_OF_RANGE(`a label is outside 0 to ${classes - 1n}`, {
            details: { classes: Number(classes) },
          });
        }
      }
      const feeds: Record<string, Tensor> = {
        x: tensor('float32', [rows, features], x, 'x'),
        labels: tensor('int64', [rows], labels, 'labels'),
        mask: tensor('float32', [rows], mask, 'mask'),
      };
      for (const { name, shape } of graph.parameters) {
        if (noise[name]) feeds[`noise.${name}`] = tensor('float32', shape, noise[name], `noise.${name}`);
      }
      const out = await step.run(feeds, learningRate);
      const loss = out.loss!.data[0] as number;
      if (!out.norms || !out.factors) return { loss };
      return {
        loss,
        norms: Float32Array.from(out.norms.data as Float32Array),
        factors: Float32Array.from(out.factors.data as Float32Array),
      };
    },
    parameters: () => step.parameters(),
    load: (parameters) => step.load(parameters),
    digest: () => step.digest(),
    close: () => step.close(),
  };
}
