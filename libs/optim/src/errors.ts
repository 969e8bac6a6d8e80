import { defineErrors } from '@lethe/std';

/** Errors of the optimizers: LETHE-3080 to 3099. */
export const OPTIM = defineErrors({
  BAD_HYPERPARAMETER: {
    code: 'LETHE-3080',
    status: 'INVALID_ARGUMENT',
    remedy: 'Give the hyper-parameter a value in the range that the message states.',
  },
});
