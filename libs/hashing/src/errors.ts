import { defineErrors } from '@lethe/std';

/** Refusals of this library: LETHE-34xx. */
export const HASHING = defineErrors({
  CODEBOOK_FULL: {
    code: 'LETHE-3401',
    status: 'RESOURCE_EXHAUSTED',
    remedy: 'Create a new hash function with longer codes: K bits hold 2 * (K - 2) classes.',
  },
  CLASS_UNKNOWN: {
    code: 'LETHE-3402',
    status: 'INVALID_ARGUMENT',
    remedy: 'Allocate the class to a codebook row before its items are added to the statistics.',
  },
  SHAPE_MISMATCH: {
    code: 'LETHE-3403',
    status: 'INVALID_ARGUMENT',
    remedy:
      'Use inputs, features and statistics of one hash function: width, dimension and code bits must agree.',
  },
  STATISTICS_UNDERFLOW: {
    code: 'LETHE-3404',
    status: 'FAILED_PRECONDITION',
    remedy:
      'Subtract only items that were added before; rebuild the sums from the surviving records if in doubt.',
  },
  BYTES_MALFORMED: {
    code: 'LETHE-3405',
    status: 'INVALID_ARGUMENT',
    remedy:
      'These bytes were not written by this library or were altered: fetch them again from their owner.',
  },
  CODE_LENGTH_WRONG: {
    code: 'LETHE-3406',
    status: 'INVALID_ARGUMENT',
    remedy: 'Encode with the hash function of this index: every code has exactly its number of bits.',
  },
  ITEM_EXISTS: {
    code: 'LETHE-3407',
    status: 'ALREADY_EXISTS',
    remedy: 'An item enters an index once; a changed record is a new item.',
  },
  ITEM_NOT_FOUND: {
    code: 'LETHE-3408',
    status: 'NOT_FOUND',
    remedy: 'The item was never added or has been erased; list the items of the subject again.',
  },
  NOT_POSITIVE_DEFINITE: {
    code: 'LETHE-3409',
    status: 'FAILED_PRECONDITION',
    remedy: 'Raise lambda: the regularised Gram matrix must be positive definite in float64.',
  },
  OPTION_INVALID: {
    code: 'LETHE-3410',
    status: 'INVALID_ARGUMENT',
    remedy: 'Correct the named option; the docstring of its type states its range.',
  },
  PROOF_INVALID: {
    code: 'LETHE-3411',
    status: 'DATA_LOSS',
    remedy:
      'The ledger does not follow from the earlier root by the stated changes: treat it as altered and audit it.',
  },
  TABLE_FULL: {
    code: 'LETHE-3412',
    status: 'RESOURCE_EXHAUSTED',
    remedy: 'Spread the codes over several indexes: a table lives in 4 GiB, ids and codes together.',
  },
  SEARCH_THREAD_LOST: {
    code: 'LETHE-3413',
    status: 'UNAVAILABLE',
    remedy:
      'A thread of the pool has ended or does not answer: close the pool, search the table itself, or make a new pool.',
  },
  LABELS_INVALID: {
    code: 'LETHE-3450',
    status: 'INVALID_ARGUMENT',
    remedy: 'Give every item at least one class, each once, and declare classes before their items come.',
  },
  METHOD_MISSING: {
    code: 'LETHE-3451',
    status: 'UNIMPLEMENTED',
    remedy:
      'Choose a method of the table in the README of libs/hashing; what is missing is listed there by name.',
  },
  TRAINING_CANCELLED: {
    code: 'LETHE-3452',
    status: 'CANCELLED',
    remedy: 'Nothing was promoted; go on from the last epoch that was reported, or start again.',
  },
  INPUTS_INVALID: {
    code: 'LETHE-3453',
    status: 'INVALID_ARGUMENT',
    remedy: 'Give one finite row of the declared width for every item that has the modality.',
  },
  CHECKPOINT_MISMATCH: {
    code: 'LETHE-3454',
    status: 'FAILED_PRECONDITION',
    remedy: 'Resume with the specification, options, data and seed that the checkpoint was written with.',
  },
  TRAINING_DIVERGED: {
    code: 'LETHE-3455',
    status: 'FAILED_PRECONDITION',
    remedy: 'Lower the learning rate: the loss is no longer finite. Nothing was promoted.',
  },
  FEATURE_OUT_OF_RANGE: {
    code: 'LETHE-3430',
    status: 'INVALID_ARGUMENT',
    remedy: 'Use features as the feature map of this function gives them: bytes of 0 to 127.',
  },
  ENCODER_OUTPUT_INVALID: {
    code: 'LETHE-3431',
    status: 'INVALID_ARGUMENT',
    remedy: 'Encode the record again: an embedding has finite entries and is not all zero.',
  },
  MODALITY_UNKNOWN: {
    code: 'LETHE-3432',
    status: 'INVALID_ARGUMENT',
    remedy: 'Name a modality that the hash function was created with.',
  },
  SEGMENT_MALFORMED: {
    code: 'LETHE-3420',
    status: 'DATA_LOSS',
    remedy:
      'The named segment was cut short or altered: take another copy of it, it is never repaired by guessing.',
  },
  PROBE_INVALID: {
    code: 'LETHE-3440',
    status: 'INVALID_ARGUMENT',
    remedy:
      'Give every version codes of the same probe queries and of its gallery, all of one length; a gate needs at least 100 queries with relevant items.',
  },
  SCORES_INCOMPLETE: {
    code: 'LETHE-3441',
    status: 'INVALID_ARGUMENT',
    remedy:
      'Measure the score of every task after every step that the figure needs, or do not ask for the figure.',
  },
  FAN_OUT_INVALID: {
    code: 'LETHE-3442',
    status: 'INVALID_ARGUMENT',
    remedy:
      'Give one list per live version in (distance, item id) order, and the null distances of each of these versions.',
  },
  // 3443 is retired (a conflict of re-encoding): no code gets a second meaning.
  DRIFT_REFERENCE_INVALID: {
    code: 'LETHE-3444',
    status: 'FAILED_PRECONDITION',
    remedy:
      'Collect the reference from items that the function was not fitted on, at least as many as the options say.',
  },
});
