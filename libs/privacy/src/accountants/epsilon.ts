/**
 * What a run costs, and what a certificate may say about it.
 */
import { PRIVACY } from '../errors.ts';
import type { MechanismSpec } from '../mechanism.ts';
import { calibrateNoise, type NoiseTarget, quotedNoise } from './calibrate.ts';
import { contourEpsilon } from './contour.ts';
import { accuracy } from './cumulants.ts';
import { pldEpsilon } from './pld.ts';
import { rdpEpsilon } from './rdp.ts';
import { checkDelta, type PrivacyRelation, type SampledGaussianRun } from './runs.ts';

/** The part of a mechanism that an accountant prices. */
export type AccountedMechanism = Pick<
  MechanismSpec,
  'kind' | 'unit' | 'neighboringRelation' | 'samplingProbability' | 'noiseMultiplier' | 'steps'
>;

/** Recorded beside every epsilon, so that a later correction can name what it corrects. */
export const ACCOUNTANT_VERSION = 'rdp+pld+contour/3';

export interface PrivacyLossQuestion extends SampledGaussianRun {
  readonly relation: PrivacyRelation;
  readonly delta: number;
}

export interface PrivacyLoss {
  /** Upper bound: the smaller of the privacy loss distribution's and RDP's, rounded up to 6 digits behind the point. */
  readonly epsilonUpper: number;
  /** Contour integral or closed form; null where its guard refuses. */
  readonly epsilonIndependent: number | null;
  /** Upper bound by Renyi orders. */
  readonly epsilonRdp: number;
  readonly agreement: 'agreed' | 'no-second-opinion';
  /** What a certificate may say: `epsilonUpper` where both agree; without a second opinion the larger of the privacy loss distribution's bound and RDP's. */
  readonly quoted: number;
  /** True where `epsilonUpper` is valid but may be above the truth by more than max(1e-4, 2e-4 epsilon). */
  readonly loose: boolean;
  readonly accountantVersion: string;
}

/**
 * Where the accuracy is promised: epsilon outside of this is a bound and called loose.
 */
const PROMISED = { from: 1e-3, to: 50 } as const;
/** How far the estimate may be above the bound before one of them must be wrong. */
const ESTIMATE_ERROR = 1e-6;
const DIGITS = 1e6;

const roundUp = (epsilon: number): number => Math.ceil(epsilon * DIGITS) / DIGITS;

/**
 * Epsilon of one run by all accountants. Every value may be infinity: no noise, or a bound beyond every order and every grid.
 * @throws LETHE-3301 bad parameters, LETHE-3308 the accountants contradict each other, so that none may be quoted
 */
export function privacyLoss({ relation, delta, ...run }: PrivacyLossQuestion): PrivacyLoss {
  return privacyLossOfRuns([run], relation, delta);
}

/** As `privacyLoss`, for several runs on the same data whose parameters were all fixed beforehand. */
export function privacyLossOfRuns(
  runs: readonly SampledGaussianRun[],
  relation: PrivacyRelation,
  delta: number,
): PrivacyLoss {
  const pld = pldEpsilon(runs, relation, delta);
  const epsilonRdp = rdpEpsilon(runs, relation, delta).epsilonUpper;
  const bound = Math.min(pld.epsilon, epsilonRdp);
  const epsilonIndependent = Number.isFinite(bound) ? contourEpsilon(runs, relation, delta, bound) : null;
  const agreed = epsilonIndependent !== null && Number.isFinite(pld.epsilon);
  const exact = pld.excess <= accuracy(pld.epsilon);
  if (agreed) {
    const above = pld.epsilon - epsilonIndependent;
    const allowed = exact ? accuracy(pld.epsilon) : 2 * pld.excess;
    if (above < -ESTIMATE_ERROR * Math.max(1, pld.epsilon) || above > allowed) {
      throw PRIVACY.ACCOUNTANTS_DISAGREE(
        `the bound is ${pld.epsilon} and the independent estimate ${epsilonIndependent}`,
        { details: { epsilonUpper: pld.epsilon, epsilonIndependent } },
      );
    }
  }
  const epsilonUpper = roundUp(bound);
  return {
    epsilonUpper,
    epsilonIndependent,
    epsilonRdp,
    agreement: agreed ? 'agreed' : 'no-second-opinion',
    quoted: agreed
      ? epsilonUpper
      : roundUp(Number.isFinite(pld.epsilon) ? Math.max(pld.epsilon, epsilonRdp) : epsilonRdp),
    loose: !(exact && bound >= PROMISED.from && bound <= PROMISED.to),
    accountantVersion: ACCOUNTANT_VERSION,
  };
}

/**
 * About the smallest noise multiplier at which `quoted` does not pass the target, and its privacy loss there.
 * @throws LETHE-3302 the target is out of reach; LETHE-3301, LETHE-3308
 */
export function calibratedLoss(target: NoiseTarget): {
  readonly noiseMultiplier: number;
  readonly loss: PrivacyLoss;
} {
  const { epsilon, relation = 'add-remove', ...run } = target;
  return quotedNoise(calibrateNoise(target).noiseMultiplier, epsilon, (noiseMultiplier) => {
    const loss = privacyLoss({ ...run, relation, noiseMultiplier });
    return { epsilon: loss.quoted, value: { noiseMultiplier, loss } };
  });
}

/** Upper bound on epsilon of runs on the same data whose parameters were all fixed beforehand, rounded up. @throws LETHE-3301 */
export function epsilonOfComposition(
  runs: readonly SampledGaussianRun[],
  delta: number,
  relation: PrivacyRelation = 'add-remove',
): number {
  return roundUp(
    Math.min(pldEpsilon(runs, relation, delta).epsilon, rdpEpsilon(runs, relation, delta).epsilonUpper),
  );
}

/**
 * Upper bound on epsilon of a recorded mechanism.
 * @throws LETHE-3301 a delta outside (0, 1), or a mechanism that no accountant knows
 */
export function epsilonUpper(mechanism: AccountedMechanism, delta: number): number {
  requireSupported(mechanism);
  checkDelta(delta);
  const { samplingProbability, noiseMultiplier, steps } = mechanism;
  return epsilonOfComposition([{ samplingProbability, noiseMultiplier, steps }], delta);
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

/**
 * The smallest noise multiplier, rounded up, whose bound at the plan's delta does not pass `epsilonTarget`, under add-remove.
 * @throws LETHE-3302 the target is out of reach, LETHE-3301 a bad target
 */
export function calibrateNoiseMultiplier(
  plan: Pick<MechanismSpec, 'samplingProbability' | 'steps' | 'delta'>,
  epsilonTarget: number,
): number {
  const { samplingProbability, steps, delta } = plan;
  return calibrateNoise({ samplingProbability, steps, delta, epsilon: epsilonTarget }).noiseMultiplier;
}
