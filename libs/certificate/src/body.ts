import type { ArmScores, AuditResult, AuditRule } from '@lethe/statistics';
import type { LogStatement } from './log-statement.ts';

/**
 * What a certificate says, version 1. `libs/certificate/FORMAT.md` is the same in words, for readers of other languages.
 *
 * Evolution: a field is never removed and never changes its meaning; a new meaning is a new version. Unknown fields are
 * refused, so that an old verifier never calls "verified" what it has not read.
 *
 * Conventions: `Hex32` is 64 lower-case hex digits (32 bytes); `Base64` is RFC 4648 with padding; `Timestamp` is UTC with
 * milliseconds, `2026-01-31T12:00:00.000Z`; resource names are `tenants/{tenant}/…`. Nothing in here names a person.
 */
export type Hex32 = string;
export type Base64 = string;
export type Timestamp = string;

/** From the strongest to the weakest; the overall claim is the weakest of all. */
export const CLAIM_NAMES = ['ERASED_EXACT', 'ERASED_CERTIFIED', 'CONTAINED_ONLY', 'NOT_ERASED'] as const;
export type ClaimName = (typeof CLAIM_NAMES)[number];

export const ARTEFACT_KINDS = [
  'RECORDS',
  'HASH_FUNCTION',
  'HASH_INDEX',
  'MODEL_ENSEMBLE',
  'MODEL_DP',
  'MODEL_LINEAR',
  'MODEL_DEEP',
  'VERTICAL_MODEL',
  'CHECKPOINT',
  'CACHE',
  'OTHER',
] as const;
export type ArtefactKind = (typeof ARTEFACT_KINDS)[number];

export interface CertificateBody {
  readonly version: 1;
  /** Resource name, `tenants/{tenant}/certificates/{id}`. */
  readonly certificate: string;
  /** Resource name, `tenants/{tenant}/erasureRequests/{id}`. */
  readonly request: string;
  /** `CERTIFIED` needs evidence for every claim, every artefact erased and a verdict other than FAIL; else `PARTIAL`. */
  readonly status: 'CERTIFIED' | 'PARTIAL';
  readonly times: CertificateTimes;
  readonly policy: CertificatePolicy;
  /** `subjectCommitment(secret, alias, request)`; the secret goes to the requester and is then forgotten here. */
  readonly subject: Hex32;
  /** The weakest of `claims`. */
  readonly overall: ClaimName;
  /** Ids of every artefact that was computed from the person, logged when it was computed. Sorted, distinct. */
  readonly lineage: readonly string[];
  /** Exactly one claim for each id of `lineage`. */
  readonly claims: readonly Claim[];
  /** One entry for each data set that held the person's records. */
  readonly datasets: readonly DatasetEvidence[];
  /** null only when `status` is PARTIAL. */
  readonly keyReceipt: KeyReceipt | null;
  /** null only when `status` is PARTIAL. */
  readonly scan: ScanReport | null;
  /** One signed attestation for each claim whose owner is `parties/{id}`. */
  readonly parties: readonly PartyEvidence[];
  /** null when no audit was registered for these models: then `outOfScope` must say so. */
  readonly audit: AuditEvidence | null;
  /** Statements of the transparency log that this body leans on; their proofs stand in the file's `log.statements`. */
  readonly statements: readonly LogStatement[];
  /** What this certificate does not cover; never empty. */
  readonly outOfScope: readonly string[];
  /** What a pass does not show, in plain words. */
  readonly limits: string;
}

/** requested <= contained <= erased <= audited <= issued. */
export interface CertificateTimes {
  readonly requested: Timestamp;
  readonly contained: Timestamp;
  readonly erased: Timestamp;
  /** null exactly when `audit` is null. */
  readonly audited: Timestamp | null;
  readonly issued: Timestamp;
}

export type Details = Readonly<Record<string, string | number | boolean>>;

export interface CertificatePolicy {
  readonly name: string;
  readonly dueAt: Timestamp;
  /** For example what happens to survivors whose code would now differ, and how many they are. */
  readonly details: Details;
}

export interface Claim {
  /** The id in `lineage`. */
  readonly artefact: string;
  readonly kind: ArtefactKind;
  /** `vault`, `hashing`, `learning`, `federation`, or `parties/{id}` (then an attestation is required). */
  readonly owner: string;
  readonly claim: ClaimName;
  /** Required for ERASED_CERTIFIED, null for every other claim. */
  readonly guarantee: CertifiedGuarantee | null;
  readonly digestBefore: Hex32;
  /** null: the artefact was destroyed. ERASED_EXACT requires null or a digest other than `digestBefore`. */
  readonly digestAfter: Hex32 | null;
  /** The algorithm and its version, e.g. `sisa-resume/1`. */
  readonly method: string;
  readonly details: Details;
}

export interface CertifiedGuarantee {
  /** > 0, finite. */
  readonly epsilon: number;
  /** In [0, 1). */
  readonly delta: number;
  readonly unit: 'SUBJECT' | 'RECORD';
  /** E.g. `ADD_OR_REMOVE_ONE_SUBJECT`. */
  readonly neighboringRelation: string;
}

