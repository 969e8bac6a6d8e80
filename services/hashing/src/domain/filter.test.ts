import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hashing } from '@lethe/contracts';
import { isError } from '@lethe/std';
import { HASHING_SERVICE } from '../errors.ts';
import { type Filtered, itemFilter } from './filter.ts';

const known = { modalities: ['image', 'text'], classes: 5 };
const items: readonly Filtered[] = [
  { modality: 'image', labels: [0], fnVersion: 1 },
  { modality: 'text', labels: [0, 3], fnVersion: 1 },
  { modality: 'image', labels: [1, 3, 4], fnVersion: 2 },
  { modality: 'text', labels: [], fnVersion: 3 },
];
const filter = (conditions: Partial<hashing.SearchFilter>) =>
  itemFilter(hashing.SearchFilter.fromPartial(conditions), known);
const passing = (conditions: Partial<hashing.SearchFilter>): number[] =>
  items.flatMap((item, i) => (filter(conditions)!(item) ? [i] : []));

test('no condition is no filter', () => {
  assert.equal(itemFilter(undefined, known), undefined);
  assert.equal(filter({}), undefined);
});

test('lists hold one by one and together', () => {
  assert.deepEqual(passing({ modalities: ['text'] }), [1, 3]);
  assert.deepEqual(passing({ functionVersions: [1, 3] }), [0, 1, 3]);
  assert.deepEqual(passing({ labelsAny: [0, 4] }), [0, 1, 2]);
  assert.deepEqual(passing({ labelsAll: [3] }), [1, 2]);
  assert.deepEqual(passing({ labelsAll: [3, 4] }), [2]);
  assert.deepEqual(passing({ labelsAny: [0], labelsAll: [3], modalities: ['text'] }), [1]);
  assert.deepEqual(passing({ labelsAny: [0], modalities: ['text'], functionVersions: [2] }), []);
});

test('what can match nothing by mistake is refused with the name of its field', () => {
  const wrong: [Partial<hashing.SearchFilter>, string][] = [
    [{ modalities: ['sound'] }, 'filter.modalities'],
    [{ labelsAny: [5] }, 'filter.labels_any'],
    [{ labelsAll: [0, 5] }, 'filter.labels_all'],
    [{ functionVersions: Array.from({ length: 1_025 }, (_, i) => i) }, 'filter.function_versions'],
  ];
  for (const [conditions, field] of wrong) {
    assert.throws(
      () => filter(conditions),
      (error) => isError(error, HASHING_SERVICE.REQUEST_INVALID) && error.details.field === field,
    );
  }
});
