import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom, uniforms } from './random.ts';

test('many uniform draws at once are those of one by one, also across blocks, and leave the stream where they would', () => {
  const [one, many] = [seededRandom('uniforms'), seededRandom('uniforms')];
  for (const count of [0, 1, 3_000, 7]) {
    const expected = Array.from({ length: count }, () => one.uniform());
    assert.deepEqual([...uniforms(many, count)], expected);
    assert.ok(expected.every((value) => value >= 0 && value < 1));
  }
  assert.equal(many.u32(), one.u32());
});
