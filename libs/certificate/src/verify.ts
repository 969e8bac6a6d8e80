import { verifyConsistency, verifyInclusion } from '@lethe/merkle';
import {
  base64,
  canonicalDigest,
  fromBase64,
  fromHex,
  hex,
  LetheError,
  parseCanonicalJson,
  sha256,
} from '@lethe/std';
import type { CertificateBody, CertificateFile } from './body.ts';
import { CERTIFICATE } from './errors.ts';
import { type KeyFile, type TrustedKeys, trustKeyFile } from './key-file.ts';
import { uncheckedLedgers, withLedgerProofs } from './ledger-proof.ts';
import { statementLeafHash } from './log-statement.ts';
import { type Checkpoint, openCheckpoint } from './note.ts';
import { fileShape } from './schema.ts';
import { auditStatement, BODY_CHECKS, LEDGER_CHECK, rootStatements } from './semantics.ts';
import { certificateMessage, verifyEd25519 } from './signing.ts';

export interface PassedCheck {
  readonly name: string;
  readonly what: string;
}

export type Verification =
  | {
      readonly ok: true;
      readonly body: CertificateBody;
      /** In the order in which they were made. */
      readonly checks: readonly PassedCheck[];
      /** What could not be checked with these two files, in plain words. */
      readonly notChecked: readonly string[];
    }
  | {
      readonly ok: false;
      /** Name of the first check that refused. */
      readonly failedCheck: string;
      /** `LETHE-1301` not a certificate, `LETHE-1302` not a key file, `LETHE-1303` a certificate that does not hold. */
      readonly code: string;
      readonly message: string;
      /**
       * After a failed signature: what else the body's own checks say. It helps to see what was altered and proves nothing, because anybody may have written
       * this body. Empty after any other failed check.
       */
      readonly hints: readonly Hint[];
    };

export interface Hint {
  readonly check: string;
  readonly message: string;
}

class Refused extends Error {
  readonly check: string;
  readonly code: string;
  constructor(check: string, message: string, code: string = CERTIFICATE.NOT_VERIFIED.spec.code) {
    super(message);
    this.check = check;
    this.code = code;
  }
}

/** @returns the value, or refuses under the check's name with what the reader of the part said */
function guarded<T>(check: string, read: () => T, code?: string): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof LetheError) throw new Refused(check, error.message, code);
    throw error;
  }
}

function readFile(bytes: Uint8Array, passed: PassedCheck[]): CertificateFile {
  const code = CERTIFICATE.NOT_A_CERTIFICATE.spec.code;
  const value = guarded('canonical-form', () => parseCanonicalJson(bytes), code);
  passed.push({ name: 'canonical-form', what: 'the bytes are canonical JSON (RFC 8785), unchanged in form' });
  const wrong = fileShape(value, '');
  if (wrong) throw new Refused('structure', `this is no certificate of version 1: ${wrong}`, code);
  passed.push({ name: 'structure', what: 'it is a certificate of version 1, with every field and no other' });
  return value as CertificateFile;
}

function checkSignature({ body, signature }: CertificateFile, keys: KeyFile): void {
  const key = keys.issuerKeys.map(fromBase64).find((k) => hex(sha256(k)) === signature.keyDigest);
  if (!key) throw new Refused('signature', "it is signed with a key that is not the key file's");
  const bytes = fromBase64(signature.value);
  const isCanonical = base64(bytes) === signature.value;
  if (!isCanonical || !verifyEd25519(key, certificateMessage(body), bytes)) {
    throw new Refused('signature', 'the signature does not belong to this body');
  }
}

function hintsOf(body: CertificateBody): Hint[] {
  return BODY_CHECKS.flatMap(({ name, refuse }) => {
    let message: string | undefined;
    try {
      message = refuse(body);
    } catch {
      // Nobody has vouched for these bytes: a hint that cannot be had must not hide that the signature is wrong.
      message = 'could not be checked';
    }
    return message === undefined ? [] : [{ check: name, message }];
  });
}

function checkInclusion({ body, log }: CertificateFile, checkpoint: Checkpoint): void {
  const own = {
    type: 'certificate',
    version: 1,
    certificate: body.certificate,
    bodyDigest: canonicalDigest(body),
  } as const;
  if (log.statements.length !== body.statements.length) {
    throw new Refused('log-inclusion', 'statements and their places in the log do not correspond');
  }
  const leaves = [
    { what: 'the certificate', hash: statementLeafHash(own), position: log.certificate },
    ...body.statements.map((statement, i) => ({
      what: `statement ${i} (${statement.type})`,
      hash: statementLeafHash(statement),
      position: log.statements[i]!,
    })),
  ];
  for (const { what, hash, position } of leaves) {
    const proof = position.inclusionProof.map(fromHex);
    if (!verifyInclusion(hash, position.index, checkpoint.size, proof, checkpoint.root)) {
      throw new Refused('log-inclusion', `${what} is not where the log is said to hold it`);
    }
  }
}

