import { defineErrors } from '@lethe/std';

/** LETHE-51xx: refusals of a federation party. */
export const PARTY = defineErrors({
  ROWS_MISSING: {
    code: 'LETHE-5101',
    status: 'FAILED_PRECONDITION',
    remedy:
      'Add the missing rows to the file of this party and start it again, or train on a root without them.',
  },
  ROWS_FILE_MALFORMED: {
    code: 'LETHE-5102',
    status: 'INVALID_ARGUMENT',
    remedy: 'Write the file with writeRowsFile; libs/party/README.md has the format.',
  },
  NOT_TRAINED: {
    code: 'LETHE-5103',
    status: 'FAILED_PRECONDITION',
    remedy: 'Wait until the federation is READY; this party has no complete model at the moment.',
  },
  CONFIG_INVALID: {
    code: 'LETHE-5104',
    status: 'INVALID_ARGUMENT',
    remedy: 'Correct the named member of the configuration; libs/party/README.md lists them.',
  },
  NOT_ERASED: {
    code: 'LETHE-5105',
    status: 'FAILED_PRECONDITION',
    remedy: 'Send EraseRows and train again before asking for the attestation; nothing was signed.',
  },
});
