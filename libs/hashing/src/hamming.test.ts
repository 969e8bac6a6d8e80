import assert from 'node:assert/strict';
import { test } from 'node:test';
import { distance, popcount64 } from './hamming.ts';

test('distance counts differing bits', () => {
  assert.equal(distance(Uint8Array.of(0, 0b1011), 1, Uint8Array.of(0b0110), 0, 1), 3);
  const ones = new Uint8Array(32).fill(255);
  assert.equal(distance(ones, 0, new Uint8Array(32), 0, 32), 256);
});

test('set bits of two words are those of their digits', () => {
  for (const [low, high] of [
    [0, 0],
    [-1, -1],
    [-1, 0],
    [0x8000_0001, 0x7fff_ffff],
    [0x1234_5678, 0xfedc_ba98],
  ] as const) {
    const digits = [low, high].map((word) => (word >>> 0).toString(2)).join('');
    assert.equal(popcount64(low, high), digits.replaceAll('0', '').length);
  }
});
