import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '@lethe/std';
import { forwardReal, inverseReal, transformError } from './fft.ts';

test('a transform is the sum that it stands for, within its stated error, and comes back', () => {
  const random = seededRandom('fft');
  for (const n of [4, 8, 16, 64, 2048, 4096]) {
    const values = Float64Array.from(random.bytes(n), (byte) => byte / 256);
    const total = values.reduce((a, b) => a + b, 0);
    const { re, im } = forwardReal(values);
    const bits = Math.log2(n / 2);
    for (const slot of new Set([0, 1, 2, 3, 5, n / 4, n / 2 - 1])) {
      if (slot >= n / 2) continue;
      let k = 0;
      for (let b = 0; b < bits; b++) if ((slot >> b) & 1) k |= 1 << (bits - 1 - b);
      let [r, i] = [0, 0];
      for (let j = 0; j < n; j++) {
        r += values[j]! * Math.cos((2 * Math.PI * ((j * k) % n)) / n);
        i -= values[j]! * Math.sin((2 * Math.PI * ((j * k) % n)) / n);
      }
      // The plain sum has an error of its own.
      const allowed = transformError(n) * total + 1e-14 * total;
      assert.ok(Math.abs(re[slot]! - r) <= allowed, `n ${n} slot ${slot}`);
      if (slot > 0) assert.ok(Math.abs(im[slot]! - i) <= allowed, `n ${n} slot ${slot}`);
    }
    const back = inverseReal({ re, im });
    for (let j = 0; j < n; j++) assert.ok(Math.abs(back[j]! - values[j]!) <= 4 * transformError(n));
  }
});
