import { hex, seededRandom, sha256, shuffle } from '@lethe/std';
import type { SisaSpec } from './spec.ts';

/** Seeds are lower-case hex of 32 bytes, so that they can stand in records and certificates as they are. */
export type Seed = string;

/**
 * The seed of a segment, from randomness that the trainer could not choose: before the first training the logged dataset root and
 * a committed nonce; for segments that an erasure trains again, public randomness fixed after the request (method page R10, Zhang et
 * al., ICML 2024: a provider that chooses its batches can forge a retraining). Segment 0 is the initial weights.
 */
export const segmentSeed = (randomness: Uint8Array, shard: number, segment: number): Seed =>
  hex(sha256('lethe.sisa.seed.v1\0', sha256(randomness), `\0${shard}\0${segment}`));

/** Seeds 0..R of a shard. */
export const shardSeeds = (randomness: Uint8Array, shard: number, spec: SisaSpec): Seed[] =>
  Array.from({ length: spec.sliceCount + 1 }, (_, segment) => segmentSeed(randomness, shard, segment));

/** Seeds after an erasure: those on record before segment `from`, new ones from there on. The initial weights keep theirs. */
export const seedsAfterErasure = (
  recorded: readonly Seed[],
  from: number,
  publicRandomness: Uint8Array,
  shard: number,
): Seed[] =>
  recorded.map((seed, segment) => (segment < from ? seed : segmentSeed(publicRandomness, shard, segment)));

/**
 * The mini-batches of a segment: each epoch is a Fisher-Yates shuffle of the rows under a stream of its own, cut into batches.
 * @param rows in canonical order @returns batches of `batchSize` rows, the last of an epoch possibly fewer
 */
export function* segmentBatches(
  rows: readonly number[],
  spec: SisaSpec,
  seed: Seed,
): Generator<readonly number[]> {
  for (let epoch = 0; epoch < spec.epochs; epoch++) {
    const order = shuffle([...rows], seededRandom('lethe.sisa.order.v1', seed, epoch));
    for (let at = 0; at < order.length; at += spec.batchSize) yield order.slice(at, at + spec.batchSize);
  }
}
