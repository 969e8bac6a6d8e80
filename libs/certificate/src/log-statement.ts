import { leafHash } from '@lethe/merkle';
import { canonicalJson, utf8 } from '@lethe/std';
import type { Base64, Hex32, Timestamp } from './body.ts';

/**
 * What may stand in the transparency log. A leaf's data is the canonical JSON of one statement; its hash is
 * RFC 6962's SHA-256(0x00 | data). A new kind of statement is a new `type`; a changed meaning too.
 */
export type LogStatement = DatasetRootStatement | AuditRegisteredStatement | PartyJoinedStatement;

/** Logged before anything trains on this state of the data set, and after every erasure. */
export interface DatasetRootStatement {
  readonly type: 'dataset-root';
  readonly version: 1;
  readonly dataset: string;
  readonly root: Hex32;
  /** Number of leaves. */
  readonly count: number;
  readonly at: Timestamp;
}

/** Logged before anything trains on the canaries, so before the coin key is revealed. */
export interface AuditRegisteredStatement {
  readonly type: 'audit-registered';
  readonly version: 1;
  readonly audit: string;
  readonly coinKeyHash: Hex32;
  readonly ruleDigest: Hex32;
  readonly at: Timestamp;
}

/** Logged when the party joins its federation. */
export interface PartyJoinedStatement {
  readonly type: 'party-joined';
  readonly version: 1;
  readonly federation: string;
  readonly party: string;
  readonly publicKey: Base64;
  readonly at: Timestamp;
}

/** Logged when a certificate is issued; its place is proven outside the signed body, which it could not contain. */
export interface CertificateStatement {
  readonly type: 'certificate';
  readonly version: 1;
  readonly certificate: string;
  /** SHA-256 of the canonical body. */
  readonly bodyDigest: Hex32;
}

/** The data of a log leaf: the statement's canonical bytes. */
export const statementBytes = (statement: LogStatement | CertificateStatement): Uint8Array =>
  utf8(canonicalJson(statement));

/** The hash under which the statement stands in the log. */
export const statementLeafHash = (statement: LogStatement | CertificateStatement): Uint8Array =>
  leafHash(statementBytes(statement));
