import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hex } from '@lethe/std';
import fc from 'fast-check';
import { IdMap } from './id-map.ts';

const idOf = (n: number): Uint8Array => Uint8Array.from({ length: 16 }, (_, i) => (i === 3 ? n : 7));

test('it does as a Map of hex strings does, through growth and removal, and keeps no copy of a removed id', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.boolean(), fc.nat(200)), { maxLength: 600 }), (steps) => {
      const map = new IdMap();
      const plain = new Map<string, number>();
      for (const [i, [add, n]] of steps.entries()) {
        const id = idOf(n);
        const known = plain.has(hex(id));
        if (add) {
          assert.equal(map.add(id, 0, i), !known);
          if (!known) plain.set(hex(id), i);
        } else {
          assert.equal(map.remove(id), plain.delete(hex(id)));
          assert.ok(map.memory().every((bytes) => Buffer.from(bytes).indexOf(id) === -1));
        }
        assert.equal(map.size, plain.size);
      }
      for (let n = 0; n <= 200; n++) assert.equal(map.get(idOf(n)), plain.get(hex(idOf(n))) ?? -1);
    }),
    { numRuns: 60 },
  );
});
