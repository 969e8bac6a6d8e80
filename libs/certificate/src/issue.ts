import type { MerkleLog, SortedTree } from '@lethe/merkle';
import { base64, canonicalDigest, canonicalJson, fromHex, hex, sha256, utf8 } from '@lethe/std';
import type {
  CertificateBody,
  CertificateFile,
  CertificateLog,
  CertificateSignature,
  LogPosition,
  PartyAttestation,
  PartyEvidence,
  RemovedLeaf,
} from './body.ts';
import { CERTIFICATE } from './errors.ts';
import type { KeyFile } from './key-file.ts';
import type { CertificateStatement } from './log-statement.ts';
import { bodyShape } from './schema.ts';
import { BODY_CHECKS } from './semantics.ts';
import { attestationMessage, certificateMessage, type Signer } from './signing.ts';
import { verifyCertificate } from './verify.ts';

/** @throws LETHE-1304 with `details.check`, the name of the verifier's check that would refuse */
export function checkBody(body: CertificateBody): void {
  const refuse = (check: string, message: string) =>
    CERTIFICATE.BODY_REFUSED(`${check}: ${message}`, { details: { check } });
  const wrong = bodyShape(body, '');
  if (wrong) throw refuse('structure', wrong);
  for (const check of BODY_CHECKS) {
    const reason = check.refuse(body);
    if (reason) throw refuse(check.name, reason);
  }
}

/** A signed body that has yet to take its place in the log. */
export interface PreparedCertificate {
  readonly body: CertificateBody;
  readonly signature: CertificateSignature;
  /** Append `statementBytes(statement)` to the log; then `issueCertificate`. */
  readonly statement: CertificateStatement;
}

/** Checks and signs. Deterministic, so that a resumed saga prepares the same certificate. @throws LETHE-1304 */
export function prepareCertificate(body: CertificateBody, issuer: Signer): PreparedCertificate {
  checkBody(body);
  return {
    body,
    signature: {
      keyDigest: hex(sha256(issuer.publicKey)),
      value: base64(issuer.sign(certificateMessage(body))),
    },
    statement: {
      type: 'certificate',
      version: 1,
      certificate: body.certificate,
      bodyDigest: canonicalDigest(body),
    },
  };
}

/**
 * The certificate file's bytes, after they have passed the verifier with the key file that readers hold.
 *
 * @throws LETHE-1304 with `details.check` when the verifier refuses
 */
export function issueCertificate(
  prepared: PreparedCertificate,
  log: CertificateLog,
  keyFile: KeyFile,
): Uint8Array {
  const file: CertificateFile = { body: prepared.body, log, signature: prepared.signature };
  const bytes = utf8(canonicalJson(file));
  const verified = verifyCertificate(bytes, keyFile);
  if (!verified.ok) {
    throw CERTIFICATE.BODY_REFUSED(`${verified.failedCheck}: ${verified.message}`, {
      details: { check: verified.failedCheck },
    });
  }
  return bytes;
}

/** Where a leaf stands, as a certificate says it. @param size of the checkpoint, default the present one */
export const logPosition = (log: MerkleLog, index: number, size: number = log.size): LogPosition => ({
  index,
  inclusionProof: log.inclusionProof(index, size).map(hex),
});

/** Evidence that a blinded leaf was in one tree and is not in the other. @throws LETHE-1203, LETHE-1204 */
export function removedLeaf(before: SortedTree, after: SortedTree, leaf: string): RemovedLeaf {
  const value = fromHex(leaf);
  const was = before.prove(value);
  const { left, right } = after.proveAbsence(value);
  const neighbour = (member: typeof left) =>
    member && { leaf: hex(member.value), index: member.index, inclusionProof: member.proof.map(hex) };
  return {
    leaf,
    index: was.index,
    inclusionProof: was.proof.map(hex),
    left: neighbour(left),
    right: neighbour(right),
  };
}

/** What a party sends when it has taken the person out. */
export const signPartyAttestation = (attestation: PartyAttestation, party: Signer): PartyEvidence => ({
  attestation,
  publicKey: base64(party.publicKey),
  signature: base64(party.sign(attestationMessage(attestation))),
});
