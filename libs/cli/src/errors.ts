import { defineErrors } from '@lethe/std';

/** Refusals of the command line: LETHE-5010 on. */
export const CLI = defineErrors({
  /** Written out in bin/node24.mjs, which an older Node has to be able to run. */
  NODE_TOO_OLD: {
    code: 'LETHE-5010',
    status: 'FAILED_PRECONDITION',
    remedy: 'Run npm ci, which brings Node 24 on Linux, or install Node 24 or later.',
  },
  PLATFORM_NOT_FOUND: {
    code: 'LETHE-5011',
    status: 'UNAVAILABLE',
    remedy:
      'Start one with "lethe up" (or npm start), name its directory with --data-dir, or its address with --address.',
  },
  CREDENTIALS_NOT_FOUND: {
    code: 'LETHE-5012',
    status: 'UNAUTHENTICATED',
    remedy:
      'Name the data directory of the platform with --data-dir, or give a token with LETHE_TOKEN (or --token).',
  },
  WRONG_USAGE: {
    code: 'LETHE-5013',
    status: 'INVALID_ARGUMENT',
    remedy: 'Correct the argument; --help shows what the command takes, with examples.',
  },
  FILE_UNREADABLE: {
    code: 'LETHE-5014',
    status: 'NOT_FOUND',
    remedy: 'Check the path and its permissions.',
  },
  FILE_UNWRITABLE: {
    code: 'LETHE-5015',
    status: 'FAILED_PRECONDITION',
    remedy: 'Choose a path that can be written and does not exist yet.',
  },
  SPEC_DIFFERS: {
    code: 'LETHE-5016',
    status: 'FAILED_PRECONDITION',
    remedy: 'Leave --spec out to use the dataset as it was declared, or create a dataset of another name.',
  },
  NO_ROOT: {
    code: 'LETHE-5017',
    status: 'FAILED_PRECONDITION',
    remedy: 'Commit the records first: lethe dataset commit NAME.',
  },
  OPERATION_FAILED: {
    code: 'LETHE-5018',
    status: 'ABORTED',
    remedy: 'The conditions above say why; correct it and create the resource again under another name.',
  },
  VERSION_HELD: {
    code: 'LETHE-5023',
    status: 'FAILED_PRECONDITION',
    remedy:
      'The version before serves on. Read held.report above, then mend the records and update to a later root, or decide with lethe hash promote.',
  },
  ERASURE_INCOMPLETE: {
    code: 'LETHE-5019',
    status: 'ABORTED',
    remedy: 'Look at its conditions and claims: they name what was not erased and what is missing.',
  },
  NOT_SERVING: {
    code: 'LETHE-5020',
    status: 'UNAVAILABLE',
    remedy: 'Look at the log of the platform; a service that is starting becomes healthy by itself.',
  },
  INSECURE_ADDRESS: {
    code: 'LETHE-5021',
    status: 'FAILED_PRECONDITION',
    remedy:
      'Use a loopback address (for example through a port forward), or set LETHE_TLS_CA, LETHE_TLS_CERT and LETHE_TLS_KEY.',
  },
  CHILD_NOT_STARTED: {
    code: 'LETHE-5022',
    status: 'FAILED_PRECONDITION',
    remedy: 'Run npm ci in the repository and try again.',
  },
});
