/** A run of sharded training, from its specification to its stored first version. */
import type { events, learning } from '@lethe/contracts';
import { vectorWidth } from '@lethe/datasets';
import { exclusions, loggedRoot } from '@lethe/service';
import { sha256 } from '@lethe/std';
import { dealMembers, shardSeeds } from '@lethe/unlearning';
import { type LearningContext, type LoadedRun, runName } from '../context.ts';
import { checkSize, sisaSpec } from '../domain/spec.ts';
import { EnsembleStore } from '../ensemble-store.ts';
import { LEARNING } from '../errors.ts';
import type { StopSignal } from '../stop-signal.ts';
import {
  ensembleDigest,
  type ShardState,
  type ShardWork,
  shardDigest,
  stepsOf,
  trainShards,
} from './ensemble.ts';
import { datasetSpec, type People, readPeople } from './rows.ts';

export interface Trained {
  readonly state: events.ArtefactRef;
  readonly digest: string;
  readonly shardDigests: readonly string[];
  readonly optimizerSteps: number;
  readonly privacy?: learning.PrivacyGuarantee;
}

export async function trainEnsemble(
  context: LearningContext,
  { tenant, id, run }: LoadedRun,
  spec: learning.ShardedEnsembleSpec,
  stop: StopSignal,
): Promise<Trained> {
  const { peers } = context.deps;
  const { root: name } = run.spec;
  const { root } = await loggedRoot(peers, name, context.settings.logWaitMs, LEARNING.ROOT_NOT_LOGGED);
  const dataset = await datasetSpec(peers, name);
  checkSize(spec, vectorWidth(dataset), dataset.label.classes.length);
  const people = await readPeople(peers, name, dataset, await exclusions(peers, name, spec.audit));
  const recipe = { spec, dataset };
  const sisa = sisaSpec(spec);
  const store = new EnsembleStore(context.state, tenant, id);
  // Fixed by what is logged before the training and by the run's name: a run that starts over trains the same weights.
  const randomness = sha256('lethe.learning.ensemble.v1\0', root, `\0${runName(tenant, id)}`);
  const works = dealMembers(people.members, await store.placementKeys(), sisa).map(
    (shard): ShardWork => ({
      shard,
      seeds: shardSeeds(randomness, shard.shard, sisa),
      slices: shard.slices.map((rows) => sliceMembers(rows, people)),
    }),
  );
  const total = stepsOf(recipe, works);
  const progress = (done: number): void => {
    stop.throwIfRequested();
    context.progress.set(runName(tenant, id), { done, total, phase: 'training shards' });
  };
  progress(0);
  const shards = await trainShards({
    recipe,
    rows: people.rows,
    works,
    parallelism: context.settings.parallelism,
    onProgress: progress,
  });
  return { ...digestsOf(shards), state: await store.put(1, shards), optimizerSteps: total };
}

export function digestsOf(shards: readonly ShardState[]): Pick<Trained, 'digest' | 'shardDigests'> {
  const shardDigests = shards.map(shardDigest);
  return { digest: ensembleDigest(shardDigests), shardDigests };
}

/** Rows of a slice as subjects with their records; a subject's rows are adjacent. */
function sliceMembers(rows: readonly number[], { rows: all, members }: People): ShardState['slices'][number] {
  const inSlice = new Set(rows);
  const byFirstRow = new Map(members.map((member) => [member.rows[0], member]));
  return rows.flatMap((row) => {
    const member = byFirstRow.get(row);
    return member && inSlice.has(row)
      ? [{ alias: member.alias, recordIds: member.rows.map((own) => all.recordIds[own]!) }]
      : [];
  });
}
