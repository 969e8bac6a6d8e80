import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MerkleLog } from '@lethe/merkle';
import { compareBytes, hex, isError, seededRandom } from '@lethe/std';
import fc from 'fast-check';
import {
  HASHING,
  ITEM_ID_BYTES,
  type LedgerEntry,
  labelBytes,
  ledgerLeaf,
  SALT_BYTES,
  Segment,
  type SegmentRows,
} from './index.ts';

const PLACE = { codeBits: 64, classes: 11, number: 3 };
const ALIASES = ['anna', 'bo', 'an', 'čeněk'];

function rowsOf(count: number, seed: string | number, place = PLACE): SegmentRows {
  const random = seededRandom('segment test', seed);
  const mask = labelBytes(place.classes);
  const labels = random.bytes(count * mask);
  const pad = place.classes % 8;
  if (pad > 0) for (let i = 1; i <= count; i++) labels[i * mask - 1]! &= (1 << pad) - 1;
  return {
    ids: random.bytes(count * ITEM_ID_BYTES),
    codes: random.bytes((count * place.codeBits) / 8),
    salts: random.bytes(count * SALT_BYTES),
    fnVersions: Uint32Array.from({ length: count }, () => 1 + random.below(3)),
    modalities: Uint8Array.from({ length: count }, () => random.below(2)),
    labels,
    owners: Uint32Array.from({ length: count }, () => random.below(ALIASES.length)),
    aliases: ALIASES,
  };
}

const slice = (bytes: Uint8Array, row: number, width: number): Uint8Array =>
  bytes.slice(row * width, (row + 1) * width);

function entryOf(segment: Segment, row: number): LedgerEntry {
  const { ids, codes, salts, fnVersions } = segment.columns;
  const itemId = slice(ids, row, ITEM_ID_BYTES);
  if (segment.isErased(row)) return { kind: 'erased', itemId, seq: segment.erasedSeq(row) };
  return {
    kind: 'live',
    itemId,
    fnVersion: fnVersions[row]!,
    code: slice(codes, row, segment.shape.codeBits / 8),
    salt: slice(salts, row, SALT_BYTES),
  };
}

/** The root by the ledger's own leaf format and the plain log. */
const plainRoot = (segment: Segment): Uint8Array =>
  MerkleLog.fromLeafHashes(
    Array.from({ length: segment.rows }, (_, row) => ledgerLeaf(entryOf(segment, row))),
  ).root();

const damaged = (error: unknown): boolean => isError(error, HASHING.SEGMENT_MALFORMED);

test('appended in any pieces, a segment has the same bytes and the root of the ledger', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 60 }),
      fc.integer({ min: 0, max: 60 }),
      fc.nat(99),
      (a, b, seed) => {
        const all = rowsOf(a + b, seed);
        const part = (from: number, to: number): SegmentRows => ({
          ids: all.ids.slice(from * 16, to * 16),
          codes: all.codes.slice(from * 8, to * 8),
          salts: all.salts.slice(from * 32, to * 32),
          fnVersions: all.fnVersions.slice(from, to),
          modalities: all.modalities.slice(from, to),
          labels: all.labels.slice(from * 2, to * 2),
          owners: all.owners.slice(from, to),
          aliases: all.aliases,
        });
        const whole = Segment.appended(undefined, PLACE, all);
        const first = Segment.appended(undefined, PLACE, part(0, a));
        const both = b === 0 ? first : Segment.appended(first, PLACE, part(a, a + b));
        assert.deepEqual(both.bytes, whole.bytes);
        assert.deepEqual(both.root(), plainRoot(whole));
        const back = Segment.decode(whole.bytes.slice());
        const bySteps = Segment.decode(whole.bytes.slice());
        while (bySteps.hashSome(7));
        assert.deepEqual(bySteps.root(), whole.root());
        const begun = Segment.decode(whole.bytes.slice());
        begun.hashSome(5);
        for (const rows of [0, -1, 0.5, Number.NaN]) {
          assert.throws(
            () => begun.hashSome(rows),
            (error) => isError(error, HASHING.OPTION_INVALID),
          );
        }
        assert.deepEqual(begun.root(), whole.root());
        assert.deepEqual(back.root(), whole.root());
        for (let row = 0; row < a + b; row++) {
          assert.equal(back.aliases[back.columns.owners[row]!], ALIASES[all.owners[row]!]);
        }
      },
    ),
    { numRuns: 50 },
  );
});

test('an erasure leaves the id and the sequence; in one step or several, in any order, the bytes are the same', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 2, max: 50 }),
      fc.uniqueArray(fc.nat(49), { minLength: 1, maxLength: 20 }),
      fc.nat(99),
      (count, picks, seed) => {
        const rows = [...new Set(picks.map((pick) => pick % count))].sort((x, y) => x - y);
        const before = Segment.appended(undefined, PLACE, rowsOf(count, seed));
        const after = before.erased(rows, 2n ** 63n + 5n);
        const stepwise = rows.reduceRight((segment, row) => segment.erased([row], 2n ** 63n + 5n), before);
        assert.deepEqual(stepwise.bytes, after.bytes);
        const back = Segment.decode(after.bytes.slice());
        assert.deepEqual(back.erasedRows(), rows);
        assert.deepEqual(back.root(), after.root());
        assert.deepEqual(plainRoot(back), after.root());
        for (let row = 0; row < count; row++) {
          const [was, is] = [entryOf(before, row), entryOf(back, row)];
          if (rows.includes(row)) {
            assert.deepEqual(is, { kind: 'erased', itemId: was.itemId, seq: 2n ** 63n + 5n });
            const { codes, salts } = before.columns;
            for (const gone of [slice(codes, row, 8), slice(salts, row, SALT_BYTES)]) {
              assert.equal(Buffer.from(after.bytes).indexOf(gone), -1);
              assert.notEqual(Buffer.from(before.bytes).indexOf(gone), -1);
            }
          } else {
            assert.deepEqual(is, was);
            assert.equal(
              back.aliases[back.columns.owners[row]!],
              before.aliases[before.columns.owners[row]!],
            );
          }
        }
      },
    ),
    { numRuns: 50 },
  );
});

