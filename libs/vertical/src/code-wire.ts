/**
 * What a party sends: one code per row, packed least significant bit first into ceil(codeBits / 8) bytes, rows in the order of the batch. Bit 1 is +1,
 * bit 0 is -1. The float form (little-endian float32) exists for the comparison without the hash layer and is refused by a service.
 */
import { bytesOf } from '@lethe/std';
import { VERTICAL } from './errors.ts';
import type { Representation } from './networks.ts';

export const codeBytes = (codeBits: number): number => Math.ceil(codeBits / 8);

/** @param codes [rows, codeBits] of +1 and -1 */
export function packCodes(codes: Float32Array, codeBits: number): Uint8Array {
  const perRow = codeBytes(codeBits);
  const packed = new Uint8Array((codes.length / codeBits) * perRow);
  codes.forEach((value, i) => {
    const bit = i % codeBits;
    if (value > 0) packed[Math.floor(i / codeBits) * perRow + (bit >> 3)]! |= 1 << (bit & 7);
  });
  return packed;
}

/** @returns [rows, codeBits] of +1 and -1 @throws LETHE-3502 another length than `rows` codes have, or an unused bit is set */
export function unpackCodes(packed: Uint8Array, rows: number, codeBits: number): Float32Array {
  const perRow = codeBytes(codeBits);
  if (packed.length !== rows * perRow) {
    throw VERTICAL.BAD_CODES(`${packed.length} bytes are not ${rows} codes of ${codeBits} bits`, {
      details: { bytes: packed.length, rows, codeBits },
    });
  }
  const codes = new Float32Array(rows * codeBits);
  for (let row = 0; row < rows; row++) {
    for (let bit = 0; bit < 8 * perRow; bit++) {
      const set = (packed[row * perRow + (bit >> 3)]! >> (bit & 7)) & 1;
      if (bit < codeBits) codes[row * codeBits + bit] = set ? 1 : -1;
      else if (set)
        throw VERTICAL.BAD_CODES(`row ${row} sets a bit beyond ${codeBits}`, { details: { row, codeBits } });
    }
  }
  return codes;
}

export function encodeRepresentation(
  values: Float32Array,
  codeBits: number,
  representation: Representation,
): Uint8Array {
  return representation === 'sign' ? packCodes(values, codeBits) : bytesOf(values).slice();
}

/** @throws LETHE-3502 as `unpackCodes` */
export function decodeRepresentation(
  bytes: Uint8Array,
  rows: number,
  codeBits: number,
  representation: Representation,
): Float32Array {
  if (representation === 'sign') return unpackCodes(bytes, rows, codeBits);
  if (bytes.length !== 4 * rows * codeBits) {
    throw VERTICAL.BAD_CODES(`${bytes.length} bytes are not ${rows} rows of ${codeBits} float32`);
  }
  return new Float32Array(bytes.slice().buffer);
}
