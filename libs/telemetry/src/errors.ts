import { defineErrors } from '@lethe/std';

export const TELEMETRY = defineErrors({
  BAD_LOG_LEVEL: {
    code: 'LETHE-2501',
    status: 'INVALID_ARGUMENT',
    remedy: 'Use one of debug, info, warn, error, silent.',
  },
  BAD_ENDPOINT: {
    code: 'LETHE-2502',
    status: 'INVALID_ARGUMENT',
    remedy:
      'Set LETHE_OTLP_ENDPOINT to the base URL of an OTLP/HTTP collector, as in http://127.0.0.1:4318, or unset it.',
  },
});
