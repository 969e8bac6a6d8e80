/** A training run, its privacy ledger and the versions of its model, as the fold of the run's own events. */
import { EVENT, type events, type learning } from '@lethe/contracts';
import { defineAggregate } from '@lethe/events';

export interface ModelVersion extends events.ModelTrained {
  readonly model: learning.Model;
  readonly state: events.ArtefactRef;
}

export interface Run {
  readonly spec?: learning.TrainingSpec;
  readonly requestedMs: number;
  /** Steps in the order in which they were charged; a block may have been lost before it ran. */
  readonly charged: readonly events.PrivacySpent[];
  /** From version 1 on. */
  readonly versions: readonly ModelVersion[];
  readonly failed?: events.TrainingFailed;
  /** When the state that the run is in was reached. */
  readonly changedMs: number;
}

export const trainingRun = defineAggregate({
  type: 'training-run',
  events: [EVENT.trainingRequested, EVENT.privacySpent, EVENT.modelTrained, EVENT.trainingFailed],
  initial: (): Run => ({ requestedMs: 0, changedMs: 0, charged: [], versions: [] }),
  fold: (run, event): Run => {
    switch (event.type) {
      case 'training.requested': {
        const { spec } = event.data;
        return {
          ...run,
          requestedMs: event.timeMs,
          changedMs: event.timeMs,
          ...(spec === undefined ? {} : { spec }),
        };
      }
      case 'privacy.spent':
        return { ...run, charged: [...run.charged, event.data] };
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
    }
  },
});

export type TrainingRunEvent = (typeof trainingRun.events)[number];

/** Neither a model nor a failure yet. */
export const isRunning = (run: Run): boolean =>
  run.spec !== undefined && run.versions.length === 0 && run.failed === undefined;

/** Steps that the ledger holds as spent: the next block begins there. */
export const stepsCharged = (run: Run): number => {
  const last = run.charged.at(-1);
  return last ? last.firstStep + last.steps : 0;
};
