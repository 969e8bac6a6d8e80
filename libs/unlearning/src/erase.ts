import { UNLEARNING } from './errors.ts';
import { dealMembers, type Member, type PlacementKeys, place, rowsThrough, type Shard } from './placement.ts';
import { type SisaSpec, segmentSteps } from './spec.ts';

export interface ShardErasure {
  /** The shard with the survivors' rows alone. */
  readonly survivors: Shard;
  readonly shard: number;
  /** r*: the first segment that saw one of the erased subjects. Training resumes from checkpoint r* - 1. */
  readonly resumeFromSegment: number;
  /** Segments r*..R, whose checkpoints are to be destroyed before anything else. */
  readonly destroyedCheckpoints: readonly number[];
  readonly optimizerSteps: number;
}

export interface ErasurePlan {
  /** Affected shards in ascending order. */
  readonly shards: readonly ShardErasure[];
  readonly optimizerSteps: number;
  /** Steps of training every shard from nothing on the survivors. */
  readonly optimizerStepsFullRetrain: number;
}

/**
 * What removing subjects exactly takes. Several subjects of a shard share one resumption, from the earliest of their slices.
 * @param members everyone the ensemble was trained on, the subjects included @param subjects aliases
 * @throws LETHE-3601 a subject is not a member (the message counts them, it does not name them)
 */
export function planErasure(
  subjects: readonly string[],
  members: readonly Member[],
  keys: PlacementKeys,
  spec: SisaSpec,
): ErasurePlan {
  const erased = new Set(subjects);
  const survivors = members.filter(({ alias }) => !erased.has(alias));
  const unknown = erased.size - (members.length - survivors.length);
  if (unknown > 0) {
    throw UNLEARNING.UNKNOWN_SUBJECT(`${unknown} of ${erased.size} subjects are not in the ensemble`, {
      details: { unknown, asked: erased.size },
    });
  }
  const first = new Map<number, number>();
  for (const alias of erased) {
    const { shard, slice } = place(keys, alias, spec);
    first.set(shard, Math.min(slice, first.get(shard) ?? slice));
  }
  const segments = Array.from({ length: spec.sliceCount }, (_, i) => i + 1);
  const stepsOf = (shard: Shard, which: readonly number[]): number =>
    which.reduce((sum, segment) => sum + segmentSteps(spec, rowsThrough(shard, segment).length), 0);

  const dealt = dealMembers(survivors, keys, spec);
  const shards = dealt.flatMap((shard): ShardErasure[] => {
    const resumeFromSegment = first.get(shard.shard);
    if (resumeFromSegment === undefined) return [];
    const destroyedCheckpoints = segments.filter((segment) => segment >= resumeFromSegment);
    const optimizerSteps = stepsOf(shard, destroyedCheckpoints);
    return [
      { survivors: shard, shard: shard.shard, resumeFromSegment, destroyedCheckpoints, optimizerSteps },
    ];
  });
  return {
    shards,
    optimizerSteps: shards.reduce((sum, { optimizerSteps }) => sum + optimizerSteps, 0),
    optimizerStepsFullRetrain: dealt.reduce((sum, shard) => sum + stepsOf(shard, segments), 0),
  };
}
