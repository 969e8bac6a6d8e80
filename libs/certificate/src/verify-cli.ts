import { readFileSync } from 'node:fs';
import { LetheError } from '@lethe/std';
import { CERTIFICATE } from './errors.ts';
import { parseKeyFile } from './key-file.ts';
import { refuseInclusion } from './ledger-proof.ts';
import { type Verification, verifyCertificate } from './verify.ts';

/** What the command needs of its surroundings. */
export interface VerifyIo {
  /** @throws when the file cannot be read */
  readFile(path: string): Uint8Array;
  out(text: string): void;
  err(text: string): void;
}

const USAGE = `usage: certificate verify FILE --key KEYFILE [--ledger-proof FILE]... [--json]
       certificate inclusion FILE --root HEX
`;

interface Arguments {
  readonly file: string;
  readonly key: string;
  readonly ledgerProofs: readonly string[];
  readonly json: boolean;
}

/** Takes `--name VALUE` and `--name=VALUE` out of the words, each time that they stand there. @returns null where a value is missing */
function takeOption(words: string[], name: string): string[] | null {
  const values: string[] = [];
  for (;;) {
    const at = words.findIndex((word) => word === name || word.startsWith(`${name}=`));
    if (at < 0) return values;
    const inline = words[at]!.startsWith(`${name}=`);
    const value = inline ? words[at]!.slice(name.length + 1) : words[at + 1];
    if (!value) return null;
    values.push(value);
    words.splice(at, inline ? 1 : 2);
  }
}

/** @returns null for arguments that are not those of the usage, in any order */
function readArguments(argv: readonly string[]): Arguments | null {
  const rest = [...argv];
  const json = rest.includes('--json');
  if (json) rest.splice(rest.indexOf('--json'), 1);
  const keys = takeOption(rest, '--key');
  const ledgerProofs = takeOption(rest, '--ledger-proof');
  const [file] = rest;
  if (keys?.length !== 1 || !ledgerProofs || !file || rest.length !== 1 || file.startsWith('--')) return null;
  return { file, key: keys[0]!, ledgerProofs, json };
}

/** Control characters of a hostile file must not reach a terminal. */
const printable = (text: string): string => text.replace(/\p{Cc}/gu, ' ');

function report(result: Verification): string {
  if (!result.ok) {
    const refused = `NOT VERIFIED. The check "${result.failedCheck}" refused [${result.code}]: ${printable(result.message)}\n`;
    const hints = result.hints.map(({ check, message }) => `  ${check}: ${printable(message)}\n`);
    return hints.length === 0
      ? refused
      : `${refused}Hints, from a body that nobody vouches for:\n${hints.join('')}`;
  }
  const { body } = result;
  const audit = body.audit?.result;
  return [
    `VERIFIED. ${body.certificate}`,
    `  status ${body.status}, overall claim ${body.overall}, audit ${audit?.verdict ?? 'none'}, issued ${body.times.issued}`,
    '',
    'What was checked:',
    ...result.checks.map((check) => `  ${check.name.padEnd(18)} ${printable(check.what)}`),
    '',
    'Claims:',
    ...body.claims.map((claim) => {
      const { guarantee } = claim;
      const parameters = guarantee
        ? ` (epsilon ${guarantee.epsilon}, delta ${guarantee.delta}, unit ${guarantee.unit})`
        : '';
      return `  ${claim.claim.padEnd(18)} ${claim.kind} ${claim.artefact}${parameters}`;
    }),
    ...(result.notChecked.length > 0
      ? ['', 'What was not checked:', ...result.notChecked.map((line) => `  ${printable(line)}`)]
      : []),
    '',
    'What it does not cover:',
    ...body.outOfScope.map((line) => `  ${line}`),
    `  ${printable(body.limits)}`,
    '',
  ].join('\n');
}

/**
 * The stand-alone verifier: reads two files, and the proofs of code ledgers that it is given; opens no connection.
 *
 * @param argv `FILE --key KEYFILE [--ledger-proof FILE]... [--json]`
 * @returns the exit status: 0 verified, 1 refused (also for a file that is no certificate or no key file), 2 wrong usage or a file
 *   that cannot be read
 */
