import { defineErrors } from '@lethe/std';

export const STORE = defineErrors({
  KEY_NOT_FOUND: {
    code: 'LETHE-2201',
    status: 'NOT_FOUND',
    remedy: 'Create the key first; the name consists of tenant, kind and id.',
  },
  KEY_DESTROYED: {
    code: 'LETHE-2202',
    status: 'FAILED_PRECONDITION',
    remedy:
      'The key was destroyed by an erasure: what was sealed under it cannot be read, and it is never made anew.',
  },
  KEY_STORE_DAMAGED: {
    code: 'LETHE-2203',
    status: 'DATA_LOSS',
    remedy:
      'The key store or the file of its epoch key does not fit: check the directory; a key store is not restored from ordinary backups.',
  },
  KEY_STORE_SETTINGS: {
    code: 'LETHE-2204',
    status: 'FAILED_PRECONDITION',
    remedy:
      'SQLite refused a setting that deletion rests on: use a local file system and the Node version that the project brings.',
  },
  SEAL_UNKNOWN: {
    code: 'LETHE-2205',
    status: 'INVALID_ARGUMENT',
    remedy: 'The bytes are not sealed in a format that this release knows.',
  },
  SEAL_BROKEN: {
    code: 'LETHE-2206',
    status: 'DATA_LOSS',
    remedy: 'Wrong key, wrong binding or changed bytes: read the record again from its owner.',
  },
  SCAN_INCOMPLETE: {
    code: 'LETHE-2207',
    status: 'FAILED_PRECONDITION',
    remedy: 'A scan that leaves files out proves nothing: make the named file readable and scan again.',
  },
  SCANNER_BLIND: {
    code: 'LETHE-2208',
    status: 'FAILED_PRECONDITION',
    remedy:
      'The scan did not find what was planted in the named store: its files are not under the scanned directories, or are encrypted or compressed.',
  },
  NEEDLE_TOO_SHORT: {
    code: 'LETHE-2209',
    status: 'INVALID_ARGUMENT',
    remedy: 'Search for at least 8 bytes: shorter ones are found by chance.',
  },
});
