import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type DatasetSpec, decodePayload } from '@lethe/datasets';
import { hex, sha256 } from '@lethe/std';
import { canaryIds, coinKey, planCanaries, sealingKey } from './plan.ts';

const SPEC: DatasetSpec = {
  format: 'lethe-dataset-v1',
  name: 'visits',
  provenance: 'invented for this test',
  subjectField: 'patient',
  fields: [
    { kind: 'numeric-vector', name: 'scan', element: 'uint8', shape: [4, 4], min: 10, max: 200 },
    { kind: 'numeric-vector', name: 'embedding', element: 'float32', shape: [3], min: -0.1, max: 0.1 },
    { kind: 'numeric', name: 'age', min: 18, max: 99 },
    { kind: 'categorical', name: 'ward', categories: ['a', 'b', 'c'] },
  ],
  label: { name: 'outcome', classes: ['home', 'ward', 'icu'] },
};
const SEED = sha256('a seed');
const SPARSE = { pattern: 'SPARSE', density: 0.5 } as const;

test('canaries fit whatever the dataset declares, and every label and category occurs', () => {
  const canaries = planCanaries(SEED, 200, SPEC, SPARSE);
  const rows = canaries.map(({ payload }) => decodePayload(SPEC, payload));
  assert.deepEqual(new Set(rows.map(({ label }) => label)), new Set([0, 1, 2]));
  assert.deepEqual(new Set(rows.map(({ values }) => values[3])), new Set([0, 1, 2]));
  assert.deepEqual(
    canaries.map(({ label }) => label),
    rows.map(({ label }) => label),
  );
});

test('the same seed makes the same canaries; another one shares nothing with them', () => {
  const first = planCanaries(SEED, 20, SPEC, SPARSE);
  assert.deepEqual(planCanaries(SEED, 20, SPEC, SPARSE), first);
  const other = planCanaries(sha256('another seed'), 20, SPEC, SPARSE);
  const ids = new Set(first.map(({ subjectId }) => subjectId));
  assert.equal(ids.size, 20);
  assert.ok(other.every(({ subjectId }) => !ids.has(subjectId)));
  assert.deepEqual(
    canaryIds(SEED, 20),
    first.map(({ subjectId, recordId }) => ({ subjectId, recordId })),
  );
});

test('coin key, sealing key and seed are three different secrets', () => {
  const secrets = [SEED, coinKey(SEED), sealingKey(SEED)].map(hex);
  assert.equal(new Set(secrets).size, 3);
  assert.ok(secrets.every((secret) => secret.length === 64));
});
