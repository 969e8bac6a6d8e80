import { defineErrors } from '@lethe/std';

export const STATISTICS = defineErrors({
  TOO_FEW_SCORES: {
    code: 'LETHE-1401',
    status: 'FAILED_PRECONDITION',
    remedy: 'Register more units for the arm before training: a variance needs two scores at least.',
  },
  NOT_A_NUMBER: {
    code: 'LETHE-1402',
    status: 'INVALID_ARGUMENT',
    remedy: 'Correct the named value; scores must be finite, probabilities within (0, 1).',
  },
  BAD_RULE: {
    code: 'LETHE-1403',
    status: 'INVALID_ARGUMENT',
    remedy: 'Use a rule that this version knows; the registered rule cannot be changed afterwards.',
  },
});
