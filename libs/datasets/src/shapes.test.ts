/** Records with several labels or with absent fields, over specs and rows made by chance. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { canonicalJson, hex, isError, LetheError, sha256 } from '@lethe/std';
import fc from 'fast-check';
import { csvRecords } from './csv.ts';
import { DATASETS } from './errors.ts';
import { mnistSpec } from './mnist.ts';
import { classesOf, decodePayload, encodePayload, type FieldValue, type Row } from './record.ts';
import { type DatasetSpec, encodeSpec, type FieldSpec, parseSpec, payloadBytes, vectorSize } from './spec.ts';
import {
  allFields,
  byteMatrix,
  fieldGroup,
  floatMatrix,
  hasGroup,
  labelsOf,
  requireWholeRecords,
} from './vector.ts';

const kind = (error: { readonly spec: { readonly code: string } }) => (e: unknown) =>
  isError(e, error as typeof DATASETS.PAYLOAD_MALFORMED);

const pairs: DatasetSpec = {
  format: 'lethe-dataset-v1',
  name: 'pairs',
  provenance: 'invented for this test',
  subjectField: 'person',
  fields: [
    { kind: 'numeric-vector', name: 'image', element: 'uint8', shape: [2], min: 0, max: 255, optional: true },
    { kind: 'numeric-vector', name: 'text', element: 'float32', shape: [2], min: -1, max: 1, optional: true },
    { kind: 'categorical', name: 'lang', categories: ['en', 'de'], optional: true },
  ],
  label: { name: 'topics', classes: Array.from({ length: 10 }, (_, i) => `t${i}`), multiple: true },
};
const image = Uint8Array.of(7, 255);
const text = Float32Array.of(-1, 0.5);

const anyField = (index: number): fc.Arbitrary<FieldSpec> => {
  const name = `f${index}`;
  const optional = fc.constantFrom({}, { optional: true as const });
  const range = { min: -2, max: 3 };
  return fc.oneof(
    optional.map((is) => ({ kind: 'numeric' as const, name, ...range, ...is })),
    fc.tuple(fc.integer({ min: 1, max: 300 }), optional).map(([count, is]) => ({
      kind: 'categorical' as const,
      name,
      categories: Array.from({ length: count }, (_, i) => `c${i}`),
      ...is,
    })),
    fc.tuple(fc.integer({ min: 1, max: 5 }), optional).map(([size, is]) => ({
      kind: 'numeric-vector' as const,
      name,
      element: 'uint8' as const,
      shape: [size],
      min: 3,
      max: 250,
      ...is,
    })),
    fc.tuple(fc.integer({ min: 1, max: 5 }), optional).map(([size, is]) => ({
      kind: 'numeric-vector' as const,
      name,
      element: 'float32' as const,
      shape: [size],
      ...range,
      ...is,
    })),
  );
};

const anySpec: fc.Arbitrary<DatasetSpec> = fc
  .tuple(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 20 }), fc.boolean())
  .chain(([fields, classes, multiple]) =>
    fc.tuple(...Array.from({ length: fields }, (_, i) => anyField(i))).map((made) => ({
      ...pairs,
      fields: made,
      label: {
        name: 'label',
        classes: Array.from({ length: classes }, (_, i) => `k${i}`),
        ...(multiple ? { multiple: true as const } : {}),
      },
    })),
  );

function anyValue(field: FieldSpec): fc.Arbitrary<FieldValue> {
  const unit = fc.integer({ min: 0, max: 1_000 }).map((n) => n / 1_000);
  if (field.kind === 'categorical') return fc.nat({ max: field.categories.length - 1 });
  if (field.kind === 'numeric') return unit.map((u) => field.min + u * (field.max - field.min) + 0);
  const list = fc.array(unit, { minLength: vectorSize(field), maxLength: vectorSize(field) });
  return list.map((units) => {
    const scaled = units.map((u) => field.min + u * (field.max - field.min) + 0);
    return field.element === 'uint8' ? Uint8Array.from(scaled) : Float32Array.from(scaled);
  });
}

const anyRow = (spec: DatasetSpec): fc.Arbitrary<Row> => {
  const values = fc.tuple(
    ...spec.fields.map((field) =>
      field.optional ? fc.option(anyValue(field), { nil: undefined }) : anyValue(field),
    ),
  );
  const every = [...spec.label.classes.keys()];
  const labels = spec.label.multiple
    ? fc.subarray(every).map((chosen) => (chosen.length > 0 ? { labels: chosen } : {}))
    : fc
        .option(fc.constantFrom(...every), { nil: undefined })
        .map((label) => (label === undefined ? {} : { label }));
  return fc
    .tuple(values, labels)
    .map(([made, label]): Row => ({ values: made, ...label }))
    .filter((row) => row.values.some((value) => value !== undefined));
};

const anyRecord = anySpec.chain((spec) => anyRow(spec).map((row) => ({ spec, row })));

test('every record comes back from its payload, which always has the length of the spec', () => {
  fc.assert(
    fc.property(anyRecord, ({ spec, row }) => {
      const payload = encodePayload(parseSpec(spec), row);
      assert.equal(payload.length, payloadBytes(spec));
      assert.deepEqual(decodePayload(spec, payload), row);
    }),
  );
});

test('one accepted encoding: a payload with a flipped bit is refused or is exactly the payload of what it says', () => {
  fc.assert(
    fc.property(anyRecord, fc.nat(), fc.nat({ max: 7 }), ({ spec, row }, position, bit) => {
      const payload = encodePayload(spec, row);
      payload[position % payload.length]! ^= 1 << bit;
      let read: Row;
      try {
        read = decodePayload(spec, payload);
      } catch (error) {
        assert.ok(error instanceof LetheError && /^LETHE-23/.test(error.code));
        return;
      }
      assert.equal(hex(encodePayload(spec, read)), hex(payload));
    }),
    { numRuns: 500 },
  );
});

test('a spec without the two new words has the bytes that it always had', () => {
  const { label, fields } = mnistSpec;
  assert.equal(canonicalJson(mnistSpec), Buffer.from(encodeSpec(mnistSpec)).toString());
  assert.equal('multiple' in label || fields.some((field) => 'optional' in field), false);
  assert.equal(hex(sha256(encodeSpec(mnistSpec))), MNIST_SPEC_DIGEST);
});

/** As release 0.1 computes it. */
const MNIST_SPEC_DIGEST = '56d129add774694e079b5e2d11a621de7d2e94d24c1ede0ebfe2d03c43eb8241';

