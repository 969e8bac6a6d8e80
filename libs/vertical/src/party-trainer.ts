import { float32, type Tensor, tensor } from '@lethe/tensor';
import { encodeRepresentation } from './code-wire.ts';
import { VERTICAL } from './errors.ts';
import { decodeGradients } from './gradient-wire.ts';
import {
  bottomEvalGraph,
  bottomForwardGraph,
  bottomSpec,
  bottomStepGraph,
  checkPlan,
  type VerticalPlan,
} from './networks.ts';
import {
  type Checkpoint,
  type GraphSession,
  inBatches,
  initialCheckpoint,
  type LoadGraph,
  SteppedState,
} from './trainer.ts';

/** Share of the old value in the running statistics of a code's bits. */
const STATISTICS_DECAY = 0.9;

/**
 * A feature holder's half of the training: features in, packed codes out; gradients in, a prepared update. It never sees labels or another
 * party's codes. Deterministic: the same seed, batches and gradients give the same `digest`.
 */
export class PartyTrainer {
  readonly #plan: VerticalPlan;
  readonly #features: number;
  readonly #sessions: {
    readonly forward: GraphSession;
    readonly step: GraphSession;
    readonly encode: GraphSession;
  };
  readonly #state: SteppedState;
  #batch: Float32Array | undefined;

  private constructor(
    plan: VerticalPlan,
    features: number,
    sessions: { readonly forward: GraphSession; readonly step: GraphSession; readonly encode: GraphSession },
    state: SteppedState,
  ) {
    this.#plan = plan;
    this.#features = features;
    this.#sessions = sessions;
    this.#state = state;
  }

  /**
   * @param features number of this party's columns @param seed names job and party
   * @throws LETHE-3501, LETHE-3506 the plan is not one
   */
  static async create(
    plan: VerticalPlan,
    features: number,
    load: LoadGraph,
    seed: string,
  ): Promise<PartyTrainer> {
    checkPlan(plan);
    const step = bottomStepGraph(plan, features);
    const sessions = {
      forward: await load(bottomForwardGraph(plan, features)),
      step: await load(step.model),
      encode: await load(bottomEvalGraph(plan, features)),
    };
    const statistics = {
      mean: float32([1, plan.codeBits], new Float32Array(plan.codeBits)),
      variance: float32([1, plan.codeBits], new Float32Array(plan.codeBits).fill(1)),
    };
    const initial = initialCheckpoint(bottomSpec(plan, features), step.slots, statistics, seed);
    return new PartyTrainer(plan, features, sessions, new SteppedState(step, initial));
  }

  /** Codes of a batch. @param x [batchRows, features] @returns codes in wire form, rows in the order of the batch */
  async forward(x: Float32Array): Promise<Uint8Array> {
    const feed = tensor('float32', [this.#plan.batchRows, this.#features], x, 'x');
    const { code } = await this.#sessions.forward.run({ ...this.#state.parameters(), x: feed });
    this.#batch = x;
    return encodeRepresentation(code!.data as Float32Array, this.#plan.codeBits, this.#plan.representation);
  }

  /**
   * Prepares the update for the batch of the last `forward`; parameters change on `commit`.
   * @param gradients in the plan's wire form @throws LETHE-3503; LETHE-3505 no batch is waiting
   */
  async backward(gradients: Uint8Array, learningRate: number): Promise<void> {
    const { batchRows, codeBits, gradientFormat } = this.#plan;
    if (!this.#batch) throw VERTICAL.OUT_OF_STEP('gradients without codes before them');
    const codeGradient = decodeGradients(gradients, batchRows, codeBits, gradientFormat);
    const outputs = await this.#sessions.step.run({
      ...this.#state.stepFeeds(learningRate),
      x: float32([batchRows, this.#features], this.#batch),
      codeGradient: float32([batchRows, codeBits], codeGradient),
    });
    this.#batch = undefined;
    this.#state.stage(outputs, {
      mean: this.#running('mean', outputs.mean!),
      variance: this.#running('variance', outputs.variance!),
    });
  }

  #running(name: 'mean' | 'variance', batch: Tensor): Tensor {
    const { tensors, stepsCommitted } = this.#state.present;
    const old = tensors[name]!.data as Float32Array;
    const decay = stepsCommitted === 0 ? 0 : STATISTICS_DECAY;
    const now = batch.data as Float32Array;
    return float32(
      batch.shape,
      now.map((value, i) => decay * old[i]! + (1 - decay) * value),
    );
  }

  commit(): void {
    this.#state.commit();
  }

  abort(): void {
    this.#batch = undefined;
    this.#state.abort();
  }

  /** Codes with the statistics of training, for prediction: each row's code depends on that row alone. @param x [rows, features] */
  async encode(x: Float32Array): Promise<Uint8Array> {
    const { batchRows, codeBits, representation } = this.#plan;
    const { mean, variance } = this.#state.present.tensors;
    const codes = await inBatches(x, this.#features, batchRows, codeBits, async (batch) => {
      const { code } = await this.#sessions.encode.run({
        ...this.#state.parameters(),
        x: float32([batchRows, this.#features], batch),
        mean: mean!,
        variance: variance!,
      });
      return code!.data as Float32Array;
    });
    return encodeRepresentation(codes, codeBits, representation);
  }

  checkpoint(): Checkpoint {
    return this.#state.present;
  }

  restore(checkpoint: Checkpoint): void {
    this.#batch = undefined;
    this.#state.restore(checkpoint);
  }

  /** SHA-256 of parameters, optimizer state and statistics, 32 bytes. */
  digest(): Uint8Array {
    return this.#state.digest();
  }

  async close(): Promise<void> {
    for (const session of Object.values(this.#sessions)) await session.close();
  }
}
