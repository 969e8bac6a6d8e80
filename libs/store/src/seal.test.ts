import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '@lethe/std';
import fc from 'fast-check';
import { KEY_BYTES, open, SEAL_OVERHEAD_BYTES, seal } from './seal.ts';

const random = seededRandom('seal.test');
const key = random.bytes(KEY_BYTES);

test('what is sealed opens under the same key and binding, and is as long as stated', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.string(), (plaintext, binding) => {
      const sealed = seal(key, plaintext, binding);
      assert.equal(sealed.length, plaintext.length + SEAL_OVERHEAD_BYTES);
      assert.deepEqual(open(key, sealed, binding), plaintext);
    }),
  );
});

test('each changed bit is refused, and so are another key, another binding and a cut', () => {
  const sealed = seal(key, random.bytes(40), 'records/acme/digits/a1');
  for (let bit = 0; bit < sealed.length * 8; bit++) {
    const changed = sealed.slice();
    changed[bit >> 3] = (changed[bit >> 3] as number) ^ (1 << (bit & 7));
    assert.throws(() => open(key, changed, 'records/acme/digits/a1'), /LETHE-220[56]/);
  }
  assert.throws(() => open(random.bytes(KEY_BYTES), sealed, 'records/acme/digits/a1'), /LETHE-2206/);
  assert.throws(() => open(key, sealed, 'records/acme/digits/a2'), /LETHE-2206/);
  assert.throws(() => open(key, sealed.subarray(0, 20), 'records/acme/digits/a1'), /LETHE-2205/);
  assert.throws(() => open(key, sealed.subarray(0, 50), 'records/acme/digits/a1'), /LETHE-2206/);
});

test('sealing twice never gives the same bytes, unless the random source is given', () => {
  const plaintext = random.bytes(16);
  assert.notDeepEqual(seal(key, plaintext, 'x'), seal(key, plaintext, 'x'));
  assert.deepEqual(seal(key, plaintext, 'x', seededRandom(1)), seal(key, plaintext, 'x', seededRandom(1)));
});
