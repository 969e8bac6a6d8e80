import assert from 'node:assert/strict';
import { test } from 'node:test';
import { signerFromSeed } from '@lethe/certificate';
import { systemClock } from '@lethe/std';
import { PartyHalf } from './half.ts';
import { RowStore } from './rows.ts';

const COLUMNS = 2;
const SPEC = {
  root: 'tenants/acme/datasets/shapes/roots/1',
  parties: ['left', 'right'],
  codeBits: 8,
  hiddenUnits: 4,
  topHiddenUnits: 4,
  epochs: 1,
  batchSize: 64,
  learningRate: 0.01,
  consistencyWeight: 1,
  seed: 'test',
};

test('a party refuses a step whose batch is not its own before any code leaves it, rows it lacks, and what it did not do', async (t) => {
  const rows = new Map(Array.from({ length: 70 }, (_, i) => [`row-${i}`, Uint8Array.of(i, 255 - i)]));
  const half = new PartyHalf({
    federation: 'tenants/acme/federations/columns',
    party: 'left',
    store: new RowStore({ element: 'uint8', columns: COLUMNS, rows }),
    signer: signerFromSeed('left', new Uint8Array(32)),
    clock: systemClock,
    onProgress: () => undefined,
  });
  t.after(() => half.close());
  await half.answer({ $case: 'welcome', value: { spec: SPEC, index: 0 } });
  const recordIds = [...rows.keys()];
  await half.answer({
    $case: 'startTraining',
    value: { version: 1, seed: '00'.repeat(32), recordIds, job: 'j' },
  });
  const step = { stepId: 'j:0', epoch: 0, step: 0, manifest: new Uint8Array(32) };
  const [refusal, ...rest] = await half.answer({ $case: 'startStep', value: step });
  assert.deepEqual(rest, []);
  assert.ok(refusal?.$case === 'refusal' && refusal.value.code === 'LETHE-3504');
  const [lacking] = await half.answer({
    $case: 'startTraining',
    value: { version: 1, seed: '00'.repeat(32), recordIds: [...recordIds, 'row-70'], job: 'k' },
  });
  assert.ok(lacking?.$case === 'refusal' && lacking.value.code === 'LETHE-5101');
  assert.equal(lacking.value.stepId, 'k');
  const attest = { erasure: 'e', requestDigest: '00', digestBefore: '00' };
  const [unsigned] = await half.answer({ $case: 'attest', value: attest });
  assert.ok(unsigned?.$case === 'refusal' && unsigned.value.code === 'LETHE-5105');
});
