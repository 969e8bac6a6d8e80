import { defineErrors } from '@lethe/std';

/** LETHE-33xx: refusals of the privacy library. */
export const PRIVACY = defineErrors({
  INVALID_MECHANISM: {
    code: 'LETHE-3301',
    status: 'INVALID_ARGUMENT',
    remedy: 'Correct the named field of the mechanism; nothing was sampled and nothing was charged.',
  },
  EPSILON_OUT_OF_REACH: {
    code: 'LETHE-3302',
    status: 'INVALID_ARGUMENT',
    remedy: 'Ask for a larger epsilon or delta, fewer steps or a smaller sampling probability.',
  },
  SEEDED_SOURCE: {
    code: 'LETHE-3303',
    status: 'FAILED_PRECONDITION',
    remedy:
      'Use the secure source, or start the run in research mode, which is recorded and not for release.',
  },
  BUDGET_EXHAUSTED: {
    code: 'LETHE-3304',
    status: 'RESOURCE_EXHAUSTED',
    remedy:
      'The planned steps are charged. Publish the model as it is, or plan a new run with a budget of its own.',
  },
  SENSITIVITY_UNKNOWN: {
    code: 'LETHE-3305',
    status: 'FAILED_PRECONDITION',
    remedy:
      'The clipped sum is not finite or does not match the mechanism: check the clipping graph; nothing was released.',
  },
  LEDGER_MISMATCH: {
    code: 'LETHE-3306',
    status: 'FAILED_PRECONDITION',
    remedy: 'Use the ledger that was opened for this mechanism; a changed plan needs a ledger of its own.',
  },
  PLAN_REFUSED: {
    code: 'LETHE-3307',
    status: 'INVALID_ARGUMENT',
    remedy:
      'Change the named field as the message says: what no accountant here can price is not started. Nothing was sampled or charged.',
  },
  ACCOUNTANTS_DISAGREE: {
    code: 'LETHE-3308',
    status: 'FAILED_PRECONDITION',
    remedy:
      'No epsilon is quoted. Report the plan, whose hash is in the details, as an error of the accountants; nothing was started.',
  },
  BUDGET_EXCEEDED: {
    code: 'LETHE-3309',
    status: 'FAILED_PRECONDITION',
    remedy:
      'Plan fewer steps or more noise, or have the budget of the data set raised: what is spent is never given back.',
  },
  PLAN_UNREADABLE: {
    code: 'LETHE-3310',
    status: 'INVALID_ARGUMENT',
    remedy: 'Give the canonical bytes of a plan of a version that this release knows, unchanged.',
  },
  NOISE_REUSED: {
    code: 'LETHE-3311',
    status: 'FAILED_PRECONDITION',
    remedy:
      'Ask for the noise of each step once and in order; a resumed run draws a key of its own. Nothing was handed out.',
  },
});
