import { defineErrors } from '@lethe/std';

/** LETHE-43xx: refusals of the learning service. */
export const LEARNING = defineErrors({
  SPEC_INVALID: {
    code: 'LETHE-4301',
    status: 'INVALID_ARGUMENT',
    remedy: 'Correct the named field of the training specification; nothing was trained or charged.',
  },
  RUN_EXISTS: {
    code: 'LETHE-4302',
    status: 'ALREADY_EXISTS',
    remedy: 'A run keeps its specification for life: choose another run_id for another specification.',
  },
  RUN_UNKNOWN: {
    code: 'LETHE-4303',
    status: 'NOT_FOUND',
    remedy: 'Create the training run first, or correct its name.',
  },
  MODEL_UNKNOWN: {
    code: 'LETHE-4304',
    status: 'NOT_FOUND',
    remedy:
      'A model exists when its training run has succeeded and carries the id of the run: watch the run.',
  },
  ROOT_NOT_LOGGED: {
    code: 'LETHE-4305',
    status: 'FAILED_PRECONDITION',
    remedy: 'Start the erasure service, which logs dataset roots, then start a run with another run_id.',
  },
  SUBJECT_TOO_LARGE: {
    code: 'LETHE-4306',
    status: 'FAILED_PRECONDITION',
    remedy: 'Raise rows_per_subject_max, which costs accuracy and no privacy, under another run_id.',
  },
  RECORDS_UNFIT: {
    code: 'LETHE-4307',
    status: 'FAILED_PRECONDITION',
    remedy: 'Training needs records, and a label on each of them: ingest them and commit another root.',
  },
  PRIVACY_LOST: {
    code: 'LETHE-4308',
    status: 'RESOURCE_EXHAUSTED',
    remedy: 'Interruptions used up the charged steps. Start a run with another run_id, at a cost of its own.',
  },
  SHARD_ANSWER_DENIED: {
    code: 'LETHE-4309',
    status: 'PERMISSION_DENIED',
    remedy: 'Leave subject_aliases empty, or call as auditor or platform.',
  },
  REQUEST_INVALID: {
    code: 'LETHE-4310',
    status: 'INVALID_ARGUMENT',
    remedy: 'Correct the named field.',
  },
  RUN_NOT_FINISHED: {
    code: 'LETHE-4311',
    status: 'UNAVAILABLE',
    remedy: 'The erasure waits for a training that has started before it; it is tried again.',
  },
  REPLAY_UNSUPPORTED: {
    code: 'LETHE-4312',
    status: 'FAILED_PRECONDITION',
    remedy: 'Ask for the replay of an ensemble: noise for privacy must not be reproducible.',
  },
  REPLAY_INVALID: {
    code: 'LETHE-4313',
    status: 'INVALID_ARGUMENT',
    remedy: 'Give the plan as GetReplay returned it and every record that it names.',
  },
  RUN_CHANGED: {
    code: 'LETHE-4314',
    status: 'ABORTED',
    remedy: 'Another process of the service works on the same run: nothing to do, one of them goes on.',
  },
  NOT_RESUMABLE: {
    code: 'LETHE-4315',
    status: 'FAILED_PRECONDITION',
    remedy:
      'Create a run with another run_id: of this one nothing is left to go on with, or it has not ended.',
  },
  ALIAS_UNKNOWN: {
    code: 'LETHE-4316',
    status: 'NOT_FOUND',
    remedy: 'Promote a model to the alias first, or ask a model by its own name.',
  },
  NOT_PROMOTABLE: {
    code: 'LETHE-4317',
    status: 'FAILED_PRECONDITION',
    remedy: 'Promote a model whose noise came from the production source.',
  },
  BUDGET_CONTENDED: {
    code: 'LETHE-4318',
    status: 'ABORTED',
    remedy: 'Many runs reserve privacy of the same data set at once: try again.',
  },
  LEDGER_OLD: {
    code: 'LETHE-4319',
    status: 'FAILED_PRECONDITION',
    remedy:
      'The run was charged by release 0.1, whose ledger is not continued. What it has charged stays spent; create a run with another run_id.',
  },
  STOPPED: {
    code: 'LETHE-4320',
    status: 'CANCELLED',
    remedy: 'The run was cancelled: resume it, or leave it.',
  },
  CANCELLING: {
    code: 'LETHE-4321',
    status: 'FAILED_PRECONDITION',
    remedy: 'Watch the run, and resume it when its cancellation has ended.',
  },
  SPENT_PER_RECORD: {
    code: 'LETHE-4322',
    status: 'FAILED_PRECONDITION',
    remedy:
      'Runs per record protect one record, and how many a person has is not counted here: read what records have spent with GetPrivacyBudget, and bound a person with k of them as a group of k.',
  },
});
