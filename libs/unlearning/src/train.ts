import { UNLEARNING } from './errors.ts';
import { rowsThrough, type Shard } from './placement.ts';
import { type Seed, segmentBatches } from './seeds.ts';
import { type SisaSpec, segmentSteps } from './spec.ts';

/** What trains: the library decides who, when and in which order; a trainer turns batches into weights. */
export interface SegmentTrainer<Checkpoint> {
  /** Initial weights from a seed. */
  initial(seed: Seed): Checkpoint;
  /** One optimizer step a batch, from fresh optimizer state. Must be a function of its arguments and the trainer's data. */
  train(checkpoint: Checkpoint, batches: Iterable<readonly number[]>): Promise<Checkpoint>;
  /** Lower-case hex digest of the weights. */
  digest(checkpoint: Checkpoint): string;
}

/** What is recorded of a segment, in events and in certificates. It names nobody. */
export interface SegmentRecord {
  /** 1..R. */
  readonly segment: number;
  readonly seed: Seed;
  readonly rows: number;
  readonly optimizerSteps: number;
  /** Digest of the weights after it. */
  readonly digest: string;
}

export interface TrainedSegment<Checkpoint> {
  readonly record: SegmentRecord;
  readonly checkpoint: Checkpoint;
}

export interface ShardTask<Checkpoint> {
  readonly spec: SisaSpec;
  readonly shard: Shard;
  /** R + 1 seeds; the first gives the initial weights. */
  readonly seeds: readonly Seed[];
  /** First segment to train; 1, from the initial weights, when absent. */
  readonly from?: number;
  /** Weights after segment `from - 1`; needed when `from` is above 1. */
  readonly checkpoint?: Checkpoint;
}

/**
 * Trains a shard's segments, yielding each as it is done so that the caller can persist it before the next.
 * @throws LETHE-3602 no checkpoint to resume from; LETHE-3603 the wrong number of seeds
 */
export async function* trainSegments<Checkpoint>(
  trainer: SegmentTrainer<Checkpoint>,
  { spec, shard, seeds, from = 1, checkpoint }: ShardTask<Checkpoint>,
): AsyncGenerator<TrainedSegment<Checkpoint>> {
  if (seeds.length !== spec.sliceCount + 1) {
    throw UNLEARNING.SEEDS_MISSING(
      `shard ${shard.shard} has ${seeds.length} seeds for ${spec.sliceCount} segments`,
    );
  }
  if (from > 1 && checkpoint === undefined) {
    throw UNLEARNING.CHECKPOINT_MISSING(`shard ${shard.shard} has no checkpoint of segment ${from - 1}`, {
      details: { shard: shard.shard, segment: from - 1 },
    });
  }
  let weights = from > 1 ? checkpoint! : trainer.initial(seeds[0]!);
  for (let segment = from; segment <= spec.sliceCount; segment++) {
    const rows = rowsThrough(shard, segment);
    const seed = seeds[segment]!;
    weights = await trainer.train(weights, segmentBatches(rows, spec, seed));
    const record: SegmentRecord = {
      segment,
      seed,
      rows: rows.length,
      optimizerSteps: segmentSteps(spec, rows.length),
      digest: trainer.digest(weights),
    };
    yield { record, checkpoint: weights };
  }
}

/** All segments of `trainSegments`, for callers that persist nothing in between. @throws as `trainSegments` */
export async function trainShard<Checkpoint>(
  trainer: SegmentTrainer<Checkpoint>,
  task: ShardTask<Checkpoint>,
): Promise<TrainedSegment<Checkpoint>[]> {
  const segments: TrainedSegment<Checkpoint>[] = [];
  for await (const segment of trainSegments(trainer, task)) segments.push(segment);
  return segments;
}
