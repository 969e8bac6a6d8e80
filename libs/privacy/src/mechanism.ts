import { canonicalJson, hex, sha256 } from '@lethe/std';
import { PRIVACY } from './errors.ts';

/**
 * The privacy-relevant facts of a DP-SGD run as release 0.1 recorded them; `DpPlan` (plan.ts) has taken its place, and this record and its hash stay
 * readable for the histories that name it.
 *
 * Evolution: fields are never removed and never change their meaning; another mechanism is another `kind`; a kind that a reader does not know is
 * unsupported, never "fine". What only changes speed is in `ExecutionOptions` and outside the hash.
 */
export interface MechanismSpec {
  readonly kind: 'poisson-subsampled-gaussian';
  /** What one unit of the guarantee is: everything of one data subject, whatever the number of its records. */
  readonly unit: 'subject';
  /** Two data sets are neighbours if one has one subject more. */
  readonly neighboringRelation: 'add-or-remove-one';
  /** Each subject joins each step independently with this probability; a multiple of 2^-53, so that plan and run agree to the last bit. */
  readonly samplingProbability: number;
  /** Standard deviation of the noise divided by `l2ClipNorm`. */
  readonly noiseMultiplier: number;
  /** Bound on the L2 norm of one subject's contribution to the sum of one step. */
  readonly l2ClipNorm: number;
  /** Noisy updates that the run may release. */
  readonly steps: number;
  readonly delta: number;
}

/** Free to change without changing what is released in distribution; never part of the guarantee. */
export interface ExecutionOptions {
  /** Subjects per call of the clipping graph; the last call of a step is padded with a mask. */
  readonly subjectsPerChunk: number;
  /** Steps charged to the ledger before they run; a crash loses at most these. */
  readonly stepsPerReservation: number;
}

const TWO_53 = 2 ** 53;

/** The largest multiple of 2^-53 that is not above `probability`: the number that the sampler really uses. */
export function dyadicProbability(probability: number): number {
  return Math.floor(probability * TWO_53) / TWO_53;
}

/** Checks and freezes. @throws LETHE-3301 names the field and its value */
export function mechanismSpec(
  fields: Omit<MechanismSpec, 'kind' | 'unit' | 'neighboringRelation'>,
): MechanismSpec {
  const { samplingProbability, noiseMultiplier, l2ClipNorm, steps, delta } = fields;
  require(samplingProbability > 0 &&
    samplingProbability <= 1 &&
    Number.isInteger(
      samplingProbability * TWO_53,
    ), 'samplingProbability', samplingProbability, 'a multiple of 2^-53 in (0, 1] (see dyadicProbability)');
  require(noiseMultiplier > 0 &&
    Number.isFinite(noiseMultiplier), 'noiseMultiplier', noiseMultiplier, 'positive and finite');
  require(l2ClipNorm > 0 && Number.isFinite(l2ClipNorm), 'l2ClipNorm', l2ClipNorm, 'positive and finite');
  require(Number.isInteger(steps) &&
    steps >= 1 &&
    steps <= 10_000_000, 'steps', steps, 'an integer in 1..10^7');
  require(delta > 0 && delta < 1, 'delta', delta, 'in (0, 1)');
  return Object.freeze({
    kind: 'poisson-subsampled-gaussian',
    unit: 'subject',
    neighboringRelation: 'add-or-remove-one',
    samplingProbability,
    noiseMultiplier,
    l2ClipNorm,
    steps,
    delta,
  });
}

function require(holds: boolean, field: string, value: unknown, expected: string): void {
  if (holds) return;
  throw PRIVACY.INVALID_MECHANISM(`${field} is ${String(value)}; it has to be ${expected}`, {
    details: { field },
  });
}

/** SHA-256 of a domain tag and the RFC 8785 form of the record, in hex: the run's identity in ledger and certificate. */
export function mechanismHash(spec: MechanismSpec): string {
  return hex(sha256('lethe/privacy/mechanism/v1\0', canonicalJson({ ...spec })));
}
