/** What all sides of a federation agree on, from its specification. Pure. */
import type { federation as wire } from '@lethe/contracts';
import { canonicalDigest, sha256 } from '@lethe/std';
import { checkPlan, type VerticalPlan } from '@lethe/vertical';

export const planOf = (spec: wire.FederationSpec, classes: number): VerticalPlan =>
  checkPlan({
    codeBits: spec.codeBits,
    classes,
    parties: spec.parties.length,
    bottomHidden: spec.hiddenUnits,
    topHidden: spec.topHiddenUnits,
    batchRows: spec.batchSize,
    epochs: spec.epochs,
    learningRate: spec.learningRate,
    consistencyWeight: spec.consistencyWeight,
    gradientFormat: 'sign',
    representation: 'sign',
  });

/** Key of the batch orders, 32 bytes. @param seed the specification's for the first training, an erasure's for what follows it */
export const orderKey = (seed: string, name: string): Uint8Array =>
  sha256(`lethe/federation/order/v1|${seed}|${name}`);

/** Initial weights of the top network. */
export const topSeed = (spec: wire.FederationSpec, name: string): string => `${spec.seed}|${name}|top`;

export const partyArtefact = (name: string, party: string): string => `${name}/parties/${party}`;

/** Digest of a federation's model: top network and what the parties have reported, hex. */
export const modelDigest = (top: string, parties: Readonly<Record<string, string>>): string =>
  canonicalDigest({ top, parties });
