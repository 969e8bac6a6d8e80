import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hex, isError, utf8 } from '@lethe/std';
import { DATASETS } from './errors.ts';
import type { Row } from './record.ts';
import { decodePayload, encodePayload } from './record.ts';
import type { DatasetSpec } from './spec.ts';
import { decodeSpec, encodeSpec, parseSpec, payloadBytes, specDigest, vectorWidth } from './spec.ts';
import { byteMatrix, floatMatrix, labelsOf, splitColumns, takeColumns } from './vector.ts';

const spec: DatasetSpec = {
  format: 'lethe-dataset-v1',
  name: 'mixed',
  provenance: 'invented for this test',
  subjectField: 'person',
  fields: [
    { kind: 'numeric-vector', name: 'image', element: 'uint8', shape: [2, 5], min: 0, max: 255 },
    { kind: 'numeric-vector', name: 'signal', element: 'float32', shape: [3], min: -0.1, max: 0.1 },
    { kind: 'numeric', name: 'age', min: 0, max: 120 },
    { kind: 'categorical', name: 'city', categories: ['a', 'b', 'c'] },
  ],
  label: { name: 'class', classes: ['x', 'y'] },
};
const row: Row = {
  values: [Uint8Array.from({ length: 10 }, (_, i) => 25 * i), Float32Array.of(-0.1, 0, 0.1), 30, 2],
  label: 1,
};
const with_ = (index: number, value: Row['values'][number]): Row => ({
  ...row,
  values: row.values.with(index, value),
});
const kind = (error: { readonly spec: { readonly code: string } }) => (e: unknown) =>
  isError(e, error as typeof DATASETS.PAYLOAD_MALFORMED);

test('payload bytes are the documented ones', () => {
  const bytes = encodePayload(spec, row);
  assert.equal(bytes.length, payloadBytes(spec));
  assert.equal(
    hex(bytes),
    `01${'0100'}${'0019324b647d96afc8e1'}${'cdccccbd00000000cdcccc3d'}${'0000000000003e40'}${'0200'}`,
  );
  const { label: _, ...unlabelled } = row;
  assert.equal(hex(encodePayload(spec, unlabelled)).slice(0, 6), '01ffff');
});

test('payloads come back, from a Buffer at an odd offset too, and share no memory with it', () => {
  const bytes = encodePayload(spec, row);
  const buffer = Buffer.concat([Buffer.alloc(3), bytes]);
  const back = decodePayload(spec, buffer.subarray(3));
  buffer.fill(0);
  assert.deepEqual(back, row);
});

test('a payload that is too long, too short or of another version is refused', () => {
  const bytes = encodePayload(spec, row);
  assert.throws(() => decodePayload(spec, Buffer.alloc(1e6)), kind(DATASETS.PAYLOAD_TOO_LARGE));
  assert.throws(() => decodePayload(spec, bytes.subarray(0, -1)), kind(DATASETS.PAYLOAD_MALFORMED));
  assert.throws(() => decodePayload(spec, bytes.with(0, 2)), kind(DATASETS.PAYLOAD_MALFORMED));
  assert.throws(() => decodePayload(spec, new Uint8Array(0)), kind(DATASETS.PAYLOAD_MALFORMED));
});

test('values outside the declared ranges are refused when written and when read', () => {
  const out: Row[] = [
    with_(1, Float32Array.of(0, 0, 0.11)),
    with_(1, Float32Array.of(0, Number.NaN, 0)),
    with_(1, Float32Array.of(0, -0, 0)),
    with_(2, 121),
    with_(2, Number.NaN),
    with_(2, -0),
    with_(3, 3),
    with_(3, 1.5),
    { ...row, label: 2 },
  ];
  for (const bad of out) assert.throws(() => encodePayload(spec, bad), kind(DATASETS.VALUE_OUT_OF_RANGE));
  const bytes = encodePayload(spec, row);
  assert.throws(() => decodePayload(spec, bytes.with(1, 7)), kind(DATASETS.VALUE_OUT_OF_RANGE));
  assert.throws(
    () => decodePayload(spec, bytes.with(bytes.length - 1, 1)),
    kind(DATASETS.VALUE_OUT_OF_RANGE),
  );
  assert.throws(() => decodePayload(spec, bytes.with(13 + 3, 0x7f)), kind(DATASETS.VALUE_OUT_OF_RANGE));
});

