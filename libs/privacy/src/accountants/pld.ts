/**
 * Privacy loss distributions: the reported upper bound on epsilon.
 *
 * Every step's loss is put on a grid whose discrete pair dominates the true one (`loss-grid.ts`), the grids of all steps are convolved by a Fourier transform, and
 * delta(epsilon) is a sum over the result. Three differences from public implementations.
 * (1) The distribution is tilted by e^(theta loss) before the transform (Chernoff's change of measure), so that the answer sits where the mass is:
 *     an untilted transform has an absolute floor near 1e-15 and can report too little for small deltas.
 * (2) What is not exact is charged to delta: cut tails, what wraps around the period, round-off of the transform (a componentwise bound) and of the masses.
 * (3) The grid is as fine as the answer needs: splitting a bin raises log E[e^(theta loss)] by at most theta (theta + 1) width^2 / 8, and averaged over a bin by
 *     theta (theta + 1) width^2 / 12, so it raises epsilon by about steps (theta + 1) width^2 / 12.
 *
 * Dominating pairs under Poisson sampling: Zhu, Dong, Wang, "Optimal Accounting of Differential Privacy via Characteristic Function", arXiv 2106.08567v3; Lebeda et al.,
 * "Avoiding Pitfalls for Privacy Accounting of Subsampled Mechanisms under Composition", arXiv 2405.20769v1, also for why removing and adding are composed each by itself.
 */
import { assert } from '@lethe/std';
import { accuracy, CumulantModel, type Tilt } from './cumulants.ts';
import { addCore, forwardReal, inverseReal, type Spectrum, transformError } from './fft.ts';
import { closedEpsilon } from './gaussian.ts';
import { type Direction, type LossGrid, lossGrids, type Support, supports } from './loss-grid.ts';
import {
  type BranchedRun,
  branchedRuns,
  checkDelta,
  checkRun,
  type PrivacyRelation,
  type SampledGaussianRun,
} from './runs.ts';

export interface PldBound {
  /** Upper bound; infinity where no grid answers. */
  readonly epsilon: number;
  /** How far above the truth the bound may be; an estimate from the grid's width, not a proof. */
  readonly excess: number;
}

/** Share of the accuracy that the grid may use. */
const GRID_SHARE = 0.3;
const BINS_MAX = 3e6;
const PERIOD_MAX = 2 ** 22;
const PERIOD_MIN = 2 ** 10;
const TRIES_MAX = 10;
/** How much wider than needed the bins of the first tries are. */
const COARSE = 5;
/** Relative error of a mass (quadrature, round-off), charged once per step. */
const MASS_ERROR = 1e-13;
/** Outside of these the arithmetic would overflow: no answer instead of a guess. */
const NOISE_MIN = 0.1;
const DELTA_MIN = 1e-100;
/** How far a closed form may be above the truth, relative. */
const CLOSED_ERROR = 1e-8;

interface Part extends BranchedRun {
  readonly supports: readonly Support[];
}

/**
 * Upper bound on epsilon of all the runs together, in any order and adaptively composed, as long as their parameters were fixed beforehand. Where there is a
 * closed form (`gaussian.ts`) it is that.
 * @param draft an estimate for searches, in a fraction of the time: wider bins, and only the removal of a subject
 * @throws LETHE-3301 bad parameters
 */
export function pldEpsilon(
  runs: readonly SampledGaussianRun[],
  relation: PrivacyRelation,
  delta: number,
  draft = false,
): PldBound {
  runs.forEach(checkRun);
  checkDelta(delta);
  const branched = branchedRuns(runs);
  if (branched === null) return { epsilon: Infinity, excess: 0 };
  if (branched.length === 0) return { epsilon: 0, excess: 0 };
  const closed = closedEpsilon(branched, relation, delta);
  if (closed !== null) return { epsilon: closed, excess: CLOSED_ERROR * Math.max(1, closed) };
  if (delta < DELTA_MIN || branched.some(({ branches }) => branches.some(({ sigma }) => sigma < NOISE_MIN)))
    return { epsilon: Infinity, excess: Infinity };
  const parts = branched.map((run) => ({ ...run, supports: supports(run, relation, delta) }));
  if (relation === 'replace-one') return boundOf('replace', parts, delta, 0, draft);
  const removed = boundOf('remove', parts, delta, 0, draft);
  // Adding never loses more than this, whatever delta.
  const addedMax = -parts.reduce(
    (sum, { steps, branches }) => sum + steps * Math.log1p(-Math.max(...branches.map(({ q }) => q))),
    0,
  );
  if (draft || addedMax <= removed.epsilon) return removed;
  const added = boundOf('add', parts, delta, removed.epsilon, draft);
  return added.epsilon > removed.epsilon ? added : removed;
}

