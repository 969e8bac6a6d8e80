import { EVENT, type events, type learning } from '@lethe/contracts';
import { effectId, isPassing, newEvent, type RecordedEvent } from '@lethe/events';
import { isError, LetheError, STD } from '@lethe/std';
import { type LearningContext, type LoadedRun, modelName, runName } from '../context.ts';
import { isResumable, isRunning, lastWeights } from '../domain/training-run.ts';
import { LEARNING } from '../errors.ts';
import { fingerprint } from '../fingerprint.ts';
import { StopSignal } from '../stop-signal.ts';
import { type Stopped, trainDp } from '../training/train-dp.ts';
import { type Trained, trainEnsemble } from '../training/train-ensemble.ts';

/** Tried so often before a failure that may pass is committed as final; below the bus's own limit of six. */
const ATTEMPTS_MAX = 5;
const PASSING: ReadonlySet<LetheError['status']> = new Set([
  'UNAVAILABLE',
  'DEADLINE_EXCEEDED',
  'ABORTED',
  'CANCELLED',
  'INTERNAL',
  'UNAUTHENTICATED',
  'RESOURCE_EXHAUSTED',
]);

/**
 * Trains a run that was requested or resumed, unless it has been done: it ends with `model.trained`, `training.failed` or `training.cancelled`. What it has
 * reserved and not charged is given back after that.
 */
export async function onTrainingRequested(
  context: LearningContext,
  event: RecordedEvent<string, events.TrainingRequested | events.TrainingResumed>,
  attempt: number,
): Promise<void> {
  const { tenant, id } = event.aggregate;
  const loaded = await context.findRun(tenant, id);
  if (!loaded) return;
  const name = runName(tenant, id);
  const stop = new StopSignal(context, loaded);
  try {
    if (isRunning(loaded.run)) {
      const outcome = await train(context, loaded, stop);
      if ('stopped' in outcome) await commitCancelled(context, loaded, event.id, outcome);
      else await commit(context, loaded, event.id, outcome);
    }
  } catch (error) {
    const coded = error instanceof LetheError ? error : undefined;
    const passes = coded ? PASSING.has(coded.status) && !isError(coded, LEARNING.PRIVACY_LOST) : true;
    // A crash counts as an attempt too, so their number says little about an error that only needs waiting.
    if (isPassing(error) || (passes && attempt < ATTEMPTS_MAX)) throw error;
    context.deps.logger.warn('a training run failed', { run: name, error });
    const failed: events.TrainingFailed = {
      run: name,
      code: coded?.code ?? STD.INTERNAL.spec.code,
      message: coded?.message ?? 'an error that is not coded: see the log',
    };
    await context.runs.propose(tenant, id, (run) =>
      isRunning(run)
        ? [newEvent(EVENT.trainingFailed, failed, effectId(event.id, EVENT.trainingFailed.type))]
        : [],
    );
  } finally {
    stop.close();
    context.progress.delete(name);
  }
  const ended = await context.loadRun(name);
  await context.privacy.settle(ended);
  await dropStarts(context, ended);
}

async function train(
  context: LearningContext,
  loaded: LoadedRun,
  stop: StopSignal,
): Promise<Trained | Stopped> {
  const { method } = loaded.run.spec;
  if (method?.$case === 'dpSgd') return await trainDp(context, loaded, method.value, stop);
  if (method?.$case === 'shardedEnsemble') {
    try {
      return await trainEnsemble(context, loaded, method.value, stop);
    } catch (error) {
      if (isError(error, LEARNING.STOPPED)) return { stopped: true, weights: undefined, steps: 0 };
      throw error;
    }
  }
  throw LEARNING.SPEC_INVALID('the run names a method that this version does not know', {
    details: { field: 'method' },
  });
}

async function commit(
  { runs, deps }: LearningContext,
  { tenant, id, run }: LoadedRun,
  cause: string,
  trained: Trained,
): Promise<void> {
  const model: learning.Model = {
    name: modelName(tenant, id),
    trainingRun: runName(tenant, id),
    kind: run.spec.method?.$case === 'dpSgd' ? 'MODEL_DP' : 'MODEL_ENSEMBLE',
    digest: trained.digest,
    shardDigests: [...trained.shardDigests],
    privacy: trained.privacy,
    version: 1,
    updateTime: new Date(deps.clock.nowMs()),
    platformFingerprint: fingerprint(),
    optimizerSteps: BigInt(trained.optimizerSteps),
  };
  const fact: events.ModelTrained = {
    run: runName(tenant, id),
    model,
    state: trained.state,
    erasure: '',
    claim: undefined,
  };
  await runs.propose(tenant, id, (now) =>
    isRunning(now) ? [newEvent(EVENT.modelTrained, fact, effectId(cause, EVENT.modelTrained.type))] : [],
  );
}

async function commitCancelled(
  { runs }: LearningContext,
  { tenant, id }: LoadedRun,
  cause: string,
  { weights, steps }: Stopped,
): Promise<void> {
  const fact: events.TrainingCancelled = { run: runName(tenant, id), weights, optimizerSteps: steps };
  await runs.propose(tenant, id, (now) =>
    isRunning(now)
      ? [newEvent(EVENT.trainingCancelled, fact, effectId(cause, EVENT.trainingCancelled.type))]
      : [],
  );
}

/**
 * Weights between blocks of a private run are of no use once it has a model; of a run that can be resumed the last ones are. Harmless when done
 * before.
 */
async function dropStarts(context: LearningContext, { tenant, run }: LoadedRun): Promise<void> {
  if (isRunning(run)) return;
  const stored = [...run.charged.map(({ start }) => start), ...(run.stopped ?? [])];
  const keep = isResumable(run) ? lastWeights(run)?.keyId : undefined;
  await context.state.destroy(
    tenant,
    stored.filter((ref) => ref !== undefined).filter(({ keyId }) => keyId !== keep),
  );
}