test('the bytes of labels and presence are the documented ones', () => {
  const both = encodePayload(pairs, { values: [image, text, 1], labels: [0, 3, 9] });
  assert.equal(hex(both), `01${'0902'}${'0107ff'}${'01000080bf0000003f'}${'010100'}`);
  const onlyText = encodePayload(pairs, { values: [undefined, text, undefined] });
  assert.equal(hex(onlyText), `01${'0000'}${'000000'}${'01000080bf0000003f'}${'000000'}`);
  assert.deepEqual(decodePayload(pairs, onlyText), { values: [undefined, text, undefined] });
});

test('what has two forms, or none, is refused', () => {
  const bytes = encodePayload(pairs, { values: [undefined, text, undefined], labels: [1] });
  const behindLast = bytes.with(2, 0x04);
  assert.throws(() => decodePayload(pairs, behindLast), kind(DATASETS.VALUE_OUT_OF_RANGE));
  assert.throws(() => decodePayload(pairs, bytes.with(3, 2)), kind(DATASETS.PAYLOAD_MALFORMED));
  assert.throws(() => decodePayload(pairs, bytes.with(4, 1)), kind(DATASETS.PAYLOAD_MALFORMED));
  assert.throws(() => decodePayload(pairs, bytes.slice(0, -1)), kind(DATASETS.PAYLOAD_MALFORMED));
  const rows: Row[] = [
    { values: [undefined, undefined, undefined], labels: [1] },
    { values: [image, text, 1], label: 1 },
    { values: [image, text, 1], labels: [3, 1] },
    { values: [image, text, 1], labels: [1, 1] },
  ];
  for (const row of rows) assert.throws(() => encodePayload(pairs, row), kind(DATASETS.PAYLOAD_MALFORMED));
  const out: Row = { values: [image, text, 1], labels: [10] };
  assert.throws(() => encodePayload(pairs, out), kind(DATASETS.VALUE_OUT_OF_RANGE));
  const nan: Row = { values: [image, Float32Array.of(0, Number.NaN), 1] };
  assert.throws(() => encodePayload(pairs, nan), kind(DATASETS.VALUE_OUT_OF_RANGE));
  const single = { ...pairs, label: { name: 'topic', classes: ['a', 'b'] } };
  assert.throws(
    () => encodePayload(single, { values: [image, text, 1], labels: [1] }),
    kind(DATASETS.PAYLOAD_MALFORMED),
  );
  const strict = { ...pairs, fields: pairs.fields.map(({ optional: _, ...field }) => field as FieldSpec) };
  assert.throws(
    () => encodePayload(strict, { values: [image, text, undefined] }),
    kind(DATASETS.PAYLOAD_MALFORMED),
  );
});