/** @param floor an epsilon below which nobody asks for more digits */
function boundOf(
  direction: Direction,
  parts: readonly Part[],
  delta: number,
  floor: number,
  draft: boolean,
): PldBound {
  const model = new CumulantModel(direction, parts);
  const steps = parts.reduce((sum, part) => sum + part.steps, 0);
  const logDelta = Math.log(delta);
  let guess = model.saddlePoint(logDelta);
  let slope = 0;
  let refined = false;
  let best: PldBound = { epsilon: Infinity, excess: Infinity };
  // A tilt answers best near its centre: coarse grids find the answer, a fine one bounds it. Each of them is a bound.
  for (let tries = 0, coarseness = COARSE; tries < TRIES_MAX; tries++) {
    const tilt = model.tiltFor(guess, logDelta);
    // Where a few large losses decide, delta falls more steeply with epsilon than the tilt says: the steeper of both counts.
    const order = Math.max(tilt.theta, slope) + 1;
    const fine = Math.sqrt((12 * GRID_SHARE * accuracy(guess)) / (steps * order));
    const width = Math.max(
      Math.min(coarseness * fine, 1 / order),
      tilt.period / (PERIOD_MAX - 64),
      model.range / BINS_MAX,
    );
    const grids = parts.map((part) => gridOf(direction, part, width));
    const { epsilon, slope: found, roundOff } = composedEpsilon(grids, parts, delta, guess, tilt, model);
    if (Number.isFinite(found)) slope = found;
    const excess = (steps * (Math.max(tilt.theta, slope) + 1) * width * width) / 8 + roundOff;
    if (epsilon < best.epsilon || (epsilon === Infinity && tries === 0)) best = { epsilon, excess };
    if (epsilon <= floor || epsilon === Infinity) break;
    const settled = Math.abs(epsilon - guess) <= tilt.margin / 2;
    if (settled && draft) break;
    if (settled && coarseness === 1) {
      // Once more where the slope turned out steeper than the grid was made for.
      if (refined || excess <= accuracy(epsilon)) break;
      refined = true;
    }
    if (settled) coarseness = 1;
    guess = epsilon;
  }
  return best;
}

function gridOf(direction: Direction, part: Part, width: number): LossGrid {
  const { forward, backward } = lossGrids(
    direction === 'replace' ? 'replace-one' : 'add-remove',
    part.supports,
    width,
  );
  return direction === 'add' ? backward : forward;
}

/** log of the factor by which untilting shrinks a mass before it is left out of the sum. */
const FAR = 50;

interface Composed {
  readonly epsilon: number;
  /** -d log delta / d epsilon there; NaN where unknown. */
  readonly slope: number;
  /** What the charges for round-off add to epsilon. */
  readonly roundOff: number;
}

