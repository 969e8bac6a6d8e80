import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isError } from '@lethe/std';
import {
  allocateClasses,
  classCode,
  emptyCodebook,
  packCode,
  type RowOrder,
  targetCode,
} from './codebook.ts';
import { HASHING } from './errors.ts';

const differing = (a: Int8Array, b: Int8Array) => a.filter((value, i) => value !== b[i]).length;
const names = (count: number) => Array.from({ length: count }, (_, i) => `class-${i}`);

test('any two classes are K/2 bits apart, a class and its complement K', () => {
  for (const order of ['serial', 'spread'] as const) {
    const codebook = allocateClasses(emptyCodebook(64, order), names(124));
    const codes = Array.from({ length: 124 }, (_, c) => classCode(codebook, c));
    for (let a = 0; a < 124; a++) {
      for (let b = 0; b < a; b++) {
        assert.equal(differing(codes[a]!, codes[b]!), a - b === 62 ? 64 : 32, `${order} ${a} ${b}`);
      }
    }
  }
});

/** Bits that are not the same function of the classes as an earlier bit. */
function distinctBits(order: RowOrder, codeBits: number, classes: number): number {
  const codebook = allocateClasses(emptyCodebook(codeBits, order), names(classes));
  const codes = Array.from({ length: classes }, (_, c) => classCode(codebook, c));
  return new Set(Array.from({ length: codeBits }, (_, bit) => codes.map((code) => code[bit]).join())).size;
}

test('ten classes use all bits of a spread codebook, and a quarter of those of a serial one', () => {
  assert.equal(distinctBits('serial', 64, 10), 16);
  assert.equal(distinctBits('spread', 64, 10), 64);
  assert.equal(distinctBits('serial', 256, 18), 32);
  assert.equal(distinctBits('spread', 256, 18), 256);
});

test('every bit of a code separates classes: no row is constant', () => {
  const codebook = allocateClasses(emptyCodebook(16), names(28));
  for (let c = 0; c < 28; c++) assert.equal(classCode(codebook, c).filter((value) => value === 1).length, 8);
});

test('a new class takes the next row and moves no old one; a known name takes none', () => {
  const before = allocateClasses(emptyCodebook(64), ['a', 'b']);
  const after = allocateClasses(before, ['b', 'c']);
  assert.deepEqual(after.classes, ['a', 'b', 'c']);
  for (const c of [0, 1]) assert.deepEqual(classCode(after, c), classCode(before, c));
});

test('the target of two classes is as near to one as to the other', () => {
  const codebook = allocateClasses(emptyCodebook(64), names(10));
  for (let a = 0; a < 10; a++) {
    assert.deepEqual(targetCode(codebook, [a]), classCode(codebook, a));
    for (let b = 0; b < a; b++) {
      const target = targetCode(codebook, [a, b]);
      assert.deepEqual(target, targetCode(codebook, [b, a, b]));
      assert.equal(differing(target, classCode(codebook, a)), differing(target, classCode(codebook, b)));
    }
  }
});

test('packing puts bit k at byte k >> 3, position k & 7', () => {
  const code = new Int8Array(16).fill(-1);
  code[0] = 1;
  code[11] = 1;
  assert.deepEqual(packCode(code), Uint8Array.of(1, 8));
});

test('one class too many, an unknown class and an odd length are refused', () => {
  assert.throws(
    () => allocateClasses(emptyCodebook(64), names(125)),
    (e) => isError(e, HASHING.CODEBOOK_FULL),
  );
  assert.throws(
    () => classCode(allocateClasses(emptyCodebook(64), ['a']), 1),
    (e) => isError(e, HASHING.CLASS_UNKNOWN),
  );
  assert.throws(
    () => targetCode(allocateClasses(emptyCodebook(64), ['a']), []),
    (e) => isError(e, HASHING.CLASS_UNKNOWN),
  );
  assert.throws(
    () => emptyCodebook(48),
    (e) => isError(e, HASHING.OPTION_INVALID),
  );
});
