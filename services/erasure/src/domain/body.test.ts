import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Claim } from '@lethe/certificate';
import { survivorsCodes } from './body.ts';

const index = (details: Claim['details']): Claim[] => [
  { artefact: 'f/index', kind: 'HASH_INDEX', details } as Claim,
  { artefact: 'f', kind: 'HASH_FUNCTION', details } as Claim,
];

test('what becomes of survivors’ codes is said as their policy has it', () => {
  const counts = { churn: '44', storedCodesThatDiffer: '2100', survivors: '7996' };
  const [kept, ...others] = survivorsCodes(index({ survivorCodes: 'KEEP', ...counts }));
  assert.match(
    kept!,
    /^f\/index: .*stay as they were \(policy KEEP\).* 2100 of 7996 would differ.*alone would have given 44 of them/,
  );
  assert.equal(others.length, 0);
  const renewed = { ...counts, survivorCodes: 'REENCODE_CHANGED', reencodedCodes: '51', ledgerVersion: '3' };
  assert.match(
    survivorsCodes(index(renewed))[0]!,
    /51 of 7996 codes .* version 3 .*all that the function now gives otherwise/,
  );
  const retired = { ...renewed, survivorCodes: 'RETIRE', reencodedCodes: '7000' };
  assert.match(survivorsCodes(index(retired))[0]!, /7000 of 7996 codes .*all of an earlier version/);
  assert.match(survivorsCodes(index({}))[0]!, /an unknown number of an unknown number would differ/);
});
