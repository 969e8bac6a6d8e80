import { PRIVACY } from '../errors.ts';
import type { MechanismSpec } from '../mechanism.ts';
import { pldEpsilonUpper } from './pld.ts';
import { rdpEpsilonUpper } from './rdp.ts';

/** The part of a mechanism that an accountant prices. */
export type AccountedMechanism = Pick<
  MechanismSpec,
  'kind' | 'unit' | 'neighboringRelation' | 'samplingProbability' | 'noiseMultiplier' | 'steps'
>;

/** Recorded beside every epsilon, so that a later correction can name what it corrects. */
export const ACCOUNTANT_VERSION = 'rdp+pld/1';

const DIGITS = 1e4;

/**
 * Upper bound on epsilon: the smaller of two independent bounds (RDP, privacy loss distribution), rounded up to 4 digits.
 * @throws LETHE-3301 a delta outside (0, 1), or a mechanism that no accountant knows
 */
export function epsilonUpper(mechanism: AccountedMechanism, delta: number): number {
  requireSupported(mechanism);
  if (!(delta > 0 && delta < 1)) {
    throw PRIVACY.INVALID_MECHANISM(`delta is ${delta}; it has to be in (0, 1)`, {
      details: { field: 'delta' },
    });
  }
  const rdp = rdpEpsilonUpper(mechanism, delta).epsilonUpper;
  return Math.ceil(Math.min(rdp, pldEpsilonUpper(mechanism, delta, rdp)) * DIGITS) / DIGITS;
}

function requireSupported({ kind, unit, neighboringRelation }: AccountedMechanism): void {
  if (
    kind === 'poisson-subsampled-gaussian' &&
    unit === 'subject' &&
    neighboringRelation === 'add-or-remove-one'
  )
    return;
  throw PRIVACY.INVALID_MECHANISM(
    `no accountant for ${String(kind)} per ${String(unit)} under ${String(neighboringRelation)}`,
    {
      details: { field: 'kind' },
    },
  );
}

const SIGMA_MIN = 0.3;
const SIGMA_MAX = 1e4;
/** Width of the last bracket, relative, and so how much more noise than needed is added. */
const PRECISION = 1e-4;

/**
 * The smallest noise multiplier, rounded up to 4 digits, whose `epsilonUpper` at `delta` does not pass `epsilonTarget`.
 * Bisection; the value returned has itself been priced, so rounding can never overspend.
 * @throws LETHE-3302 the target is out of reach, LETHE-3301 a bad target
 */
export function calibrateNoiseMultiplier(
  plan: Pick<MechanismSpec, 'samplingProbability' | 'steps' | 'delta'>,
  epsilonTarget: number,
): number {
  if (!(epsilonTarget > 0 && Number.isFinite(epsilonTarget))) {
    throw PRIVACY.INVALID_MECHANISM(`epsilonTarget is ${epsilonTarget}; it has to be positive and finite`, {
      details: { field: 'epsilonTarget' },
    });
  }
  const holds = (noiseMultiplier: number, exact: boolean): boolean => {
    const mechanism = {
      ...plan,
      noiseMultiplier,
      kind: 'poisson-subsampled-gaussian',
      unit: 'subject',
      neighboringRelation: 'add-or-remove-one',
    } as const;
    if (exact) return epsilonUpper(mechanism, plan.delta) <= epsilonTarget;
    return rdpEpsilonUpper(mechanism, plan.delta).epsilonUpper <= epsilonTarget;
  };
  if (!holds(SIGMA_MAX, true)) {
    throw PRIVACY.EPSILON_OUT_OF_REACH(
      `no noise multiplier up to ${SIGMA_MAX} reaches epsilon ${epsilonTarget}`,
    );
  }
  // RDP is fast and gives a safe start; the exact accountant then looks below it.
  const safe = bisect(SIGMA_MIN, SIGMA_MAX, (sigma) => holds(sigma, false));
  const tight = bisect(Math.max(SIGMA_MIN, 0.8 * safe), safe, (sigma) => holds(sigma, true));
  let rounded = Math.ceil(tight * DIGITS) / DIGITS;
  while (!holds(rounded, true)) rounded = Math.ceil((rounded + PRECISION) * DIGITS) / DIGITS;
  return rounded;
}

/** Upper end of the last bracket of the smallest value that holds; `high` itself where nothing smaller does. */
function bisect(low: number, high: number, holds: (value: number) => boolean): number {
  if (holds(low)) return low;
  let [below, above] = [low, high];
  while (above / below > 1 + PRECISION) {
    const middle = Math.sqrt(below * above);
    if (holds(middle)) above = middle;
    else below = middle;
  }
  return above;
}