/** Smallest epsilon whose delta, composed over all steps and with every charge, is at most `delta`. */
function composedEpsilon(
  grids: readonly LossGrid[],
  parts: readonly Part[],
  delta: number,
  guess: number,
  tilt: Tilt,
  model: CumulantModel,
): Composed {
  const { theta, far } = tilt;
  const width = grids[0]!.width;
  const n = 2 ** Math.ceil(Math.log2(Math.max(PERIOD_MIN, tilt.period / width + 32)));
  const weights = grids.map((grid, i) => tilted(grid, theta, model.logOf(i, theta), n));
  const logTotal = weights.reduce((sum, { log }, i) => sum + parts[i]!.steps * log, 0);
  const logScale = logTotal - theta * guess;
  const { masses, error } = convolved(
    weights.map(({ masses }) => masses),
    parts.map(({ steps }) => steps),
    n,
  );
  const bottom = Math.floor((guess - tilt.below) / width) - 8;
  const top = (bottom + n) * width;
  // What lies above the window wraps into it, where it counts too little: Chernoff's bound on it is charged.
  const largest = grids.reduce(
    (sum, { first, mass }, i) => sum + parts[i]!.steps * (first + mass.length - 1),
    0,
  );
  const logFar = grids.reduce(
    (sum, grid, i) => sum + parts[i]!.steps * logMoment(grid, far, model.logOf(i, far)),
    0,
  );
  const wrapped = bottom + n > largest ? 0 : Math.exp(logFar - far * top);
  const lost = -Math.expm1(
    grids.reduce((sum, { infinite }, i) => sum + parts[i]!.steps * Math.log1p(-infinite), 0),
  );
  const steps = parts.reduce((sum, part) => sum + part.steps, 0);
  const spare = delta * (1 - 2 * steps * MASS_ERROR) - wrapped - lost;
  if (!(spare > 0)) return { epsilon: Infinity, slope: Number.NaN, roundOff: 0 };
  const scaledSpare = spare * Math.exp(-logScale);
  const offset = parts.reduce((sum, part, i) => sum + part.steps * weights[i]!.first, 0);
  // Masses so far above the guess that untilting leaves nothing of them: all together at most this.
  const topSlot = Math.min(n - 1, Math.ceil((guess + FAR / theta) / width) - bottom);
  let s1 = topSlot < n - 1 ? Math.exp(-FAR) * (1 + n * error) : 0;
  let s2 = 0;
  let charged = s1;
  for (let j = topSlot; j >= 0; j--) {
    const index = bottom + j;
    const value = index * width;
    // delta(epsilon) for epsilon in [value, value + width), from the masses above: scale (s1 - e^(epsilon - guess) s2), and the round-off of the sums.
    const roundOff = s1 * (topSlot + 1 - j) * Number.EPSILON;
    if (!(s1 + roundOff - Math.exp(value - guess) * s2 <= scaledSpare)) {
      const epsilon = guess + Math.log((s1 + roundOff - scaledSpare) / s2);
      // The grid point above was found good in the round before.
      const good = value + width;
      return {
        epsilon: Math.max(0, epsilon <= good ? epsilon : good),
        slope: (s2 * Math.exp(epsilon - guess)) / scaledSpare,
        // d epsilon = d delta / |d delta / d epsilon|
        roundOff: (charged + roundOff) / (s2 * Math.exp(epsilon - guess)),
      };
    }
    if (value < 0) return { epsilon: 0, slope: Number.NaN, roundOff: 0 };
    const slot = (((index - offset) % n) + n) % n;
    const untilt = Math.exp(theta * (guess - value));
    const mass = Math.max(0, masses[slot]!);
    s1 += (mass + error) * untilt;
    charged += error * untilt;
    s2 += mass * untilt * Math.exp(guess - value);
  }
  return { epsilon: Math.max(0, bottom * width), slope: Number.NaN, roundOff: Infinity };
}

/** Products of a block before the exponential is computed anew: at most as many units of round-off. */
const BLOCK = 32;

/** Sum of mass e^(theta loss - shift) over the grid; where `out` is given, the terms are added to it, folded into its length. */
function tiltedSum(
  { mass, first, width }: LossGrid,
  theta: number,
  shift: number,
  out: Float64Array | null,
): number {
  const ratio = Math.exp(theta * width);
  const modulo = (out?.length ?? 0) - 1;
  let sum = 0;
  for (let start = 0; start < mass.length; start += BLOCK) {
    const end = Math.min(mass.length, start + BLOCK);
    let factor = Math.exp(theta * (first + start) * width - shift);
    for (let k = start; k < end; k++) {
      const value = mass[k]! * factor;
      sum += value;
      if (out !== null) out[k & modulo]! += value;
      factor *= ratio;
    }
  }
  return sum;
}

interface Tilted {
  /** Masses in a period of n, summing to 1, turned so that the heaviest is the first. */
  readonly masses: Float64Array;
  /** Index of the loss of the first slot. */
  readonly first: number;
  /** log of the sum before it was scaled. */
  readonly log: number;
}

function tilted(grid: LossGrid, theta: number, shift: number, n: number): Tilted {
  const folded = new Float64Array(n);
  const sum = tiltedSum(grid, theta, shift, folded);
  let heaviest = 0;
  for (let k = 1; k < n; k++) if (folded[k]! > folded[heaviest]!) heaviest = k;
  const masses = new Float64Array(n);
  for (let k = 0; k < n; k++) masses[k] = folded[(k + heaviest) & (n - 1)]! / sum;
  return { masses, first: grid.first + heaviest, log: shift + Math.log(sum) };
}

const logMoment = (grid: LossGrid, theta: number, shift: number): number =>
  shift + Math.log(tiltedSum(grid, theta, shift, null));

/** A smaller modulus is taken as this: its logarithm has no meaning beside the round-off. */
const FAINT = 1e-7;
/** log of the modulus below which a frequency is left out. */
const NEGLIGIBLE = -60;

const UNIT = Number.EPSILON / 2;
/** Slots on either side of the heaviest, and that one, whose transform is summed term by term. */
const CORE = 8;

