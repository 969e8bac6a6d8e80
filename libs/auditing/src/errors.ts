import { defineErrors } from '@lethe/std';

export const AUDITING = defineErrors({
  BAD_COIN_KEY: {
    code: 'LETHE-3701',
    status: 'INVALID_ARGUMENT',
    remedy: 'Pass the 32-byte key that was committed when the audit was registered.',
  },
  COIN_MISMATCH: {
    code: 'LETHE-3702',
    status: 'DATA_LOSS',
    remedy: 'The arms are not those of the committed coin: treat the audit as void and register a new one.',
  },
  BAD_CANARY_SPEC: {
    code: 'LETHE-3703',
    status: 'INVALID_ARGUMENT',
    remedy: 'Declare at least one feature, two classes, low < high and a density in (0, 1].',
  },
  BAD_LOGITS: {
    code: 'LETHE-3704',
    status: 'INVALID_ARGUMENT',
    remedy: 'Pass finite logits of at least two classes and a label among them.',
  },
});
