/**
 * The certificate's body from what has happened. Deterministic: times are those of events, so that a saga which is resumed
 * after a crash arrives at the same bytes.
 */
import type { AuditEvidence, CertificateBody, Claim, LogStatement, PartyEvidence } from '@lethe/certificate';
import { parseName } from '@lethe/contracts';
import { assert, parseCanonicalJson, timestamp } from '@lethe/std';
import { ERASURE } from '../errors.ts';
import { lineageOf, overallClaim } from './claims.ts';
import type { Saga } from './erasure.ts';
import {
  datasetEvidence,
  keyReceipt,
  residues,
  rootStatementDigests,
  scanReport,
  unscannedStores,
  type VaultEvidence,
} from './evidence.ts';
import { type Facts, OWNERS } from './facts.ts';
import { indexOfDigest, type LogState } from './log.ts';

/** The audit's public report, as far as a certificate takes it over. */
export interface AuditReport {
  readonly verdict: string;
  /** null when the audit was refused: then there are no scores. */
  readonly evidence: AuditEvidence | null;
  readonly reason: string;
}

/** What lies in artefacts rather than in events. */
export interface Material {
  readonly evidence: VaultEvidence;
  readonly report: AuditReport | undefined;
  readonly parties: readonly PartyEvidence[];
}

/** @throws LETHE-4509, LETHE-1003 */
export function parseReport(bytes: Uint8Array): AuditReport {
  const report = parseCanonicalJson(bytes) as Partial<AuditReport> | null;
  if (typeof report?.verdict !== 'string' || typeof report.evidence !== 'object') {
    throw ERASURE.EVIDENCE_MALFORMED('the report of the audit lacks a part');
  }
  return report as AuditReport;
}

/** Signed statements of parties, as their coordinator has passed them on. @throws LETHE-4509, LETHE-1003 */
export const partyEvidence = (facts: Facts): PartyEvidence[] =>
  OWNERS.flatMap((owner) => facts.owners[owner].erased?.data.attestations ?? []).map((bytes) => {
    const evidence = parseCanonicalJson(bytes) as Partial<PartyEvidence> | null;
    if (typeof evidence?.attestation !== 'object' || typeof evidence.publicKey !== 'string') {
      throw ERASURE.EVIDENCE_MALFORMED('the attestation of a party lacks a part');
    }
    return evidence as PartyEvidence;
  });

export interface Needed {
  /** Where the statements stand in the log, in the order of the body. */
  readonly indexes: readonly number[];
  /** What is not in the log yet. */
  readonly unlogged: readonly string[];
}

/** Finds the statements that the body will lean on. */
export function neededStatements({ evidence, report, parties }: Material, log: LogState): Needed {
  const indexes: number[] = [];
  const unlogged: string[] = [];
  const need = (index: number, what: string): void => {
    if (index < 0) unlogged.push(what);
    else if (!indexes.includes(index)) indexes.push(index);
  };
  for (const digest of rootStatementDigests(evidence)) {
    need(indexOfDigest(log, digest), `dataset-root statement ${digest}`);
  }
  const audit = report?.evidence;
  if (audit) {
    const index = log.entries.findIndex(
      ({ statement }) => statement.type === 'audit-registered' && statement.audit === audit.audit,
    );
    need(index, `audit-registered statement of ${audit.audit}`);
  }
  for (const { attestation, publicKey } of parties) {
    const index = log.entries.findIndex(
      ({ statement }) =>
        statement.type === 'party-joined' &&
        statement.federation === attestation.federation &&
        statement.party === attestation.party &&
        statement.publicKey === publicKey,
    );
    need(index, `party-joined statement of ${attestation.party}`);
  }
  return { indexes, unlogged };
}

const OUT_OF_SCOPE = [
  'A second copy that the operator keeps in secret: it is found by no scan.',
  'Copies that left the platform before the request: backups of the key store or of a disk taken elsewhere, snapshots of machines.',
  "The disks of federation parties: a party's signature says what it did, and nobody looked.",
  'Models, codes and predictions that were downloaded or answered before the erasure.',
  'The same person under another subject id, and near-duplicates of the records under other subjects.',
  'A model with the claim ERASED_CERTIFIED was not changed: its guarantee is the stated (epsilon, delta) bound, not the absence of influence.',
];

const LIMITS =
  'This certificate shows that the named artefacts were changed or destroyed as stated, under the keys and the log named in the key ' +
  'file. It does not show that no other copy exists. A failed membership attack is no proof of forgetting: the audit is evidence about ' +
  'the canaries that went through the same erasure, at the stated power, and about no particular person.';

