import { common, type learning } from '@lethe/contracts';
import type { Partially } from '@lethe/rpc';
import { planErasure as plan } from '@lethe/unlearning';
import type { LearningContext } from '../context.ts';
import { sisaSpec } from '../domain/spec.ts';
import { EnsembleStore } from '../ensemble-store.ts';
import { LEARNING } from '../errors.ts';
import { membersOf } from '../training/unlearn.ts';

/** What an erasure would cost. Subjects that the model does not hold cost nothing. */
export async function planErasure(
  context: LearningContext,
  { name, subjectAliases }: learning.PlanErasureRequest,
): Promise<Partially<learning.ErasurePlan>> {
  const { tenant, id, run, version } = await context.loadModel(name);
  const { method } = run.spec;
  if (subjectAliases.length === 0) {
    throw LEARNING.REQUEST_INVALID('subject_aliases names nobody', { details: { field: 'subject_aliases' } });
  }
  if (method?.$case !== 'shardedEnsemble') {
    return {
      method: 'dp-sgd',
      expectedClaim: common.Claim.CLAIM_ERASED_CERTIFIED,
      optimizerSteps: 0n,
      optimizerStepsFullRetrain: version.model.optimizerSteps,
    };
  }
  const store = new EnsembleStore(context.state, tenant, id);
  const members = membersOf(await store.shards(await store.refs(version.state)));
  const present = new Set(members.map(({ alias }) => alias));
  const inside = subjectAliases.filter((alias) => present.has(alias));
  const { optimizerSteps, optimizerStepsFullRetrain } = plan(
    inside,
    members,
    await store.placementKeys(),
    sisaSpec(method.value),
  );
  return {
    method: 'sisa-resume',
    expectedClaim: common.Claim.CLAIM_ERASED_EXACT,
    optimizerSteps: BigInt(optimizerSteps),
    optimizerStepsFullRetrain: BigInt(optimizerStepsFullRetrain),
  };
}
