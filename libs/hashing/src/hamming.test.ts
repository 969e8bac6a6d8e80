import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compareBytes, isError, seededRandom } from '@lethe/std';
import { HASHING } from './errors.ts';
import { distance, HammingIndex } from './hamming.ts';

interface Item {
  readonly itemId: Uint8Array;
  readonly code: Uint8Array;
}

function fill(codeBits: number, count: number, code?: Uint8Array) {
  const random = seededRandom('hamming', codeBits, count);
  const index = new HammingIndex(codeBits);
  const items: Item[] = Array.from({ length: count }, () => ({
    itemId: random.bytes(16),
    code: code ?? random.bytes(codeBits / 8),
  }));
  for (const item of items) index.add(item.itemId, item.code);
  return { index, items, random };
}

/** The definition, by sorting everything. */
function bruteForce(items: readonly Item[], query: Uint8Array, k: number) {
  return items
    .map((item, lane) => ({
      itemId: item.itemId,
      lane,
      distance: distance(item.code, 0, query, 0, query.length),
    }))
    .sort((a, b) => a.distance - b.distance || compareBytes(a.itemId, b.itemId))
    .slice(0, k);
}

test('distance counts differing bits', () => {
  assert.equal(distance(Uint8Array.of(0, 0b1011), 1, Uint8Array.of(0b0110), 0, 1), 3);
  const ones = new Uint8Array(32).fill(255);
  assert.equal(distance(ones, 0, new Uint8Array(32), 0, 32), 256);
});

for (const codeBits of [8, 32, 64, 256]) {
  test(`finds what sorting everything finds, ${codeBits} bits`, () => {
    // 1,100 items grow the planes once.
    const { index, items, random } = fill(codeBits, 1_100);
    for (const k of [1, 10, 1_100, 5_000]) {
      const query = random.bytes(codeBits / 8);
      assert.deepEqual(index.search(query, k), bruteForce(items, query, k));
    }
    const far = items[0]!.code.map((byte) => ~byte);
    assert.equal(index.search(far, 5_000).at(-1)!.distance, codeBits);
  });
}

test('among equal codes the lowest ids are found, in whatever order they came', () => {
  const { index, items } = fill(64, 200, new Uint8Array(8).fill(7));
  const lowest = items
    .map((item) => item.itemId)
    .sort(compareBytes)
    .slice(0, 10);
  assert.deepEqual(
    index.search(new Uint8Array(8), 10).map((hit) => hit.itemId),
    lowest,
  );
});

test('a lane mask filters', () => {
  const { index, items, random } = fill(64, 300);
  const mask = Uint8Array.from(items, (_, lane) => lane % 3);
  const query = random.bytes(8);
  const expected = bruteForce(items, query, 300).filter((hit) => hit.lane % 3 !== 0);
  assert.deepEqual(index.search(query, 300, mask), expected);
  assert.ok(index.search(query, 300, new Uint8Array(10).fill(1)).every((hit) => hit.lane < 10));
});

test('an erased item is neither found nor left in memory, and its lane is not given again', () => {
  const { index, items, random } = fill(64, 1_100);
  const victim = items[500]!;
  const present = (bytes: Uint8Array) =>
    index.memory().some((memory) => Buffer.from(memory).includes(Buffer.from(bytes)));
  assert.ok(
    present(victim.itemId) && index.lanesHolding(victim.code).length === 1,
    'the scan sees what is there',
  );
  const others = items.filter((item) => item !== victim);
  const query = victim.code;
  const before = index.search(query, 1_100).filter((hit) => hit.lane !== 500);
  assert.equal(index.erase(victim.itemId), 500);
  assert.ok(!present(victim.itemId));
  assert.deepEqual(index.lanesHolding(victim.code), []);
  assert.deepEqual(index.search(query, 1_100), before);
  assert.equal(index.size, others.length);
  assert.equal(index.add(random.bytes(16), new Uint8Array(8)), 1_100);
  assert.equal(index.search(new Uint8Array(8), 1)[0]!.lane, 1_100, 'the zeroed lane does not answer');
  assert.throws(
    () => index.erase(victim.itemId),
    (e) => isError(e, HASHING.ITEM_NOT_FOUND),
  );
});

test('wrong lengths, a second add and k = 0 are refused', () => {
  const { index, items } = fill(64, 2);
  const { itemId, code } = items[0]!;
  assert.throws(
    () => index.add(itemId, code),
    (e) => isError(e, HASHING.ITEM_EXISTS),
  );
  assert.throws(
    () => index.add(itemId.subarray(1), code),
    (e) => isError(e, HASHING.SHAPE_MISMATCH),
  );
  assert.throws(
    () => index.search(code.subarray(1), 1),
    (e) => isError(e, HASHING.CODE_LENGTH_WRONG),
  );
  assert.throws(
    () => index.search(code, 0),
    (e) => isError(e, HASHING.OPTION_INVALID),
  );
});
