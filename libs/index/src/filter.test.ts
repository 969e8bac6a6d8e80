import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LaneFilters } from './filter.ts';
import { madeUpIndex } from './fixture.ts';

const SIZE = 40;

test('bits of a filter are kept for the same set only, whatever its size', async () => {
  const { index } = await madeUpIndex(SIZE);
  const filters = new LaneFilters();
  const without = (item: number) => filters.bits({ excludedItems: new Set([item]) }, index.segments(), SIZE)!;
  const [three, four] = [without(3), without(4)];
  assert.equal(three[0], 0b1111_0111);
  assert.equal(four[0], 0b1110_1111);
  const filter = { excludedItems: new Set([5]) };
  const kept = filters.bits(filter, index.segments(), SIZE);
  assert.equal(filters.bits(filter, index.segments(), SIZE), kept);
});

test('bits that are not kept any longer are overwritten, one by one and all of them', async () => {
  const { index } = await madeUpIndex(SIZE);
  const filters = new LaneFilters();
  const made = Array.from(
    { length: 20 },
    (_, i) => filters.bits({ excludedItems: new Set([i]) }, index.segments(), SIZE)!,
  );
  const left = () => made.filter((bits) => bits.some((byte) => byte !== 0)).length;
  assert.equal(left(), 16);
  filters.reset();
  assert.equal(left(), 0);
});
