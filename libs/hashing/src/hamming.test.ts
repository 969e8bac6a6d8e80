import assert from 'node:assert/strict';
import { test } from 'node:test';
import { distance } from './hamming.ts';

test('distance counts differing bits', () => {
  assert.equal(distance(Uint8Array.of(0, 0b1011), 1, Uint8Array.of(0b0110), 0, 1), 3);
  const ones = new Uint8Array(32).fill(255);
  assert.equal(distance(ones, 0, new Uint8Array(32), 0, 32), 256);
});
