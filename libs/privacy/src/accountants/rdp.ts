/**
 * Renyi differential privacy of the Poisson-subsampled Gaussian: a quick bound, a starting point, and what filters add up.
 *
 * Mironov, Talwar, Zhang, "Renyi Differential Privacy of the Sampled Gaussian Mechanism", arXiv 1908.10530v1, section 3.3, and
 * Canonne, Kamath, Steinke, "The Discrete Gaussian for Differential Privacy", arXiv 2004.00010v5, proposition 12 (conversion).
 * Differences: integer orders sum expm1 terms, so that A - 1 keeps its relative accuracy where A is 1 + 1e-9 (libraries sum to A and lose 6-7 digits); fractional
 * orders keep the signs of the binomials (dropping them, as one library does, reports up to 8 times too much) and fall back to an integral where the series cancels or
 * does not converge; replace-one integrates its dominating pair.
 */
import { logAdd, logErfc } from '../special.ts';
import {
  type Branch,
  branchedRuns,
  checkDelta,
  checkRun,
  type PrivacyRelation,
  type SampledGaussianRun,
} from './runs.ts';

/** Orders tried: dense where small epsilons have their optimum, sparse above for tiny deltas. */
export const RDP_ORDERS: readonly number[] = [
  1.01,
  1.02,
  1.05,
  ...Array.from({ length: 99 }, (_, i) => Number((1.1 + i / 10).toFixed(1))).filter((a) => a < 11),
  ...Array.from({ length: 53 }, (_, i) => 11 + i),
  ...[64, 80, 96, 128, 160, 192, 256, 384, 512, 1024, 2048],
];

/**
 * Renyi divergence of order alpha of one step, the larger direction of the relation.
 * @returns nats; infinity where the value cannot be computed, which only loses the order
 */
export function rdpOfStep(
  samplingProbability: number,
  noiseMultiplier: number,
  alpha: number,
  relation: PrivacyRelation = 'add-remove',
): number {
  return rdpOfBranches([{ weight: 1, q: samplingProbability, sigma: noiseMultiplier }], alpha, relation);
}

/** Of a mixture whose branch the adversary sees: A is the mean of the branches' A. */
function rdpOfBranches(branches: readonly Branch[], alpha: number, relation: PrivacyRelation): number {
  const [only] = branches;
  const shift = relation === 'replace-one' ? 4 : 1;
  if (branches.length === 1 && only!.q === 1) return (shift * alpha) / (2 * only!.sigma * only!.sigma);
  const logExcess = branches.reduce(
    (sum, branch) => logAdd(sum, Math.log(branch.weight) + logExcessOf(branch, alpha, relation)),
    -Infinity,
  );
  const logA = logExcess > 30 ? logAdd(0, logExcess) : Math.log1p(Math.exp(logExcess));
  return logA / (alpha - 1);
}

/** log(A - 1). */
function logExcessOf({ q, sigma }: Branch, alpha: number, relation: PrivacyRelation): number {
  if (relation === 'replace-one') return logExcessByIntegral(q, sigma, alpha, true);
  if (Number.isInteger(alpha)) return logExcessOfInteger(q, sigma, alpha);
  const logA = logAOfSeries(q, sigma, alpha);
  // The series gives A: where A - 1 is small, its digits are gone.
  if (logA === null || logA < 1e-5) return logExcessByIntegral(q, sigma, alpha, false);
  return logA > 30 ? logA : Math.log(Math.expm1(logA));
}

/** A - 1 = sum_{k=2..alpha} C(alpha, k) q^k (1-q)^(alpha-k) expm1(k (k-1) / (2 sigma^2)); eq. (6) of the paper minus its first terms. */
function logExcessOfInteger(q: number, sigma: number, alpha: number): number {
  let logBinomial = Math.log(alpha);
  let logExcess = -Infinity;
  for (let k = 2; k <= alpha; k++) {
    logBinomial += Math.log((alpha - k + 1) / k);
    const exponent = (k * (k - 1)) / (2 * sigma * sigma);
    const logExpm1 =
      exponent > 30 ? exponent + Math.log1p(-Math.exp(-exponent)) : Math.log(Math.expm1(exponent));
    const others = k === alpha ? 0 : (alpha - k) * Math.log1p(-q);
    logExcess = logAdd(logExcess, logBinomial + k * Math.log(q) + others + logExpm1);
  }
  return logExcess;
}

const TERMS_MAX = 1000;
/** log of the share of the sum below which terms do not count. */
const LOG_NEGLIGIBLE = 36;
/** The difference of the positive and the negative terms has to keep half of a double's digits. */
const CANCELLED = 1e-8;

/** log A by the signed binomial series of section 3.3; null where it does not converge or cancels. */
function logAOfSeries(q: number, sigma: number, alpha: number): number | null {
  if (q === 1) return null;
  const v = 2 * sigma * sigma;
  const middle = sigma * sigma * Math.log(1 / q - 1) + 0.5;
  const [logQ, logRest] = [Math.log(q), Math.log1p(-q)];
  let [positive, negative] = [-Infinity, -Infinity];
  let logBinomial = 0;
  let sign = 1;
  let before = Infinity;
  for (let i = 0; i < TERMS_MAX; i++) {
    const j = alpha - i;
    const below =
      i * logQ + j * logRest + (i * i - i) / v + logErfc((i - middle) / (Math.SQRT2 * sigma)) - Math.LN2;
    const above =
      j * logQ + i * logRest + (j * j - j) / v + logErfc((middle - j) / (Math.SQRT2 * sigma)) - Math.LN2;
    const term = logBinomial + logAdd(below, above);
    if (sign > 0) positive = logAdd(positive, term);
    else negative = logAdd(negative, term);
    if (term < before && term < positive - LOG_NEGLIGIBLE && i > alpha) {
      const gap = negative - positive;
      const left = -Math.expm1(gap);
      return left > CANCELLED ? positive + Math.log(left) : null;
    }
    before = term;
    logBinomial += Math.log(Math.abs(j) / (i + 1));
    if (j < 0) sign = -sign;
  }
  return null;
}

