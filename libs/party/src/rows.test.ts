import assert from 'node:assert/strict';
import { existsSync, linkSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { bytesOf, isError } from '@lethe/std';
import { PARTY } from './errors.ts';
import { decodeRows, encodeRows, type PartyRows, RowStore, writeRowsFile } from './rows.ts';

const folder = mkdtempSync(join(tmpdir(), 'lethe-rows-'));
after(() => rmSync(folder, { recursive: true }));
const ROWS: PartyRows = {
  element: 'uint8',
  columns: 3,
  rows: new Map([
    ['a-1', Uint8Array.of(10, 20, 30)],
    ['b-1', Uint8Array.of(177, 178, 179)],
    ['ü-1', Uint8Array.of(0, 255, 51)],
  ]),
};

test('rows come back as they were written, scaled by their element', () => {
  assert.deepEqual(decodeRows(encodeRows(ROWS)), ROWS);
  const store = new RowStore(ROWS);
  assert.deepEqual(store.matrix(['ü-1']), Float32Array.of(0, 1, 0.2));
  const floats: PartyRows = {
    element: 'float32',
    columns: 2,
    rows: new Map([['x', bytesOf(Float32Array.of(1.5, -2))]]),
  };
  assert.deepEqual(new RowStore(decodeRows(encodeRows(floats))).matrix(['x']), Float32Array.of(1.5, -2));
  assert.throws(
    () => store.matrix(['c-1']),
    (error: unknown) => isError(error, PARTY.ROWS_MISSING),
  );
});

test('a file that is something else, is cut short, goes on or repeats a row is refused', () => {
  const bytes = encodeRows(ROWS);
  const twice = Uint8Array.from([...encodeRows({ ...ROWS, rows: new Map([...ROWS.rows].slice(0, 1)) })]);
  const doubled = Uint8Array.from([...twice, ...twice.subarray(20)]);
  new DataView(doubled.buffer).setUint32(16, 2, true);
  for (const bad of [bytes.subarray(1), bytes.subarray(0, -1), Uint8Array.from([...bytes, 0]), doubled]) {
    assert.throws(
      () => decodeRows(bad),
      (error: unknown) => isError(error, PARTY.ROWS_FILE_MALFORMED),
    );
  }
});

test('an erased row is in no file, and the bytes of the old file are zeros', () => {
  const path = join(folder, 'rows.bin');
  writeRowsFile(path, ROWS);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  // A second name for the old bytes, to look at them afterwards.
  linkSync(path, join(folder, 'witness'));
  const store = RowStore.open(path);
  store.erase(['b-1', 'never-held']);
  assert.equal(store.size, 2);
  assert.deepEqual([...decodeRows(readFileSync(path)).rows.keys()], ['a-1', 'ü-1']);
  assert.ok(readFileSync(join(folder, 'witness')).every((byte) => byte === 0));
  assert.ok(!existsSync(`${path}.old`) && !existsSync(`${path}.new`));
});

test('an erasure that was cut short between its steps is ended at the next opening', () => {
  const path = join(folder, 'cut.bin');
  writeRowsFile(path, ROWS);
  // Cut after the link: both names are one file, whose rows must survive.
  linkSync(path, `${path}.old`);
  writeRowsFile(`${path}.new`, { ...ROWS, rows: new Map() });
  assert.equal(RowStore.open(path).size, 3);
  // Cut after the renaming: the old bytes still have a name.
  writeRowsFile(`${path}.old`, ROWS);
  linkSync(`${path}.old`, join(folder, 'old-witness'));
  assert.equal(RowStore.open(path).size, 3);
  assert.ok(!existsSync(`${path}.old`));
  assert.ok(readFileSync(join(folder, 'old-witness')).every((byte) => byte === 0));
});
