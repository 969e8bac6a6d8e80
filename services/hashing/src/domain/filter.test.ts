import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hashing } from '@lethe/contracts';
import { isError } from '@lethe/std';
import { HASHING_SERVICE } from '../errors.ts';
import { indexFilter } from './filter.ts';

const known = { modalities: ['image', 'text'], classes: 5, version: 2 };
const filter = (conditions: Partial<hashing.SearchFilter>) =>
  indexFilter(hashing.SearchFilter.fromPartial(conditions), known);

test('a list that names nothing is no condition', () => {
  assert.deepEqual(indexFilter(undefined, known), {});
  assert.deepEqual(filter({}), {});
  assert.deepEqual(filter({ labelsAny: [0] }), { labelsAny: [0] });
});

test('modalities become the numbers that the index keeps', () => {
  assert.deepEqual(filter({ modalities: ['text'], labelsAll: [4], functionVersions: [2, 1] }), {
    modalities: [1],
    labelsAll: [4],
    fnVersions: [2, 1],
  });
});

test('what can match nothing by mistake is refused with the name of its field', () => {
  const wrong: [Partial<hashing.SearchFilter>, string][] = [
    [{ modalities: ['sound'] }, 'filter.modalities'],
    [{ labelsAny: [5] }, 'filter.labels_any'],
    [{ labelsAll: [0, 5] }, 'filter.labels_all'],
    [{ functionVersions: [1, 0] }, 'filter.function_versions'],
    [{ functionVersions: [3] }, 'filter.function_versions'],
    [{ functionVersions: Array.from({ length: 1_025 }, (_, i) => i) }, 'filter.function_versions'],
  ];
  for (const [conditions, field] of wrong) {
    assert.throws(
      () => filter(conditions),
      (error) => isError(error, HASHING_SERVICE.REQUEST_INVALID) && error.details.field === field,
    );
  }
});
