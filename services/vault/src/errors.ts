import { defineErrors } from '@lethe/std';

export const VAULT = defineErrors({
  DATASET_UNKNOWN: {
    code: 'LETHE-4001',
    status: 'NOT_FOUND',
    remedy: 'Create the dataset first (CreateDataset, or lethe ingest with --create), or correct its name.',
  },
  DATASET_EXISTS: {
    code: 'LETHE-4002',
    status: 'ALREADY_EXISTS',
    remedy: 'A dataset keeps its specification for life: choose another name for another specification.',
  },
  ROOT_UNKNOWN: {
    code: 'LETHE-4003',
    status: 'NOT_FOUND',
    remedy: 'Commit a root with CommitDatasetRoot and use the name that it returns.',
  },
  STREAM_OUT_OF_ORDER: {
    code: 'LETHE-4004',
    status: 'INVALID_ARGUMENT',
    remedy:
      'Send the header first and number records 1, 2, 3 … within the stream. What was stored before stays; send the rest again.',
  },
  RECORD_MALFORMED: {
    code: 'LETHE-4005',
    status: 'INVALID_ARGUMENT',
    remedy:
      'Give a subject id (1 to 256 characters), a record id (1 to 128) and a payload as the dataset specification says.',
  },
  RECORD_TOO_LARGE: {
    code: 'LETHE-4006',
    status: 'INVALID_ARGUMENT',
    remedy: 'A payload has at most 256 KiB. Store larger material elsewhere and its features here.',
  },
  RECORD_CONFLICT: {
    code: 'LETHE-4007',
    status: 'ALREADY_EXISTS',
    remedy:
      'The record id is taken by other content or another subject; record ids are unique within a dataset.',
  },
  SUBJECT_ERASED: {
    code: 'LETHE-4008',
    status: 'FAILED_PRECONDITION',
    remedy: 'The subjects of these records have been erased; nothing of them is stored again.',
  },
  SUBJECT_UNKNOWN: {
    code: 'LETHE-4009',
    status: 'NOT_FOUND',
    remedy: 'No record of this subject is stored in the tenant; check the identifier.',
  },
  KEY_UNKNOWN: {
    code: 'LETHE-4010',
    status: 'NOT_FOUND',
    remedy: 'The key never existed or has been destroyed; what it sealed cannot be read again.',
  },
  REQUEST_INVALID: {
    code: 'LETHE-4011',
    status: 'INVALID_ARGUMENT',
    remedy: 'Correct the named field.',
  },
});
