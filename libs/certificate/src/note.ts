import { base64, concatBytes, equalBytes, fromBase64, sha256, utf8 } from '@lethe/std';
import { CERTIFICATE } from './errors.ts';
import { type Signer, verifyEd25519 } from './signing.ts';

/**
 * C2SP signed-note and tlog-checkpoint (c2sp.org/signed-note, c2sp.org/tlog-checkpoint), the part that a log and its reader need:
 *
 *     <origin>\n<size in decimal>\n<base64 root>\n\n— <key name> <base64(key hash | signature)>\n
 *
 * Key hash: first 4 bytes of SHA-256(name | "\n" | 0x01 | public key). The signature is Ed25519 over the text up to and including
 * the newline before the blank line. Stricter than C2SP in two points, so that every byte is covered by a check: every signature line
 * must verify under a known key (C2SP lets unknown ones pass), and the text has exactly three lines (no extension lines).
 */
export interface Checkpoint {
  readonly origin: string;
  readonly size: number;
  readonly root: Uint8Array;
}

/** A key that a reader trusts for notes. */
export interface NoteVerifier {
  readonly name: string;
  readonly publicKey: Uint8Array;
}

const ED25519 = new Uint8Array([1]);
const DASH = '\u2014 ';

const keyHash = (name: string, publicKey: Uint8Array): Uint8Array =>
  sha256(`${name}\n`, ED25519, publicKey).subarray(0, 4);

const isKeyName = (name: string): boolean => name.length > 0 && !/[\s+\p{Cc}]/u.test(name);

/** `<name>+<8 hex digits>+<base64(0x01 | public key)>` */
export function verifierKey(verifier: NoteVerifier): string {
  const hash = Buffer.from(keyHash(verifier.name, verifier.publicKey)).toString('hex');
  return `${verifier.name}+${hash}+${base64(concatBytes(ED25519, verifier.publicKey))}`;
}

/** @throws LETHE-1306 if the string is none or its hash does not belong to its key */
export function parseVerifierKey(text: string): NoteVerifier {
  const match = /^([^\s+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]+={0,2})$/u.exec(text);
  const bytes = fromBase64(match?.[3] ?? '');
  const verifier = { name: match?.[1] ?? '', publicKey: bytes.subarray(1) };
  if (bytes.length !== 33 || bytes[0] !== 1 || verifierKey(verifier) !== text) {
    throw CERTIFICATE.BAD_NOTE('the text is no Ed25519 note verifier key');
  }
  return verifier;
}

/** The signed part of the note. */
export const checkpointText = (checkpoint: Checkpoint): string =>
  `${checkpoint.origin}\n${checkpoint.size}\n${base64(checkpoint.root)}\n`;

/** @throws LETHE-1306 for an origin or key name that cannot stand in a note */
export function signCheckpoint(checkpoint: Checkpoint, ...signers: readonly Signer[]): string {
  if (/[\n\r]/u.test(checkpoint.origin) || checkpoint.origin === '') {
    throw CERTIFICATE.BAD_NOTE('the origin must be one non-empty line');
  }
  const text = checkpointText(checkpoint);
  const lines = signers.map((signer) => {
    if (!isKeyName(signer.name)) throw CERTIFICATE.BAD_NOTE(`"${signer.name}" cannot be a key name`);
    const signature = concatBytes(keyHash(signer.name, signer.publicKey), signer.sign(utf8(text)));
    return `${DASH}${signer.name} ${base64(signature)}\n`;
  });
  return `${text}\n${lines.join('')}`;
}

/**
 * Reads and verifies a checkpoint.
 *
 * @param verifiers keys that the reader trusts; the first is the log's own and must have signed
 * @throws LETHE-1306 with what is wrong, as a sentence
 */
export function openCheckpoint(note: string, origin: string, verifiers: readonly NoteVerifier[]): Checkpoint {
  const match =
    /^([^\n]+)\n(0|[1-9]\d{0,15})\n([A-Za-z0-9+/]{43}=)\n\n((?:\u2014 [^\s+]+ [A-Za-z0-9+/]+={0,2}\n)+)$/u.exec(
      note,
    );
  if (!match) throw CERTIFICATE.BAD_NOTE('the checkpoint is no signed note of three lines and signatures');
  const checkpoint = { origin: match[1]!, size: Number(match[2]), root: fromBase64(match[3]!) };
  const text = checkpointText(checkpoint);
  if (!note.startsWith(`${text}\n`) || !Number.isSafeInteger(checkpoint.size)) {
    throw CERTIFICATE.BAD_NOTE('the checkpoint is not written in its one form');
  }
  if (checkpoint.origin !== origin) {
    throw CERTIFICATE.BAD_NOTE(`the checkpoint comes from "${checkpoint.origin}", not from "${origin}"`);
  }
  const signedBy = new Set<string>();
  for (const line of match[4]!.trimEnd().split('\n')) {
    const [name, encoded] = line.slice(DASH.length).split(' ') as [string, string];
    const bytes = fromBase64(encoded);
    const known = verifiers.find(
      (verifier) =>
        verifier.name === name && equalBytes(keyHash(name, verifier.publicKey), bytes.subarray(0, 4)),
    );
    if (!known)
      throw CERTIFICATE.BAD_NOTE(`the checkpoint is signed by "${name}", whose key is not in the key file`);
    if (base64(bytes) !== encoded || !verifyEd25519(known.publicKey, utf8(text), bytes.subarray(4))) {
      throw CERTIFICATE.BAD_NOTE(`the signature of "${name}" does not belong to this checkpoint`);
    }
    if (signedBy.has(verifierKey(known))) throw CERTIFICATE.BAD_NOTE(`"${name}" signed the checkpoint twice`);
    signedBy.add(verifierKey(known));
  }
  const [log] = verifiers;
  if (!log || !signedBy.has(verifierKey(log)))
    throw CERTIFICATE.BAD_NOTE('the log itself did not sign the checkpoint');
  return checkpoint;
}
