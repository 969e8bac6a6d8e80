/** Taking subjects out of a trained ensemble: resume the shards that saw them from before the earliest of their slices. */
import { assert } from '@lethe/std';
import {
  type ErasurePlan,
  type Member,
  type PlacementKeys,
  planErasure,
  seedsAfterErasure,
} from '@lethe/unlearning';
import { sisaSpec } from '../domain/spec.ts';
import { type Recipe, type ShardState, type ShardWork, trainShards } from './ensemble.ts';
import type { TrainingRows } from './rows.ts';

/** Row number of a record that cannot be read: it counts as a row in plans, and no training accepts it. */
const UNREADABLE = -1;

/** Everyone in the ensemble, with the numbers of their rows in a matrix. */
export function membersOf(shards: readonly Pick<ShardState, 'slices'>[], rows?: TrainingRows): Member[] {
  const rowOf = new Map(rows?.recordIds.map((id, row) => [id, row]));
  return shards.flatMap(({ slices }) =>
    slices.flat().map(({ alias, recordIds }) => ({
      alias,
      rows: recordIds.map((id) => rowOf.get(id) ?? UNREADABLE),
    })),
  );
}

export interface Unlearning {
  readonly recipe: Recipe;
  readonly keys: PlacementKeys;
  readonly shards: readonly ShardState[];
  readonly rows: TrainingRows;
  /** The person's aliases, and those of canaries that share the erasure. */
  readonly subjects: readonly string[];
  readonly cohort: readonly string[];
  /** Public randomness fixed after the request. */
  readonly randomness: Uint8Array;
  readonly parallelism: number;
}

export interface Unlearned {
  readonly shards: readonly ShardState[];
  readonly subjectsInModel: number;
  readonly cohortInModel: number;
  /** Aliases of others whose records the vault does not give out any more, because an erasure of their own is under way. */
  readonly alsoLeftOut: readonly string[];
  /** True: the person was unlearned first and alone. False: together with the others, whose records were not readable. */
  readonly apart: boolean;
  /** Optimizer steps that the person's erasure takes on its own. */
  readonly stepsSubjects: number;
  /** Steps that the others take after it. */
  readonly stepsCohort: number;
  /** Steps that were run. */
  readonly stepsRun: number;
  readonly stepsFullRetrain: number;
  /** Shard to first segment that was trained again. */
  readonly resumed: ReadonlyMap<number, number>;
}

/** @returns undefined if the ensemble holds none of them */
export async function unlearn(work: Unlearning): Promise<Unlearned | undefined> {
  const { recipe, keys, rows, shards } = work;
  const spec = sisaSpec(recipe.spec);
  const members = membersOf(shards, rows);
  const present = new Set(members.map(({ alias }) => alias));
  const subjects = work.subjects.filter((alias) => present.has(alias));
  const named = new Set([...work.subjects, ...work.cohort]);
  const cohort = work.cohort.filter((alias) => present.has(alias) && !subjects.includes(alias));
  const unreadable = members.filter((member) => member.rows.includes(UNREADABLE)).map(({ alias }) => alias);
  const alsoLeftOut = unreadable.filter((alias) => !named.has(alias));
  const others = [...cohort, ...alsoLeftOut];
  if (subjects.length + others.length === 0) return undefined;

  const gone = new Set(subjects);
  const remaining = members.filter(({ alias }) => !gone.has(alias));
  const first = planErasure(subjects, members, keys, spec);
  const second = planErasure(others, remaining, keys, spec);
  const apart = !remaining.some((member) => member.rows.includes(UNREADABLE));
  const stages = apart ? [first, second] : [planErasure([...subjects, ...others], members, keys, spec)];
  let now = shards;
  const stepsOfStage: number[] = [];
  const resumed = new Map<number, number>();
  for (const stage of stages) {
    const { shards: next, steps } = await resume(work, now, stage);
    assert(steps === stage.optimizerSteps, 'an erasure takes the steps that it was planned to take');
    now = next;
    stepsOfStage.push(steps);
    for (const { shard, resumeFromSegment } of stage.shards) {
      resumed.set(shard, Math.min(resumeFromSegment, resumed.get(shard) ?? resumeFromSegment));
    }
  }
  return {
    shards: now,
    subjectsInModel: subjects.length,
    cohortInModel: cohort.length,
    alsoLeftOut,
    apart,
    stepsSubjects: first.optimizerSteps,
    stepsCohort: second.optimizerSteps,
    stepsRun: stepsOfStage.reduce((sum, steps) => sum + steps, 0),
    stepsFullRetrain: first.optimizerStepsFullRetrain,
    resumed,
  };
}

async function resume(
  { recipe, rows, randomness, parallelism }: Unlearning,
  shards: readonly ShardState[],
  plan: ErasurePlan,
): Promise<{ shards: ShardState[]; steps: number }> {
  const works = plan.shards.map(({ shard, survivors, resumeFromSegment: from }): ShardWork => {
    const state = shards[shard]!;
    const surviving = new Set(survivors.slices.flat().map((row) => rows.recordIds[row]));
    return {
      shard: survivors,
      slices: state.slices.map((slice) =>
        slice.filter(({ recordIds }) => recordIds.every((id) => surviving.has(id))),
      ),
      seeds: seedsAfterErasure(state.seeds, from, randomness, shard),
      kept: {
        segments: state.segments.slice(0, from - 1),
        checkpoints: state.checkpoints.slice(0, from - 1),
      },
    };
  });
  let steps = 0;
  const onProgress = (stepsDone: number): void => {
    steps = stepsDone;
  };
  const trained = await trainShards({ recipe, rows, works, parallelism, onProgress });
  const byShard = new Map(trained.map((state) => [state.shard, state]));
  return { shards: shards.map((state) => byShard.get(state.shard) ?? state), steps };
}