test('wrong types and lengths are refused', () => {
  const wrong: Row[] = [
    { ...row, values: row.values.slice(1) },
    with_(0, new Uint8Array(9)),
    with_(0, new Float32Array(10)),
    with_(1, 3),
    with_(2, new Uint8Array(1)),
  ];
  for (const bad of wrong) assert.throws(() => encodePayload(spec, bad), kind(DATASETS.PAYLOAD_MALFORMED));
});

test('model inputs scale by the declared ranges alone', () => {
  assert.equal(vectorWidth(spec), 17);
  const bytes = byteMatrix(spec, [row, with_(2, 120)]);
  assert.deepEqual(
    [...bytes.subarray(0, 17)],
    [0, 25, 50, 75, 100, 125, 150, 175, 200, 225, 0, 128, 255, 64, 0, 0, 255],
  );
  assert.equal(bytes[17 + 13], 255);
  assert.deepEqual([...bytes.subarray(17, 30)], [...bytes.subarray(0, 13)], 'another record changes nothing');
  const floats = floatMatrix(spec, [row]);
  assert.ok(floats.every((value, i) => Math.abs(value - bytes[i]! / 255) <= 0.5 / 255 + 1e-6));
  assert.deepEqual([...labelsOf([row, { values: row.values }])], [1, -1]);
});

test('parties get every column once; images are cut along their columns', () => {
  const parts = splitColumns(spec, 2);
  assert.deepEqual([...parts[0]!], [0, 1, 2, 5, 6, 7, 10, 11, 13]);
  assert.deepEqual([...parts[1]!], [3, 4, 8, 9, 12, 14, 15, 16]);
  for (const parties of [1, 2, 3, 4, 5]) {
    const all = splitColumns(spec, parties).flatMap((columns) => [...columns]);
    assert.deepEqual(
      all.sort((a, b) => a - b),
      Array.from({ length: 17 }, (_, i) => i),
    );
  }
  const matrix = byteMatrix(spec, [row, row]);
  assert.deepEqual([...takeColumns(matrix, 17, parts[1]!)].slice(8), [75, 100, 200, 225, 255, 0, 0, 255]);
  for (const parties of [0, 1.5, 6])
    assert.throws(() => splitColumns(spec, parties), kind(DATASETS.SPLIT_INVALID));
});

test('a spec has one canonical form, whatever order its keys came in', () => {
  const bytes = encodeSpec(spec);
  const reordered = JSON.stringify(Object.fromEntries(Object.entries(spec).reverse()), null, 2);
  assert.deepEqual(decodeSpec(utf8(reordered)), spec);
  assert.equal(hex(encodeSpec(decodeSpec(utf8(reordered)))), hex(bytes));
  assert.notEqual(hex(specDigest({ ...spec, name: 'other' })), hex(specDigest(spec)));
});

test('specs that cannot be honoured are refused before any record is seen', () => {
  const [image, , age, city] = spec.fields;
  const wrong: unknown[] = [
    null,
    [],
    { ...spec, format: 'v2' },
    { ...spec, extra: 1 },
    { ...spec, name: 'Has Space' },
    { ...spec, fields: [] },
    { ...spec, fields: [{ ...image, kind: 'audio' }] },
    { ...spec, fields: [{ ...image, element: 'int16' }] },
    { ...spec, fields: [{ ...image, max: 256 }] },
    { ...spec, fields: [{ ...image, max: 0.5 }] },
    { ...spec, fields: [{ ...image, shape: [0] }] },
    { ...spec, fields: [{ ...image, shape: [256, 256] }] },
    { ...spec, fields: [{ ...age, min: 5, max: 5 }] },
    { ...spec, fields: [{ ...age, max: '9' }] },
    { ...spec, fields: [age, age] },
    { ...spec, fields: [{ ...age, name: 'person' }] },
    { ...spec, fields: [{ ...city, categories: ['a', 'a'] }] },
    { ...spec, label: { name: 'class', classes: [] } },
    { ...spec, label: { name: 'class' } },
  ];
  for (const [i, value] of wrong.entries()) {
    assert.throws(() => parseSpec(value), kind(DATASETS.SPEC_INVALID), `case ${i}`);
  }
  assert.throws(() => decodeSpec(utf8('{')), kind(DATASETS.SPEC_INVALID));
  assert.throws(() => decodeSpec(Uint8Array.of(0xff)), kind(DATASETS.SPEC_INVALID));
  assert.throws(() => decodeSpec(new Uint8Array(70_000)), kind(DATASETS.SPEC_INVALID));
});
