/**
 * The independent second opinion: delta(epsilon) by numerical inversion of the loss's transform. No grid of losses, no convolution, and no code in common with the
 * privacy loss distribution; an estimate, accurate to about 1e-9 where its guard accepts, and null where it does not.
 *
 *   delta(eps) = 1/pi int_0^inf Re[ e^(sum_j T_j K_j(z) - z eps) / (z (z + 1)) ] du,  z = theta + i u,  K_j(z) = log E_upper[e^(z L_j)]
 *
 * (the inverse Laplace transform of (1 - e^(eps - s))_+ along a line through the saddle point). K_j is a trapezoid sum over x, whose error falls faster than any power for these
 * smooth densities. The integrand must have fallen below 1e-14 of its peak where the integration stops. One step and runs without sampling have closed forms.
 */
import { logNormalCdf, normalCdf } from '../special.ts';
import {
  type Branch,
  type BranchedRun,
  branchedRuns,
  checkDelta,
  checkRun,
  type PrivacyRelation,
  type SampledGaussianRun,
} from './runs.ts';

type Pair = 'remove' | 'add' | 'replace';

/**
 * Estimate of epsilon, or null where the integral does not converge to the digits that it has to.
 * @param near where to begin to look, which changes the time and not the answer
 * @throws LETHE-3301 bad parameters
 */
export function contourEpsilon(
  runs: readonly SampledGaussianRun[],
  relation: PrivacyRelation,
  delta: number,
  near?: number,
): number | null {
  runs.forEach(checkRun);
  checkDelta(delta);
  const branched = branchedRuns(runs);
  if (branched === null) return Infinity;
  let largest = 0;
  for (const pair of relation === 'replace-one' ? (['replace'] as const) : (['remove', 'add'] as const)) {
    const steps = branched.reduce((sum, run) => sum + run.steps, 0);
    const epsilon =
      steps === 0
        ? 0
        : steps === 1
          ? solveDecreasing(
              (e) => Math.log(Math.max(1e-300, oneStep(pair, branched[0]!.branches, e))),
              delta,
              1,
            )
          : inverted(pair, branched, delta, largest, near);
    if (epsilon === null) return null;
    largest = Math.max(largest, epsilon);
  }
  return largest;
}

/** delta(epsilon) of one step in closed form; the branches are known to the adversary, so their deltas add. */
function oneStep(pair: Pair, branches: readonly Branch[], epsilon: number): number {
  let delta = 0;
  for (const { weight, q, sigma } of branches) {
    const s2 = sigma * sigma;
    const scaled = (x: number) => Math.exp(epsilon + logNormalCdf(x / sigma));
    if (pair === 'replace') {
      const far = q === 1 ? 0 : Math.asinh(((1 - q) / q) * Math.exp(1 / (2 * s2)) * Math.sinh(epsilon / 2));
      const x = s2 * (epsilon / 2 + far);
      // Not drawn: a term that is absent without sampling, where its factor of 0 would meet an overflow.
      const idle = q === 1 ? 0 : (1 - q) * (normalCdf(-x / sigma) - scaled(-x));
      delta += weight * (q * (normalCdf((1 - x) / sigma) - scaled(-1 - x)) + idle);
    } else if (pair === 'remove') {
      const x = s2 * (epsilon + Math.log(-Math.expm1(-epsilon) + q * Math.exp(-epsilon)) - Math.log(q)) + 0.5;
      delta += weight * (q * normalCdf((1 - x) / sigma) + (1 - q) * normalCdf(-x / sigma) - scaled(-x));
    } else {
      const odds = Math.expm1(-epsilon) + q;
      if (odds <= 0) continue;
      const x = s2 * Math.log(odds / q) + 0.5;
      delta += weight * (normalCdf(x / sigma) - q * scaled(x - 1) - (1 - q) * scaled(x));
    }
  }
  return delta;
}

interface Points {
  readonly steps: number;
  readonly loss: Float64Array;
  readonly logMass: Float64Array;
}

const POINTS_PER_SIGMA = 24;
const REACH = 14;

