import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ITEM_ID_BYTES, NearDuplicateFilter } from '@lethe/hashing';
import { hex, LetheError, seededRandom } from '@lethe/std';
import { type Duplicate, decodeDuplicates, encodeDuplicates, Originals } from './duplicates.ts';

const damaged = (error: unknown) => error instanceof LetheError && error.code === 'LETHE-4209';

test('items are judged as the library judges them', () => {
  const random = seededRandom('duplicates.test');
  for (const radius of [0, 1, 3, 8]) {
    const filter = new NearDuplicateFilter({ codeBits: 16, radius });
    const originals = new Originals<Uint8Array>(radius);
    let left = 0;
    for (let i = 0; i < 200; i++) {
      // Ids ascend, so that of equally near originals the first is the one with the smallest id as well.
      const id = new Uint8Array(ITEM_ID_BYTES);
      new DataView(id.buffer).setUint32(0, i);
      const code = random.bytes(2);
      code[1]! &= 15;
      const expected = filter.admit(id, code);
      const found = originals.admit(id, code);
      assert.equal(found === undefined, expected.kept);
      if (found === undefined || expected.kept) continue;
      left++;
      assert.equal(hex(found.original), hex(expected.original));
      assert.equal(found.distance, expected.distance);
    }
    assert.equal(originals.size, filter.originals);
    assert.ok(radius === 0 || left > 10);
  }
});

test('a piece has one form, and nothing else is read', () => {
  const random = seededRandom('duplicates.test', 'piece');
  const rows = Array.from(
    { length: 3 },
    (_, i): Duplicate => ({
      original: random.bytes(ITEM_ID_BYTES),
      id: random.bytes(ITEM_ID_BYTES),
      position: 2 ** 40 + i,
      distance: 300 * i,
      modality: i,
    }),
  );
  const bytes = encodeDuplicates(rows);
  assert.deepEqual(decodeDuplicates(bytes), rows);
  for (const broken of [
    bytes.subarray(0, 4),
    bytes.subarray(0, -1),
    new Uint8Array([...bytes, 0]),
    bytes.with(0, 0),
    bytes.with(4, 2),
    bytes.with(bytes.length - 1, 1),
  ])
    assert.throws(() => decodeDuplicates(broken), damaged);
});
