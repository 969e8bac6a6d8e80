import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { isError, LetheError } from '@lethe/std';
import fc from 'fast-check';
import { sensorTable } from '../fixtures/generate-sensors.ts';
import { csvRecords, parseCsv } from './csv.ts';
import { DATASETS } from './errors.ts';
import { decodePayload, encodePayload } from './record.ts';
import { decodeSpec, parseSpec, vectorWidth } from './spec.ts';
import { byteMatrix } from './vector.ts';

const fixture = (name: string) => new URL(`../fixtures/${name}`, import.meta.url);
const spec = decodeSpec(readFileSync(fixture('sensors.json')));
const table = readFileSync(fixture('sensors.csv'), 'utf8');

const at = (text: string, row: number, column: number) =>
  assert.throws(
    () => parseCsv(text),
    (e) => isError(e, DATASETS.CSV_MALFORMED) && e.details.row === row && e.details.column === column,
  );

test('RFC 4180: quotes, doubled quotes, line breaks in cells, CRLF, byte order mark, missing last break', () => {
  assert.deepEqual(parseCsv('\uFEFFa,"b ""c""",\r\n"1,\n2",,x'), [
    ['a', 'b "c"', ''],
    ['1,\n2', '', 'x'],
  ]);
  assert.deepEqual(parseCsv('a\n'), [['a']]);
  assert.deepEqual(parseCsv('a,b\n1,'), [
    ['a', 'b'],
    ['1', ''],
  ]);
});

test('any table of at least two columns survives being written and read', () => {
  const cell = fc.string({ unit: fc.constantFrom('a', '"', ',', '\n', '\r', ' ', '\uFEFF') });
  const tables = fc
    .integer({ min: 2, max: 4 })
    .chain((width) =>
      fc.array(fc.array(cell, { minLength: width, maxLength: width }), { minLength: 1, maxLength: 5 }),
    );
  const write = (rows: string[][], end: string) =>
    rows.map((row) => row.map((text) => `"${text.replaceAll('"', '""')}"`).join(',') + end).join('');
  fc.assert(
    fc.property(tables, fc.constantFrom('\n', '\r\n'), (rows, end) => {
      assert.deepEqual(parseCsv(write(rows, end)), rows);
    }),
  );
});

test('malformed text is refused at its row and column', () => {
  at('', 1, 1);
  at('a,b\n1', 2, 1);
  at('a,b\n1,2,3', 2, 3);
  at('a,b\n1,"2', 2, 2);
  at('a,b\n1,2"', 2, 2);
  at('a,b\n"1"x,2', 2, 1);
  at('a,b\r1,2', 1, 2);
});

test('the fixture is what its generator writes', () => {
  assert.equal(sensorTable(), table);
});

test('the fixture reads as 400 records of 100 subjects in 3 classes', () => {
  const records = csvRecords(spec, table);
  assert.equal(records.length, 400);
  assert.equal(new Set(records.map((record) => record.subjectId)).size, 100);
  assert.deepEqual(new Set(records.map((record) => record.label)), new Set([0, 1, 2]));
  for (const { subjectId: _, ...row } of records) {
    assert.deepEqual(decodePayload(spec, encodePayload(spec, row)), row);
  }
  const matrix = byteMatrix(spec, records);
  assert.equal(matrix.length, 400 * vectorWidth(spec));
  assert.ok(matrix.some((value) => value > 0 && value < 255));
});

test('columns may come in any order; an empty label means no label', () => {
  const shuffled = 'state,valve,site,flow,vibration,pressure,temperature,operator\n,shut,east,200,0,8,60,p\n';
  assert.deepEqual(csvRecords(spec, shuffled), [{ subjectId: 'p', values: [60, 8, 0, 200, 2, 2] }]);
});

test('a bad cell is refused with row and column, and its content is not repeated', () => {
  const secret = 'Zz9-secret';
  const good = ['p1', '50', '4', '2', '100', 'north', 'open', 'normal'];
  const header = 'operator,temperature,pressure,vibration,flow,site,valve,state';
  const bad: [number, string][] = [
    [1, secret],
    [1, ''],
    [1, ' 50'],
    [1, '0x10'],
    [1, 'NaN'],
    [1, '1e999'],
    [2, '8.01'],
    [3, '-1'],
    [5, secret],
    [6, 'Open'],
    [7, secret],
    [0, ''],
  ];
  for (const [column, cell] of bad) {
    const row = good.with(column, cell);
    const text = [header, good.join(','), row.join(',')].join('\n');
    assert.throws(
      () => csvRecords(spec, text),
      (error) => {
        assert.ok(error instanceof LetheError && isError(error, DATASETS.CSV_VALUE_INVALID));
        assert.equal(error.details.row, 3);
        assert.equal(error.details.column, column + 1);
        assert.ok(!JSON.stringify([error.message, error.details]).includes(secret));
        return true;
      },
    );
  }
});

test('another header is refused', () => {
  const wrong = [
    'operator,temperature,pressure,vibration,flow,site,valve\n',
    table.replace('valve', 'valves'),
    table.replace('operator,', 'operator,extra,').replaceAll(/\noperator-\d+/g, '$&,1'),
  ];
  for (const text of wrong) assert.throws(() => csvRecords(spec, text), LetheError);
});

test('a vector field is read from numbered columns', () => {
  const vector = parseSpec({
    ...spec,
    fields: [{ kind: 'numeric-vector', name: 'v', element: 'uint8', shape: [2], min: 0, max: 9 }],
  });
  assert.deepEqual(csvRecords(vector, 'operator,v_0,v_1,state\np,3,9,leak\n')[0]!.values, [
    Uint8Array.of(3, 9),
  ]);
  assert.throws(
    () => csvRecords(vector, 'operator,v_0,v_1,state\np,3,2.5,leak\n'),
    (e) => isError(e, DATASETS.CSV_VALUE_INVALID),
  );
});
