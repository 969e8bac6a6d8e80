/// <reference lib="esnext.float16" />
/**
 * What a party gets back: for each row the gradient of the row's loss with respect to its code (not divided by the batch, so that half
 * precision is enough). Rows in the order of the batch.
 *
 * `sign`: mean absolute value as float16, little-endian, then the signs, packed least significant bit first (1 bit SGD with a scale per row): 2 + ceil(d/8) bytes.
 * `int8`: largest absolute value / 127 as float32, then d signed bytes: 4 + d bytes.
 * `float32`: d little-endian float32; for comparison.
 * None of them hides labels: the consistency term points away from the class's target in every format.
 */
import { bytesOf } from '@lethe/std';
import { codeBytes } from './code-wire.ts';
import { VERTICAL } from './errors.ts';

export type GradientFormat = 'sign' | 'int8' | 'float32';

export function gradientRowBytes(codeBits: number, format: GradientFormat): number {
  return { sign: 2 + codeBytes(codeBits), int8: 4 + codeBits, float32: 4 * codeBits }[format];
}

const HALF_MAX = 65_504;

/** @param gradients [rows, codeBits] @throws LETHE-3503 a gradient is not finite */
export function encodeGradients(
  gradients: Float32Array,
  codeBits: number,
  format: GradientFormat,
): Uint8Array {
  if (!gradients.every(Number.isFinite)) throw VERTICAL.BAD_GRADIENTS('a gradient is not finite');
  if (format === 'float32') return bytesOf(gradients).slice();
  const rows = gradients.length / codeBits;
  const stride = gradientRowBytes(codeBits, format);
  const bytes = new Uint8Array(rows * stride);
  const view = new DataView(bytes.buffer);
  for (let row = 0; row < rows; row++) {
    const values = gradients.subarray(row * codeBits, (row + 1) * codeBits);
    const at = row * stride;
    if (format === 'sign') {
      const mean = values.reduce((sum, value) => sum + Math.abs(value), 0) / codeBits;
      view.setFloat16(at, Math.min(mean, HALF_MAX), true);
      for (const [bit, value] of values.entries())
        if (value >= 0) bytes[at + 2 + (bit >> 3)]! |= 1 << (bit & 7);
    } else {
      const scale = values.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0) / 127;
      view.setFloat32(at, scale, true);
      const used = view.getFloat32(at, true);
      for (const [i, value] of values.entries())
        view.setInt8(at + 4 + i, used === 0 ? 0 : Math.round(value / used));
    }
  }
  return bytes;
}

/** @returns [rows, codeBits] @throws LETHE-3503 another length than `rows` gradients have, or a scale that is not finite */
export function decodeGradients(
  bytes: Uint8Array,
  rows: number,
  codeBits: number,
  format: GradientFormat,
): Float32Array {
  const stride = gradientRowBytes(codeBits, format);
  if (bytes.length !== rows * stride) {
    throw VERTICAL.BAD_GRADIENTS(
      `${bytes.length} bytes are not ${rows} ${format} gradients of ${codeBits} values`,
      {
        details: { bytes: bytes.length, rows, codeBits, format },
      },
    );
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const gradients = new Float32Array(rows * codeBits);
  for (let row = 0; row < rows; row++) {
    const at = row * stride;
    for (let i = 0; i < codeBits; i++) gradients[row * codeBits + i] = valueAt(view, at, i, format);
  }
  if (!gradients.every(Number.isFinite)) throw VERTICAL.BAD_GRADIENTS('a gradient is not finite');
  return gradients;
}

function valueAt(view: DataView, at: number, i: number, format: GradientFormat): number {
  if (format === 'float32') return view.getFloat32(at + 4 * i, true);
  if (format === 'int8') return view.getFloat32(at, true) * view.getInt8(at + 4 + i);
  const positive = (view.getUint8(at + 2 + (i >> 3)) >> (i & 7)) & 1;
  return view.getFloat16(at, true) * (positive ? 1 : -1);
}