function checkOrder({ body, log }: CertificateFile): void {
  const at = (statement: number): number => log.statements[statement]?.index ?? -1;
  const late = log.statements.findIndex((position) => position.index >= log.certificate.index);
  if (late >= 0) throw new Refused('log-order', `statement ${late} was logged after the certificate`);
  for (const data of body.datasets) {
    const [before, after] = rootStatements(body, data);
    if (at(before) >= at(after)) {
      throw new Refused(
        'log-order',
        `${data.dataset}: the root from before was logged after the one from after`,
      );
    }
    if (body.audit !== null && at(auditStatement(body)) >= at(after)) {
      throw new Refused('log-order', 'the audit was registered only after the erasure');
    }
  }
}

/** @returns what could not be compared */
function checkConsistency({ log }: CertificateFile, keys: TrustedKeys, checkpoint: Checkpoint): string[] {
  const refuse = (message: string) => new Refused('log-consistency', message);
  const same = (a: Checkpoint, b: Checkpoint) => hex(a.root) === hex(b.root);
  let previous: Checkpoint | null = null;
  if (log.previous !== null) {
    const { checkpoint: note, consistencyProof } = log.previous;
    const older = guarded('log-consistency', () => openCheckpoint(note, keys.file.logOrigin, keys.verifiers));
    const proof = consistencyProof.map(fromHex);
    // The checkpoint itself with an empty proof would pass below: bytes that anybody could write into the file and that say nothing.
    if (older.size >= checkpoint.size) throw refuse("the log's older checkpoint is not older");
    if (!verifyConsistency(older.size, checkpoint.size, older.root, checkpoint.root, proof)) {
      throw refuse("the log's checkpoint does not extend its older one");
    }
    previous = older;
  }
  const seen = keys.checkpoint;
  if (seen === null)
    return ['The key file holds no checkpoint: whether others see the same log was not checked.'];
  const known = [checkpoint, ...(previous ? [previous] : [])].find((c) => c.size === seen.size);
  if (known) {
    if (!same(known, seen)) throw refuse('the log shows others another history: same size, other root');
    return [];
  }
  return [
    `The key file's checkpoint has ${seen.size} entries, the certificate's ${checkpoint.size}: that they are one log was ` +
      'not checked (ask the issuer for a certificate file with a proof from your checkpoint).',
  ];
}

/**
 * Checks a certificate offline: form, signature, place in the log, and everything that its body says. Never throws for what the two
 * files hold.
 *
 * @param bytes the file as issued   @param keyFile parsed by `parseKeyFile`, or any value that should be one
 * @param ledgerProofs proofs that claims name by digest only and that were got apart; one that belongs to no claim is refused
 */
export function verifyCertificate(
  bytes: Uint8Array,
  keyFile: unknown,
  ledgerProofs: readonly Uint8Array[] = [],
): Verification {
  const checks: PassedCheck[] = [];
  const pass = (name: string, what: string) => checks.push({ name, what });
  let read: CertificateFile | undefined;
  try {
    const keys = guarded('key-file', () => trustKeyFile(keyFile), CERTIFICATE.NOT_A_KEY_FILE.spec.code);
    const file = readFile(bytes, checks);
    read = file;
    checkSignature(file, keys.file);
    pass('signature', "the body carries the issuer's signature (Ed25519), by a key of the key file");
    const checkpoint = guarded('checkpoint', () =>
      openCheckpoint(file.log.checkpoint, keys.file.logOrigin, keys.verifiers),
    );
    pass('checkpoint', `the log "${checkpoint.origin}" has signed its state of ${checkpoint.size} entries`);
    checkInclusion(file, checkpoint);
    pass('log-inclusion', `the certificate and ${file.body.statements.length} statements stand in that log`);
    const notChecked = checkConsistency(file, keys, checkpoint);
    if (notChecked.length === 0) {
      pass('log-consistency', "the log is the one of the key file's checkpoint, and only grew");
    }
    const { body, strangers } = withLedgerProofs(file.body, ledgerProofs);
    if (strangers > 0) {
      throw new Refused(
        LEDGER_CHECK,
        `of the given proofs ${strangers} have a digest that no claim on a code ledger names`,
      );
    }
    for (const check of BODY_CHECKS) {
      const wrong = check.refuse(body);
      if (wrong) throw new Refused(check.name, wrong);
      pass(check.name, check.what);
    }
    checkOrder(file);
    pass('log-order', 'roots, rule and coin were logged before the erasure, all before the certificate');
    return { ok: true, body: file.body, checks, notChecked: [...notChecked, ...absentEvidence(body)] };
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    const hints = error.check === 'signature' && read ? hintsOf(read.body) : [];
    return { ok: false, failedCheck: error.check, code: error.code, message: error.message, hints };
  }
}

/** Checks that passed only because there was nothing to look at. */
function absentEvidence(body: CertificateBody): string[] {
  const { audit, scan, keyReceipt } = body;
  const unplanted = scan?.stores.filter((store) => store.planted === 0).map((store) => store.store) ?? [];
  return [
    ...(audit === null ? ['No audit was made: the claims rest on the other evidence alone.'] : []),
    ...(scan === null ? ['The stores were not scanned.'] : []),
    ...(keyReceipt === null ? ['There is no receipt for the destruction of the key.'] : []),
    ...uncheckedLedgers(body),
    ...(unplanted.length > 0 ? [`No planted copy proved the scanner in: ${unplanted.join(', ')}.`] : []),
  ];
}
