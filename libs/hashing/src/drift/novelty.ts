/**
 * Novelty: the mean of the class-distance vector of a window against that of the reference, in one quadratic form (Hotelling 1931, two samples, covariance from the
 * reference alone).
 *
 *     T² = (x̄ - μ)ᵀ S⁻¹ (x̄ - μ) / (1 / w + 1 / n)        about chi-squared with m degrees of freedom if w and n are from one distribution
 *
 * A new class moves many questions a little: at 5 % of traffic no single count of 4,096 items leaves its binomial range at a level of 1e-6 for every digit, the quadratic form does.
 * 1 / n is the reference's own error. The law is asymptotic; `drift.sim.ts` measures its tail. m is the number of dimensions kept: those with variance and not
 * explained by the ones before them.
 */
const VARIANCE_MIN = 0.005;
/** Least share of a dimension's variance that those before it leave. */
const UNEXPLAINED_MIN = 0.01;

export interface NoveltyReference {
  readonly items: number;
  /** Kept dimensions. */
  readonly kept: readonly number[];
  /** [m] means. */
  readonly mean: Float64Array;
  /** [m, m] lower Cholesky factor of the covariance. */
  readonly factor: Float64Array;
}

/** @param sums [dim]  @param products [dim, dim] lower triangle of the sum of x xᵀ */
export function noveltyReference(
  items: number,
  sums: Float64Array,
  products: Float64Array,
): NoveltyReference {
  const dim = sums.length;
  const covariance = (i: number, j: number) =>
    products[Math.max(i, j) * dim + Math.min(i, j)]! / items - (sums[i]! / items) * (sums[j]! / items);
  const kept: number[] = [];
  const rows: number[][] = [];
  for (let i = 0; i < dim; i++) {
    const row: number[] = [];
    kept.forEach((j, at) => {
      let value = covariance(i, j);
      for (let k = 0; k < at; k++) value -= row[k]! * rows[at]![k]!;
      row.push(value / rows[at]![at]!);
    });
    const variance = covariance(i, i);
    const left = variance - row.reduce((sum, value) => sum + value * value, 0);
    if (variance < VARIANCE_MIN || left < UNEXPLAINED_MIN * variance) continue;
    row.push(Math.sqrt(left));
    kept.push(i);
    rows.push(row);
  }
  const m = kept.length;
  const factor = new Float64Array(m * m);
  rows.forEach((row, i) => {
    factor.set(row, i * m);
  });
  return { items, kept, mean: Float64Array.from(kept, (i) => sums[i]! / items), factor };
}

/** T² of a stretch of `items` items. */
export function noveltyStatistic(reference: NoveltyReference, sums: Float64Array, items: number): number {
  const { kept, mean, factor } = reference;
  const m = kept.length;
  const y = new Float64Array(m);
  let total = 0;
  for (let i = 0; i < m; i++) {
    let value = sums[kept[i]!]! / items - mean[i]!;
    for (let j = 0; j < i; j++) value -= factor[i * m + j]! * y[j]!;
    y[i] = value / factor[i * m + i]!;
    total += y[i]! * y[i]!;
  }
  return total / (1 / items + 1 / reference.items);
}

/** Upper tail of chi-squared: exact finite sum for even degrees of freedom, so an odd number is raised by one, which is the careful side. */
export function chiSquaredTail(x: number, degrees: number): number {
  const half = Math.ceil(degrees / 2);
  let term = Math.exp(-x / 2);
  let sum = term;
  for (let i = 1; i < half; i++) {
    term *= x / 2 / i;
    sum += term;
  }
  return sum;
}

/** x with an upper tail of `level`, to 1e-9. @param level in (0, 1) */
export function chiSquaredThreshold(level: number, degrees: number): number {
  let low = 0;
  let high = 1;
  while (chiSquaredTail(high, degrees) > level) high *= 2;
  while (high - low > 1e-9) {
    const middle = (low + high) / 2;
    if (chiSquaredTail(middle, degrees) > level) low = middle;
    else high = middle;
  }
  return high;
}