/** Trapezoid rule over x for one run, far enough for every tilt up to `theta`. */
function pointsOf(pair: Pair, { steps, branches }: BranchedRun, theta: number): Points {
  const loss: number[] = [];
  const logMass: number[] = [];
  for (const { weight, q, sigma } of branches) {
    const v = 2 * sigma * sigma;
    const h = sigma / POINTS_PER_SIGMA;
    const logMixture = (x: number) => {
      const a = (2 * x - 1) / v;
      return a > 35 ? a + Math.log(q + (1 - q) * Math.exp(-a)) : Math.log1p(q * Math.expm1(a));
    };
    const end = REACH * sigma + 1 + theta * (pair === 'replace' ? 2 : 1);
    const from = -REACH * sigma - 1 - (pair === 'add' ? theta : 0);
    for (let x = from; x <= end; x += h) {
      const up = logMixture(x);
      const base = Math.log((weight * h) / (sigma * Math.sqrt(2 * Math.PI))) - (x * x) / v;
      loss.push(pair === 'remove' ? up : pair === 'add' ? -up : up - logMixture(-x));
      logMass.push(pair === 'add' ? base : base + up);
    }
  }
  return { steps, loss: Float64Array.from(loss), logMass: Float64Array.from(logMass) };
}

const THETA_MAX = 20_000;
const POINTS_MAX = 60_000;

/** Epsilon by a secant on log delta; `least` is an epsilon below which the answer does not matter. */
function inverted(
  pair: Pair,
  runs: readonly BranchedRun[],
  delta: number,
  least: number,
  near?: number,
): number | null {
  // Where every tilt is within reach of the points, and no farther than needed: widened until the saddle lies inside.
  for (let theta = 16; theta <= THETA_MAX; theta *= 4) {
    const finest = Math.min(...runs.flatMap(({ branches }) => branches.map(({ sigma }) => sigma)));
    if ((theta / finest) * POINTS_PER_SIGMA > POINTS_MAX) return null;
    const points = runs.map((run) => pointsOf(pair, run, theta));
    const logDelta = (epsilon: number) => invert(points, epsilon, theta);
    if (least > 0) {
      const there = logDelta(least);
      if (there === 'farther') continue;
      if (there === null) return null;
      if (there <= Math.log(delta)) return least;
    }
    const found = search(logDelta, Math.log(delta), least, near);
    if (found === 'farther') continue;
    if (found === null || found === 0 || found === least) return found;
    // The quadrature may have stepped over an oscillation: at the answer, panels of half the width have to say the same.
    const again = invert(points, found, theta, 2);
    return typeof again === 'number' && Math.abs(again - Math.log(delta)) <= REPEATED ? found : null;
  }
  return null;
}

/** Change of log delta that a finer quadrature may make. */
const REPEATED = 1e-7;

type Inverted = number | null | 'farther';

/** Brackets and solves logDelta(epsilon) = goal. */
function search(
  logDelta: (epsilon: number) => Inverted,
  goal: number,
  least: number,
  near?: number,
): Inverted {
  let low = Math.max(least, 1e-5);
  let atLow = logDelta(low);
  if (atLow === null || atLow === 'farther') return atLow;
  if (atLow <= goal) return low <= 1e-5 ? 0 : low;
  let high = 2 * low + 0.01;
  if (near !== undefined && near > low && Number.isFinite(near)) {
    const before = Math.max(low, 0.998 * near - 2e-4);
    const at = logDelta(before);
    if (typeof at === 'number' && at > goal) {
      [low, atLow] = [before, at];
      high = 1.002 * near + 2e-4;
    }
  }
  let atHigh = logDelta(high);
  while (typeof atHigh === 'number' && atHigh > goal) {
    if (high > 1e4) return null;
    [low, atLow] = [high, atHigh];
    high *= 2;
    atHigh = logDelta(high);
  }
  if (atHigh === 'farther') return atHigh;
  if (atHigh === null) return null;
  // Regula falsi with the Illinois correction: the end that stays loses half of its weight.
  let [weightLow, weightHigh] = [atLow - goal, atHigh - goal];
  for (let i = 0; i < 60 && high - low > 1e-9 * Math.max(1e-2, high); i++) {
    const middle = low + ((high - low) * weightLow) / (weightLow - weightHigh);
    const at = logDelta(middle);
    if (typeof at !== 'number') return at;
    if (Math.abs(at - goal) < 1e-9) return middle;
    if (at > goal) {
      [low, weightLow] = [middle, at - goal];
      weightHigh /= 2;
    } else {
      [high, weightHigh] = [middle, at - goal];
      weightLow /= 2;
    }
  }
  return (low + high) / 2;
}

