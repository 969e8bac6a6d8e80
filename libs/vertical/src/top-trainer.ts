import { assert, seededRandom } from '@lethe/std';
import { float32, tensor } from '@lethe/tensor';
import { decodeRepresentation } from './code-wire.ts';
import { VERTICAL } from './errors.ts';
import { encodeGradients } from './gradient-wire.ts';
import { checkPlan, topForwardGraph, topSpec, topStepGraph, type VerticalPlan } from './networks.ts';
import { orthogonalTargets } from './orthogonal-targets.ts';
import {
  type Checkpoint,
  type GraphSession,
  inBatches,
  initialCheckpoint,
  type LoadGraph,
  SteppedState,
} from './trainer.ts';

export interface TopStep {
  /** For each party its gradients in the plan's wire form, rows in the order of the batch. */
  readonly gradients: readonly Uint8Array[];
  /** Mean loss of the batch. */
  readonly loss: number;
}

/**
 * The label holder's half: codes of all parties and labels in, gradients for each party out, and a prepared update of the top network. It holds labels
 * and the class targets and never sees features. Deterministic as `PartyTrainer` is.
 */
export class TopTrainer {
  readonly #plan: VerticalPlan;
  readonly #sessions: { readonly step: GraphSession; readonly forward: GraphSession };
  readonly #state: SteppedState;
  /** [classes, codeBits]; secret. */
  readonly #targets: Float32Array;

  private constructor(
    plan: VerticalPlan,
    sessions: { readonly step: GraphSession; readonly forward: GraphSession },
    state: SteppedState,
    targets: Float32Array,
  ) {
    this.#plan = plan;
    this.#sessions = sessions;
    this.#state = state;
    this.#targets = targets;
  }

  /**
   * @param seed names the job @param targetSecret draws the class targets; known to the label holder only
   * @throws LETHE-3501, LETHE-3506 the plan is not one
   */
  static async create(
    plan: VerticalPlan,
    load: LoadGraph,
    seed: string,
    targetSecret: Uint8Array,
  ): Promise<TopTrainer> {
    checkPlan(plan);
    const random = seededRandom('lethe/vertical/targets', targetSecret);
    const targets = orthogonalTargets(plan.classes, plan.codeBits, random);
    const step = topStepGraph(plan);
    const sessions = { step: await load(step.model), forward: await load(topForwardGraph(plan)) };
    const initial = initialCheckpoint(topSpec(plan), step.slots, {}, seed);
    return new TopTrainer(plan, sessions, new SteppedState(step, initial), targets);
  }

  /**
   * @param codes for each party its wire form of the batch @param labels [batchRows]
   * @throws LETHE-3502 codes are not those of the batch; LETHE-3501 a label is no class
   */
  async train(
    codes: readonly Uint8Array[],
    labels: readonly number[],
    learningRate: number,
  ): Promise<TopStep> {
    const { batchRows, codeBits, parties, gradientFormat } = this.#plan;
    const width = parties * codeBits;
    const outputs = await this.#sessions.step.run({
      ...this.#state.stepFeeds(learningRate),
      codes: float32([batchRows, width], this.#sideBySide(codes, batchRows)),
      labels: tensor('int64', [batchRows], this.#checkedLabels(labels)),
      targets: float32([batchRows, width], this.#targetsOf(labels)),
    });
    this.#state.stage(outputs);
    const all = outputs.codeGradient!.data as Float32Array;
    const gradients = Array.from({ length: parties }, (_, party) => {
      const own = new Float32Array(batchRows * codeBits);
      for (let row = 0; row < batchRows; row++) {
        const at = row * width + party * codeBits;
        own.set(all.subarray(at, at + codeBits), row * codeBits);
      }
      return encodeGradients(own, codeBits, gradientFormat);
    });
    return { gradients, loss: outputs.loss!.data[0] as number };
  }

  /** @param codes for each party the wire form of any number of rows @returns logits [rows, classes] */
  async predict(codes: readonly Uint8Array[], rows: number): Promise<Float32Array> {
    const { batchRows, codeBits, classes, parties } = this.#plan;
    const width = parties * codeBits;
    return inBatches(this.#sideBySide(codes, rows), width, batchRows, classes, async (batch) => {
      const feeds = { ...this.#state.parameters(), codes: float32([batchRows, width], batch) };
      return (await this.#sessions.forward.run(feeds)).logits!.data as Float32Array;
    });
  }

  /** [rows, parties x codeBits], party 0 first. */
  #sideBySide(codes: readonly Uint8Array[], rows: number): Float32Array {
    const { codeBits, parties, representation } = this.#plan;
    if (codes.length !== parties)
      throw VERTICAL.BAD_CODES(`codes of ${codes.length} parties, not of ${parties}`);
    const width = parties * codeBits;
    const joined = new Float32Array(rows * width);
    for (const [party, bytes] of codes.entries()) {
      const own = decodeRepresentation(bytes, rows, codeBits, representation);
      for (let row = 0; row < rows; row++) {
        joined.set(own.subarray(row * codeBits, (row + 1) * codeBits), row * width + party * codeBits);
      }
    }
    return joined;
  }

  #checkedLabels(labels: readonly number[]): BigInt64Array {
    const { batchRows, classes } = this.#plan;
    assert(labels.length === batchRows, `${labels.length} labels for a batch of ${batchRows}`);
    for (const label of labels) {
      if (!(Number.isInteger(label) && label >= 0 && label < classes)) {
        throw VERTICAL.BAD_NETWORK(`a label is outside 0 to ${classes - 1}`, {
          details: { field: 'labels', classes },
        });
      }
    }
    return BigInt64Array.from(labels, BigInt);
  }

  #targetsOf(labels: readonly number[]): Float32Array {
    const { codeBits, parties } = this.#plan;
    const rows = new Float32Array(labels.length * parties * codeBits);
    let at = 0;
    for (const label of labels) {
      const target = this.#targets.subarray(label * codeBits, (label + 1) * codeBits);
      for (let party = 0; party < parties; party++, at += codeBits) rows.set(target, at);
    }
    return rows;
  }

  commit(): void {
    this.#state.commit();
  }

  abort(): void {
    this.#state.abort();
  }

  checkpoint(): Checkpoint {
    return this.#state.present;
  }

  restore(checkpoint: Checkpoint): void {
    this.#state.restore(checkpoint);
  }

  /** SHA-256 of parameters and optimizer state, 32 bytes. */
  digest(): Uint8Array {
    return this.#state.digest();
  }

  async close(): Promise<void> {
    for (const session of Object.values(this.#sessions)) await session.close();
  }
}
