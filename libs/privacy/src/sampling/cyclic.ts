import { sha256 } from '@lethe/std';
import type { PrivacyRandomness } from '../randomness.ts';
import { samplePoisson } from './poisson.ts';

/**
 * The group of a unit among `bands`, from its own id alone: that one unit comes or goes moves no other to another group, which the price of
 * cyclic sampling rests on. Groups by position in a list would shift.
 * @param salt public, of the plan
 */
export function cyclicGroup(unitId: string, bands: number, salt: string): number {
  const digest = sha256('lethe/privacy/cyclic-group/v1\0', salt, '\0', unitId);
  const view = new DataView(digest.buffer, digest.byteOffset);
  return (view.getUint32(0) * 2 ** 21 + (view.getUint32(4) >>> 11)) % bands;
}

/**
 * Cyclic Poisson sampling: step t draws from the units of group t mod `bands` only, each with `probability`. A unit takes part at most once in `bands`
 * consecutive steps. With `probability` = bands x q a step has as many units in expectation as Poisson sampling of everybody with q.
 *
 * @param groups the units' indices by group, each ascending @returns ascending indices, possibly none
 */
export function sampleCyclicPoisson(
  groups: readonly Uint32Array[],
  probability: number,
  step: number,
  randomness: PrivacyRandomness,
): Uint32Array {
  const group = groups[step % groups.length]!;
  return samplePoisson(group.length, probability, randomness).map((member) => group[member]!);
}