test('a spec says yes with true and no by silence', () => {
  const [first] = pairs.fields;
  const wrong: unknown[] = [
    { ...pairs, label: { ...pairs.label, multiple: false } },
    { ...pairs, label: { ...pairs.label, multiple: 1 } },
    { ...pairs, label: { ...pairs.label, classes: ['a|b', 'c'] } },
    { ...pairs, label: { ...pairs.label, classes: ['', 'c'] } },
    { ...pairs, fields: [{ ...first, optional: false }] },
    { ...pairs, fields: [{ ...first, multiple: true }] },
  ];
  for (const [i, value] of wrong.entries()) {
    assert.throws(() => parseSpec(value), kind(DATASETS.SPEC_INVALID), `case ${i}`);
  }
  assert.deepEqual(parseSpec(JSON.parse(JSON.stringify(pairs))), pairs);
});

test('groups of fields are read on their own, by the rows that have them', () => {
  const picture = fieldGroup(pairs, ['image']);
  const words = fieldGroup(pairs, ['lang', 'text']);
  assert.deepEqual(words, { fields: [1, 2], width: 4 });
  assert.equal(allFields(pairs).width, 6);
  const paired: Row = { values: [image, text, 1] };
  const unpaired: Row = { values: [image, undefined, 1] };
  assert.deepEqual(
    [paired, unpaired].map((row) => [hasGroup(row, picture), hasGroup(row, words)]),
    [
      [true, true],
      [true, false],
    ],
  );
  assert.deepEqual([...byteMatrix(pairs, [paired, unpaired], picture)], [7, 255, 7, 255]);
  assert.deepEqual([...byteMatrix(pairs, [paired], words)], [0, 191, 0, 255]);
  assert.deepEqual([...byteMatrix(pairs, [paired])], [7, 255, 0, 191, 0, 255]);
  assert.throws(() => byteMatrix(pairs, [paired, unpaired], words), kind(DATASETS.FIELD_ABSENT));
  assert.throws(() => floatMatrix(pairs, [unpaired]), kind(DATASETS.FIELD_ABSENT));
  for (const names of [[], ['sound'], ['text', 'text']])
    assert.throws(() => fieldGroup(pairs, names), kind(DATASETS.FIELDS_UNKNOWN));
});

test('who reads one label of whole records says no to the others', () => {
  assert.deepEqual(classesOf({ values: [], label: 2 }), [2]);
  assert.deepEqual(classesOf({ values: [], labels: [1, 4] }), [1, 4]);
  assert.deepEqual(classesOf({ values: [] }), []);
  assert.throws(() => labelsOf([{ values: [], labels: [1] }]), kind(DATASETS.SPEC_UNSUPPORTED));
  assert.throws(() => requireWholeRecords(pairs, 'a test'), kind(DATASETS.SPEC_UNSUPPORTED));
  const single = { ...pairs, label: { name: 'topic', classes: ['a', 'b'] } };
  assert.throws(() => requireWholeRecords(single, 'a test'), kind(DATASETS.SPEC_UNSUPPORTED));
  requireWholeRecords(mnistSpec, 'a test');
});

test('a table says several labels in one cell and absent fields with empty ones', () => {
  const header = 'person,image_0,image_1,text_0,text_1,lang,topics\n';
  const rows = csvRecords(pairs, `${header}p,7,255,,,en,t3|t0\np,,,-1,0.5,,\n`);
  assert.deepEqual(rows, [
    { subjectId: 'p', values: [image, undefined, 0], labels: [0, 3] },
    { subjectId: 'p', values: [undefined, text, undefined] },
  ]);
  for (const bad of ['p,7,255,,,en,t3|t3', 'p,7,255,,,en,t3|', 'p,7,255,,,en,t10', 'p,7,,,,en,t3']) {
    assert.throws(() => csvRecords(pairs, `${header}${bad}\n`), kind(DATASETS.CSV_VALUE_INVALID), bad);
  }
  assert.throws(() => csvRecords(pairs, `${header}p,,,,,,t1\n`), kind(DATASETS.PAYLOAD_MALFORMED));
  assert.deepEqual(csvRecords(pairs, 'person,text_0,text_1,topics\nq,-1,0.5,\n'), [
    { subjectId: 'q', values: [undefined, text, undefined] },
  ]);
  assert.throws(
    () => csvRecords(pairs, 'person,text_0,topics\nq,-1,\n'),
    (error) => isError(error, DATASETS.CSV_MALFORMED) && /text_1/.test(error.message),
  );
});
