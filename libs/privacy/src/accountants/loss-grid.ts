/**
 * One step's privacy loss on a grid, as a discrete pair that dominates the true one.
 *
 * Doroshenko, Ghazi, Kamath, Kumar, Manurangsi, "Connect the Dots", arXiv 2207.04380v1: the mass of a bin is split between its two ends so that its mass under both
 * distributions is kept. Difference: each bin is integrated by itself, and what goes up, P - Q e^low = int P (1 - e^(low - loss)), is integrated in that form, whose
 * terms are all positive; second differences of delta(epsilon), as in other libraries, have an absolute error of round-off / width in every bin and can report too little.
 */
import { normalCdf } from '../special.ts';
import type { Branch, BranchedRun, PrivacyRelation } from './runs.ts';

/** `remove`: mixture against noise; `add`: noise against mixture; `replace`: mixture towards +1 against mixture towards -1, its own mirror image. */
export type Direction = 'remove' | 'add' | 'replace';

/** Mass (first + k) * width of the loss under the upper distribution, and the mass that counts as lost. */
export interface LossGrid {
  readonly width: number;
  readonly first: number;
  readonly mass: Float64Array;
  readonly infinite: number;
}

/** A branch and the ends of its support; what lies beyond goes to the last bin's end, or counts as lost. */
export interface Support {
  readonly branch: Branch;
  readonly low: number;
  readonly high: number;
}

/** Share of delta that the cut tails of all steps may cost. */
const TAIL_SHARE = 1e-6;

/**
 * Where to cut each branch's tails. Not farther out than delta needs: what is cut cannot be tilted up, and a tilt that finds no far losses needs a shorter period.
 */
export function supports(
  { branches, steps }: BranchedRun,
  relation: PrivacyRelation,
  delta: number,
): readonly Support[] {
  return branches.map((branch) => {
    const { q, sigma, weight } = branch;
    const allowed = (TAIL_SHARE * delta) / (steps * weight * branches.length);
    const high = reach(allowed, (z) => q * normalCdf(-z) + normalCdf(-z - 1 / sigma));
    const low = reach(allowed, (z) => normalCdf(-z));
    return {
      branch,
      low: relation === 'replace-one' ? -1 - high * sigma : -low * sigma,
      high: 1 + high * sigma,
    };
  });
}

/** The smallest number of deviations, to 0.01, beyond which at most `allowed` is left. */
function reach(allowed: number, beyond: (z: number) => number): number {
  let [low, high] = [0, 64];
  while (high - low > 0.01) {
    const middle = (low + high) / 2;
    if (beyond(middle) <= allowed) high = middle;
    else low = middle;
  }
  return high;
}

/** log((1 - q) + q e^exponent). */
function logMixture(q: number, exponent: number): number {
  if (q === 1) return exponent;
  return exponent > 30
    ? Math.log(q) + exponent + Math.log1p(((1 - q) / q) * Math.exp(-exponent))
    : Math.log1p(q * Math.expm1(exponent));
}

/** Loss at x: of `remove` where `two` is false, of `replace` where it is true. Rises with x. */
export function lossAt(two: boolean, { q, sigma }: Branch, x: number): number {
  const v = 2 * sigma * sigma;
  const up = logMixture(q, (2 * x - 1) / v);
  return two ? up - logMixture(q, (-2 * x - 1) / v) : up;
}

/** The x of a loss; -infinity at and below the infimum of `remove`. */
function positionOf(two: boolean, { q, sigma }: Branch, loss: number): number {
  const s2 = sigma * sigma;
  if (two) {
    if (q === 1) return (s2 * loss) / 2;
    const size = Math.abs(loss);
    const logSinh = size > 40 ? size / 2 - Math.LN2 : Math.log(Math.sinh(size / 2));
    const log = logSinh + 1 / (2 * s2) + Math.log((1 - q) / q);
    const half = log > 30 ? log + Math.LN2 : Math.asinh(Math.exp(log));
    return s2 * (loss / 2 + Math.sign(loss) * half);
  }
  const log =
    loss > 30 ? loss + Math.log1p(-(1 - q) * Math.exp(-loss)) : Math.log(Math.max(0, Math.expm1(loss) + q));
  return s2 * (log - Math.log(q)) + 0.5;
}

/** Mass of the upper distribution beyond `deviations` sigma, above and below. */
function tails(two: boolean, { q, sigma }: Branch, low: number, high: number) {
  const mixture = (at: (mean: number) => number) => (1 - q) * at(0) + q * at(1);
  const lower = (at: (mean: number) => number) => (two ? (1 - q) * at(0) + q * at(-1) : at(0));
  const above = (mean: number) => normalCdf((mean - high) / sigma);
  const below = (mean: number) => normalCdf((low - mean) / sigma);
  return {
    upperAbove: mixture(above),
    upperBelow: mixture(below),
    lowerAbove: lower(above),
    lowerBelow: lower(below),
  };
}

