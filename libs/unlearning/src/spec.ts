import { UNLEARNING } from './errors.ts';

/**
 * Sharded, isolated, sliced, aggregated training (SISA; Bourtoule et al., "Machine Unlearning", IEEE S&P 2021).
 *
 * Subjects are dealt to `shardCount` shards and, inside a shard, to `sliceCount` slices. A shard's model is trained in segments
 * r = 1..R: segment r starts from checkpoint r-1 and trains `epochs` epochs on slices 1..r. What we do differently from the paper: a
 * subject's place is a keyed hash, so nobody chooses a shard and no record moves when another leaves; the unit is the subject, never a
 * row; every batch order comes from a seed on record; optimizer state starts from zero in each segment, so that a checkpoint is the
 * weights alone.
 */
export interface SisaSpec {
  /** S. One erasure touches one shard. */
  readonly shardCount: number;
  /** R. Checkpoints for each shard, beside the initial weights. */
  readonly sliceCount: number;
  /** Epochs of every segment. */
  readonly epochs: number;
  /** Rows of one optimizer step; the last of an epoch may have fewer. */
  readonly batchSize: number;
}

/** @throws LETHE-3600 a field is not a positive integer within its limit */
export function checkSpec(spec: SisaSpec): SisaSpec {
  // 4096 of each: more subjects than that in flight at once is a cluster's work, not one ensemble's.
  const limits = { shardCount: 4096, sliceCount: 4096, epochs: 4096, batchSize: 65_536 };
  for (const [name, limit] of Object.entries(limits)) {
    const value = spec[name as keyof typeof limits];
    if (!Number.isInteger(value) || value < 1 || value > limit) {
      throw UNLEARNING.BAD_SPEC(`${name} is ${value}, not an integer from 1 to ${limit}`, {
        details: { name },
      });
    }
  }
  return spec;
}

/** Optimizer steps of segment r, given the rows of its slices 1..r. An empty segment has none. */
export const segmentSteps = (spec: SisaSpec, rows: number): number =>
  spec.epochs * Math.ceil(rows / spec.batchSize);

/**
 * Expected share of a full retraining that one erasure costs, (1/S)(2R+1)/(3R): the person's slice is uniform, and segment r costs r.
 * 0.094 for S = 8, R = 4.
 */
export const expectedCost = ({ shardCount, sliceCount }: SisaSpec): number =>
  (2 * sliceCount + 1) / (3 * sliceCount) / shardCount;