/** Why a complete erasure still is no CERTIFIED one. Empty: it is. */
export function shortcomings(facts: Facts, material: Material, missing: readonly string[]): string[] {
  const { evidence, report } = material;
  const residual = residues(evidence) > 0 || (facts.vault.destroyed?.data.residualBytes ?? 0n) > 0n;
  const { claims, unclaimed } = lineageOf(facts, residual);
  return [
    ...missing,
    ...unclaimed.map((artefact) => `claim on ${artefact}`),
    ...claims
      .filter(({ claim }) => claim === 'NOT_ERASED' || claim === 'CONTAINED_ONLY')
      .map(({ artefact, claim }) => `${artefact} is ${claim}`),
    ...(residual ? ['bytes of the person were found after the erasure'] : []),
    ...(scanReport(evidence) === null ? ['a scan that proves itself by planted copies'] : []),
    ...(report?.verdict === 'FAIL' ? ['the audit failed'] : []),
  ];
}

export interface BodyInput {
  readonly saga: Saga;
  readonly facts: Facts;
  readonly material: Material;
  readonly statements: readonly LogStatement[];
  /** What is missing for CERTIFIED. */
  readonly missing: readonly string[];
  readonly dueMs: number;
}

export function assembleBody({
  saga,
  facts,
  material,
  statements,
  missing,
  dueMs,
}: BodyInput): CertificateBody {
  const { requested, contained, erased } = saga;
  assert(requested && contained && erased, 'only an erased erasure has a certificate');
  const { evidence, report, parties } = material;
  const name = requested.data.erasure;
  const [tenant, id] = parseName('erasureRequest', name);
  const residual = residues(evidence) > 0 || (facts.vault.destroyed?.data.residualBytes ?? 0n) > 0n;
  const { lineage, claims, untouched } = lineageOf(facts, residual);
  // Events carry the clocks of several processes: an order that the platform enforces is not undone by a millisecond.
  const containedMs = Math.max(contained.timeMs, requested.timeMs);
  const erasedMs = Math.max(erased.timeMs, containedMs);
  const auditedMs = Math.max(facts.audit.completed?.timeMs ?? 0, erasedMs);
  return {
    version: 1,
    certificate: `tenants/${tenant}/certificates/${id}`,
    request: name,
    status: missing.length === 0 ? 'CERTIFIED' : 'PARTIAL',
    times: {
      requested: timestamp(requested.timeMs),
      contained: timestamp(containedMs),
      erased: timestamp(erasedMs),
      audited: report?.evidence ? timestamp(auditedMs) : null,
      issued: timestamp(auditedMs),
    },
    policy: { name: requested.data.policy, dueAt: timestamp(dueMs), details: {} },
    subject: requested.data.subjectCommitment,
    overall: overallClaim(claims),
    lineage,
    claims,
    datasets: datasetEvidence(evidence),
    keyReceipt: keyReceipt(evidence),
    scan: scanReport(evidence),
    parties,
    audit: report?.evidence ?? null,
    statements,
    outOfScope: [
      ...OUT_OF_SCOPE,
      ...survivorsCodes(claims),
      ...noAudit(saga, report),
      ...unscannedStores(evidence),
      ...untouched.map(
        ({ artefact, reason }) => `${artefact}: it was left as it is; its owner says: ${reason}.`,
      ),
      ...missing.map((what) => `Missing for a full certificate: ${what}.`),
    ],
    limits: LIMITS,
  };
}

/** What becomes of other people's codes when a person leaves, by the policy of the function, with its counts. */
export function survivorsCodes(claims: readonly Claim[]): string[] {
  return claims.flatMap(({ artefact, kind, details }) =>
    kind === 'HASH_INDEX' ? [`${artefact}: ${whatBecame(details)}`] : [],
  );
}

function whatBecame({
  survivorCodes: policy = 'KEEP',
  churn,
  storedCodesThatDiffer,
  survivors,
  reencodedCodes,
  ledgerVersion,
}: Claim['details']): string {
  const others = survivors ?? 'an unknown number';
  const share = `the person's leaving alone would have given ${churn ?? 'an unknown number'} of them another code`;
  if (reencodedCodes === undefined) {
    return `codes of other people's items stay as they were (policy ${policy}); they were computed by functions that had seen the person. Encoded again, ${storedCodesThatDiffer ?? 'an unknown number'} of ${others} would differ, because of the person and of all updates since; ${share}.`;
  }
  const which =
    policy === 'RETIRE' ? 'all of an earlier version' : 'all that the function now gives otherwise';
  return `${reencodedCodes} of ${others} codes of other people's items were computed anew by the function without the person, as version ${ledgerVersion ?? 'unknown'} of the ledger (policy ${policy}: ${which}); ${share}.`;
}

function noAudit(saga: Saga, report: AuditReport | undefined): string[] {
  if (report?.evidence) return [];
  if (report) return [`The audit was refused and shows nothing: ${report.reason}.`];
  return saga.erased?.data.audit
    ? ['The registered audit had not ended when this was issued: nothing was attacked.']
    : ['No audit was registered for these data sets: nothing was attacked.'];
}
