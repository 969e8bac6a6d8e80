import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hex, isError } from '@lethe/std';
import { elements, float32, scalar, TENSOR, tensor, tensorsDigest, zeros } from './index.ts';

test('a tensor refuses data that its shape or dtype does not describe', () => {
  assert.throws(
    () => float32([2, 3], new Float32Array(5)),
    (error) => isError(error, TENSOR.SHAPE_MISMATCH),
  );
  assert.throws(
    () => float32([-1, -5], new Float32Array(5)),
    (error) => isError(error, TENSOR.SHAPE_MISMATCH),
  );
  assert.throws(
    () => tensor('float32', [2], new Float64Array(2) as unknown as Float32Array),
    (error) => isError(error, TENSOR.DTYPE_MISMATCH),
  );
});

test('a scalar has one element, an empty axis none', () => {
  assert.equal(elements([]), 1);
  assert.equal(elements([3, 0]), 0);
  assert.equal(scalar(2).data[0], 2);
  assert.equal(zeros('int64', [2, 2]).data.length, 4);
});

test('the digest covers names, shapes, dtypes and every byte, not the order of keys', () => {
  const a = float32([2], Float32Array.of(1, 2));
  const b = float32([1, 2], Float32Array.of(1, 2));
  const digest = (tensors: Parameters<typeof tensorsDigest>[0]): string => hex(tensorsDigest(tensors));
  assert.equal(digest({ w: a, b }), digest({ b, w: a }));
  const others = [
    { w: a },
    { v: a },
    { w: b },
    { w: float32([2], Float32Array.of(1, 2.0000002)) },
    { w: tensor('float64', [2], Float64Array.of(1, 2)) },
    { w: float32([2], Float32Array.of(1, 0)), b },
    { w: float32([2], Float32Array.of(1, -0)), b },
  ];
  assert.equal(new Set(others.map(digest)).size, others.length);
});
