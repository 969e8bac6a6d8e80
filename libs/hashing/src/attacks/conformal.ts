/** P-values that need no model of what is normal: only that what is judged is exchangeable with a reference. */
import { HASHING } from '../errors.ts';

/**
 * p = (1 + number of reference values at least as large) / (1 + number of reference values), one per value. A value from the reference's
 * own distribution has P(p <= alpha) <= alpha for every alpha (Vovk, Gammerman and Shafer 2005), ties included.
 * @throws LETHE-3410 a value is NaN: it is neither larger nor smaller than another, and would never be flagged
 */
export function conformalPValues(reference: Float64Array, values: Float64Array): Float64Array {
  if (reference.some(Number.isNaN) || values.some(Number.isNaN)) {
    throw HASHING.OPTION_INVALID('a value to be judged, or one of the reference, is no number');
  }
  const sorted = reference.toSorted();
  return values.map((value) => {
    let [low, high] = [0, sorted.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (sorted[middle]! < value) low = middle + 1;
      else high = middle;
    }
    return (1 + sorted.length - low) / (1 + sorted.length);
  });
}

/**
 * Positions of the values whose p-value is at most `alpha`: of normal ones at most this share is flagged in expectation.
 * @throws LETHE-3410 the reference is too small to tell that share: 1 / alpha - 1 values are needed
 */
export function flagExtreme(reference: Float64Array, values: Float64Array, alpha: number): number[] {
  if (!(alpha > 0 && alpha < 1) || (reference.length + 1) * alpha < 1) {
    throw HASHING.OPTION_INVALID('the reference is too small for this share of false alarms', {
      details: { alpha, reference: reference.length, needed: Math.ceil(1 / alpha) - 1 },
    });
  }
  return [...conformalPValues(reference, values).entries()].filter(([, p]) => p <= alpha).map(([at]) => at);
}