export function runVerify(argv: readonly string[], io: VerifyIo): 0 | 1 | 2 {
  const given = readArguments(argv);
  if (!given) {
    io.err(USAGE);
    return 2;
  }
  let bytes: Uint8Array;
  let keyBytes: Uint8Array;
  let ledgerProofs: Uint8Array[];
  try {
    bytes = io.readFile(given.file);
    keyBytes = io.readFile(given.key);
    ledgerProofs = given.ledgerProofs.map((path) => io.readFile(path));
  } catch (error) {
    io.err(`cannot read: ${error instanceof Error ? error.message : String(error)}\n${USAGE}`);
    return 2;
  }
  const result = verifyBytes(bytes, keyBytes, ledgerProofs);
  if (given.json) {
    const summary = result.ok
      ? {
          verified: true,
          certificate: result.body.certificate,
          status: result.body.status,
          overall: result.body.overall,
          auditVerdict: result.body.audit?.result.verdict ?? null,
          checks: result.checks,
          notChecked: result.notChecked,
        }
      : {
          verified: false,
          failedCheck: result.failedCheck,
          code: result.code,
          message: result.message,
          unauthenticatedHints: result.hints,
        };
    io.out(`${JSON.stringify(summary, null, 2)}\n`);
  } else {
    (result.ok ? io.out : io.err)(report(result));
  }
  return result.ok ? 0 : 1;
}

function verifyBytes(
  bytes: Uint8Array,
  keyBytes: Uint8Array,
  ledgerProofs: readonly Uint8Array[],
): Verification {
  try {
    return verifyCertificate(bytes, parseKeyFile(keyBytes), ledgerProofs);
  } catch (error) {
    if (!(error instanceof LetheError)) throw error;
    return { ok: false, failedCheck: 'key-file', code: error.code, message: error.message, hints: [] };
  }
}

/**
 * Checks offline that a leaf stands in a code ledger, for whoever has a root that they trust: a claim's, or one that they wrote down.
 *
 * @param argv `FILE --root HEX`; the file is JSON with the members of `LedgerInclusion`
 * @returns the exit status, as of `runVerify`
 */
export function runInclusion(argv: readonly string[], io: VerifyIo): 0 | 1 | 2 {
  const rest = [...argv];
  const roots = takeOption(rest, '--root');
  const [file] = rest;
  if (roots?.length !== 1 || !/^[0-9a-f]{64}$/u.test(roots[0]!) || !file || rest.length !== 1) {
    io.err(USAGE);
    return 2;
  }
  let bytes: Uint8Array;
  try {
    bytes = io.readFile(file);
  } catch (error) {
    io.err(`cannot read: ${error instanceof Error ? error.message : String(error)}\n${USAGE}`);
    return 2;
  }
  const refused = inclusionOf(bytes, roots[0]!);
  if (refused === undefined) {
    io.out(`VERIFIED. The leaf stands in the code ledger under ${roots[0]!}\n`);
    return 0;
  }
  const { code } = CERTIFICATE.NOT_VERIFIED.spec;
  io.err(`NOT VERIFIED. The check "ledger-inclusion" refused [${code}]: ${printable(refused)}\n`);
  return 1;
}

function inclusionOf(bytes: Uint8Array, root: string): string | undefined {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return 'this is no JSON';
  }
  return refuseInclusion(value, root);
}

if (import.meta.main) {
  const words = process.argv.slice(2);
  // `certificate verify …` is how the platform's command line spells it.
  const [command, ...rest] = words[0] === 'certificate' ? words.slice(1) : words;
  const io: VerifyIo = {
    readFile: (path) => readFileSync(path),
    out: (text) => process.stdout.write(text),
    err: (text) => process.stderr.write(text),
  };
  if (command === 'inclusion') process.exitCode = runInclusion(rest, io);
  else process.exitCode = runVerify(command === 'verify' ? rest : words, io);
}