/**
 * The convolution of all masses, each taken `steps` times, modulo n, and a bound on the error of every value of it.
 *
 * Each frequency of a transform is off by some e, a product of powers to first order by the product times sum steps e / modulus; the factor 2 at the end has room for the
 * higher orders. The transform of all but the slots around the heaviest is off by transformError(n) times their mass; those few, which hold nearly everything
 * where large losses are rare, are added term by term. For the same reason the constant that the heaviest slots alone give is taken out before the
 * transform back, whose error is transformError(n) times the mean modulus of what goes in.
 */
function convolved(
  masses: readonly Float64Array[],
  steps: readonly number[],
  n: number,
): { readonly masses: Float64Array; readonly error: number } {
  if (masses.length === 1 && steps[0] === 1) return { masses: masses[0]!, error: 0 };
  let product: Spectrum | null = null;
  let relative: Float64Array | null = null;
  let constant = 1;
  let errors = Math.exp(NEGLIGIBLE) * n;
  for (const [i, values] of masses.entries()) {
    constant *= values[0]! ** steps[i]!;
    const rest = values.slice();
    const above = new Float64Array(CORE);
    const below = new Float64Array(CORE);
    let held = 0;
    let off = 0;
    for (let j = 0; j < CORE; j++) {
      for (const [side, slot] of [
        [above, j],
        [below, (n - j) & (n - 1)],
      ] as const) {
        side[j] = rest[slot]!;
        rest[slot] = 0;
        held += side[j]!;
        off += 4 * (j + 1) * UNIT * side[j]!;
      }
    }
    const spectrum = forwardReal(rest);
    addCore(spectrum, above, below);
    off += transformError(n) * Math.max(0, 1 - held);
    // The two frequencies of slot 0.
    errors += 2 * steps[i]! * off;
    const own = raise(spectrum, steps[i]!, off);
    if (product === null || relative === null) {
      product = spectrum;
      relative = own;
    } else {
      multiply(product, spectrum);
      for (let p = 0; p < own.length; p++) relative[p]! += own[p]! + 4 * UNIT;
    }
  }
  assert(product !== null && relative !== null, 'a composition of nothing');
  const { re, im } = product;
  re[0]! -= constant;
  im[0]! -= constant;
  let moduli = Math.abs(re[0]!) + Math.abs(im[0]!);
  for (let p = 1; p < relative.length; p++) {
    // Every slot but the first stands for two frequencies.
    const modulus = 2 * Math.sqrt(re[p]! * re[p]! + im[p]! * im[p]!);
    errors += modulus * (relative[p]! + UNIT);
    re[p]! -= constant;
    moduli += 2 * Math.sqrt(re[p]! * re[p]! + im[p]! * im[p]!);
  }
  const composed = inverseReal(product);
  composed[0]! += constant;
  return { masses: composed, error: (2 * errors + transformError(n) * moduli) / n };
}

/** Raises every frequency to a power, in place; returns the error of each, relative to its modulus. */
function raise({ re, im }: Spectrum, power: number, off: number): Float64Array {
  const relative = new Float64Array(re.length);
  re[0] = re[0]! ** power;
  im[0] = im[0]! ** power;
  for (let p = 1; p < re.length; p++) {
    const modulus = Math.sqrt(re[p]! * re[p]! + im[p]! * im[p]!);
    const at = Math.max(modulus, FAINT);
    const log = power * Math.log(at);
    if (log < NEGLIGIBLE) {
      re[p] = 0;
      im[p] = 0;
      continue;
    }
    if (power === 1) {
      relative[p] = off / at + (modulus < FAINT ? 2 : 0);
      continue;
    }
    const angle = Math.atan2(im[p]!, re[p]!);
    // Modulus and its logarithm 4 units, the angle 1 of itself and 1 in the product, all times the power; then the functions of up to 60 and of any angle.
    relative[p] =
      power * (off / at + UNIT * (4 + 3 * Math.abs(angle))) + 80 * UNIT + (modulus < FAINT ? 2 : 0);
    const raised = Math.exp(log);
    re[p] = raised * Math.cos(power * angle);
    im[p] = raised * Math.sin(power * angle);
  }
  return relative;
}

function multiply(product: Spectrum, { re, im }: Spectrum): void {
  product.re[0]! *= re[0]!;
  product.im[0]! *= im[0]!;
  for (let p = 1; p < re.length; p++) {
    const r = product.re[p]! * re[p]! - product.im[p]! * im[p]!;
    product.im[p] = product.re[p]! * im[p]! + product.im[p]! * re[p]!;
    product.re[p] = r;
  }
}
