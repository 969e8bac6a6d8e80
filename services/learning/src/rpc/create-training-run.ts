import { audit, checkId, EVENT, learning, parseName } from '@lethe/contracts';
import { requireWholeRecords, vectorWidth } from '@lethe/datasets';
import { effectId, newEvent } from '@lethe/events';
import type { Partially } from '@lethe/rpc';
import { datasetOfRoot } from '@lethe/service';
import { equalBytes, isError } from '@lethe/std';
import { type LearningContext, runName } from '../context.ts';
import { filledDpSgdSpec } from '../domain/dp-sgd-spec.ts';
import { type CheckedSpec, checkSize, checkTrainingSpec } from '../domain/spec.ts';
import { LEARNING } from '../errors.ts';
import { planned } from '../training/planning.ts';
import { datasetSpec } from '../training/rows.ts';
import { runResource } from './resource.ts';

/**
 * Accepts a run; the service's own consumer trains it. Again with the same specification it changes nothing. A private run is planned, priced and has
 * its whole plan reserved before it is accepted.
 */
export async function createTrainingRun(
  context: LearningContext,
  request: learning.CreateTrainingRunRequest,
): Promise<Partially<learning.TrainingRun>> {
  const [tenant] = parseName('tenant', request.parent);
  const id = checkId(request.runId, 'run_id');
  const name = runName(tenant, id);
  const spec = await checkAgainstPeers(context, checkTrainingSpec(request.spec));
  const existing = await context.findRun(tenant, id);
  if (existing) {
    requireSame(existing.run.spec, spec, name);
    return runResource(context, existing);
  }
  const plan =
    spec.method.$case === 'dpSgd' ? await planned(context, spec.root, spec.method.value) : undefined;
  const wanted = plan && { tenant, dataset: datasetOfRoot(spec.root), run: name, plan, attempt: 0 };
  const isOurs = wanted !== undefined && (await context.privacy.reserve(wanted)) === 'made';
  try {
    await context.runs.propose(tenant, id, (run) => {
      if (run.spec === undefined) {
        const eventId = request.requestId === '' ? undefined : effectId(request.requestId, name);
        return [newEvent(EVENT.trainingRequested, { run: name, spec, ...(plan ? { plan } : {}) }, eventId)];
      }
      requireSame(run.spec, spec, name);
      return [];
    });
  } catch (error) {
    if (isOurs && isError(error, LEARNING.RUN_EXISTS)) await context.privacy.release(wanted);
    throw error;
  }
  return runResource(context, await context.loadRun(name));
}

/** What only others know: that root, dataset and audit exist and fit together. @returns with defaults in place @throws LETHE-4301, LETHE-2317 and theirs */
async function checkAgainstPeers(
  { deps: { peers } }: LearningContext,
  spec: CheckedSpec,
): Promise<CheckedSpec> {
  const { root, method } = spec;
  const { recordCount } = await peers.vault.getDatasetRoot({ name: root });
  const dataset = await datasetSpec(peers, root);
  requireWholeRecords(dataset, 'a training run');
  if (method.$case === 'dpSgd') {
    return { root, method: { $case: 'dpSgd', value: filledDpSgdSpec(method.value, Number(recordCount)) } };
  }
  checkSize(method.value, vectorWidth(dataset), dataset.label.classes.length);
  if (method.value.audit === '') return spec;
  const { spec: audited, state } = await peers.audit.getAudit({ name: method.value.audit });
  const fits = audited?.dataset === datasetOfRoot(root) && state === audit.Audit_State.STATE_REGISTERED;
  if (!fits) {
    throw LEARNING.SPEC_INVALID('audit has to be a registered audit of the same dataset', {
      details: { field: 'audit' },
    });
  }
  return spec;
}

function requireSame(a: learning.TrainingSpec, b: learning.TrainingSpec, run: string): void {
  const bytes = (spec: learning.TrainingSpec) => learning.TrainingSpec.encode(spec).finish();
  if (equalBytes(bytes(a), bytes(b))) return;
  throw LEARNING.RUN_EXISTS('the run exists with another specification', { details: { run } });
}
