import { defineErrors } from '@lethe/std';

export const TELEMETRY = defineErrors({
  BAD_LOG_LEVEL: {
    code: 'LETHE-2501',
    status: 'INVALID_ARGUMENT',
    remedy: 'Use one of debug, info, warn, error, silent.',
  },
});
