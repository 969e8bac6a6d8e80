import { defineErrors } from '@lethe/std';

export const AUDIT = defineErrors({
  AUDIT_UNKNOWN: {
    code: 'LETHE-4401',
    status: 'NOT_FOUND',
    remedy: 'Check the name of the audit and the tenant.',
  },
  AUDIT_EXISTS: {
    code: 'LETHE-4402',
    status: 'ALREADY_EXISTS',
    remedy: 'Choose another audit_id, or repeat the call with the specification that was registered.',
  },
  SPEC_INVALID: {
    code: 'LETHE-4403',
    status: 'INVALID_ARGUMENT',
    remedy: 'Correct the named field of the audit specification.',
  },
  DATASET_UNKNOWN: {
    code: 'LETHE-4404',
    status: 'NOT_FOUND',
    remedy: 'Create the dataset before its audit.',
  },
  NOT_REGISTERED: {
    code: 'LETHE-4405',
    status: 'FAILED_PRECONDITION',
    remedy: 'Watch the audit until it is registered, then commit a dataset root and train.',
  },
  CANARIES_NOT_STORED: {
    code: 'LETHE-4406',
    status: 'FAILED_PRECONDITION',
    remedy: 'Look at what the vault refused, and register another audit.',
  },
});
