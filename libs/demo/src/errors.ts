import { defineErrors } from '@lethe/std';

export const DEMO = defineErrors({
  PLATFORM_DID_NOT_START: {
    code: 'LETHE-5201',
    status: 'UNAVAILABLE',
    remedy: 'Read the lines above; "npm start" shows the same error by itself.',
  },
  WORKER_FAILED: {
    code: 'LETHE-5202',
    status: 'INTERNAL',
    remedy: 'Run the named script by hand to see why.',
  },
  WORK_FAILED: {
    code: 'LETHE-5203',
    status: 'INTERNAL',
    remedy: 'The message says what the service said; LETHE_LOG=info shows its log.',
  },
  DATA_MISSING: {
    code: 'LETHE-5204',
    status: 'FAILED_PRECONDITION',
    remedy:
      'Run the command that the message names where npm can reach its packages, then the demonstration again.',
  },
});