/** K and its first two derivatives at a real tilt, all steps together; the means and normalised masses by run. */
function tiltedAt(points: readonly Points[], theta: number) {
  let [log, mean, variance, edge] = [0, 0, 0, 0];
  const runs: { steps: number; mean: number; loss: Float64Array; mass: Float64Array }[] = [];
  for (const { steps, loss, logMass } of points) {
    let top = -Infinity;
    for (let k = 0; k < loss.length; k++) top = Math.max(top, logMass[k]! + theta * loss[k]!);
    const mass = new Float64Array(loss.length);
    let [sum, first, second] = [0, 0, 0];
    for (let k = 0; k < loss.length; k++) {
      const m = Math.exp(logMass[k]! + theta * loss[k]! - top);
      mass[k] = m;
      sum += m;
      first += m * loss[k]!;
      second += m * loss[k]! * loss[k]!;
    }
    for (let k = 0; k < mass.length; k++) mass[k]! /= sum;
    const m = first / sum;
    log += steps * (top + Math.log(sum));
    mean += steps * m;
    variance += steps * Math.max(0, second / sum - m * m);
    edge = Math.max(edge, mass[0]!, mass.at(-1)!);
    runs.push({ steps, mean: m, loss, mass });
  }
  return { log, mean, variance, edge, runs };
}

const NODES = [
  0.0640568928626056, 0.1911188674736163, 0.3150426796961634, 0.4337935076260451, 0.5454214713888396,
  0.6480936519369755, 0.7401241915785544, 0.820001985973903, 0.8864155270044011, 0.9382745520027328,
  0.9747285559713095, 0.9951872199970213,
];
const WEIGHTS = [
  0.1279381953467522, 0.1258374563468283, 0.1216704729278034, 0.1155056680537256, 0.1074442701159656,
  0.0976186521041139, 0.0861901615319533, 0.0733464814110803, 0.0592985849154368, 0.0442774388174198,
  0.0285313886289337, 0.0123412297999872,
];
/** Panels of 24 nodes after which the integrand is taken not to fall. */
const PANELS_MAX = 120;
/** Where the integrand has to be, relative to its peak, when the integration stops. */
const GUARD = 1e-14;
/** Masses below this share of a run's total do not reach the ninth digit. */
const MASS_MIN = 1e-20;

