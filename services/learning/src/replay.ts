/**
 * Training one shard of an ensemble from nothing, on the records that a plan names. Whoever holds the plan and the records can do it,
 * in a process of its own: it arrives at the digest on record, if the ensemble holds nobody else.
 */
import { parseSpec } from '@lethe/datasets';
import { LEARNING } from './errors.ts';
import { type Recipe, type ShardState, shardDigest, trainShards } from './training/ensemble.ts';
import { type RecordPayload, rowsOf } from './training/rows.ts';

/** Plain JSON, as GetReplay hands it out in canonical form. */
export interface ReplayPlan {
  readonly format: 'lethe-replay-v1';
  readonly model: string;
  readonly version: number;
  readonly root: string;
  readonly shard: number;
  /** Digests are claimed for this processor and runtime. */
  readonly fingerprint: string;
  /** `seeds[0]` gives the initial weights, `seeds[r]` the orders of segment r. */
  readonly seeds: readonly string[];
  /** Record ids of slice r in `slices[r - 1]`, in the order that the seeds shuffle. */
  readonly slices: readonly (readonly string[])[];
  readonly sliceCount: number;
  readonly epochs: number;
  readonly batchSize: number;
  readonly hiddenUnits: number;
  readonly learningRate: number;
  /** The dataset's specification: how payloads become rows. */
  readonly dataset: unknown;
}

export function replayPlan(of: {
  readonly model: string;
  readonly version: number;
  readonly root: string;
  readonly fingerprint: string;
  readonly recipe: Recipe;
  readonly state: ShardState;
}): ReplayPlan {
  const { spec, dataset } = of.recipe;
  return {
    format: 'lethe-replay-v1',
    model: of.model,
    version: of.version,
    root: of.root,
    shard: of.state.shard,
    fingerprint: of.fingerprint,
    seeds: of.state.seeds,
    slices: of.state.slices.map((slice) => slice.flatMap(({ recordIds }) => recordIds)),
    sliceCount: spec.sliceCount,
    epochs: spec.epochs,
    batchSize: spec.batchSize,
    hiddenUnits: spec.hiddenUnits,
    learningRate: spec.learningRate,
    dataset,
  };
}

/**
 * @param records at least those that the plan names; others are not used
 * @returns digest of the shard's weights, hex @throws LETHE-4313 not such a plan, or a record is missing
 */
export async function replayShard(plan: ReplayPlan, records: Iterable<RecordPayload>): Promise<string> {
  if (plan.format !== 'lethe-replay-v1') throw LEARNING.REPLAY_INVALID('this is no replay plan of version 1');
  const payloadOf = new Map([...records].map((record) => [record.recordId, record]));
  const named = plan.slices.flat();
  const found = named.map((id) => payloadOf.get(id)).filter((record) => record !== undefined);
  if (found.length < named.length) {
    throw LEARNING.REPLAY_INVALID(`${named.length - found.length} of the plan's records are missing`, {
      details: { missing: named.length - found.length },
    });
  }
  const dataset = parseSpec(plan.dataset);
  const { sliceCount, epochs, batchSize, hiddenUnits, learningRate } = plan;
  let row = 0;
  const slices = plan.slices.map((slice) => slice.map(() => row++));
  const [state] = await trainShards({
    recipe: {
      dataset,
      spec: { shardCount: 1, sliceCount, epochs, batchSize, hiddenUnits, learningRate, audit: '' },
    },
    rows: await rowsOf(dataset, found),
    works: [{ shard: { shard: plan.shard, slices }, slices: [], seeds: plan.seeds }],
    parallelism: 1,
  });
  return shardDigest(state!);
}
