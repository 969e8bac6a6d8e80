import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DATASETS, type DatasetSpec } from '@lethe/datasets';
import { isError } from '@lethe/std';
import { HASHING_SERVICE } from '../errors.ts';
import { checkModalities } from './modalities.ts';

const plain: DatasetSpec = {
  format: 'lethe-dataset-v1',
  name: 'pairs',
  provenance: 'invented for this test',
  subjectField: 'person',
  fields: ['pixels', 'words', 'author-age'].map((name) => ({ kind: 'numeric', name, min: 0, max: 1 })),
  label: { name: 'topic', classes: ['a', 'b'] },
};
const optional: DatasetSpec = {
  ...plain,
  fields: plain.fields.map((field) => ({ ...field, optional: true })),
};
const image = { name: 'image', fields: ['pixels'] };
const text = { name: 'text', fields: ['words'] };

test('modalities of declared fields are fit, and fields may be left out', () => {
  checkModalities([], plain);
  checkModalities([image, text], plain);
  checkModalities([text], optional);
  checkModalities([{ name: 'all', fields: ['words', 'pixels'] }], optional);
});

test('what could not be learned, or not as somebody expects, is refused', () => {
  const wrong: [Parameters<typeof checkModalities>[0], DatasetSpec, RegExp][] = [
    [[], optional, /a record may lack/],
    [[{ ...image, name: 'Image' }], plain, /does not match/],
    [[image, { ...text, name: 'image' }], plain, /image twice/],
    [[image, { name: 'both', fields: ['words', 'pixels'] }], plain, /pixels to image and to both/],
    [Array.from({ length: 17 }, (_, i) => ({ name: `m${i}`, fields: ['words'] })), plain, /at most 16/],
  ];
  for (const [modalities, dataset, why] of wrong) {
    assert.throws(
      () => checkModalities(modalities, dataset),
      (error) => isError(error, HASHING_SERVICE.REQUEST_INVALID) && why.test(error.message),
    );
  }
  for (const fields of [['sound'], [], ['words', 'words']]) {
    const unknown = [{ name: 'text', fields }];
    assert.throws(
      () => checkModalities(unknown, plain),
      (error) => isError(error, DATASETS.FIELDS_UNKNOWN),
    );
  }
});
