import { EVENT, type learning } from '@lethe/contracts';
import { newEvent } from '@lethe/events';
import type { Partially } from '@lethe/rpc';
import { datasetOfRoot } from '@lethe/service';
import { type LearningContext, type LoadedRun, runName } from '../context.ts';
import { attemptOf, isResumable, isRunning } from '../domain/training-run.ts';
import { LEARNING } from '../errors.ts';
import { runResource } from './resource.ts';

/**
 * Lets a cancelled or failed run train again, by the service's own consumer. The whole plan of a private run is reserved again before that: what it has
 * charged is a part of it and is not charged twice.
 * @throws LETHE-4321 it is being cancelled; LETHE-4315 nothing is left to go on with; LETHE-3309 the rest of the plan does not fit the budget any more
 */
export async function resumeTrainingRun(
  context: LearningContext,
  { name }: learning.ResumeTrainingRunRequest,
): Promise<Partially<learning.TrainingRun>> {
  const loaded = await context.loadRun(name);
  const { run } = loaded;
  if (isRunning(run) && run.cancelRequested) {
    throw LEARNING.CANCELLING('the run is being cancelled', { details: { run: name } });
  }
  if (isRunning(run) || run.versions.length > 0) return runResource(context, loaded);
  if (!isResumable(run)) {
    throw LEARNING.NOT_RESUMABLE('nothing is left of the run to go on with', { details: { run: name } });
  }
  await resume(context, loaded);
  return runResource(context, await context.loadRun(name));
}

/** Reserves the whole plan again and lets the run go on. @throws LETHE-3309 */
export async function resume(context: LearningContext, { tenant, id, run }: LoadedRun): Promise<void> {
  const attempt = attemptOf(run) + 1;
  if (run.plan) {
    await context.privacy.reserve({
      tenant,
      dataset: datasetOfRoot(run.spec.root),
      run: runName(tenant, id),
      plan: run.plan,
      attempt,
    });
  }
  await context.runs.propose(tenant, id, (now) =>
    isResumable(now) && attemptOf(now) + 1 === attempt
      ? [newEvent(EVENT.trainingResumed, { run: runName(tenant, id) })]
      : [],
  );
}
