/**
 * Weights of a TensorFlow.js model: a manifest of names, types and shapes over the concatenated shards (tfjs-core `io/io_utils.ts`, decodeWeights). A weight
 * may be stored as uint8 or uint16 (value = stored x scale + min) or as float16.
 */
import { elements, type Tensor } from '@lethe/tensor';
import { DATASETS } from '../errors.ts';

export interface TfjsWeight {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly quantization?: { readonly dtype: string; readonly scale?: number; readonly min?: number };
}

const WIDTH: Readonly<Record<string, number>> = {
  float32: 4,
  int32: 4,
  uint16: 2,
  float16: 2,
  uint8: 1,
  bool: 1,
};

/** IEEE 754 half precision. */
export function float16(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 0x1f) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** int32 becomes int64, as ONNX wants its shapes and indices. */
function decode(weight: TfjsWeight, bytes: Uint8Array, count: number): Tensor {
  const { shape, dtype, quantization } = weight;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const stored = quantization?.dtype ?? dtype;
  const { scale = 1, min = 0 } = quantization ?? {};
  if (dtype === 'bool') return { dtype: 'bool', shape, data: bytes.slice() };
  if (dtype === 'int32' && !quantization) {
    return {
      dtype: 'int64',
      shape,
      data: BigInt64Array.from({ length: count }, (_, i) => BigInt(view.getInt32(4 * i, true))),
    };
  }
  const read = {
    float32: (i: number) => view.getFloat32(4 * i, true),
    float16: (i: number) => float16(view.getUint16(2 * i, true)),
    uint16: (i: number) => view.getUint16(2 * i, true) * scale + min,
    uint8: (i: number) => view.getUint8(i) * scale + min,
  }[stored];
  if (!read || dtype !== 'float32') {
    throw DATASETS.TFJS_UNSUPPORTED(`the weight ${weight.name} is ${dtype} stored as ${stored}`);
  }
  return { dtype: 'float32', shape, data: Float32Array.from({ length: count }, (_, i) => read(i)) };
}

/** All weights by name. @param bytes the shards, one after the other  @throws LETHE-2320 an element type  @throws LETHE-2314 shards of another length */
export function readTfjsWeights(weights: readonly TfjsWeight[], bytes: Uint8Array): Map<string, Tensor> {
  let at = 0;
  const tensors = new Map<string, Tensor>();
  for (const weight of weights) {
    const stored = weight.quantization?.dtype ?? weight.dtype;
    const width = WIDTH[stored];
    if (width === undefined)
      throw DATASETS.TFJS_UNSUPPORTED(`the weight ${weight.name} is stored as ${stored}`);
    const count = elements(weight.shape);
    const part = bytes.subarray(at, at + count * width);
    at += count * width;
    if (part.length < count * width) break;
    tensors.set(weight.name, decode(weight, part, count));
  }
  if (at !== bytes.length)
    throw DATASETS.FILE_MALFORMED('the weights are not as long as their manifest says');
  return tensors;
}
