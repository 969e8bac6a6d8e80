import { createHmac } from 'node:crypto';
import { compareBytes, hex, sha256, utf8 } from '@lethe/std';
import type { SisaSpec } from './spec.ts';

/**
 * Secret keys of the dealing. Whoever knows them could choose ids that land in one shard, or tell which erasures are expensive;
 * the commitment is logged before training and the keys are opened to the auditor only.
 */
export interface PlacementKeys {
  readonly shardKey: Uint8Array;
  readonly sliceKey: Uint8Array;
}

/** Where a subject's rows are. */
export interface Placement {
  /** 0-based. */
  readonly shard: number;
  /** 1-based, as segments are: the first segment that sees the subject. */
  readonly slice: number;
}

/** HMAC-SHA-256, its first 6 bytes modulo the bound: the bias is below bound / 2^48. */
const deal = (key: Uint8Array, alias: string, bound: number): number =>
  createHmac('sha256', key).update(alias).digest().readUIntBE(0, 6) % bound;

/** @param alias the subject's pseudonym, as everywhere outside of the vault */
export const place = (keys: PlacementKeys, alias: string, spec: SisaSpec): Placement => ({
  shard: deal(keys.shardKey, alias, spec.shardCount),
  slice: 1 + deal(keys.sliceKey, alias, spec.sliceCount),
});

/** Lower-case hex of SHA-256 over a domain tag and both keys: what is logged before training. */
export const placementCommitment = ({ shardKey, sliceKey }: PlacementKeys): string =>
  hex(sha256('lethe.sisa.placement.v1\0', sha256(shardKey), sha256(sliceKey)));

/** A subject and its rows of the caller's feature matrix. */
export interface Member {
  readonly alias: string;
  readonly rows: readonly number[];
}

/** A shard's rows, `slices[r - 1]` those of slice r. */
export interface Shard {
  readonly shard: number;
  readonly slices: readonly (readonly number[])[];
}

/**
 * Deals members to shards and slices. Inside a slice the order is that of the aliases' bytes and then the member's own, so it
 * depends on who is there and not on when they came.
 */
export function dealMembers(members: readonly Member[], keys: PlacementKeys, spec: SisaSpec): Shard[] {
  const slices = Array.from({ length: spec.shardCount }, () =>
    Array.from({ length: spec.sliceCount }, (): number[] => []),
  );
  const ordered = members
    .map((member) => ({ ...member, bytes: utf8(member.alias) }))
    .sort((a, b) => compareBytes(a.bytes, b.bytes));
  for (const { alias, rows } of ordered) {
    const { shard, slice } = place(keys, alias, spec);
    slices[shard]![slice - 1]!.push(...rows);
  }
  return slices.map((rows, shard) => ({ shard, slices: rows }));
}

/** Rows of slices 1..r. */
export const rowsThrough = (shard: Shard, r: number): number[] => shard.slices.slice(0, r).flat();
