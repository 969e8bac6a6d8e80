import { defineErrors } from '@lethe/std';

export const ERASURE = defineErrors({
  SUBJECT_UNKNOWN: {
    code: 'LETHE-4501',
    status: 'NOT_FOUND',
    remedy: 'Check the subject id and the tenant: the vault holds no record of this subject.',
  },
  SUBJECT_REQUESTED_BEFORE: {
    code: 'LETHE-4502',
    status: 'ALREADY_EXISTS',
    remedy: 'Follow the erasure request that the message names; a person is erased once.',
  },
  REQUEST_ID_TAKEN: {
    code: 'LETHE-4503',
    status: 'ALREADY_EXISTS',
    remedy: 'Use a request_id of its own for every erasure; repeat a call with the same subject and policy.',
  },
  REQUEST_MALFORMED: {
    code: 'LETHE-4504',
    status: 'INVALID_ARGUMENT',
    remedy: 'Correct the named field and send the request again.',
  },
  REQUEST_UNKNOWN: {
    code: 'LETHE-4505',
    status: 'NOT_FOUND',
    remedy: 'Check the name; ListErasureRequests shows the requests of a tenant.',
  },
  CERTIFICATE_NOT_ISSUED: {
    code: 'LETHE-4506',
    status: 'FAILED_PRECONDITION',
    remedy: 'Watch the erasure request; its conditions say what is missing.',
  },
  STATEMENT_UNKNOWN: {
    code: 'LETHE-4507',
    status: 'NOT_FOUND',
    remedy: 'Wait a moment if the statement is new: it is logged when its event has been read.',
  },
  OWNERS_SILENT: {
    code: 'LETHE-4508',
    status: 'DEADLINE_EXCEEDED',
    remedy: 'Start the services that the message names and request the erasure again under a new request_id.',
  },
  EVIDENCE_MALFORMED: {
    code: 'LETHE-4509',
    status: 'DATA_LOSS',
    remedy: 'Report it: an owner has committed evidence that cannot be read.',
  },
});
