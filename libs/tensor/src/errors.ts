import { defineErrors } from '@lethe/std';

/** Errors of the tensor library: LETHE-3000 to 3019. */
export const TENSOR = defineErrors({
  SHAPE_MISMATCH: {
    code: 'LETHE-3000',
    status: 'INVALID_ARGUMENT',
    remedy: 'Give a tensor whose shape and number of elements agree with what the message names.',
  },
  DTYPE_MISMATCH: {
    code: 'LETHE-3001',
    status: 'INVALID_ARGUMENT',
    remedy:
      'Give the typed array that belongs to the dtype: Float32Array, Float64Array, BigInt64Array or Uint8Array.',
  },
});
