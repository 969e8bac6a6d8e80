/**
 * Renyi differential privacy of the Poisson-subsampled Gaussian, composed over steps.
 *
 * Mironov, Talwar, Zhang, "Renyi Differential Privacy of the Sampled Gaussian Mechanism", arXiv 1908.10530v1, section 3.3, and
 * Canonne, Kamath, Steinke, "The Discrete Gaussian for Differential Privacy", arXiv 2004.00010v5, proposition 12 (conversion).
 * Differences: integer orders sum expm1 terms, so that A - 1 keeps its relative accuracy where A is 1 + 1e-9 (libraries sum to A and lose 6-7
 * digits); fractional orders integrate numerically instead of summing the paper's signed series, which cancels and does not converge for
 * probabilities near one half.
 * Noise multiplier = noise standard deviation / clip norm; relation: add or remove one.
 */
import type { MechanismSpec } from '../mechanism.ts';
import { logAdd } from '../special.ts';

/** Orders tried: dense where small epsilons have their optimum, sparse up to 1024 for tiny deltas. */
export const RDP_ORDERS: readonly number[] = [
  ...Array.from({ length: 99 }, (_, i) => Number((1.1 + i / 10).toFixed(1))).filter((a) => a < 11),
  ...Array.from({ length: 53 }, (_, i) => 11 + i),
  ...[64, 80, 96, 128, 160, 192, 256, 384, 512, 1024],
];

/**
 * Renyi divergence of order alpha of one step.
 * @returns nats; infinity where the value overflows a double
 */
export function rdpOfStep(samplingProbability: number, noiseMultiplier: number, alpha: number): number {
  if (samplingProbability === 1) return alpha / (2 * noiseMultiplier * noiseMultiplier);
  const logA = Number.isInteger(alpha)
    ? logAOfInteger(samplingProbability, noiseMultiplier, alpha)
    : logAOfFraction(samplingProbability, noiseMultiplier, alpha);
  return logA / (alpha - 1);
}

/** A - 1 = sum_{k=2..alpha} C(alpha, k) q^k (1-q)^(alpha-k) expm1(k (k-1) / (2 sigma^2)); eq. (6) of the paper minus its first terms. */
function logAOfInteger(q: number, sigma: number, alpha: number): number {
  let logBinomial = Math.log(alpha);
  let logExcess = -Infinity;
  for (let k = 2; k <= alpha; k++) {
    logBinomial += Math.log((alpha - k + 1) / k);
    const exponent = (k * (k - 1)) / (2 * sigma * sigma);
    const logExpm1 =
      exponent > 30 ? exponent + Math.log1p(-Math.exp(-exponent)) : Math.log(Math.expm1(exponent));
    logExcess = logAdd(logExcess, logBinomial + k * Math.log(q) + (alpha - k) * Math.log1p(-q) + logExpm1);
  }
  return logExcess > 30 ? logAdd(0, logExcess) : Math.log1p(Math.exp(logExcess));
}

const STEPS_PER_SIGMA = 24;

/**
 * A - 1 = E_{z ~ N(0, sigma^2)}[r^alpha - 1 - alpha (r - 1)] with r = 1 - q + q e^((2z-1)/(2 sigma^2)): since E[r] = 1 the subtracted line changes
 * nothing, and the integrand is nonnegative (Bernoulli), so that nothing cancels in the sum. Trapezoid rule, spectrally accurate for
 * this entire function: within 1e-12 of the integer series where both apply (tested). Overflows to infinity for tiny sigma, which only loses the order.
 */
function logAOfFraction(q: number, sigma: number, alpha: number): number {
  const variance = sigma * sigma;
  const h = sigma / STEPS_PER_SIGMA;
  const points = Math.ceil((alpha + 24 * sigma) / h);
  let excess = 0;
  for (let i = 0; i <= points; i++) {
    const z = -12 * sigma + i * h;
    const logDensity = -(z * z) / (2 * variance);
    const loss = (2 * z - 1) / (2 * variance);
    const logRatio =
      loss > 30
        ? Math.log(q) + loss + Math.log1p(((1 - q) / q) * Math.exp(-loss))
        : Math.log1p(q * Math.expm1(loss));
    excess +=
      alpha * logRatio > 1
        ? Math.exp(logDensity + alpha * logRatio) +
          (alpha - 1) * Math.exp(logDensity) -
          alpha * Math.exp(logDensity + logRatio)
        : Math.exp(logDensity) * (Math.expm1(alpha * logRatio) - alpha * Math.expm1(logRatio));
  }
  return Math.log1p((excess * h) / (sigma * Math.sqrt(2 * Math.PI)));
}

/**
 * Smallest epsilon that the orders prove for `steps` executions at the spec's delta.
 * @returns epsilonUpper and the order that proves it
 */
export function rdpEpsilonUpper(
  spec: Pick<MechanismSpec, 'samplingProbability' | 'noiseMultiplier' | 'steps'>,
  delta: number,
): { readonly epsilonUpper: number; readonly order: number } {
  let best = { epsilonUpper: Infinity, order: Number.NaN };
  for (const alpha of RDP_ORDERS) {
    const rdp = spec.steps * rdpOfStep(spec.samplingProbability, spec.noiseMultiplier, alpha);
    const epsilon = Math.max(0, rdp + Math.log1p(-1 / alpha) - Math.log(delta * alpha) / (alpha - 1));
    if (epsilon < best.epsilonUpper) best = { epsilonUpper: epsilon, order: alpha };
  }
  return best;
}
