import { EVENT, type learning } from '@lethe/contracts';
import { newEvent } from '@lethe/events';
import type { Partially } from '@lethe/rpc';
import { type LearningContext, runName } from '../context.ts';
import { isRunning } from '../domain/training-run.ts';
import { runResource } from './resource.ts';

/** Asks whoever trains the run to stop. A run that has ended stays as it is; one that an erasure has stopped is then not resumed on its own. */
export async function cancelTrainingRun(
  context: LearningContext,
  { name }: learning.CancelTrainingRunRequest,
): Promise<Partially<learning.TrainingRun>> {
  const { tenant, id } = await context.loadRun(name);
  await context.runs.propose(tenant, id, (run) =>
    (isRunning(run) && !run.cancelRequested) || run.stoppedFor !== undefined
      ? [newEvent(EVENT.trainingCancelRequested, { run: runName(tenant, id), erasure: '' })]
      : [],
  );
  return runResource(context, await context.loadRun(name));
}
