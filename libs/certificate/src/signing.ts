import { createHash, createPrivateKey, createPublicKey, sign, verify } from 'node:crypto';
import { canonicalJson, concatBytes, hex, type RandomSource, sha256, utf8 } from '@lethe/std';
import type { CertificateBody, PartyAttestation } from './body.ts';
import { CERTIFICATE } from './errors.ts';

/**
 * Ed25519 (RFC 8032) over a domain tag and a SHA-256, so that a signature made for one purpose never verifies for another
 * and a signer (a KMS, a smart card) sees 60 bytes and not a file.
 */
export interface Signer {
  /** Shown in notes and logs; for a log's signer it is the origin's key name. */
  readonly name: string;
  /** Raw, 32 bytes. */
  readonly publicKey: Uint8Array;
  sign(message: Uint8Array): Uint8Array;
}

// DER headers of RFC 8410: what node:crypto needs around the raw 32 bytes.
const PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex');
const SPKI = Buffer.from('302a300506032b6570032100', 'hex');

/** @param seed the 32-byte private key   @throws LETHE-1305 */
export function signerFromSeed(name: string, seed: Uint8Array): Signer {
  if (seed.length !== 32)
    throw CERTIFICATE.BAD_SIGNING_KEY(`an Ed25519 seed has 32 bytes, not ${seed.length}`);
  const key = createPrivateKey({ key: Buffer.concat([PKCS8, seed]), format: 'der', type: 'pkcs8' });
  const spki = createPublicKey(key).export({ format: 'der', type: 'spki' });
  return {
    name,
    publicKey: new Uint8Array(spki.subarray(SPKI.length)),
    sign: (message) => new Uint8Array(sign(null, message, key)),
  };
}

/** A new key in memory. @returns the seed too, for the caller to keep in its key store */
export function generateSigner(name: string, random: RandomSource): { signer: Signer; seed: Uint8Array } {
  const seed = random.bytes(32);
  return { signer: signerFromSeed(name, seed), seed };
}

/** False for malformed keys and signatures too. @param publicKey raw, 32 bytes */
export function verifyEd25519(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  if (publicKey.length !== 32 || signature.length !== 64) return false;
  const key = createPublicKey({ key: Buffer.concat([SPKI, publicKey]), format: 'der', type: 'spki' });
  return verify(null, message, key, signature);
}

/** "lethe-certificate-v1\n" and SHA-256 of the canonical body: 53 bytes. */
export const certificateMessage = (body: CertificateBody): Uint8Array =>
  concatBytes(utf8('lethe-certificate-v1\n'), sha256(canonicalJson(body)));

/** "lethe-party-attestation-v1\n" and SHA-256 of the canonical attestation: 59 bytes. */
export const attestationMessage = (attestation: PartyAttestation): Uint8Array =>
  concatBytes(utf8('lethe-party-attestation-v1\n'), sha256(canonicalJson(attestation)));

/** SHA-256 of the resource name: what ties an attestation to one request. */
export const requestDigest = (request: string): string => hex(sha256(request));

/**
 * SHA-256(secret | 0x00 | alias | 0x00 | request). The secret (32 random bytes) goes to the requester, who alone can show later
 * that a certificate is theirs; without it the commitment says nothing about the alias.
 */
export const subjectCommitment = (secret: Uint8Array, alias: string, request: string): string =>
  hex(new Uint8Array(createHash('sha256').update(secret).update(`\0${alias}\0${request}`).digest()));
