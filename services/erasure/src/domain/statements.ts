/**
 * The statements of the transparency log. Those that a certificate leans on are defined, with their verifier, in
 * `@lethe/certificate`; the erasure request's own is defined here because nothing but the order of the log depends on it.
 */
import type { CertificateStatement, LogStatement } from '@lethe/certificate';
import type { events } from '@lethe/contracts';
import { base64, canonicalJson, hex, sha256, timestamp, utf8 } from '@lethe/std';

/**
 * Logged before anything is retrained: the root of the log that holds it is the public randomness from which every seed of the
 * retraining derives, so nobody can have chosen those seeds. Carries the commitment, never the alias.
 */
export interface ErasureRequestedStatement {
  readonly type: 'erasure-requested';
  readonly version: 1;
  readonly request: string;
  readonly subject: string;
  readonly at: string;
}

export type Statement = LogStatement | CertificateStatement | ErasureRequestedStatement;

/** The data of a leaf. */
export const leafData = (statement: Statement): Uint8Array => utf8(canonicalJson(statement));

/** By which a statement is looked up: SHA-256 of its canonical bytes, hex. */
export const statementDigest = (data: Uint8Array): string => hex(sha256(data));

export const datasetRootStatement = (
  dataset: string,
  event: Pick<events.DatasetRootCommitted, 'rootHash' | 'recordCount'>,
  timeMs: number,
): Statement => ({
  type: 'dataset-root',
  version: 1,
  dataset,
  root: hex(event.rootHash),
  count: Number(event.recordCount),
  at: timestamp(timeMs),
});

export const auditRegisteredStatement = (
  audit: string,
  event: Pick<events.AuditRegistered, 'coinKeyHash' | 'ruleDigest'>,
  timeMs: number,
): Statement => ({
  type: 'audit-registered',
  version: 1,
  audit,
  coinKeyHash: event.coinKeyHash,
  ruleDigest: event.ruleDigest,
  at: timestamp(timeMs),
});

export const partyJoinedStatement = (
  federation: string,
  event: Pick<events.PartyJoined, 'party' | 'publicKey'>,
  timeMs: number,
): Statement => ({
  type: 'party-joined',
  version: 1,
  federation,
  party: event.party,
  publicKey: base64(event.publicKey),
  at: timestamp(timeMs),
});

export const erasureRequestedStatement = (
  event: Pick<events.ErasureRequested, 'erasure' | 'subjectCommitment'>,
  timeMs: number,
): Statement => ({
  type: 'erasure-requested',
  version: 1,
  request: event.erasure,
  subject: event.subjectCommitment,
  at: timestamp(timeMs),
});
