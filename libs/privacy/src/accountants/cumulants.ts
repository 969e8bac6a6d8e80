/**
 * A light model of the composed loss, a few hundred points a step: where the answer roughly is, how to tilt, how long a period has to be. It only plans; nothing it says
 * enters a bound.
 */
import { type Direction, lossAt, type Support } from './loss-grid.ts';

export interface Tilt {
  readonly theta: number;
  /** Length of loss that the transform has to hold so that what wraps around is negligible. */
  readonly period: number;
  /** How far below the guess the window begins. */
  readonly below: number;
  /** How far from the guess the tilt still answers well. */
  readonly margin: number;
  /** A tilt above theta, for Chernoff's bound on what lies above the window. */
  readonly far: number;
}

/** What the accountant aims at where epsilon lies in [1e-3, 50]: an excess of at most max(1e-4, 2e-4 epsilon). */
export const accuracy = (epsilon: number): number => Math.max(1e-4, 2e-4 * epsilon);

interface Moments {
  readonly log: number;
  readonly mean: number;
  readonly variance: number;
}

interface ModelPart {
  readonly steps: number;
  readonly loss: Float64Array;
  readonly logMass: Float64Array;
}

const POINTS_PER_SIGMA = 10;
const THETA_MAX = 3e4;
/** log of what wraps around, relative to what is there. */
const WRAP = 26;
/** How much larger than the answer the scale of a tilt may be (log): a smaller tilt shortens the period where large losses are rare. */
const DETUNINGS = [1, 3, 6] as const;
/** Round-off of a frequency, a step. */
const ROUND_OFF = 1e-14;
/** Change of epsilon, relative to 1e-4 or to 2e-4 epsilon, that may be given away to it. */
const ROUND_OFF_SHARE = 0.15;

export class CumulantModel {
  readonly #parts: readonly ModelPart[];
  readonly #steps: number;
  /** Largest less smallest loss of a step. */
  readonly range: number;