const POINTS_PER_SIGMA = 24;
const POINTS_MAX = 4e5;

/**
 * A - 1 = E_lower[r^alpha - 1 - alpha (r - 1)], r = upper / lower: since E[r] = 1 the subtracted line changes nothing, and the integrand is not negative (Bernoulli), so
 * that nothing cancels in the sum. Trapezoid rule, spectrally accurate for this smooth function: within 1e-12 of the integer series where both apply (tested).
 */
function logExcessByIntegral(q: number, sigma: number, alpha: number, two: boolean): number {
  const v = 2 * sigma * sigma;
  const h = sigma / POINTS_PER_SIGMA;
  const low = -12 * sigma - (two ? 1 : 0);
  const points = Math.ceil(((two ? 2 : 1) * alpha + 12 * sigma - low) / h);
  if (points > POINTS_MAX) return Infinity;
  const logMixture = (exponent: number) =>
    q === 1
      ? exponent
      : exponent > 30
        ? Math.log(q) + exponent + Math.log1p(((1 - q) / q) * Math.exp(-exponent))
        : Math.log1p(q * Math.expm1(exponent));
  let sum = 0;
  // Sums are kept relative to e^scale, so that no order overflows.
  let scale = 0;
  for (let i = 0; i <= points; i++) {
    const x = low + i * h;
    const under = two ? logMixture((-2 * x - 1) / v) : 0;
    const loss = logMixture((2 * x - 1) / v) - under;
    const logDensity = under - (x * x) / v;
    const excess = excessOf(loss, alpha);
    const size = logDensity + excess.log;
    if (size > scale + 600) {
      sum *= Math.exp(scale - size);
      scale = size;
    }
    sum += excess.factor * Math.exp(size - scale);
  }
  return scale + Math.log((sum * h) / (sigma * Math.sqrt(2 * Math.PI)));
}

/** r^alpha - 1 - alpha (r - 1) for r = e^loss, as factor e^log. */
function excessOf(loss: number, alpha: number): { readonly factor: number; readonly log: number } {
  if (alpha * loss > 30) return { factor: 1, log: alpha * loss };
  if (Math.abs(alpha * loss) < 0.02 && Math.abs(loss) < 0.02) {
    // sum_{k >= 2} (alpha^k - alpha) loss^k / k!
    let [sum, term, power] = [0, loss, alpha];
    for (let k = 2; k <= 9; k++) {
      term *= loss / k;
      power *= alpha;
      sum += (power - alpha) * term;
    }
    return { factor: sum, log: 0 };
  }
  return { factor: Math.expm1(alpha * loss) - alpha * Math.expm1(loss), log: 0 };
}

const STRIDE = 8;

export interface RdpBound {
  /** Upper bound; infinity where no order proves anything. */
  readonly epsilonUpper: number;
  /** The order that proves it. The smallest or the largest of `RDP_ORDERS` says that another one might prove less. */
  readonly order: number;
}

/**
 * Smallest epsilon that the orders prove for all the runs together.
 * @throws LETHE-3301 bad parameters
 */
export function rdpEpsilon(
  runs: readonly SampledGaussianRun[],
  relation: PrivacyRelation,
  delta: number,
): RdpBound {
  runs.forEach(checkRun);
  checkDelta(delta);
  const branched = branchedRuns(runs);
  let best: RdpBound = { epsilonUpper: Infinity, order: Number.NaN };
  if (branched === null) return best;
  const proves = (index: number): RdpBound => {
    const order = RDP_ORDERS[index]!;
    let total = 0;
    for (const { branches, steps } of branched) total += steps * rdpOfBranches(branches, order, relation);
    return { epsilonUpper: epsilonOfRdp(total, order, delta), order };
  };
  // Every order proves a bound, so looking at every eighth first can only miss digits; the curve has one valley.
  let at = 0;
  for (let index = 0; index < RDP_ORDERS.length; index += STRIDE) {
    const bound = proves(index);
    if (bound.epsilonUpper < best.epsilonUpper) [best, at] = [bound, index];
  }
  for (let index = Math.max(0, at - STRIDE + 1); index < Math.min(RDP_ORDERS.length, at + STRIDE); index++) {
    const bound = proves(index);
    if (bound.epsilonUpper < best.epsilonUpper) best = bound;
  }
  return best;
}

/**
 * The epsilon at `delta` that a Renyi divergence of one order proves: proposition 12, or 0 where the total variation distance alone is at most delta
 * (Bretagnolle-Huber: it is at most sqrt(1 - e^-rdp)).
 */
export function epsilonOfRdp(rdp: number, order: number, delta: number): number {
  if (delta * delta + Math.expm1(-rdp) >= 0) return 0;
  return Math.max(0, rdp + Math.log1p(-1 / order) - Math.log(delta * order) / (order - 1));
}

/** Renyi divergence of all steps of a run. @throws LETHE-3301 */
export function rdpOfRun(run: SampledGaussianRun, order: number, relation: PrivacyRelation): number {
  checkRun(run);
  const branched = branchedRuns([run]);
  if (branched === null) return Infinity;
  return branched.reduce(
    (sum, { branches, steps }) => sum + steps * rdpOfBranches(branches, order, relation),
    0,
  );
}
