/** IDX, the file format of MNIST and its kin: two zero bytes, a type, the number of axes, their lengths as uint32 big-endian, the data. */
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { DATASETS } from './errors.ts';

export interface IdxArray {
  readonly shape: readonly number[];
  readonly data: Uint8Array;
}

const UINT8 = 8;

/** Arrays of unsigned bytes, the only type that we need. @throws LETHE-2314 */
export function decodeIdx(bytes: Uint8Array, name = 'the file'): IdxArray {
  const malformed = (why: string) => DATASETS.FILE_MALFORMED(`${name} is no IDX file of bytes: ${why}`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 4 || view.getUint16(0) !== 0) throw malformed('it does not start with two zeros');
  if (bytes[2] !== UINT8) throw malformed('its elements have another type');
  const axes = bytes[3]!;
  const start = 4 + 4 * axes;
  if (axes === 0 || bytes.length < start) throw malformed('its head is cut off');
  const shape = Array.from({ length: axes }, (_, axis) => view.getUint32(4 + 4 * axis));
  const size = shape.reduce((product, length) => product * length, 1);
  if (bytes.length !== start + size) throw malformed('its length is not what its head says');
  return { shape, data: new Uint8Array(bytes.buffer, bytes.byteOffset + start, size) };
}

/** Reads a gzipped IDX file. @throws LETHE-2314 */
export function readIdxGz(path: string): IdxArray {
  let bytes: Uint8Array;
  try {
    bytes = gunzipSync(readFileSync(path));
  } catch (cause) {
    throw DATASETS.FILE_MALFORMED(`${basename(path)} cannot be read as gzip`, { cause });
  }
  return decodeIdx(bytes, basename(path));
}
