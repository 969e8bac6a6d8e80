import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as contracts from './index.ts';

/** Every method of every generated service, as `/package.Service/Method`. */
function methods(): string[] {
  const out: string[] = [];
  for (const part of Object.values(contracts)) {
    if (typeof part !== 'object' || part === null) continue;
    for (const value of Object.values(part)) {
      if (typeof value !== 'object' || value === null || !('fullName' in value) || !('methods' in value))
        continue;
      const { fullName, methods } = value as { fullName: string; methods: Record<string, { name: string }> };
      for (const method of Object.values(methods)) out.push(`/${fullName}/${method.name}`);
    }
  }
  return out;
}

test('the access table names every method and no other', () => {
  assert.deepEqual(Object.keys(contracts.ACCESS).sort(), methods().sort());
});

test('raw records and keys are for the platform alone', () => {
  for (const method of ['ReadRecords', 'CreateArtefactKey', 'GetArtefactKey', 'DestroyArtefactKeys']) {
    assert.deepEqual(contracts.ACCESS[`/lethe.vault.v1.VaultService/${method}`], ['platform']);
  }
});

test('names round-trip and strangers are refused', () => {
  const name = contracts.resourceName('datasetRoot', 'acme', 'visits', '1');
  assert.equal(name, 'tenants/acme/datasets/visits/roots/1');
  assert.deepEqual(contracts.parseName('datasetRoot', name), ['acme', 'visits', '1']);
  for (const bad of [
    '',
    'tenants/acme',
    'tenants/Acme/datasets/x/roots/1',
    `${name}/`,
    'tenants/../datasets/x/roots/1',
  ]) {
    assert.throws(() => contracts.parseName('datasetRoot', bad), /LETHE-1101/);
  }
});
