import assert from 'node:assert/strict';
import { test } from 'node:test';
import { statementBytes } from '@lethe/certificate';
import type { Lethe } from '@lethe/client';
import { vault } from '@lethe/contracts';
import { defineErrors, hex, sha256 } from '@lethe/std';
import { loggedRoot, rootStatement } from './logged-root.ts';

const ERRORS = defineErrors({
  UNKNOWN: { code: 'LETHE-9901', status: 'NOT_FOUND', remedy: 'A test.' },
  DOWN: { code: 'LETHE-9902', status: 'UNAVAILABLE', remedy: 'A test.' },
  NOT_LOGGED: { code: 'LETHE-9903', status: 'FAILED_PRECONDITION', remedy: 'A test.' },
});
const NAME = 'tenants/acme/datasets/visits/roots/1';
const ROOT = vault.DatasetRoot.create({
  name: NAME,
  root: new Uint8Array(32),
  recordCount: 7n,
  createTime: new Date(0),
});

/** Peers whose log answers these questions in turn, the last one for ever. */
function peers(...answers: (Error | undefined)[]) {
  const asked: { parent: string; statementDigest: string }[] = [];
  const fake = {
    vault: { getDatasetRoot: async () => ROOT },
    erasure: {
      getLogStatement: async (request: { parent: string; statementDigest: string }) => {
        asked.push(request);
        const answer = answers.length > 1 ? answers.shift() : answers[0];
        if (answer) throw answer;
        return {};
      },
    },
  };
  return { asked, peers: fake as unknown as Lethe };
}

test('the root comes once the log holds its statement', async () => {
  const { asked, peers: late } = peers(ERRORS.UNKNOWN('not yet'), undefined);
  assert.equal(await loggedRoot(late, NAME, 5_000, ERRORS.NOT_LOGGED), ROOT);
  const statementDigest = hex(sha256(statementBytes(rootStatement(ROOT))));
  assert.deepEqual(asked, [
    { parent: 'tenants/acme', statementDigest },
    { parent: 'tenants/acme', statementDigest },
  ]);
});

test("after the wait it is the caller's refusal; any other trouble is passed on at once", async () => {
  const { peers: never } = peers(ERRORS.UNKNOWN('no'));
  await assert.rejects(loggedRoot(never, NAME, 0, ERRORS.NOT_LOGGED), /LETHE-9903/u);
  const { asked, peers: down } = peers(ERRORS.DOWN('down'));
  await assert.rejects(loggedRoot(down, NAME, 5_000, ERRORS.NOT_LOGGED), /LETHE-9902/u);
  assert.equal(asked.length, 1);
});
