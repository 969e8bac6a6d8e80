import { defineErrors } from '@lethe/std';

export const EVENTS = defineErrors({
  BAD_SUBJECT_TOKEN: {
    code: 'LETHE-2001',
    status: 'INVALID_ARGUMENT',
    remedy: 'Use 1 to 128 characters of A-Z, a-z, 0-9, "_" and "-" for each part of a subject.',
  },
  STREAM_FULL: {
    code: 'LETHE-2002',
    status: 'RESOURCE_EXHAUSTED',
    remedy:
      'Raise the limit of the named stream (LETHE_EVENTS_MAX_BYTES and its siblings) or free disk, then retry: nothing was lost.',
  },
  WRONG_SEQUENCE: {
    code: 'LETHE-2003',
    status: 'ABORTED',
    remedy: 'Another writer was first: read the subject again and decide again.',
  },
  CONTENTION: {
    code: 'LETHE-2004',
    status: 'ABORTED',
    remedy: 'Too many writers on one aggregate at once: retry later.',
  },
  BUS_UNAVAILABLE: {
    code: 'LETHE-2005',
    status: 'UNAVAILABLE',
    remedy: 'Check that nats-server runs and can be reached, then retry with the same request id.',
  },
  STREAM_SETTINGS_REFUSED: {
    code: 'LETHE-2006',
    status: 'FAILED_PRECONDITION',
    remedy:
      'The server stored other settings than asked for: use a newer nats-server or lower the setting named.',
  },
  STREAM_NOT_FOUND: {
    code: 'LETHE-2007',
    status: 'NOT_FOUND',
    remedy: 'Start the platform once so that it creates its streams, or check the instance prefix.',
  },
  MESSAGE_TOO_LARGE: {
    code: 'LETHE-2008',
    status: 'INVALID_ARGUMENT',
    remedy: 'Split the message: bulk belongs in the object store, records are limited in size.',
  },
  STORAGE_TOO_SMALL: {
    code: 'LETHE-2009',
    status: 'RESOURCE_EXHAUSTED',
    remedy:
      'The limits of the streams are reserved together and do not fit: lower them or give nats-server more disk.',
  },
  MALFORMED_EVENT: {
    code: 'LETHE-2010',
    status: 'DATA_LOSS',
    remedy: 'Look at the dead letter: the bytes do not decode as the event type they name.',
  },
  UNKNOWN_EVENT: {
    code: 'LETHE-2011',
    status: 'UNIMPLEMENTED',
    remedy:
      'Upgrade this service: the stream holds an event type that it neither handles nor declares as ignored.',
  },
  SNAPSHOT_MISMATCH: {
    code: 'LETHE-2012',
    status: 'DATA_LOSS',
    remedy: 'The state of a snapshot does not have the digest it carries: restore the stream from a backup.',
  },
  OBJECT_CORRUPT: {
    code: 'LETHE-2013',
    status: 'DATA_LOSS',
    remedy: 'The stored object does not have its address as digest: produce it again or restore it.',
  },
  OBJECT_NOT_FOUND: {
    code: 'LETHE-2014',
    status: 'NOT_FOUND',
    remedy: 'The object was never stored or has been erased.',
  },
  DEAD_LETTER_NOT_FOUND: {
    code: 'LETHE-2015',
    status: 'NOT_FOUND',
    remedy: 'List the dead letters and use the number in the first column.',
  },
  LIMIT_BELOW_CONTENT: {
    code: 'LETHE-2016',
    status: 'FAILED_PRECONDITION',
    remedy:
      'Raise the limit of the named stream (LETHE_EVENTS_MAX_BYTES and its siblings) again; nothing was deleted.',
  },
  SERVER_MISSING: {
    code: 'LETHE-2020',
    status: 'FAILED_PRECONDITION',
    remedy:
      'Install nats-server 2.9 or newer (Debian: apt-get install nats-server, and /usr/sbin on PATH; macOS: brew install nats-server) or set LETHE_NATS_URL.',
  },
  SERVER_TOO_OLD: {
    code: 'LETHE-2021',
    status: 'FAILED_PRECONDITION',
    remedy:
      'Use nats-server 2.9.0 or newer, in a cluster 2.9.21 or newer: older clusters acknowledge two racing writers.',
  },
  SERVER_START_FAILED: {
    code: 'LETHE-2022',
    status: 'UNAVAILABLE',
    remedy:
      'Read the last lines of the nats-server log in the message; check the store directory and the port.',
  },
  JETSTREAM_DISABLED: {
    code: 'LETHE-2023',
    status: 'FAILED_PRECONDITION',
    remedy: 'Start nats-server with JetStream (-js) and give the account access to it.',
  },
  STORE_IN_USE: {
    code: 'LETHE-2024',
    status: 'FAILED_PRECONDITION',
    remedy: 'Another platform runs on this data directory: stop it or use another directory.',
  },
  NO_FREE_PORT: {
    code: 'LETHE-2025',
    status: 'RESOURCE_EXHAUSTED',
    remedy: 'Name a port (LETHE_PORT), or end processes that listen on loopback ports 20000 to 32767.',
  },
});
