/** A run as its readers see it. */
import { common, learning } from '@lethe/contracts';
import { parsePlan, planHash } from '@lethe/privacy';
import type { Partially } from '@lethe/rpc';
import { type LearningContext, type LoadedRun, modelName, runName } from '../context.ts';
import type { Run } from '../domain/training-run.ts';

export function runResource(
  { progress }: LearningContext,
  { tenant, id, run }: LoadedRun,
): Partially<learning.TrainingRun> {
  const name = runName(tenant, id);
  const succeeded = run.versions.length > 0;
  const state = succeeded
    ? learning.TrainingRun_State.STATE_SUCCEEDED
    : run.cancelled
      ? learning.TrainingRun_State.STATE_CANCELLED
      : run.failed
        ? learning.TrainingRun_State.STATE_FAILED
        : learning.TrainingRun_State.STATE_RUNNING;
  const now = progress.get(name);
  return {
    name,
    spec: run.spec,
    state,
    conditions: [
      {
        type: 'Trained',
        status: succeeded
          ? common.ConditionStatus.CONDITION_STATUS_TRUE
          : common.ConditionStatus.CONDITION_STATUS_FALSE,
        reason: succeeded ? 'Trained' : reasonOf(run),
        message:
          run.failed?.message ??
          (run.stoppedFor ? `it goes on without the person after ${run.stoppedFor}` : ''),
        lastTransitionTime: new Date(run.changedMs),
      },
    ],
    ...(now ? { progress: { done: BigInt(now.done), total: BigInt(now.total), phase: now.phase } } : {}),
    model: succeeded ? modelName(tenant, id) : '',
    createTime: new Date(run.requestedMs),
    ...(run.plan ? { plan: run.plan, planHash: planHash(parsePlan(run.plan)) } : {}),
  };
}

function reasonOf({ cancelled, failed, cancelRequested, stoppedFor }: Run): string {
  if (stoppedFor) return cancelled ? 'StoppedForErasure' : 'StoppingForErasure';
  if (cancelled) return 'Cancelled';
  if (failed) return failed.code;
  return cancelRequested ? 'Cancelling' : 'Training';
}

/** A cancelled or failed run may be resumed; whoever watches it sees its end all the same. */
export const isFinal = ({ state }: Partially<learning.TrainingRun>): boolean =>
  state === learning.TrainingRun_State.STATE_SUCCEEDED ||
  state === learning.TrainingRun_State.STATE_FAILED ||
  state === learning.TrainingRun_State.STATE_CANCELLED;