/** Trees are sorted trees (`@lethe/merkle`): RFC 6962 hashing over distinct 32-byte leaf values in bytewise order. */
export interface DatasetEvidence {
  /** Resource name, as in the `dataset-root` statements. */
  readonly dataset: string;
  readonly rootBefore: Hex32;
  readonly rootAfter: Hex32;
  readonly countBefore: number;
  readonly countAfter: number;
  /** Leaves of others that left between the two roots: DELETE canaries, coalesced requests. */
  readonly removedWithIt: number;
  /** Leaves that came between the two roots. countAfter = countBefore - removed.length - removedWithIt + added. */
  readonly added: number;
  /** The person's leaves, at least one. */
  readonly removed: readonly RemovedLeaf[];
}

export interface RemovedLeaf {
  /** The blinded leaf value: SHA-256 over a salt that died with the subject's key, and the record. */
  readonly leaf: Hex32;
  readonly index: number;
  /** Inclusion in `rootBefore`, from the leaf upwards. */
  readonly inclusionProof: readonly Hex32[];
  /** Absence from `rootAfter`: the neighbours between which the leaf would stand; null beyond an edge. */
  readonly left: NeighbourLeaf | null;
  readonly right: NeighbourLeaf | null;
}

export interface NeighbourLeaf {
  readonly leaf: Hex32;
  readonly index: number;
  readonly inclusionProof: readonly Hex32[];
}

export interface KeyReceipt {
  /** Digest of the key's id (never of the key). */
  readonly keyIdDigest: Hex32;
  readonly destroyedAt: Timestamp;
  readonly method: string;
  /** Settings of the key store that make the destruction real, e.g. `secure_delete: ON`. */
  readonly settings: Details;
}

export interface ScanReport {
  readonly stores: readonly ScannedStore[];
  /** Sum over `stores`. */
  readonly bytesScanned: number;
  readonly needles: readonly NeedleKind[];
}

export interface ScannedStore {
  readonly store: string;
  readonly bytesScanned: number;
  /** Copies planted to prove the scanner: all must be found before and none after. 0 where none can be planted. */
  readonly planted: number;
  readonly plantedFoundBefore: number;
  readonly plantedFoundAfter: number;
}

export interface NeedleKind {
  /** `record-ciphertext`, `ledger-salt`, `feature-row`, … */
  readonly kind: string;
  /** Distinct byte strings looked for. */
  readonly needles: number;
  /** Occurrences found after the erasure. More than 0 allows no overall ERASED_… claim. */
  readonly found: number;
}

export interface PartyEvidence {
  readonly attestation: PartyAttestation;
  /** The party's raw Ed25519 key, as in its `party-joined` statement. */
  readonly publicKey: Base64;
  /** Ed25519 over "lethe-party-attestation-v1\n" and SHA-256 of the canonical attestation. */
  readonly signature: Base64;
}

/** What a party signs when it has taken the person out. */
export interface PartyAttestation {
  readonly type: 'party-erased';
  readonly version: 1;
  readonly federation: string;
  readonly party: string;
  /** `requestDigest(request)`: ties the attestation to this request, so that an old one cannot be replayed. */
  readonly requestDigest: Hex32;
  /** The id in `lineage`. */
  readonly artefact: string;
  readonly digestBefore: Hex32;
  readonly digestAfter: Hex32 | null;
  readonly method: string;
  readonly at: Timestamp;
}

export interface AuditEvidence {
  /** Resource name, as in the `audit-registered` statement. */
  readonly audit: string;
  readonly rule: AuditRule;
  /** SHA-256 of the canonical rule. */
  readonly ruleDigest: Hex32;
  /** SHA-256 of the coin key, logged before training. */
  readonly coinKeyHash: Hex32;
  /** `unitsDigest`: which canary stands behind which score, for the auditor who holds the coin key. */
  readonly unitsDigest: Hex32;
  /** Membership scores of the canaries per arm, rounded to 6 decimals before they were evaluated. */
  readonly scores: ArmScores;
  /** What the verifier recomputes from `rule` and `scores`. */
  readonly result: AuditResult;
}

/** The file. Its canonical JSON (RFC 8785) is the certificate; nothing else is accepted. */
export interface CertificateFile {
  readonly body: CertificateBody;
  readonly log: CertificateLog;
  readonly signature: CertificateSignature;
}

export interface CertificateSignature {
  /** SHA-256 of the issuer's raw public key. */
  readonly keyDigest: Hex32;
  /** Ed25519 over "lethe-certificate-v1\n" and SHA-256 of the canonical body. */
  readonly value: Base64;
}

export interface LogPosition {
  readonly index: number;
  readonly inclusionProof: readonly Hex32[];
}

export interface CertificateLog {
  /** The `certificate` statement, whose leaf follows from the body's digest. */
  readonly certificate: LogPosition;
  /** One for each of `body.statements`, in the same order. */
  readonly statements: readonly LogPosition[];
  /** C2SP signed note; all positions above are proven under this one. */
  readonly checkpoint: string;
  /** An older checkpoint of the same log and the proof that this one extends it, or null. */
  readonly previous: { readonly checkpoint: string; readonly consistencyProof: readonly Hex32[] } | null;
}
