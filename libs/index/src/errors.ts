import { defineErrors } from '@lethe/std';

/** Refusals of the code index: LETHE-26xx. */
export const INDEX = defineErrors({
  SEGMENT_DAMAGED: {
    code: 'LETHE-2601',
    status: 'DATA_LOSS',
    remedy:
      'The named segment is not the one of the manifest: open the index with another copy of it, or let a replica that has it repair the store.',
  },
  SEGMENT_MISSING: {
    code: 'LETHE-2602',
    status: 'DATA_LOSS',
    remedy:
      'The named segment is not in the store: open the index with another copy of it, or take a newer manifest if this one was superseded.',
  },
  MANIFEST_INVALID: {
    code: 'LETHE-2603',
    status: 'INVALID_ARGUMENT',
    remedy:
      'These are not the bytes of an index manifest, or its roots do not follow from its segments: read it again from its owner.',
  },
  CHANGE_OPEN: {
    code: 'LETHE-2604',
    status: 'FAILED_PRECONDITION',
    remedy: 'Commit or abort the open change first: an index has one writer and one change at a time.',
  },
  STORE_FULL: {
    code: 'LETHE-2605',
    status: 'RESOURCE_EXHAUSTED',
    remedy: 'Make room on the disk and try again: nothing was changed.',
  },
  STORE_FAILED: {
    code: 'LETHE-2606',
    status: 'UNAVAILABLE',
    remedy:
      'The disk refused the named operation: nothing was changed; look at its cause in the log and try again.',
  },
  REPLICA_BEHIND: {
    code: 'LETHE-2607',
    status: 'UNAVAILABLE',
    remedy: 'This replica has not applied the awaited sequence yet: wait longer, or ask another replica.',
  },
  BATCH_INVALID: {
    code: 'LETHE-2608',
    status: 'INVALID_ARGUMENT',
    remedy:
      'Correct the named column: every column of a batch has one row per item, in the widths of the index.',
  },
  OPTION_INVALID: {
    code: 'LETHE-2609',
    status: 'INVALID_ARGUMENT',
    remedy: 'Correct the named option; the docstring of its type states its range.',
  },
  COMMIT_UNKNOWN: {
    code: 'LETHE-2610',
    status: 'UNAVAILABLE',
    remedy:
      'Neither commit nor abort the change: close the index and open it from the manifest that its owner has; sweep removes the rest.',
  },
  SCANNER_BLIND: {
    code: 'LETHE-2611',
    status: 'FAILED_PRECONDITION',
    remedy:
      'A scan that does not find what was planted proves nothing: do not count its zeros, and report this defect.',
  },
  DATABASE_FAILED: {
    code: 'LETHE-2612',
    status: 'UNAVAILABLE',
    remedy:
      'Look the SQLSTATE of the details up: 42883 means that the extension pgvector (0.7 or newer) is not installed, 23505 that an item is there already.',
  },
  ERASURE_NOT_EXACT: {
    code: 'LETHE-2613',
    status: 'FAILED_PRECONDITION',
    remedy:
      'Keep codes whose erasure must be exact in the code index; a database erases by best effort and says what may remain.',
  },
  SUPERSEDED_LEFT: {
    code: 'LETHE-2614',
    status: 'UNAVAILABLE',
    remedy:
      'The change stands and must be neither repeated nor aborted: delete the named pieces, which hold what it replaced, again; sweep does.',
  },
  CLOSED: {
    code: 'LETHE-2615',
    status: 'FAILED_PRECONDITION',
    remedy: 'This index was closed and holds nothing: open it from the manifest that its owner has.',
  },
});
