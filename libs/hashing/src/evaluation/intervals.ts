/** Two-sided 97.5 % quantiles of Student's t for 1 to 9 degrees of freedom. */
const T_QUANTILES = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262];

export interface SeedInterval {
  readonly mean: number;
  /** 95 % interval of the mean by Student's t over seeds, which it takes for independent; splits overlap, so it is a little short. */
  readonly low: number;
  readonly high: number;
  readonly seeds: number;
}

/** @param values one figure a seed, 2 to 10 of them */
export function seedInterval(values: readonly number[]): SeedInterval {
  const n = values.length;
  const mean = values.reduce((sum, value) => sum + value, 0) / n;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (n - 1);
  const half = (T_QUANTILES[n - 2] ?? Number.NaN) * Math.sqrt(variance / n);
  return { mean, low: mean - half, high: mean + half, seeds: n };
}