const THREE = [-Math.sqrt(0.6), 0, Math.sqrt(0.6)].map((x) => (x + 1) / 2);
const THREE_WEIGHTS = [5 / 18, 8 / 18, 5 / 18];
const EIGHT_NODES = [0.1834346424956498, 0.525532409916329, 0.7966664774136267, 0.9602898564975363];
const EIGHT_WEIGHTS = [0.362683783378362, 0.3137066458778873, 0.2223810344533745, 0.1012285362903763];
const EIGHT = [...EIGHT_NODES.map((x) => (1 - x) / 2), ...EIGHT_NODES.map((x) => (1 + x) / 2)];
const EIGHT_BOTH = [...EIGHT_WEIGHTS, ...EIGHT_WEIGHTS].map((w) => w / 2);
/** Bins narrower than this, in sigma, are integrated over the loss by three Gauss points: error below 1e-10 of the bin at 8 sigma, 1e-15 in the bulk. */
const NARROW = 0.03;
/** Wider ones are integrated over x by eight points a panel, error below 1e-12 of the panel. */
const PANEL = 0.5;

/**
 * The grids of one step: of `remove` and of `add`, or of `replace` twice.
 * The grid of `add` is the mirror image: mass at -l is mass at l times e^-l, because bins keep their mass under both distributions.
 */
export function lossGrids(
  relation: PrivacyRelation,
  parts: readonly Support[],
  width: number,
): { readonly forward: LossGrid; readonly backward: LossGrid } {
  const two = relation === 'replace-one';
  const plans = parts.map(({ branch, low, high }) => {
    const from = Math.floor(lossAt(two, branch, low) / width);
    return { branch, low, high, from };
  });
  const first = Math.min(...plans.map(({ from }) => from));
  const last = Math.max(
    ...plans.map(({ branch, high }) => Math.floor(lossAt(two, branch, high) / width) + 1),
  );
  const mass = new Float64Array(last - first + 1);
  let forwardLost = 0;
  let backwardLost = 0;
  const forwardEnds: [number, number][] = [];
  const backwardEnds: [number, number][] = [];
  for (const { branch, low, high, from } of plans) {
    const top = fill(mass, first, two, branch, low, high, from, width);
    const { upperAbove, upperBelow, lowerAbove, lowerBelow } = tails(two, branch, low, high);
    const w = branch.weight;
    forwardLost += w * upperAbove;
    forwardEnds.push([from + 1, w * upperBelow]);
    backwardEnds.push([top, w * lowerAbove]);
    backwardLost += w * lowerBelow;
  }
  const backward = new Float64Array(mass.length);
  for (let k = 0; k < mass.length; k++) {
    backward[mass.length - 1 - k] = mass[k]! === 0 ? 0 : mass[k]! * Math.exp(-(first + k) * width);
  }
  for (const [index, tail] of forwardEnds) mass[index - first]! += tail;
  for (const [index, tail] of backwardEnds) backward[last - index]! += tail;
  return {
    forward: { width, first, mass, infinite: forwardLost },
    backward: { width, first: -last, mass: backward, infinite: backwardLost },
  };
}

/** Adds a branch's bins; returns the index of the last bin's lower end. */
function fill(
  mass: Float64Array,
  first: number,
  two: boolean,
  branch: Branch,
  low: number,
  high: number,
  from: number,
  width: number,
): number {
  const { q, sigma, weight } = branch;
  const s2 = sigma * sigma;
  const scale = weight / (sigma * Math.sqrt(2 * Math.PI));
  const shrink = -Math.expm1(-width);
  const rises = THREE.map((t) => -Math.expm1(-t * width));
  const logQ = Math.log(q);
  // c of `replace`: sinh(x / s2 - loss / 2) = sinh(loss / 2) / c.
  const inverseC = ((1 - q) / q) * Math.exp(1 / (2 * s2));
  let x = low;
  for (let i = from; ; i++) {
    const end = positionOf(two, branch, (i + 1) * width);
    const to = Math.min(end, high);
    if (to > x) {
      let total = 0;
      let rise = 0;
      if (to - x <= NARROW * sigma && to < high && i > from && inverseC < 1e150) {
        for (let g = 0; g < 3; g++) {
          const loss = (i + THREE[g]!) * width;
          let part: number;
          if (two) {
            const v = Math.sinh(loss / 2) * inverseC;
            const at = s2 * (Math.asinh(v) + loss / 2);
            const slope = (s2 / 2) * (1 + Math.sqrt((inverseC * inverseC + v * v) / (1 + v * v)));
            part = slope * Math.exp((-at * at) / (2 * s2)) * (1 - q + q * Math.exp((2 * at - 1) / (2 * s2)));
          } else {
            const e = Math.expm1(loss);
            const y = e + q;
            const at = s2 * (Math.log(y) - logQ) + 0.5;
            part = ((s2 * (e + 1) * (e + 1)) / y) * Math.exp((-at * at) / (2 * s2));
          }
          part *= THREE_WEIGHTS[g]!;
          total += part;
          rise += part * rises[g]!;
        }
        total *= width;
        rise *= width;
      } else {
        const panels = Math.ceil((to - x) / (PANEL * sigma));
        const panel = (to - x) / panels;
        for (let p = 0; p < panels; p++) {
          for (let g = 0; g < 8; g++) {
            const at = x + (p + EIGHT[g]!) * panel;
            const part =
              panel *
              EIGHT_BOTH[g]! *
              Math.exp((-at * at) / (2 * s2) + logMixture(q, (2 * at - 1) / (2 * s2)));
            total += part;
            rise += part * -Math.expm1(i * width - lossAt(two, branch, at));
          }
        }
      }
      total *= scale;
      const up = Math.min(total, Math.max(0, (rise * scale) / shrink));
      mass[i - first]! += total - up;
      mass[i + 1 - first]! += up;
    }
    if (to >= high) return i;
    x = Math.max(x, to);
  }
}
