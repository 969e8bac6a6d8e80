/**
 * The sharded ensemble: its recipe, what is kept of a shard, and training shards side by side. Who is trained where and in which
 * order is decided by `@lethe/unlearning`, what a step does by `@lethe/runtime`.
 */
import type { learning } from '@lethe/contracts';
import { type DatasetSpec, vectorWidth } from '@lethe/datasets';
import { momentum } from '@lethe/optim';
import { type ClassifierSpec, MlpClassifier, type Tensors } from '@lethe/runtime';
import { assert, hex, sha256 } from '@lethe/std';
import { type Seed, type SegmentRecord, type Shard, segmentSteps, trainSegments } from '@lethe/unlearning';
import { sisaSpec } from '../domain/spec.ts';
import type { TrainingRows } from './rows.ts';
import { decodeWeights, encodeWeights } from './tensors-file.ts';

export interface Recipe {
  readonly spec: learning.ShardedEnsembleSpec;
  readonly dataset: DatasetSpec;
}

/** The momentum of every segment; a constant of the method, as ReLU and one hidden layer are. */
const MOMENTUM = 0.9;

export const classifierSpec = ({ spec, dataset }: Recipe): ClassifierSpec => ({
  model: {
    widths: [vectorWidth(dataset), spec.hiddenUnits, dataset.label.classes.length],
    activation: 'relu',
  },
  batchSize: spec.batchSize,
  optimizer: momentum({ decay: MOMENTUM }),
  learningRate: spec.learningRate,
});

/** A subject in a slice: its records in the order in which they are trained. */
export interface SliceMember {
  readonly alias: string;
  readonly recordIds: readonly string[];
}

export interface ShardFacts {
  readonly shard: number;
  /** R + 1 of them; the first gives the initial weights. */
  readonly seeds: readonly Seed[];
  /** `slices[r - 1]` in the order of training. */
  readonly slices: readonly (readonly SliceMember[])[];
  /** One for each segment. */
  readonly segments: readonly SegmentRecord[];
}

/** What is kept of a shard, sealed. `checkpoints[r - 1]`: weights after segment r; the last ones predict. */
export interface ShardState extends ShardFacts {
  readonly checkpoints: readonly Tensors[];
}

export const encodeShard = ({ checkpoints, ...facts }: ShardState): Uint8Array =>
  encodeWeights(facts, checkpoints);

export function decodeShard(bytes: Uint8Array): ShardState {
  const { header, sets } = decodeWeights<ShardFacts>(bytes);
  return { ...header, checkpoints: sets };
}

export const shardDigest = (state: ShardFacts): string => state.segments.at(-1)!.digest;

/** Over the digests of all shards, in order. */
export const ensembleDigest = (shardDigests: readonly string[]): string =>
  hex(sha256('lethe.ensemble.v1\0', shardDigests.join('\0')));

/** One shard to train: from nothing, or from the checkpoints that stay. */
export interface ShardWork {
  readonly shard: Shard;
  readonly slices: ShardFacts['slices'];
  readonly seeds: readonly Seed[];
  /** Segments that stay as they are, from the first on. */
  readonly kept?: Pick<ShardState, 'segments' | 'checkpoints'>;
}

const firstSegment = (work: ShardWork): number => 1 + (work.kept?.segments.length ?? 0);

/** Optimizer steps that the work takes. */
export function stepsOf({ spec }: Recipe, works: readonly ShardWork[]): number {
  const sisa = sisaSpec(spec);
  let steps = 0;
  for (const work of works) {
    let rows = 0;
    for (const [i, slice] of work.shard.slices.entries()) {
      rows += slice.length;
      if (i + 1 >= firstSegment(work)) steps += segmentSteps(sisa, rows);
    }
  }
  return steps;
}

export interface TrainOptions {
  readonly recipe: Recipe;
  readonly rows: TrainingRows;
  readonly works: readonly ShardWork[];
  /** Shards in training at once, one thread each. Weights do not depend on it. */
  readonly parallelism: number;
  /** Called after every segment with the optimizer steps done so far. */
  readonly onProgress?: (stepsDone: number) => void;
}

/** Trains shards side by side. @returns in the order of `works` */
export async function trainShards(options: TrainOptions): Promise<ShardState[]> {
  const { recipe, rows, works, parallelism, onProgress } = options;
  const spec = sisaSpec(recipe.spec);
  const states: ShardState[] = [];
  let next = 0;
  let stepsDone = 0;
  const lane = async (): Promise<void> => {
    const trainer = await MlpClassifier.create(classifierSpec(recipe), rows);
    try {
      for (let at = next++; at < works.length; at = next++) {
        const work = works[at]!;
        const segments = [...(work.kept?.segments ?? [])];
        const checkpoints = [...(work.kept?.checkpoints ?? [])];
        const last = checkpoints.at(-1);
        const task = {
          spec,
          shard: work.shard,
          seeds: work.seeds,
          from: firstSegment(work),
          ...(last ? { checkpoint: last } : {}),
        };
        for await (const { record, checkpoint } of trainSegments(trainer, task)) {
          segments.push(record);
          checkpoints.push(checkpoint);
          stepsDone += record.optimizerSteps;
          onProgress?.(stepsDone);
        }
        states[at] = {
          shard: work.shard.shard,
          seeds: work.seeds,
          slices: work.slices,
          segments,
          checkpoints,
        };
      }
    } finally {
      await trainer.close();
    }
  };
  await Promise.all(Array.from({ length: Math.min(parallelism, works.length) }, lane));
  assert(states.length === works.length, 'every shard was trained');
  return states;
}
