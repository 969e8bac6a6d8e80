import { readFileSync } from 'node:fs';
import { LetheError } from '@lethe/std';
import { parseKeyFile } from './key-file.ts';
import { type Verification, verifyCertificate } from './verify.ts';

/** What the command needs of its surroundings. */
export interface VerifyIo {
  /** @throws when the file cannot be read */
  readFile(path: string): Uint8Array;
  out(text: string): void;
  err(text: string): void;
}

const USAGE = 'usage: certificate verify FILE --key KEYFILE [--json]\n';

interface Arguments {
  readonly file: string;
  readonly key: string;
  readonly json: boolean;
}

/** @returns null for arguments that are not `FILE --key KEYFILE [--json]` in any order */
function readArguments(argv: readonly string[]): Arguments | null {
  const rest = [...argv];
  const json = rest.includes('--json');
  if (json) rest.splice(rest.indexOf('--json'), 1);
  const at = rest.findIndex((word) => word === '--key' || word.startsWith('--key='));
  if (at < 0) return null;
  const inline = rest[at]!.startsWith('--key=');
  const key = inline ? rest[at]!.slice('--key='.length) : rest[at + 1];
  rest.splice(at, inline ? 1 : 2);
  const [file] = rest;
  if (!key || !file || rest.length !== 1 || file.startsWith('--')) return null;
  return { file, key, json };
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
 * The stand-alone verifier: reads two files, opens no connection.
 *
 * @param argv `FILE --key KEYFILE [--json]`
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
  try {
    bytes = io.readFile(given.file);
    keyBytes = io.readFile(given.key);
  } catch (error) {
    io.err(`cannot read: ${error instanceof Error ? error.message : String(error)}\n${USAGE}`);
    return 2;
  }
  const result = verifyBytes(bytes, keyBytes);
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

function verifyBytes(bytes: Uint8Array, keyBytes: Uint8Array): Verification {
  try {
    return verifyCertificate(bytes, parseKeyFile(keyBytes));
  } catch (error) {
    if (!(error instanceof LetheError)) throw error;
    return { ok: false, failedCheck: 'key-file', code: error.code, message: error.message, hints: [] };
  }
}

if (import.meta.main) {
  const words = process.argv.slice(2);
  // `certificate verify …` is how the platform's command line spells it.
  const argv = words[0] === 'certificate' && words[1] === 'verify' ? words.slice(2) : words;
  process.exitCode = runVerify(argv, {
    readFile: (path) => readFileSync(path),
    out: (text) => process.stdout.write(text),
    err: (text) => process.stderr.write(text),
  });
}
