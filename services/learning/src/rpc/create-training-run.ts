import { audit, checkId, EVENT, learning, parseName } from '@lethe/contracts';
import { vectorWidth } from '@lethe/datasets';
import { effectId, newEvent } from '@lethe/events';
import type { Partially } from '@lethe/rpc';
import { datasetOfRoot } from '@lethe/service';
import { equalBytes } from '@lethe/std';
import { type LearningContext, runName } from '../context.ts';
import { type CheckedSpec, checkSize, checkTrainingSpec } from '../domain/spec.ts';
import { LEARNING } from '../errors.ts';
import { datasetSpec } from '../training/rows.ts';
import { runResource } from './resource.ts';

/** Accepts a run; the service's own consumer trains it. Again with the same specification it changes nothing. */
export async function createTrainingRun(
  context: LearningContext,
  request: learning.CreateTrainingRunRequest,
): Promise<Partially<learning.TrainingRun>> {
  const [tenant] = parseName('tenant', request.parent);
  const id = checkId(request.runId, 'run_id');
  const name = runName(tenant, id);
  const spec = checkTrainingSpec(request.spec);
  await checkAgainstPeers(context, spec);
  await context.runs.propose(tenant, id, (run) => {
    if (run.spec === undefined) {
      const id = request.requestId === '' ? undefined : effectId(request.requestId, name);
      return [newEvent(EVENT.trainingRequested, { run: name, spec }, id)];
    }
    if (!sameSpec(run.spec, spec)) {
      throw LEARNING.RUN_EXISTS('the run exists with another specification', { details: { run: name } });
    }
    return [];
  });
  return runResource(context, await context.loadRun(name));
}

/** What only others know: that root, dataset and audit exist and fit together. @throws LETHE-4301 and theirs */
async function checkAgainstPeers(
  { deps: { peers } }: LearningContext,
  { root, method }: CheckedSpec,
): Promise<void> {
  await peers.vault.getDatasetRoot({ name: root });
  const dataset = await datasetSpec(peers, root);
  if (method.$case !== 'shardedEnsemble') return;
  checkSize(method.value, vectorWidth(dataset), dataset.label.classes.length);
  if (method.value.audit === '') return;
  const { spec, state } = await peers.audit.getAudit({ name: method.value.audit });
  const fits = spec?.dataset === datasetOfRoot(root) && state === audit.Audit_State.STATE_REGISTERED;
  if (!fits) {
    throw LEARNING.SPEC_INVALID('audit has to be a registered audit of the same dataset', {
      details: { field: 'audit' },
    });
  }
}

function sameSpec(a: learning.TrainingSpec, b: learning.TrainingSpec): boolean {
  const bytes = (spec: learning.TrainingSpec) => learning.TrainingSpec.encode(spec).finish();
  return equalBytes(bytes(a), bytes(b));
}
