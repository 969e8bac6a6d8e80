import { EVENT, type events, type learning } from '@lethe/contracts';
import { effectId, isPassing, newEvent, type RecordedEvent } from '@lethe/events';
import { isError, LetheError, STD } from '@lethe/std';
import { type LearningContext, type LoadedRun, modelName, runName } from '../context.ts';
import { LEARNING } from '../errors.ts';
import { fingerprint } from '../fingerprint.ts';
import { trainDp } from '../training/train-dp.ts';
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

/** Trains, unless it has been done: the run ends with `model.trained` or `training.failed`. */
export async function onTrainingRequested(
  context: LearningContext,
  event: RecordedEvent<string, events.TrainingRequested>,
  attempt: number,
): Promise<void> {
  const { tenant, id } = event.aggregate;
  const loaded = await context.findRun(tenant, id);
  if (!loaded) return;
  const name = runName(tenant, id);
  try {
    if (loaded.run.versions.length === 0 && !loaded.run.failed) {
      const trained = await train(context, loaded);
      await commit(context, loaded, event.id, trained);
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
      run.versions.length > 0 || run.failed
        ? []
        : [newEvent(EVENT.trainingFailed, failed, effectId(event.id, EVENT.trainingFailed.type))],
    );
  } finally {
    context.progress.delete(name);
  }
  await dropStarts(context, tenant, id);
}

async function train(context: LearningContext, loaded: LoadedRun): Promise<Trained> {
  const { method } = loaded.run.spec;
  if (method?.$case === 'dpSgd') return await trainDp(context, loaded, method.value);
  if (method?.$case === 'shardedEnsemble') return await trainEnsemble(context, loaded, method.value);
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
    now.versions.length > 0
      ? []
      : [newEvent(EVENT.modelTrained, fact, effectId(cause, EVENT.modelTrained.type))],
  );
}

/** Weights between blocks of a DP run are of no use once it has ended. Harmless when done before. */
async function dropStarts(context: LearningContext, tenant: string, id: string): Promise<void> {
  const { state: run } = await context.runs.load(tenant, id);
  await context.state.destroy(
    tenant,
    run.charged.map(({ start }) => start).filter((start) => start !== undefined),
  );
}
