import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { sha256 } from '@lethe/std';
import { issueFixture } from './fixture.ts';
import { subjectCommitment } from './index.ts';
import { runInclusion, runVerify } from './verify-cli.ts';

const issued = issueFixture();
const keyBytes = Buffer.from(JSON.stringify(issued.keyFile, null, 2));

function run(argv: readonly string[], files: Readonly<Record<string, Uint8Array>> = {}, command = runVerify) {
  let out = '';
  let err = '';
  const all: Readonly<Record<string, Uint8Array>> = { 'c.json': issued.bytes, 'k.json': keyBytes, ...files };
  const status = command(argv, {
    readFile: (path) => {
      const bytes = all[path];
      if (!bytes) throw new Error(`no file ${path}`);
      return bytes;
    },
    out: (text) => {
      out += text;
    },
    err: (text) => {
      err += text;
    },
  });
  return { status, out, err };
}

test('0 and what was checked, in words', () => {
  for (const argv of [
    ['c.json', '--key', 'k.json'],
    ['--key=k.json', 'c.json'],
  ]) {
    const { status, out, err } = run(argv);
    assert.equal(status, 0);
    assert.equal(err, '');
    assert.match(out, /^VERIFIED\. tenants\/acme\/certificates\/c-1\n/u);
    assert.match(out, /overall claim ERASED_CERTIFIED, audit PASS/u);
    assert.match(out, /dataset-absence +the person's records are in the data sets no more/u);
    assert.match(out, /epsilon 2\.9, delta 0\.00001, unit SUBJECT/u);
    assert.match(out, /What it does not cover:\n {2}Backups outside the platform\./u);
    assert.doesNotMatch(out, /compliant|What was not checked/iu);
  }
});

test('1 and the check that refused; a hostile file prints no control characters', () => {
  const text = Buffer.from(issued.bytes).toString();
  const changed = Buffer.from(text.replace('"ERASED_CERTIFIED","parties"', '"ERASED_EXACT","parties"'));
  const refused = run(['c.json', '--key', 'k.json'], { 'c.json': changed });
  assert.equal(refused.status, 1);
  assert.match(refused.err, /^NOT VERIFIED\. The check "signature" refused \[LETHE-1303\]/u);
  assert.match(refused.err, /\nHints, from a body that nobody vouches for:\n {2}overall-claim: /u);
  const told = JSON.parse(run(['c.json', '--key', 'k.json', '--json'], { 'c.json': changed }).out);
  assert.deepEqual(
    (told.unauthenticatedHints as { check: string }[]).map(({ check }) => check),
    ['overall-claim'],
  );
  const hostile = run(['c.json', '--key', 'k.json'], { 'c.json': Buffer.from('{"\\u001b[2J":1}') });
  assert.equal(hostile.status, 1);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the escape character is what must not be there
  assert.doesNotMatch(hostile.err, /\u001b/u);
  const noKey = run(['c.json', '--key', 'k.json', '--json'], { 'k.json': issued.bytes });
  assert.equal(noKey.status, 1);
  assert.deepEqual(JSON.parse(noKey.out).unauthenticatedHints, []);
  assert.deepEqual(
    [JSON.parse(noKey.out).failedCheck, JSON.parse(noKey.out).code],
    ['key-file', 'LETHE-1302'],
  );
});

test('2 for wrong usage and files that cannot be read', () => {
  const wrong = [
    [],
    ['c.json'],
    ['--key', 'k.json'],
    ['c.json', 'd.json', '--key', 'k.json'],
    ['c.json', '--key'],
  ];
  for (const argv of [...wrong, ['--yes', '--key', 'k.json'], ['none.json', '--key', 'k.json']]) {
    const { status, out, err } = run(argv);
    assert.equal(status, 2, argv.join(' '));
    assert.equal(out, '');
    assert.match(err, /usage: certificate verify FILE --key KEYFILE/u);
  }
});

test('proofs of code ledgers are files of their own, and a leaf is checked against a root', () => {
  const proof = Buffer.from('{}');
  for (const option of [['--ledger-proof', 'p.json'], ['--ledger-proof=p.json']]) {
    const { status, err } = run(['c.json', ...option, '--key', 'k.json'], { 'p.json': proof });
    assert.deepEqual([status, err.includes('"ledger-proof" refused [LETHE-1303]')], [1, true]);
  }
  assert.equal(run(['c.json', '--key', 'k.json', '--ledger-proof', 'none.json']).status, 2);
  assert.equal(run(['c.json', '--key', 'k.json', '--ledger-proof']).status, 2);
  const leaf = 'ab'.repeat(32);
  const answer = { leafIndex: 0, leafHash: leaf, ledgerSize: 1, ledgerRoot: leaf, path: [] };
  const inclusion = (argv: readonly string[], value: unknown = answer) =>
    run(argv, { 'i.json': Buffer.from(JSON.stringify(value)) }, runInclusion);
  assert.match(inclusion(['i.json', '--root', leaf]).out, /^VERIFIED/u);
  const refused = inclusion(['i.json', '--root', leaf], { ...answer, leafHash: 'cd'.repeat(32) });
  assert.deepEqual(
    [refused.status, refused.err.includes('"ledger-inclusion" refused [LETHE-1303]')],
    [1, true],
  );
  for (const argv of [[], ['i.json'], ['i.json', '--root', 'ab'], ['none.json', '--root', leaf]]) {
    assert.equal(inclusion(argv).status, 2, argv.join(' '));
  }
});

test('--json is the same in JSON', () => {
  const { status, out } = run(['c.json', '--json', '--key', 'k.json']);
  const summary = JSON.parse(out);
  assert.equal(status, 0);
  assert.deepEqual([summary.verified, summary.auditVerdict, summary.notChecked], [true, 'PASS', []]);
  assert.equal(summary.checks.length, 25);
});

test('it runs as a program of its own, without the platform', () => {
  const folder = mkdtempSync(join(tmpdir(), 'lethe-verify-'));
  try {
    writeFileSync(join(folder, 'certificate.json'), issued.bytes);
    writeFileSync(join(folder, 'verify-key.json'), keyBytes);
    const script = fileURLToPath(new URL('./verify-cli.ts', import.meta.url));
    const argv = [
      script,
      'certificate',
      'verify',
      join(folder, 'certificate.json'),
      '--key',
      join(folder, 'verify-key.json'),
    ];
    const out = execFileSync(process.execPath, argv, { encoding: 'utf8', env: {} });
    assert.match(out, /^VERIFIED/u);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('the requester, who has the secret, can show that the certificate is theirs', () => {
  const { body } = issued.prepared;
  const secret = sha256('secret');
  assert.equal(subjectCommitment(secret, 'alias-1', body.request), body.subject);
  assert.notEqual(subjectCommitment(sha256('guess'), 'alias-1', body.request), body.subject);
  assert.notEqual(subjectCommitment(secret, 'alias-2', body.request), body.subject);
  assert.notEqual(subjectCommitment(secret, 'a', 'b'), subjectCommitment(secret, 'b', 'a'));
});
