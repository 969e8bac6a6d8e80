import type { learning } from '@lethe/contracts';
import type { Partially } from '@lethe/rpc';
import { canonicalJson, utf8 } from '@lethe/std';
import type { LearningContext } from '../context.ts';
import { EnsembleStore } from '../ensemble-store.ts';
import { LEARNING } from '../errors.ts';
import { replayPlan } from '../replay.ts';
import { shardDigest } from '../training/ensemble.ts';
import { datasetSpec } from '../training/rows.ts';

export async function getReplay(
  context: LearningContext,
  { name, shard }: learning.GetReplayRequest,
): Promise<Partially<learning.Replay>> {
  const { tenant, id, run, version } = await context.loadModel(name);
  const { method } = run.spec;
  if (method?.$case !== 'shardedEnsemble') {
    throw LEARNING.REPLAY_UNSUPPORTED('a model trained with noise has no replay', {
      details: { model: name },
    });
  }
  if (shard >= method.value.shardCount) {
    throw LEARNING.REQUEST_INVALID(`the model has shards 0 to ${method.value.shardCount - 1}`, {
      details: { field: 'shard', shard },
    });
  }
  const store = new EnsembleStore(context.state, tenant, id);
  const state = await store.shard((await store.refs(version.state))[shard]!);
  const recipe = { spec: method.value, dataset: await datasetSpec(context.deps.peers, run.spec.root) };
  const plan = replayPlan({
    model: name,
    version: version.model.version,
    root: run.spec.root,
    fingerprint: version.model.platformFingerprint,
    recipe,
    state,
  });
  return { plan: utf8(canonicalJson(plan)), expectedDigest: shardDigest(state) };
}
