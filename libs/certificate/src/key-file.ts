import { base64 } from '@lethe/std';
import { CERTIFICATE } from './errors.ts';
import { type Checkpoint, type NoteVerifier, openCheckpoint, parseVerifierKey, verifierKey } from './note.ts';
import { list, nullable, one, record, type Shape, text } from './shape.ts';
import type { Signer } from './signing.ts';

/** `verify-key.json`: what a verifier trusts. It must reach the reader by another way than the certificate. */
export interface KeyFile {
  readonly type: 'lethe-verify-key';
  readonly version: 1;
  /** Raw Ed25519 keys of the issuer, base64; more than one where a key was replaced. */
  readonly issuerKeys: readonly string[];
  /** First line of the log's checkpoints. */
  readonly logOrigin: string;
  /** C2SP verifier keys: the log's own first, then those of witnesses. */
  readonly logKeys: readonly string[];
  /** The last checkpoint that its holder has seen, or null. */
  readonly checkpoint: string | null;
}

const shape: Shape<KeyFile> = record<KeyFile>({
  type: one('lethe-verify-key'),
  version: one(1),
  issuerKeys: list(text(/^[A-Za-z0-9+/]{43}=$/u, 'must be base64 of 32 bytes'), 1),
  logOrigin: text(),
  logKeys: list(text(), 1),
  checkpoint: nullable(text(/^[\s\S]+$/u, 'must be a signed note')),
});

export function makeKeyFile(parts: {
  readonly issuers: readonly Pick<Signer, 'publicKey'>[];
  readonly origin: string;
  /** The log's own first. */
  readonly logs: readonly NoteVerifier[];
  readonly checkpoint: string | null;
}): KeyFile {
  return {
    type: 'lethe-verify-key',
    version: 1,
    issuerKeys: parts.issuers.map((issuer) => base64(issuer.publicKey)),
    logOrigin: parts.origin,
    logKeys: parts.logs.map(verifierKey),
    checkpoint: parts.checkpoint,
  };
}

/** A key file whose parts have been read: keys parsed and its checkpoint verified under them. */
export interface TrustedKeys {
  readonly file: KeyFile;
  readonly verifiers: readonly NoteVerifier[];
  readonly checkpoint: Checkpoint | null;
}

/** @throws LETHE-1302 */
export function trustKeyFile(file: unknown): TrustedKeys {
  const wrong = shape(file, '');
  if (wrong) throw CERTIFICATE.NOT_A_KEY_FILE(`this is no key file: ${wrong}`);
  const keys = file as KeyFile;
  try {
    const verifiers = keys.logKeys.map(parseVerifierKey);
    const checkpoint =
      keys.checkpoint === null ? null : openCheckpoint(keys.checkpoint, keys.logOrigin, verifiers);
    return { file: keys, verifiers, checkpoint };
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : 'unreadable';
    throw CERTIFICATE.NOT_A_KEY_FILE(`the key file contradicts itself: ${reason}`, { cause });
  }
}

/** Any JSON form is accepted: a key file is trusted for where it came from, not for its bytes. @throws LETHE-1302 */
export function parseKeyFile(bytes: Uint8Array): KeyFile {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw CERTIFICATE.NOT_A_KEY_FILE('this is no key file: it is not JSON', { cause });
  }
  return trustKeyFile(value).file;
}
