import { defineErrors } from '@lethe/std';

/** Errors of the unlearning library: LETHE-3600 to 3699. */
export const UNLEARNING = defineErrors({
  BAD_SPEC: {
    code: 'LETHE-3600',
    status: 'INVALID_ARGUMENT',
    remedy: 'Correct the named field of the sharding specification.',
  },
  UNKNOWN_SUBJECT: {
    code: 'LETHE-3601',
    status: 'NOT_FOUND',
    remedy: 'Name subjects that the ensemble was trained on; one that was never in it needs no unlearning.',
  },
  CHECKPOINT_MISSING: {
    code: 'LETHE-3602',
    status: 'FAILED_PRECONDITION',
    remedy:
      'Train the shard from its initial weights: the checkpoint before the first affected segment is not there.',
  },
  SEEDS_MISSING: {
    code: 'LETHE-3603',
    status: 'INVALID_ARGUMENT',
    remedy:
      'Give one seed for each segment, those on record before the first affected segment and new ones from there on.',
  },
});
