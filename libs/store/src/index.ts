export { ArtefactStore, type StoredArtefact } from './artefact-store.ts';
export { STORE } from './errors.ts';
export type { KeyName, KeyReceipt, KeyStore, Rotation } from './key-store.ts';
export { filePlant, streamPlant } from './plants.ts';
export {
  type Needle,
  type Plant,
  type ProvenScan,
  piecesOf,
  provenScan,
  type ScanHit,
  type ScanReport,
  scan,
} from './scan.ts';
export { KEY_BYTES, open, SEAL_OVERHEAD_BYTES, seal } from './seal.ts';
export { openKeyStore, SqliteKeyStore, type SqliteKeyStoreOptions } from './sqlite-key-store.ts';
