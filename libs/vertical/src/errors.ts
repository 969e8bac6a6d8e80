import { defineErrors } from '@lethe/std';

/** LETHE-35xx: refusals of vertical (HashVFL) training. */
export const VERTICAL = defineErrors({
  BAD_NETWORK: {
    code: 'LETHE-3501',
    status: 'INVALID_ARGUMENT',
    remedy: 'Correct the named field of the federation; nothing was trained.',
  },
  BAD_CODES: {
    code: 'LETHE-3502',
    status: 'INVALID_ARGUMENT',
    remedy: 'Send the codes of exactly the rows in START, ceil(codeBits / 8) bytes each, unused bits zero.',
  },
  BAD_GRADIENTS: {
    code: 'LETHE-3503',
    status: 'INVALID_ARGUMENT',
    remedy:
      'Use the gradient format and the batch that START named; the step is aborted and can be repeated.',
  },
  MISALIGNED: {
    code: 'LETHE-3504',
    status: 'FAILED_PRECONDITION',
    remedy: 'Bring the alignment list and the tombstones to the version that START names, then rejoin.',
  },
  OUT_OF_STEP: {
    code: 'LETHE-3505',
    status: 'FAILED_PRECONDITION',
    remedy: 'Follow the order START, codes, gradients, COMMIT; after a loss wait for the next START.',
  },
  BATCH_TOO_SMALL: {
    code: 'LETHE-3506',
    status: 'FAILED_PRECONDITION',
    remedy: 'Normalisation over a batch needs 64 rows at least: align more rows or make the batch smaller.',
  },
  BAD_CHECKPOINT: {
    code: 'LETHE-3507',
    status: 'DATA_LOSS',
    remedy: 'Restore an older checkpoint; the steps after it replay to the same bytes.',
  },
});