test('a person is found by alias without reading strings, and is gone from the text with the last row', () => {
  const segment = Segment.appended(undefined, PLACE, rowsOf(40, 'alias'));
  for (const [i, alias] of segment.aliases.entries()) assert.equal(segment.aliasIndex(alias), i);
  for (const alias of ['nna', 'ann', 'boan', '', 'x']) assert.equal(segment.aliasIndex(alias), -1);
  const anna = segment.aliasIndex('anna');
  const rows = Array.from({ length: 40 }, (_, row) => row).filter(
    (row) => segment.columns.owners[row] === anna,
  );
  assert.ok(rows.length > 1);
  assert.equal(segment.erased(rows.slice(1), 1n).aliasIndex('anna') >= 0, true);
  const after = segment.erased(rows, 1n);
  assert.equal(after.aliasIndex('anna'), -1);
  assert.equal(Buffer.from(after.bytes).indexOf('anna'), -1);
});

test('a re-encoded row has another code, version and salt; no other byte of a row changes', () => {
  const before = Segment.appended(undefined, PLACE, rowsOf(30, 're'));
  const fresh = seededRandom('fresh');
  const [codes, salts] = [fresh.bytes(16), fresh.bytes(64)];
  const after = before.reencoded([4, 20], codes, salts, 9);
  assert.deepEqual(Segment.decode(after.bytes.slice()).root(), after.root());
  for (let row = 0; row < 30; row++) {
    const at = [4, 20].indexOf(row);
    if (at === -1) assert.deepEqual(entryOf(after, row), entryOf(before, row));
    else {
      const expected = { fnVersion: 9, code: slice(codes, at, 8), salt: slice(salts, at, 32) };
      assert.deepEqual(entryOf(after, row), { ...entryOf(before, row), ...expected });
    }
  }
});

test('cut short at any byte or followed by one: refused; a flipped bit is refused or gives another digest and root', () => {
  const { bytes } = Segment.appended(undefined, PLACE, rowsOf(13, 'cut')).erased([2, 7], 77n);
  const good = Segment.decode(bytes.slice());
  for (let end = 0; end < bytes.length; end++) {
    assert.throws(() => Segment.decode(bytes.slice(0, end)), damaged, `cut at ${end}`);
  }
  assert.throws(() => Segment.decode(Buffer.concat([bytes, Uint8Array.of(0)])), damaged);
  let refused = 0;
  for (let bit = 0; bit < 8 * bytes.length; bit++) {
    const bad = bytes.slice();
    bad[bit >> 3]! ^= 1 << (bit & 7);
    try {
      const read = Segment.decode(bad.slice());
      // One encoding: what is accepted means something else.
      assert.ok(compareBytes(read.bytes, good.bytes) !== 0);
      const { columns, shape } = read;
      const same =
        hex(read.root()) === hex(good.root()) &&
        hex(columns.modalities) === hex(good.columns.modalities) &&
        hex(columns.labels) === hex(good.columns.labels) &&
        columns.owners.join() === good.columns.owners.join() &&
        shape.number === good.shape.number &&
        shape.codeBits === good.shape.codeBits &&
        shape.classes === good.shape.classes &&
        read.aliases.join() === good.aliases.join();
      assert.ok(!same, `bit ${bit} changes nothing`);
    } catch (error) {
      if (!damaged(error)) throw error;
      refused++;
    }
  }
  assert.ok(refused > 600, `${refused} refused`);
});

test('the named rules of the one encoding: gaps, erased rows, aliases', () => {
  const { bytes } = Segment.appended(undefined, PLACE, rowsOf(13, 'rules')).erased([2], 7n);
  const spoil = (what: (segment: Segment) => void, message: RegExp): void => {
    const segment = Segment.decode(bytes.slice());
    what(segment);
    assert.throws(
      () => Segment.decode(segment.bytes),
      (error) => damaged(error) && message.test(String(error)) && /segment 3:/.test(String(error)),
    );
  };
  spoil(({ bytes }) => bytes.fill(1, 36, 37), /gap/);
  spoil(({ columns }) => columns.codes.fill(1, 16, 17), /erased row/);
  spoil(({ columns }) => columns.salts.fill(1, 64, 65), /erased row/);
  spoil(({ columns }) => columns.labels.fill(255, 1, 2), /label/);
  spoil(({ columns }) => columns.erasedBits.fill(0), /counts/);
  spoil(({ columns }) => columns.erasedBits.fill(255, 1, 2), /beyond/);
  spoil(({ columns }) => columns.owners.fill(3, 0, 1), /order|counts/);
  spoil(({ columns }) => columns.aliasEnds.fill(0, 0, 1), /empty/);
  spoil(({ columns }) => columns.aliasText.fill(0xff, 0, 1), /UTF-8/);
  spoil(({ bytes }) => bytes.fill(9, 8, 9), /version/);
});
