/** What all sides of a federation agree on, from its specification. Pure. */
import type { federation as wire } from '@lethe/contracts';
import { canonicalDigest, sha256 } from '@lethe/std';

/** Key of the batch orders, 32 bytes. @param seed the specification's for the first training, an erasure's for what follows it */
export const orderKey = (seed: string, name: string): Uint8Array =>
  sha256(`lethe/federation/order/v1|${seed}|${name}`);

/** Initial weights of the top network. */
export const topSeed = (spec: wire.FederationSpec, name: string): string => `${spec.seed}|${name}|top`;

/** Digest of a federation's model: top network and what the parties have reported, hex. */
export const modelDigest = (top: string, parties: Readonly<Record<string, string>>): string =>
  canonicalDigest({ top, parties });
