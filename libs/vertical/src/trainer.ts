/** What both trainers share: graphs behind a port, and parameters that switch only on commit. */
import type { MlpSpec, Model } from '@lethe/graph';
import { initialWeights, type NamedShape, type TrainStepGraph } from '@lethe/optim';
import { seededRandom } from '@lethe/std';
import { scalar, type Tensor, tensorsDigest, zeros } from '@lethe/tensor';
import { VERTICAL } from './errors.ts';
import type { VerticalPlan } from './networks.ts';

export type Tensors = Readonly<Record<string, Tensor>>;

/** A graph ready to run; `Session` of `@lethe/runtime` is one. */
export interface GraphSession {
  run(feeds: Tensors): Promise<Tensors>;
  close(): Promise<void>;
}

/** `(model) => Session.create(model)` on ONNX Runtime. */
export type LoadGraph = (model: Model) => Promise<GraphSession>;

/** Everything that training goes on from: parameters, optimizer state and, at a party, the statistics of its codes. */
export interface Checkpoint {
  readonly tensors: Tensors;
  readonly stepsCommitted: number;
}

/** The state before the first step. @param seed anything that names job and party: the same seed gives the same bytes */
export function initialCheckpoint(
  model: MlpSpec,
  slots: readonly NamedShape[],
  extra: Tensors,
  seed: string,
): Checkpoint {
  const kept = Object.fromEntries(slots.map(({ name, shape }) => [name, zeros('float32', shape)]));
  return {
    tensors: { ...initialWeights(model, seededRandom('lethe/vertical/initial', seed)), ...kept, ...extra },
    stepsCommitted: 0,
  };
}

/**
 * Parameters and optimizer state in two copies: a step writes the shadow, `commit` makes it the present, `abort` forgets it. An aborted step
 * leaves no trace, so it can be repeated.
 */
export class SteppedState {
  #present: Checkpoint;
  #shadow: Checkpoint | undefined;
  readonly #graph: TrainStepGraph;

  constructor(graph: TrainStepGraph, checkpoint: Checkpoint) {
    this.#graph = graph;
    this.#present = checkpoint;
  }

  get present(): Checkpoint {
    return this.#present;
  }

  /** The tensors that the step graph takes beside the batch. */
  stepFeeds(learningRate: number): Tensors {
    const { tensors, stepsCommitted } = this.#present;
    return {
      ...this.#pick([...this.#graph.parameters, ...this.#graph.slots], tensors),
      ...(this.#graph.countsSteps ? { step: scalar(stepsCommitted + 1) } : {}),
      learningRate: scalar(learningRate),
    };
  }

  /** The parameters alone. */
  parameters(): Tensors {
    return this.#pick(this.#graph.parameters, this.#present.tensors);
  }

  /** @param outputs of the step graph: `next.*` becomes the shadow @param extra further tensors of the next state */
  stage(outputs: Tensors, extra: Tensors = {}): void {
    const states = [...this.#graph.parameters, ...this.#graph.slots];
    const next = Object.fromEntries(states.map(({ name }) => [name, outputs[`next.${name}`]!]));
    this.#shadow = {
      tensors: { ...this.#present.tensors, ...next, ...extra },
      stepsCommitted: this.#present.stepsCommitted + 1,
    };
  }

  /** @throws LETHE-3505 there is no finished step to commit */
  commit(): void {
    if (!this.#shadow) throw VERTICAL.OUT_OF_STEP('COMMIT without a finished step');
    this.#present = this.#shadow;
    this.#shadow = undefined;
  }

  abort(): void {
    this.#shadow = undefined;
  }

  restore(checkpoint: Checkpoint): void {
    this.#present = checkpoint;
    this.#shadow = undefined;
  }

  /** SHA-256 of everything that training goes on from, 32 bytes. */
  digest(): Uint8Array {
    return tensorsDigest(this.#present.tensors);
  }

  #pick(names: readonly NamedShape[], tensors: Tensors): Tensors {
    return Object.fromEntries(names.map(({ name }) => [name, tensors[name]!]));
  }
}

/** Share of the epochs after which the learning rate falls to a tenth. */
const DECAY_AT = 0.75;

/** By epoch and not by step, so that an erasure, which can make an epoch a step shorter, does not move the decay. @param epoch from 0 */
export function learningRateAt(plan: Pick<VerticalPlan, 'learningRate' | 'epochs'>, epoch: number): number {
  return epoch < DECAY_AT * plan.epochs ? plan.learningRate : plan.learningRate / 10;
}

/** Runs a graph of fixed batch size over any number of rows; the last batch is padded with zeros. */
export async function inBatches(
  values: Float32Array,
  width: number,
  batchRows: number,
  outputWidth: number,
  run: (batch: Float32Array) => Promise<Float32Array>,
): Promise<Float32Array> {
  const rows = values.length / width;
  const out = new Float32Array(rows * outputWidth);
  for (let start = 0; start < rows; start += batchRows) {
    const count = Math.min(batchRows, rows - start);
    const batch = new Float32Array(batchRows * width);
    batch.set(values.subarray(start * width, (start + count) * width));
    out.set((await run(batch)).subarray(0, count * outputWidth), start * outputWidth);
  }
  return out;
}
