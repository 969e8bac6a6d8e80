/** Models that answer: opened weights in memory, dropped when the model has a newer version. */
import { type DatasetSpec, decodePayload, floatMatrix, type Row, vectorWidth } from '@lethe/datasets';
import { parsePlan } from '@lethe/privacy';
import { buildPredictor, type Predictor, type Tensors } from '@lethe/runtime';
import { assert } from '@lethe/std';
import { meanLogits, type PlacementKeys, place } from '@lethe/unlearning';
import type { LearningContext, LoadedModel } from './context.ts';
import { modelName } from './context.ts';
import { sisaSpec } from './domain/spec.ts';
import { EnsembleStore } from './ensemble-store.ts';
import { MicroBatch } from './micro-batch.ts';
import { privateClassifier } from './training/dp-trainer.ts';
import { classifierSpec } from './training/ensemble.ts';
import { preparation } from './training/preparation.ts';
import { datasetSpec } from './training/rows.ts';
import { decodeWeights } from './training/tensors-file.ts';

/** Rows of one run of the forward graph. */
const BATCH_ROWS = 256;
/** How long a small question waits for others: see services/learning/src/predict.bench.ts. */
const WINDOW_MS = 1;

export interface ServedModel {
  readonly version: number;
  readonly classes: number;
  /** Checks payloads against the dataset. @throws LETHE-2302 to 2304 */
  decode(payloads: readonly Uint8Array[]): Row[];
  /** @param shardOf shard that answers for each row; the mean of all shards without it @returns [rows, classes] */
  logits(rows: readonly Row[], shardOf?: readonly number[]): Promise<Float32Array>;
  /** Shard that holds or would hold a subject; 0 for a model without shards. */
  shardOf(alias: string): number;
}

interface Opened {
  readonly dataset: DatasetSpec;
  readonly predictor: Predictor;
  /** Of a prepared row. */
  readonly columns: number;
  /** Final weights, one set per shard. */
  readonly weights: readonly Tensors[];
  readonly prepare: (matrix: Float32Array) => Float32Array;
  readonly shardOf: (alias: string) => number;
}

interface Batched extends Opened {
  readonly batch: MicroBatch;
}

export class ServedModels {
  readonly #context: LearningContext;
  readonly #opened = new Map<string, { version: number; opened: Promise<Batched> }>();
  #turn: Promise<unknown> = Promise.resolve();

  constructor(context: LearningContext) {
    this.#context = context;
  }

  async get(model: LoadedModel): Promise<ServedModel> {
    const name = modelName(model.tenant, model.id);
    const { version } = model.version.model;
    if (this.#opened.get(name)?.version !== version) {
      await this.drop(name);
      const opened = this.#open(model).then((made) => this.#batched(made));
      this.#opened.set(name, { version, opened });
      opened.catch(() => this.#opened.delete(name));
    }
    const opened = await this.#opened.get(name)!.opened;
    const classes = opened.dataset.label.classes.length;
    return {
      version,
      classes,
      decode: (payloads) => payloads.map((payload) => decodePayload(opened.dataset, payload)),
      logits: (rows, shardOf) => {
        const features = opened.prepare(floatMatrix(opened.dataset, rows));
        return shardOf
          ? this.#inTurn(() => shardLogits(opened, features, shardOf))
          : opened.batch.ask(features);
      },
      shardOf: opened.shardOf,
    };
  }

  /** Forgets the opened weights of a model. */
  async drop(name: string): Promise<void> {
    const held = this.#opened.get(name);
    this.#opened.delete(name);
    if (!held) return;
    const opened = await held.opened.catch(() => undefined);
    await opened?.batch.flush();
    await this.#inTurn(async () => opened?.predictor.close());
  }

  async close(): Promise<void> {
    for (const name of [...this.#opened.keys()]) await this.drop(name);
  }

  #batched(opened: Opened): Batched {
    const { columns: width, dataset } = opened;
    return {
      ...opened,
      batch: new MicroBatch({
        columns: width,
        classes: dataset.label.classes.length,
        rowsMax: BATCH_ROWS,
        windowMs: WINDOW_MS,
        run: (features) => this.#inTurn(() => meanOfShards(opened, features)),
      }),
    };
  }

  async #open({ tenant, id, run, version }: LoadedModel): Promise<Opened> {
    const { state, deps } = this.#context;
    const dataset = await datasetSpec(deps.peers, run.spec.root);
    const { method } = run.spec;
    if (method?.$case === 'shardedEnsemble') {
      const spec = method.value;
      const store = new EnsembleStore(state, tenant, id);
      const keys: PlacementKeys = await store.placementKeys();
      const shards = await store.shards(await store.refs(version.state));
      const { model } = classifierSpec({ spec, dataset });
      return {
        dataset,
        predictor: await buildPredictor({ model, rows: BATCH_ROWS }),
        weights: shards.map(({ checkpoints }) => checkpoints.at(-1)!),
        columns: vectorWidth(dataset),
        prepare: (matrix) => matrix,
        shardOf: (alias) => place(keys, alias, sisaSpec(spec)).shard,
      };
    }
    const { plan } = run;
    const { width, prepare } = preparation(
      plan ? (parsePlan(plan).features?.name ?? 'none') : 'none',
      dataset,
    );
    const { sets } = decodeWeights(await state.get(tenant, version.state));
    const spec = method?.$case === 'dpSgd' ? method.value : {};
    const model = privateClassifier(spec, width, dataset.label.classes.length);
    return {
      dataset,
      predictor: await buildPredictor({ model, rows: BATCH_ROWS }),
      weights: sets,
      columns: width,
      prepare,
      shardOf: () => 0,
    };
  }

  /** A session runs one batch at a time. */
  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(work, work);
    this.#turn = mine.catch(() => undefined);
    return await mine;
  }
}

async function meanOfShards({ predictor, weights }: Opened, features: Float32Array): Promise<Float32Array> {
  const perShard: Float32Array[] = [];
  for (const shard of weights) perShard.push(await predictor.logits(shard, features));
  return meanLogits(perShard);
}

async function shardLogits(
  { dataset, predictor, weights, columns: width }: Opened,
  features: Float32Array,
  shardOf: readonly number[],
): Promise<Float32Array> {
  const rows = features.length / width;
  assert(shardOf.length === rows, 'a shard is named for each row');
  const classes = dataset.label.classes.length;
  const out = new Float32Array(rows * classes);
  for (const [shard, parameters] of weights.entries()) {
    const own = shardOf.flatMap((named, row) => (named === shard ? [row] : []));
    const part = new Float32Array(own.length * width);
    for (const [i, row] of own.entries())
      part.set(features.subarray(row * width, (row + 1) * width), i * width);
    const logits = await predictor.logits(parameters, part);
    for (const [i, row] of own.entries())
      out.set(logits.subarray(i * classes, (i + 1) * classes), row * classes);
  }
  return out;
}