/** log delta(epsilon); `farther`: the saddle lies beyond the points; null: refused by the guard. */
function invert(points: readonly Points[], epsilon: number, thetaMax: number, fineness = 1): Inverted {
  // The saddle of K(theta) - theta epsilon - log(theta (theta + 1)), which is convex.
  let [low, high] = [1e-6, thetaMax];
  while (high / low > 1 + 1e-3) {
    const middle = Math.sqrt(low * high);
    if (tiltedAt(points, middle).mean - epsilon - 1 / middle - 1 / (middle + 1) < 0) low = middle;
    else high = middle;
  }
  const theta = high;
  if (theta >= 0.99 * thetaMax) return 'farther';
  const { log, mean, variance, edge, runs } = tiltedAt(points, theta);
  if (edge > 1e-16) return 'farther';
  const kept = runs.map((run) => {
    const [losses, masses]: [number[], number[]] = [[], []];
    for (let k = 0; k < run.mass.length; k++) {
      if (run.mass[k]! < MASS_MIN) continue;
      losses.push(run.loss[k]! - run.mean);
      masses.push(run.mass[k]!);
    }
    return { steps: run.steps, loss: Float64Array.from(losses), mass: Float64Array.from(masses) };
  });
  const drift = mean - epsilon;
  let width = 2 / fineness / Math.sqrt(variance + 1 / theta ** 2 + 1 / (theta + 1) ** 2);
  let sum = 0;
  let from = 0;
  const nodes = new Float64Array(48);
  let turns: readonly Turns[] = [];
  for (let panel = 0; ; panel++) {
    if (panel === fineness * PANELS_MAX) return null;
    if (turns.length === 0) turns = kept.map(({ loss }) => turnsOf(loss, width));
    const centre = from + width / 2;
    const logModulus = new Float64Array(24);
    const phase = new Float64Array(24);
    for (const [i, { steps, loss, mass }] of kept.entries()) {
      transformAt(centre, loss, mass, turns[i]!, nodes);
      for (let g = 0; g < 24; g++) {
        const re = nodes[2 * g]!;
        const im = nodes[2 * g + 1]!;
        logModulus[g]! += (steps / 2) * Math.log(re * re + im * im);
        phase[g]! += steps * Math.atan2(im, re);
      }
    }
    let size = 0;
    for (let g = 0; g < 24; g++) {
      const u = centre + ((g % 2 === 0 ? 1 : -1) * width * NODES[g >> 1]!) / 2;
      // 1 / (z (z + 1)), z (z + 1) = theta (theta + 1) - u^2 + i u (2 theta + 1)
      const a = theta * (theta + 1) - u * u;
      const b = u * (2 * theta + 1);
      const modulus = Math.exp(logModulus[g]!) / (a * a + b * b);
      const angle = phase[g]! + u * drift;
      sum += (width / 2) * WEIGHTS[g >> 1]! * modulus * (a * Math.cos(angle) + b * Math.sin(angle));
      size = Math.max(size, modulus * Math.sqrt(a * a + b * b) * theta * (theta + 1));
    }
    from += width;
    if (size < GUARD) break;
    if (size < 1e-3 && panel % (6 * fineness) === 6 * fineness - 1) {
      width *= 2;
      turns = [];
    }
  }
  return sum > 0 ? log - theta * epsilon + Math.log(sum / Math.PI) : null;
}

/** cos and sin of what a loss turns between a panel's centre and each node beside it. */
interface Turns {
  readonly cos: Float64Array;
  readonly sin: Float64Array;
}

function turnsOf(loss: Float64Array, width: number): Turns {
  const cos = new Float64Array(12 * loss.length);
  const sin = new Float64Array(12 * loss.length);
  for (let g = 0, at = 0; g < 12; g++) {
    for (let k = 0; k < loss.length; k++, at++) {
      const angle = (loss[k]! * width * NODES[g]!) / 2;
      cos[at] = Math.cos(angle);
      sin[at] = Math.sin(angle);
    }
  }
  return { cos, sin };
}

/** sum mass e^(i u loss) at the 24 nodes of a panel, into pairs of re and im: node g above and below the centre by turns. */
function transformAt(
  centre: number,
  loss: Float64Array,
  mass: Float64Array,
  { cos, sin }: Turns,
  out: Float64Array,
): void {
  const re = new Float64Array(loss.length);
  const im = new Float64Array(loss.length);
  for (let k = 0; k < loss.length; k++) {
    re[k] = mass[k]! * Math.cos(centre * loss[k]!);
    im[k] = mass[k]! * Math.sin(centre * loss[k]!);
  }
  for (let g = 0, at = 0; g < 12; g++) {
    let [rc, rs, ic, is] = [0, 0, 0, 0];
    for (let k = 0; k < re.length; k++, at++) {
      rc += re[k]! * cos[at]!;
      rs += re[k]! * sin[at]!;
      ic += im[k]! * cos[at]!;
      is += im[k]! * sin[at]!;
    }
    out[4 * g] = rc - is;
    out[4 * g + 1] = ic + rs;
    out[4 * g + 2] = rc + is;
    out[4 * g + 3] = ic - rs;
  }
}

/** The epsilon >= 0 at which a decreasing log delta meets log(delta), by bisection; 0 where it starts below. */
function solveDecreasing(logDelta: (epsilon: number) => number, delta: number, scale: number): number {
  const goal = Math.log(delta);
  if (logDelta(0) <= goal) return 0;
  let high = scale;
  while (logDelta(high) > goal) high *= 2;
  let low = high === scale ? 0 : high / 2;
  for (let i = 0; i < 100 && high - low > 1e-15 * high; i++) {
    const middle = (low + high) / 2;
    if (logDelta(middle) > goal) low = middle;
    else high = middle;
  }
  return high;
}
