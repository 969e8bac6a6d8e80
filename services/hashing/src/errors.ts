import { defineErrors } from '@lethe/std';

/** Refusals of the hashing service: LETHE-42xx. Those of payloads (23xx) and codes (34xx) come from their libraries. */
export const HASHING_SERVICE = defineErrors({
  FUNCTION_UNKNOWN: {
    code: 'LETHE-4201',
    status: 'NOT_FOUND',
    remedy: 'Create the function with CreateHashFunction, or correct its name.',
  },
  FUNCTION_EXISTS: {
    code: 'LETHE-4202',
    status: 'ALREADY_EXISTS',
    remedy: 'A function keeps its specification for life: choose another id for another specification.',
  },
  NOT_SERVING: {
    code: 'LETHE-4203',
    status: 'FAILED_PRECONDITION',
    remedy: 'Watch the function until it is SERVING; if it is FAILED, its condition says why.',
  },
  UPDATE_IN_PROGRESS: {
    code: 'LETHE-4204',
    status: 'FAILED_PRECONDITION',
    remedy: 'Watch the function until it has learned the root that was requested before, then ask again.',
  },
  ROOT_UNFIT: {
    code: 'LETHE-4205',
    status: 'INVALID_ARGUMENT',
    remedy: 'Name a root of the same dataset that was committed after the learned one.',
  },
  ROOT_NOT_LOGGED: {
    code: 'LETHE-4206',
    status: 'FAILED_PRECONDITION',
    remedy:
      'The transparency log must hold the root first: check that the erasure service runs, then ask again.',
  },
  REQUEST_INVALID: {
    code: 'LETHE-4207',
    status: 'INVALID_ARGUMENT',
    remedy: 'Correct the named field.',
  },
  NOTHING_TO_LEARN: {
    code: 'LETHE-4208',
    status: 'FAILED_PRECONDITION',
    remedy: 'Ingest labelled records, commit a root over them and create a function with another id.',
  },
  STATE_DAMAGED: {
    code: 'LETHE-4209',
    status: 'DATA_LOSS',
    remedy:
      'The stored state does not have the digests of its event: restore the artefact, or learn a new function.',
  },
  STARTING: {
    code: 'LETHE-4210',
    status: 'UNAVAILABLE',
    remedy: 'The service is still reading its events: try again in a moment.',
  },
  PROOF_UNKNOWN: {
    code: 'LETHE-4211',
    status: 'NOT_FOUND',
    remedy: 'Name the function and an erasure that its claims say took items out of it.',
  },
  REPLICA_BEHIND: {
    code: 'LETHE-4212',
    status: 'UNAVAILABLE',
    remedy: 'This replica has not applied the function event that was named: try again, or ask another one.',
  },
  EVENTS_UNREACHABLE: {
    code: 'LETHE-4213',
    status: 'UNAVAILABLE',
    remedy:
      'This replica cannot read the events, so it does not know who is contained, and answers nothing until it can.',
  },
  RESIDUE: {
    code: 'LETHE-4214',
    status: 'INTERNAL',
    remedy:
      'Bytes of erased entries were found in the memory of this process: restart it, and report the fault.',
  },
  REENCODING: {
    code: 'LETHE-4215',
    status: 'FAILED_PRECONDITION',
    remedy: 'Watch the function until its stored codes have been moved (reencoding is gone), then ask again.',
  },
  NOT_HELD: {
    code: 'LETHE-4216',
    status: 'FAILED_PRECONDITION',
    remedy: 'Look at the function: held names the candidate and its root, if the gate holds one.',
  },
  RECORDS_UNMATCHED: {
    code: 'LETHE-4217',
    status: 'DATA_LOSS',
    remedy:
      'The lost piece cannot be made again from what is left, for example because records of another contained person are not read: restore the artefact, then replay the dead letter.',
  },
  NOBODY_ANSWERS: {
    code: 'LETHE-4218',
    status: 'FAILED_PRECONDITION',
    remedy:
      'Every item is in quarantine, erased or of a contained person: release items (lethe hash quarantine), or learn a root with others.',
  },
  CHECK_EXISTS: {
    code: 'LETHE-4230',
    status: 'ALREADY_EXISTS',
    remedy: 'A check keeps its specification: choose another id for another one.',
  },
  CHECK_UNKNOWN: {
    code: 'LETHE-4231',
    status: 'NOT_FOUND',
    remedy: 'Create the check with CreateHashCheck, or correct its name.',
  },
  CHECK_UNFIT: {
    code: 'LETHE-4232',
    status: 'FAILED_PRECONDITION',
    remedy: 'The function or the records have not what the check needs: see the message.',
  },
});
