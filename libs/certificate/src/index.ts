export * from './body.ts';
export * from './errors.ts';
export * from './issue.ts';
export { type KeyFile, makeKeyFile, parseKeyFile } from './key-file.ts';
export {
  CARRIED_PROOF_CHARS,
  type LedgerErasureProof,
  type LedgerInclusion,
  type LedgerReencodeProof,
  refuseInclusion,
  refuseLedgerProof,
} from './ledger-proof.ts';
export * from './log-statement.ts';
export {
  type Checkpoint,
  checkpointText,
  type NoteVerifier,
  openCheckpoint,
  parseVerifierKey,
  signCheckpoint,
  verifierKey,
} from './note.ts';
export * from './signing.ts';
export { type Hint, type PassedCheck, type Verification, verifyCertificate } from './verify.ts';
export { runInclusion, runVerify, type VerifyIo } from './verify-cli.ts';
