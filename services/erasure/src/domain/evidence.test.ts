import assert from 'node:assert/strict';
import { test } from 'node:test';
import { canonicalJson, utf8 } from '@lethe/std';
import {
  datasetEvidence,
  keyReceipt,
  parseEvidence,
  rootStatementDigests,
  scanReport,
  unscannedStores,
  type VaultEvidence,
} from './evidence.ts';

const root = (name: string, count: number) => ({ root: name, count, statementDigest: `digest of ${name}` });
const REMOVED = {
  leaf: 'aa',
  inclusion: { index: 3, path: ['p'] },
  absence: { left: { value: 'a9', index: 2, proof: ['q'] }, right: null },
};

const evidence = (dataset: object = {}, planted: object = {}): VaultEvidence => ({
  datasets: [
    {
      name: 'd',
      rootBefore: root('before', 10),
      rootAfter: root('after', 7),
      removed: [REMOVED],
      ...dataset,
    },
  ],
  keyReceipt: {
    keyIdDigest: 'k',
    keys: 2,
    destroyedAt: '2026-01-31T12:00:00Z',
    method: 'm',
    settings: { secure_delete: 'ON' },
  },
  scan: {
    stores: [
      {
        name: 'jetstream',
        scanned: true,
        bytes: 4,
        planted: { placed: 2, foundBefore: 2, foundAfter: 0, ...planted },
      },
      { name: 'keys', scanned: true, bytes: 1, planted: { placed: 0, foundBefore: 0, foundAfter: 0 } },
      { name: 'far', scanned: false, reason: 'not ours' },
    ],
    needles: [{ kind: 'code-lane', count: 3, found: 1 }],
  },
});

test('counts add up: the cohort left, and others may have come or left meanwhile', () => {
  const counts = (given: object) => {
    const [data] = datasetEvidence(evidence(given));
    return [data?.countBefore, data?.countAfter, data?.removedWithIt, data?.added];
  };
  assert.deepEqual(counts({}), [10, 7, 2, 0]);
  assert.deepEqual(counts({ removedOfCohort: 2 }), [10, 7, 2, 0]);
  assert.deepEqual(counts({ removedOfCohort: 4 }), [10, 7, 4, 2]);
  assert.deepEqual(counts({ removedOfCohort: 1 }), [10, 7, 2, 0]);
  assert.deepEqual(counts({ rootAfter: root('after', 12) }), [10, 12, 0, 3]);
});

test('proofs keep their places', () => {
  assert.deepEqual(datasetEvidence(evidence())[0]?.removed, [
    {
      leaf: 'aa',
      index: 3,
      inclusionProof: ['p'],
      left: { leaf: 'a9', index: 2, inclusionProof: ['q'] },
      right: null,
    },
  ]);
  assert.deepEqual(rootStatementDigests(evidence()), ['digest of before', 'digest of after']);
});

test('a scan whose planted copies were missed, or outlived it, is no scan', () => {
  assert.equal(scanReport(evidence({}, { foundBefore: 1 })), null);
  assert.equal(scanReport(evidence({}, { foundAfter: 1 })), null);
  assert.equal(scanReport(evidence({}, { placed: 0, foundBefore: 0 })), null);
  const report = scanReport(evidence());
  assert.equal(report?.bytesScanned, 5);
  assert.deepEqual(report?.needles, [{ kind: 'CODE_LANE', needles: 3, found: 1 }]);
  assert.deepEqual(
    report?.stores.map(({ planted }) => planted),
    [2, 0],
  );
  assert.ok(
    !report?.stores.some(({ store }) => store === 'far'),
    'what was not scanned is not in the report',
  );
  assert.match(unscannedStores(evidence())[0] ?? '', /far.*not ours/);
});

test('times get milliseconds; evidence that lacks a part is refused', () => {
  const receipt = keyReceipt(evidence());
  assert.equal(receipt.destroyedAt, '2026-01-31T12:00:00.000Z');
  assert.deepEqual(receipt.settings, { secure_delete: 'ON', keys: 2 });
  const text = { ...evidence(), keyReceipt: { ...evidence().keyReceipt, settings: 'secure_delete=1' } };
  assert.deepEqual(keyReceipt(text).settings, { keyStore: 'secure_delete=1', keys: 2 });
  const { scan, ...rest } = evidence();
  assert.ok(scan);
  assert.throws(() => parseEvidence(utf8(canonicalJson(rest))), /LETHE-4509/);
  assert.deepEqual(parseEvidence(utf8(canonicalJson(evidence()))), evidence());
});
