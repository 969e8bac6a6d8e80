import { PRIVACY } from '../errors.ts';
import { pldEpsilon } from './pld.ts';
import { checkDelta, checkRun, type PrivacyRelation, requireField, type SampledGaussianRun } from './runs.ts';

/** What is known of a run before its noise is. */
export interface NoiseTarget extends Omit<SampledGaussianRun, 'noiseMultiplier'> {
  readonly epsilon: number;
  readonly delta: number;
  /** Default add-remove. */
  readonly relation?: PrivacyRelation;
}

const SIGMA_MIN = 0.15;
const SIGMA_MAX = 1e5;
const DIGITS = 6;
/** How close, relative, the drafts are brought to the target, and what an overshoot of the last step is raised by. */
const CLOSE = 2e-3;
const RAISE = 1e-4;
const FINE_MAX = 6;

/**
 * A noise multiplier, rounded up to 6 significant digits, whose bound does not pass the target, and that bound; as near to the smallest as the bound is to the truth.
 * Drafts of the bound find the neighbourhood, the full bound the value; the value returned has itself been priced, so rounding can never overspend.
 * @throws LETHE-3302 the target is out of reach, LETHE-3301 bad parameters
 */
export function calibrateNoise(target: NoiseTarget): {
  readonly noiseMultiplier: number;
  readonly epsilon: number;
} {
  const { epsilon, delta, relation = 'add-remove', ...run } = target;
  requireField(epsilon > 0 && Number.isFinite(epsilon), 'epsilonTarget', epsilon, 'positive and finite');
  checkDelta(delta);
  checkRun({ ...run, noiseMultiplier: 1 });
  const price = (noiseMultiplier: number, draft: boolean): number =>
    pldEpsilon([{ ...run, noiseMultiplier }], relation, delta, draft).epsilon;
  let [low, high] = [1, 1];
  let atHigh = price(high, true);
  let atLow = atHigh;
  while (atHigh > epsilon) {
    if (high >= SIGMA_MAX)
      throw PRIVACY.EPSILON_OUT_OF_REACH(`no noise multiplier up to ${SIGMA_MAX} reaches epsilon ${epsilon}`);
    [low, atLow] = [high, atHigh];
    high = Math.min(SIGMA_MAX, 2 * high);
    atHigh = price(high, true);
  }
  while (atLow <= epsilon) {
    if (low <= SIGMA_MIN) return { noiseMultiplier: SIGMA_MIN, epsilon: price(SIGMA_MIN, false) };
    [high, atHigh] = [low, atLow];
    low = Math.max(SIGMA_MIN, low / 2);
    atLow = price(low, true);
  }
  // log epsilon is nearly a line over log sigma; where an end has no logarithm, halves.
  let slope = -1;
  for (let i = 0; i < 40 && high / low > 1 + CLOSE; i++) {
    const line = Math.log(atHigh / atLow) / Math.log(high / low);
    const usable = Number.isFinite(line) && line < -1e-3;
    if (usable) slope = line;
    const share = usable ? Math.log(epsilon / atLow) / line / Math.log(high / low) : 0.5;
    // A little to the far side of the estimate, in turns, so that both ends move.
    const nudged = Math.min(0.98, Math.max(0.02, i % 2 === 0 ? share + 0.02 : share - 0.02));
    const middle = low * (high / low) ** nudged;
    const at = price(middle, true);
    if (at <= epsilon) [high, atHigh] = [middle, at];
    else [low, atLow] = [middle, at];
  }
  let best = roundUp(high);
  let atBest = price(best, false);
  // The largest multiplier that is known to be too small.
  let short = 0;
  // An epsilon of 0 has no logarithm: the bracket has to do.
  for (let i = 0; i < FINE_MAX && atBest > 0; i++) {
    const holds = atBest <= epsilon;
    if (holds && (atBest >= epsilon * (1 - RAISE) || best < short * (1 + RAISE))) break;
    const estimate = best * (epsilon / atBest) ** (1 / slope) * (1 + RAISE / 4);
    const next = roundUp(holds && estimate <= short ? Math.sqrt(short * best) : estimate);
    const at = price(next, false);
    if (at > epsilon) short = Math.max(short, next);
    if (at <= epsilon || !holds) [best, atBest] = [next, at];
  }
  while (atBest > epsilon) {
    best = roundUp(best * (1 + RAISE));
    atBest = price(best, false);
  }
  return { noiseMultiplier: best, epsilon: atBest };
}

/** Added to the noise, relative, where what is quoted has hardly passed the target. */
const FINE = 1e-4;
/** Where quoting asks for more noise than the bound does: first step and width of the last bracket, relative. */
const QUOTED_RAISE = 1.05;
const QUOTED_PRECISION = 1e-3;
const QUOTED_SIGMA_MAX = 1e4;

/**
 * From a noise multiplier whose bound meets a target to one whose quoted value does, which is larger where there is no second opinion. What is returned has itself been quoted.
 * @param start of `calibrateNoise` @param quote the quoted epsilon of a multiplier, and what the caller wants of it; infinity for none
 * @throws LETHE-3302 no multiplier reaches the target; whatever `quote` throws
 */
export function quotedNoise<T>(
  start: number,
  epsilonTarget: number,
  quote: (noiseMultiplier: number) => { readonly epsilon: number; readonly value: T },
): T {
  const at = (noiseMultiplier: number) => ({ noiseMultiplier, ...quote(noiseMultiplier) });
  let best = at(start);
  if (best.epsilon <= epsilonTarget) return best.value;
  let below = best.noiseMultiplier;
  while (best.epsilon > epsilonTarget) {
    below = best.noiseMultiplier;
    if (below > QUOTED_SIGMA_MAX) {
      throw PRIVACY.EPSILON_OUT_OF_REACH(
        `no noise multiplier up to ${QUOTED_SIGMA_MAX} may be quoted at epsilon ${epsilonTarget}`,
      );
    }
    const isClose = best.epsilon <= epsilonTarget * (1 + FINE);
    best = at(roundUp(below * (isClose ? 1 + FINE : QUOTED_RAISE)));
  }
  while (best.noiseMultiplier / below > 1 + QUOTED_PRECISION) {
    const middle = at(roundUp((below + best.noiseMultiplier) / 2));
    if (middle.epsilon <= epsilonTarget) best = middle;
    else below = middle.noiseMultiplier;
  }
  return best.value;
}

/** Up to `DIGITS` significant digits. */
function roundUp(value: number): number {
  const rounded = Number(value.toPrecision(DIGITS));
  const unit = 10 ** (Math.floor(Math.log10(value)) + 1 - DIGITS);
  return rounded >= value ? rounded : Number((rounded + unit).toPrecision(DIGITS));
}
