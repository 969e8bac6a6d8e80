/**
 * Output of a frozen float encoder as bytes for `createFeatureMap`, by a fixed public rule; nothing is fitted on records.
 *
 *     byte = clamp(round(128 + 32 * sqrt(width) * v / |v|), 0, 255)
 *
 * The entries of a unit vector have a root mean square of 1 / sqrt(width), so 32 steps are one such size and the bytes reach to four
 * of them. Encoders may differ in their last float bits between CPUs: keep the bytes of a record, not its floats, for its
 * subtraction.
 */
import { HASHING } from './errors.ts';

const STEPS = 32;

/** Smallest normal float64: below it a sum of squares has lost digits, and the direction with them. */
const SQUARES_MIN = 2 ** -1022;

/**
 * @param embeddings [n, width] row-major  @returns bytes [n, width]
 * @throws LETHE-3403 not whole rows  @throws LETHE-3431 an entry is not finite, or a row is zero or of a length whose square float64 cannot hold
 */
export function quantiseEmbeddings(embeddings: Float32Array | Float64Array, width: number): Uint8Array {
  if (!Number.isInteger(width) || width < 1 || embeddings.length % width !== 0) {
    throw HASHING.SHAPE_MISMATCH('the embeddings are not whole rows', { details: { width } });
  }
  const bytes = new Uint8Array(embeddings.length);
  for (let start = 0; start < embeddings.length; start += width) {
    let squares = 0;
    for (let i = start; i < start + width; i++) squares += embeddings[i]! ** 2;
    if (!(squares >= SQUARES_MIN && Number.isFinite(squares))) {
      throw HASHING.ENCODER_OUTPUT_INVALID(
        'an embedding is not finite, or too short or too long to have a direction',
        {
          details: { row: start / width },
        },
      );
    }
    const scale = (STEPS * Math.sqrt(width)) / Math.sqrt(squares);
    for (let i = start; i < start + width; i++) {
      bytes[i] = Math.max(0, Math.min(255, Math.round(128 + scale * embeddings[i]!)));
    }
  }
  return bytes;
}