  constructor(
    direction: Direction,
    parts: readonly { readonly steps: number; readonly supports: readonly Support[] }[],
  ) {
    const two = direction === 'replace';
    this.#parts = parts.map(({ steps, supports }) => {
      const loss: number[] = [];
      const logMass: number[] = [];
      for (const { branch, low, high } of supports) {
        const { q, sigma, weight } = branch;
        const h = sigma / POINTS_PER_SIGMA;
        const points = Math.ceil((high - low) / h);
        for (let i = 0; i <= points; i++) {
          const x = Math.min(high, low + i * h);
          const up = lossAt(false, branch, x);
          const noise =
            Math.log((weight * h) / (sigma * Math.sqrt(2 * Math.PI))) - (x * x) / (2 * sigma * sigma);
          if (q === 1 && i === 0 && noise === -Infinity) continue;
          loss.push(direction === 'add' ? -up : lossAt(two, branch, x));
          logMass.push(direction === 'add' ? noise : noise + up);
        }
      }
      return { steps, loss: Float64Array.from(loss), logMass: Float64Array.from(logMass) };
    });
    this.#steps = parts.reduce((sum, { steps }) => sum + steps, 0);
    this.range = Math.max(
      ...this.#parts.map(
        ({ loss }) => loss.reduce((a, b) => Math.max(a, b)) - loss.reduce((a, b) => Math.min(a, b)),
      ),
    );
  }

  /** log E[e^(theta loss)] of one step of a part. */
  logOf(part: number, theta: number): number {
    return moments(this.#parts[part]!, theta).log;
  }

  /** Cumulant generating function of all steps with its derivatives. */
  at(theta: number): Moments {
    let [log, mean, variance] = [0, 0, 0];
    for (const part of this.#parts) {
      const one = moments(part, theta);
      log += part.steps * one.log;
      mean += part.steps * one.mean;
      variance += part.steps * one.variance;
    }
    return { log, mean, variance };
  }

  /** Where delta is about e^logDelta, by the saddle-point formula. */
  saddlePoint(logDelta: number): number {
    const theta = bisect(1e-5, THETA_MAX, (t) => {
      const { log, mean, variance } = this.at(t);
      const prefactor = Math.log((1 + t) * (1 + t * Math.sqrt(2 * Math.PI * variance)));
      return log - t * mean - prefactor <= logDelta;
    });
    return Math.max(0, this.at(theta).mean);
  }

  /**
   * The tilt whose mean is `epsilon`, or a smaller one whose period is shorter, as long as undoing it does not raise the round-off to a visible share of delta.
   */
  tiltFor(epsilon: number, logDelta: number): Tilt {
    const central = bisect(1e-6, THETA_MAX, (t) => this.at(t).mean >= epsilon);
    const scale = this.at(central).log - central * epsilon;
    // The rarer the far losses, the more a slightly smaller tilt shortens the period.
    let best = this.#windowOf(central, epsilon, 0);
    for (const detuning of DETUNINGS) {
      const theta = bisect(1e-6, central, (t) => this.at(t).log - t * epsilon - scale <= detuning);
      const { log, variance } = this.at(theta);
      const roundOff =
        (Math.exp(log - theta * epsilon - logDelta) * this.#steps * ROUND_OFF * (1 + 1 / theta)) /
        Math.sqrt(variance);
      if (roundOff > ROUND_OFF_SHARE * accuracy(epsilon) * theta) break;
      const candidate = this.#windowOf(theta, epsilon, detuning);
      if (candidate.period < 0.8 * best.period) best = candidate;
    }
    return best;
  }

  #windowOf(theta: number, epsilon: number, detuning: number): Tilt {
    const here = this.at(theta);
    const rest = (h: number) => {
      const there = this.at(theta + h);
      return { log: there.log - here.log - h * there.mean, mean: there.mean };
    };
    const above = bisect(1e-6 * theta, 100 * THETA_MAX, (h) => rest(h).log <= -WRAP - detuning);
    const below = bisect(1e-6 * theta, 100 * THETA_MAX, (h) => rest(-h).log <= -WRAP - detuning);
    const top = rest(above).mean;
    const bottom = rest(-below).mean;
    const margin = Math.min(2 * Math.sqrt(here.variance), 6 / theta);
    const far = theta + above;
    // What lies below the window wraps to its upper end, where it weighs e^(-theta period): a long period makes it negligible, or the window begins below all of it.
    const long = margin + Math.max(top - epsilon, epsilon - bottom, (WRAP + detuning) / theta);
    const whole = Math.max(top - bottom, top - epsilon + margin);
    return whole < long
      ? { theta, period: whole, margin, below: Math.max(margin, epsilon - bottom), far }
      : { theta, period: long, margin, below: margin, far };
  }
}

function moments({ loss, logMass }: ModelPart, theta: number): Moments {
  let top = -Infinity;
  for (let k = 0; k < loss.length; k++) top = Math.max(top, logMass[k]! + theta * loss[k]!);
  let sum = 0;
  let weighted = 0;
  let squared = 0;
  for (let k = 0; k < loss.length; k++) {
    const weight = Math.exp(logMass[k]! + theta * loss[k]! - top);
    sum += weight;
    weighted += weight * loss[k]!;
    squared += weight * loss[k]! * loss[k]!;
  }
  const mean = weighted / sum;
  return { log: Math.log(sum) + top, mean, variance: Math.max(0, squared / sum - mean * mean) };
}

/** The smallest value in [low, high], to 1e-4 relative, that holds; `high` where none does. `holds` is monotone. */
function bisect(low: number, high: number, holds: (value: number) => boolean): number {
  if (holds(low)) return low;
  let [below, above] = [low, high];
  while (above / below > 1 + 1e-4) {
    const middle = Math.sqrt(below * above);
    if (holds(middle)) above = middle;
    else below = middle;
  }
  return above;
}
