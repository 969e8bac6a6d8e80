import { defineErrors } from '@lethe/std';

/** Refusals of the federation service: LETHE-41xx. Those of training (35xx) and of parties (51xx) come from their libraries. */
export const FEDERATION = defineErrors({
  UNKNOWN: {
    code: 'LETHE-4101',
    status: 'NOT_FOUND',
    remedy: 'Create the federation with CreateFederation, or correct its name.',
  },
  EXISTS: {
    code: 'LETHE-4102',
    status: 'ALREADY_EXISTS',
    remedy: 'A federation keeps its specification for life: choose another id for another specification.',
  },
  REQUEST_INVALID: {
    code: 'LETHE-4103',
    status: 'INVALID_ARGUMENT',
    remedy: 'Correct the named field.',
  },
  PARTY_UNKNOWN: {
    code: 'LETHE-4104',
    status: 'INVALID_ARGUMENT',
    remedy: 'Join as one of the parties that the specification names.',
  },
  PARTY_PRESENT: {
    code: 'LETHE-4105',
    status: 'ALREADY_EXISTS',
    remedy:
      'Stop the other process that takes part as this party; after a lost connection try again in a moment.',
  },
  PARTY_KEY_CHANGED: {
    code: 'LETHE-4106',
    status: 'PERMISSION_DENIED',
    remedy: 'Join with the key of the first joining, which the transparency log holds: restore the key file.',
  },
  ROOT_NOT_LOGGED: {
    code: 'LETHE-4107',
    status: 'FAILED_PRECONDITION',
    remedy:
      'The transparency log must hold the root first: check that the erasure service runs, then join again.',
  },
  RECORDS_UNFIT: {
    code: 'LETHE-4108',
    status: 'FAILED_PRECONDITION',
    remedy: 'Ingest labelled records, commit a root over them and create a federation with another id.',
  },
  PARTY_REFUSED: {
    code: 'LETHE-4109',
    status: 'FAILED_PRECONDITION',
    remedy: 'Look the code of the refusal up at the party, correct it there and start the party again.',
  },
  PARTY_MISSING: {
    code: 'LETHE-4110',
    status: 'UNAVAILABLE',
    remedy: 'Start the named party; training begins again from the start when all of them are present.',
  },
  NOT_READY: {
    code: 'LETHE-4111',
    status: 'UNAVAILABLE',
    remedy: 'Watch the federation until it is READY, then ask again.',
  },
  ROW_CONTAINED: {
    code: 'LETHE-4112',
    status: 'FAILED_PRECONDITION',
    remedy: 'Leave out rows of persons whose erasure was requested.',
  },
  STATE_DAMAGED: {
    code: 'LETHE-4113',
    status: 'DATA_LOSS',
    remedy:
      'The stored state is not the one of its event: restore the artefact, or create another federation.',
  },
  ATTESTATION_INVALID: {
    code: 'LETHE-4114',
    status: 'FAILED_PRECONDITION',
    remedy: 'The party must sign what was asked, with the key that it joined with.',
  },
  NOT_REPRODUCED: {
    code: 'LETHE-4115',
    status: 'DATA_LOSS',
    remedy:
      'A party has other rows, another processor or another version than at the training: restore them.',
  },
});
