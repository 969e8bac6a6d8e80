import { bytesOf, concatBytes, sha256, utf8 } from '@lethe/std';
import { TENSOR } from './errors.ts';

/**
 * Tensors as plain records over typed arrays.
 *
 * Convention of the whole platform: row-major, the last axis is contiguous, element `[i, j]` of an `[n, d]` tensor is
 * `data[i * d + j]`. A scalar has shape `[]` and one element. `bool` holds one byte per element, 0 or 1. Packed bits
 * (binary codes) are not tensors; they live with the code that searches them.
 */
export type Shape = readonly number[];

/** Element types that cross the boundary of a graph. */
export type DType = 'float32' | 'float64' | 'int64' | 'bool';

/** The typed array that stores a dtype. */
export interface DataOf {
  float32: Float32Array;
  float64: Float64Array;
  int64: BigInt64Array;
  bool: Uint8Array;
}

export interface Tensor<T extends DType = DType> {
  readonly dtype: T;
  readonly shape: Shape;
  readonly data: DataOf[T];
}

/** Number of elements of a shape; 1 for a scalar. */
export const elements = (shape: Shape): number => shape.reduce((product, size) => product * size, 1);

export const sameShape = (a: Shape, b: Shape): boolean =>
  a.length === b.length && a.every((size, axis) => size === b[axis]);

/** `[2, 3]`, `[]` for a scalar: how shapes are written in messages. */
export const shapeText = (shape: Shape): string => `[${shape.join(', ')}]`;

const dtypeOf = (data: ArrayBufferView): DType | undefined => {
  if (data instanceof Float32Array) return 'float32';
  if (data instanceof Float64Array) return 'float64';
  if (data instanceof BigInt64Array) return 'int64';
  return data instanceof Uint8Array ? 'bool' : undefined;
};

/**
 * Wraps memory as a tensor, without a copy.
 * @param name how the tensor is called in an error
 * @throws LETHE-3000 the number of elements is not that of the shape; LETHE-3001 the array is not of the dtype
 */
export function tensor<T extends DType>(dtype: T, shape: Shape, data: DataOf[T], name = 'tensor'): Tensor<T> {
  if (dtypeOf(data) !== dtype) {
    throw TENSOR.DTYPE_MISMATCH(`${name} is declared ${dtype}`, { details: { name, dtype } });
  }
  if (shape.some((size) => !Number.isInteger(size) || size < 0) || data.length !== elements(shape)) {
    throw TENSOR.SHAPE_MISMATCH(`${name} has ${data.length} elements, shape ${shapeText(shape)}`, {
      details: { name, elements: data.length, shape: shapeText(shape) },
    });
  }
  return { dtype, shape, data };
}

/** A float32 tensor over the array, without a copy. @throws LETHE-3000 as `tensor` */
export const float32 = (shape: Shape, data: Float32Array): Tensor<'float32'> =>
  tensor('float32', shape, data);

/** A tensor of zeros. */
export function zeros<T extends DType>(dtype: T, shape: Shape): Tensor<T> {
  const count = elements(shape);
  const make: { [K in DType]: () => DataOf[K] } = {
    float32: () => new Float32Array(count),
    float64: () => new Float64Array(count),
    int64: () => new BigInt64Array(count),
    bool: () => new Uint8Array(count),
  };
  return { dtype, shape, data: make[dtype]() };
}

/** A scalar float32 tensor. */
export const scalar = (value: number): Tensor<'float32'> => float32([], Float32Array.of(value));

/**
 * SHA-256 of a set of named tensors: for each name in bytewise order, `name NUL dtype NUL shape NUL` and the little-endian
 * bytes. It is the identity of a model's weights in certificates and in comparisons across processes. Every platform that
 * Node.js supports here is little-endian, so the memory's bytes are the digest's bytes.
 * @returns 32 bytes
 */
export function tensorsDigest(tensors: Readonly<Record<string, Tensor>>): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const name of Object.keys(tensors).sort()) {
    const { dtype, shape, data } = tensors[name]!;
    parts.push(utf8(`${name}\0${dtype}\0${shape.join(',')}\0`), bytesOf(data));
  }
  return sha256(concatBytes(...parts));
}
