/**
 * Feature blocks: what was added to the sums, kept for its exact subtraction and for encoding it again. They lie apart from the
 * segments of the index, so that a search needs none of them in memory and an erasure rewrites few bytes.
 *
 * A block holds up to 4,096 items of one part, by ascending position in the ledger. Little-endian:
 *
 *     "LHB1" | n u32 | D u32 | L u32, bytes of labels per item: ceil(classes / 8)
 *     positions u32 [n] | labels [n, L], bit c of an item set for class c | features [n, D] in 0..127
 *
 * Equal blocks have equal bytes. A row that is taken out leaves no gap.
 */
import { bytesOf } from '@lethe/std';
import { HASHING_SERVICE } from '../errors.ts';

export const BLOCK_ROWS = 4_096;

export interface FeatureBlock {
  /** Ascending. */
  readonly positions: Uint32Array;
  /** D. */
  readonly featureDim: number;
  /** Bytes of labels per item. */
  readonly labelBytes: number;
  /** [n, labelBytes] */
  readonly labels: Uint8Array;
  /** [n, D], 0..127 */
  readonly features: Uint8Array;
}

const MAGIC = 0x3142_484c; // "LHB1"
const HEADER_BYTES = 16;

export const labelBytesOf = (classes: number): number => Math.ceil(classes / 8);

/** @param labels class indices @returns a set bit for each */
export function labelBits(labels: readonly number[], labelBytes: number): Uint8Array {
  const bits = new Uint8Array(labelBytes);
  for (const label of labels) bits[label >> 3]! |= 1 << (label & 7);
  return bits;
}

/** @returns class indices, ascending */
export function labelsOfBits(bits: Uint8Array): number[] {
  const labels: number[] = [];
  bits.forEach((byte, at) => {
    for (let bit = 0; bit < 8; bit++) if ((byte >> bit) & 1) labels.push(8 * at + bit);
  });
  return labels;
}

export const emptyBlock = (featureDim: number, labelBytes: number): FeatureBlock => ({
  positions: new Uint32Array(0),
  featureDim,
  labelBytes,
  labels: new Uint8Array(0),
  features: new Uint8Array(0),
});

/** Rows of the block, in the order of `rows`. */
export function takeRows(block: FeatureBlock, rows: ArrayLike<number>): FeatureBlock {
  const { featureDim, labelBytes } = block;
  const taken = {
    positions: new Uint32Array(rows.length),
    featureDim,
    labelBytes,
    labels: new Uint8Array(rows.length * labelBytes),
    features: new Uint8Array(rows.length * featureDim),
  };
  for (let to = 0; to < rows.length; to++) {
    const row = rows[to]!;
    taken.positions[to] = block.positions[row]!;
    taken.labels.set(block.labels.subarray(row * labelBytes, (row + 1) * labelBytes), to * labelBytes);
    taken.features.set(block.features.subarray(row * featureDim, (row + 1) * featureDim), to * featureDim);
  }
  return taken;
}

/** One after the other, in memory of their own; of any number of parts. */
export function joinBytes(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** The rows of both, those of `next` after those of `block`. */
export function joinBlocks(block: FeatureBlock, next: FeatureBlock): FeatureBlock {
  return {
    ...block,
    positions: new Uint32Array(joinBytes([bytesOf(block.positions), bytesOf(next.positions)]).buffer),
    labels: joinBytes([block.labels, next.labels]),
    features: joinBytes([block.features, next.features]),
  };
}

/** Rows `from` to `to` as a block on the same memory. */
export const sliceBlock = (block: FeatureBlock, from: number, to: number): FeatureBlock => ({
  ...block,
  positions: block.positions.subarray(from, to),
  labels: block.labels.subarray(from * block.labelBytes, to * block.labelBytes),
  features: block.features.subarray(from * block.featureDim, to * block.featureDim),
});

export function encodeBlock(block: FeatureBlock): Uint8Array {
  const { positions, featureDim, labelBytes, labels, features } = block;
  const labelsAt = HEADER_BYTES + 4 * positions.length;
  const bytes = new Uint8Array(labelsAt + labels.length + features.length);
  const view = new DataView(bytes.buffer);
  [MAGIC, positions.length, featureDim, labelBytes].forEach((value, i) => {
    view.setUint32(4 * i, value, true);
  });
  bytes.set(bytesOf(positions), HEADER_BYTES);
  bytes.set(labels, labelsAt);
  bytes.set(features, labelsAt + labels.length);
  return bytes;
}

/** Strict inverse of `encodeBlock`; copies. @throws LETHE-4209 */
export function decodeBlock(bytes: Uint8Array): FeatureBlock {
  const damaged = (why: string) => HASHING_SERVICE.STATE_DAMAGED(`a feature block: ${why}`);
  if (bytes.length < HEADER_BYTES) throw damaged('it is cut short');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const at = (i: number): number => view.getUint32(4 * i, true);
  const [magic, n, featureDim, labelBytes] = [at(0), at(1), at(2), at(3)];
  const labelsAt = HEADER_BYTES + 4 * n;
  const featuresAt = labelsAt + n * labelBytes;
  if (magic !== MAGIC) throw damaged('it has another format');
  if (n > BLOCK_ROWS || bytes.length !== featuresAt + n * featureDim)
    throw damaged('it does not have the length that it states');
  const copy = (from: number, to: number): Uint8Array => new Uint8Array(bytes.subarray(from, to));
  const positions = new Uint32Array(copy(HEADER_BYTES, labelsAt).buffer);
  if (positions.some((position, i) => i > 0 && position <= positions[i - 1]!))
    throw damaged('its positions do not ascend');
  return {
    positions,
    featureDim,
    labelBytes,
    labels: copy(labelsAt, featuresAt),
    features: copy(featuresAt, bytes.length),
  };
}
