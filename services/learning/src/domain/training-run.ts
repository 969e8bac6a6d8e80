/** A training run, its privacy ledger and the versions of its model, as the fold of the run's own events. */
import { EVENT, type events, type learning } from '@lethe/contracts';
import { defineAggregate } from '@lethe/events';
import { parsePlan } from '@lethe/privacy';

export interface ModelVersion extends events.ModelTrained {
  readonly model: learning.Model;
  readonly state: events.ArtefactRef;
}

/** Weights of a private run between blocks, and how many steps are in them. */
export interface StoredWeights {
  readonly weights: events.ArtefactRef;
  readonly steps: number;
}

/** Members that release 0.1 did not know are absent where nothing of the kind has happened: its histories fold to the same state for ever. */
export interface Run {
  readonly spec?: learning.TrainingSpec;
  /** Of a private run: canonical JSON. */
  readonly plan?: Uint8Array;
  readonly requestedMs: number;
  /** Steps in the order in which they were charged; a block may have been lost before it ran. */
  readonly charged: readonly events.PrivacySpent[];
  /** From version 1 on. */
  readonly versions: readonly ModelVersion[];
  readonly failed?: events.TrainingFailed;
  readonly cancelRequested?: true;
  /** Erasure for which the run was stopped: it goes on when that is done. Absent once a caller has asked to cancel it. */
  readonly stoppedFor?: string;
  readonly cancelled?: events.TrainingCancelled;
  /** Where the last cancellation has stopped; absent once a later block is charged, which then names its own start. */
  readonly reached?: StoredWeights;
  /** Weights that cancellations have stored, for their destruction. */
  readonly stopped?: readonly events.ArtefactRef[];
  /** How often the run was resumed. */
  readonly resumed?: number;
  /** When the state that the run is in was reached. */
  readonly changedMs: number;
}

export const trainingRun = defineAggregate({
  type: 'training-run',
  events: [
    EVENT.trainingRequested,
    EVENT.privacySpent,
    EVENT.modelTrained,
    EVENT.trainingFailed,
    EVENT.trainingCancelRequested,
    EVENT.trainingCancelled,
    EVENT.trainingResumed,
  ],
  initial: (): Run => ({ requestedMs: 0, changedMs: 0, charged: [], versions: [] }),
  fold: (run, event): Run => {
    switch (event.type) {
      case 'training.requested': {
        const { spec, plan } = event.data;
        return {
          ...run,
          requestedMs: event.timeMs,
          changedMs: event.timeMs,
          ...(spec === undefined ? {} : { spec }),
          ...(plan === undefined ? {} : { plan }),
        };
      }
      case 'privacy.spent': {
        const { reached: _, ...rest } = run;
        return { ...rest, charged: [...run.charged, event.data] };
      }
      case 'model.trained': {
        const { model, state } = event.data;
        if (!model || !state) return run;
        return {
          ...run,
          changedMs: event.timeMs,
          versions: [...run.versions, { ...event.data, model, state }],
        };
      }
      case 'training.failed':
        return { ...run, changedMs: event.timeMs, failed: event.data };
      case 'training.cancel.requested':
        return requestCancel(run, event.data.erasure);
      case 'training.cancelled': {
        const { weights, optimizerSteps } = event.data;
        return {
          ...run,
          changedMs: event.timeMs,
          cancelled: event.data,
          ...(weights
            ? { reached: { weights, steps: optimizerSteps }, stopped: [...(run.stopped ?? []), weights] }
            : {}),
        };
      }
      case 'training.resumed': {
        const { failed: _, cancelled: __, cancelRequested: ___, stoppedFor: ____, ...rest } = run;
        return { ...rest, changedMs: event.timeMs, resumed: attemptOf(run) + 1 };
      }
    }
  },
});

/** A caller's wish outlasts an erasure's need: a run that somebody wants cancelled is not resumed on its own. */
function requestCancel(run: Run, erasure: string): Run {
  const { stoppedFor, ...rest } = run;
  if (erasure === '' || (run.cancelRequested && stoppedFor === undefined))
    return { ...rest, cancelRequested: true };
  return { ...run, cancelRequested: true, stoppedFor: erasure };
}

export type TrainingRunEvent = (typeof trainingRun.events)[number];

/** Neither a model nor a failure yet, and not cancelled. */
export const isRunning = (run: Run): boolean =>
  run.spec !== undefined &&
  run.versions.length === 0 &&
  run.failed === undefined &&
  run.cancelled === undefined;

/** Number of the attempt that the run is in, from 0. */
export const attemptOf = (run: Run): number => run.resumed ?? 0;

/** Steps that the ledger holds as spent: the next block begins there. */
export const stepsCharged = (run: Run): number => {
  const last = run.charged.at(-1);
  return last ? last.firstStep + last.steps : 0;
};

/** Weights from which a private run goes on: those of its last cancellation, or of the start of its last block. */
export const lastWeights = (run: Run): events.ArtefactRef | undefined =>
  run.reached?.weights ?? run.charged.at(-1)?.start;

/** The run has ended without a model, and can go on. */
export function isResumable(run: Run): boolean {
  if (run.spec === undefined || isRunning(run) || run.versions.length > 0) return false;
  if (run.spec.method?.$case !== 'dpSgd') return true;
  if (run.plan === undefined) return false;
  return run.reached !== undefined || stepsCharged(run) < parsePlan(run.plan).steps;
}

/** The run has ended without a model, and weights of it are stored from which it may go on. */
export const holdsWeights = (run: Run): boolean =>
  run.spec?.method?.$case === 'dpSgd' && isResumable(run) && lastWeights(run) !== undefined;
