import type { MlpSpec } from '@lethe/graph';
import { initialWeights, type Optimizer } from '@lethe/optim';
import { assert, hex, seededRandom } from '@lethe/std';
import { tensorsDigest } from '@lethe/tensor';
import { buildPredictor, type Predictor } from './predictor.ts';
import type { Tensors } from './session.ts';
import { buildTrainStep, type MlpTrainStep } from './train-step.ts';

export interface ClassifierSpec {
  readonly model: MlpSpec;
  /** Rows of one step; smaller batches are padded with masked rows. */
  readonly batchSize: number;
  readonly optimizer: Optimizer;
  readonly learningRate: number;
}

/** Rows to learn from. */
export interface LabelledRows {
  /** [n, features], row-major. */
  readonly features: Float32Array;
  /** [n], 0 <= label < classes. */
  readonly labels: BigInt64Array;
}

/**
 * A perceptron that is trained on batches of row numbers in an order that the caller decides: the trainer behind sharded unlearning
 * (it has the shape of `SegmentTrainer` of @lethe/unlearning). Weights are values: `train` returns new ones and keeps nothing, so
 * that equal seeds, rows and orders give equal digests on one CPU model and runtime version. It has one thread, because the order of
 * summation may depend on their number; shards train side by side in classifiers of their own.
 */
export class MlpClassifier {
  readonly spec: ClassifierSpec;
  readonly #step: MlpTrainStep;
  readonly #predictor: Predictor;
  #rows: LabelledRows;
  #training = false;

  private constructor(spec: ClassifierSpec, rows: LabelledRows, step: MlpTrainStep, predictor: Predictor) {
    this.spec = spec;
    this.#rows = rows;
    this.#step = step;
    this.#predictor = predictor;
  }

  static async create(
    spec: ClassifierSpec,
    rows: LabelledRows = { features: new Float32Array(), labels: new BigInt64Array() },
  ): Promise<MlpClassifier> {
    const { model, batchSize, optimizer } = spec;
    const step = await buildTrainStep({
      model,
      rows: batchSize,
      optimizer,
      objective: { kind: 'mean', divisor: batchSize },
      initial: initialWeights(model, seededRandom('unused')),
    });
    return new MlpClassifier(spec, rows, step, await buildPredictor({ model, rows: 256 }));
  }

  /** Replaces the rows that batches refer to. */
  use(rows: LabelledRows): void {
    this.#rows = rows;
  }

  /** Initial weights; the same seed gives the same bytes. */
  initial(seed: string): Tensors {
    return initialWeights(this.spec.model, seededRandom('lethe.classifier.initial.v1', seed));
  }

  /**
   * One optimizer step a batch, from zero optimizer state.
   * @param batches row numbers, at most `batchSize` each @throws LETHE-3063 a label is out of range; LETHE-3060, 3062
   */
  async train(weights: Tensors, batches: Iterable<readonly number[]>): Promise<Tensors> {
    const { batchSize, learningRate, model } = this.spec;
    const width = model.widths[0]!;
    const { features, labels: allLabels } = this.#rows;
    const x = new Float32Array(batchSize * width);
    const labels = new BigInt64Array(batchSize);
    const mask = new Float32Array(batchSize);
    assert(
      !this.#training,
      'one classifier trains one segment at a time: create another for a second thread of work',
    );
    this.#training = true;
    try {
      this.#step.load(weights);
      for (const batch of batches) {
        assert(batch.length <= batchSize, `a batch has ${batch.length} rows, more than ${batchSize}`);
        x.fill(0);
        labels.fill(0n);
        mask.fill(0);
        for (const [i, row] of batch.entries()) {
          assert(row >= 0 && row < allLabels.length, 'a batch names a row that is not there');
          x.set(features.subarray(row * width, (row + 1) * width), i * width);
          labels[i] = allLabels[row]!;
          mask[i] = 1;
        }
        await this.#step.run({ x, labels, mask, learningRate });
      }
      return this.#step.parameters();
    } finally {
      this.#training = false;
    }
  }

  /** Lower-case hex SHA-256 of weights. */
  digest(weights: Tensors): string {
    return hex(tensorsDigest(weights));
  }

  /** @param features [n, features] @returns [n, classes] */
  logits(weights: Tensors, features: Float32Array): Promise<Float32Array> {
    return this.#predictor.logits(weights, features);
  }

  async close(): Promise<void> {
    await this.#step.close();
    await this.#predictor.close();
  }
}
