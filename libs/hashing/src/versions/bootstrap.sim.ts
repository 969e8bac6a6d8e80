/**
 * How often the gate's lower bound lies at or below the true mean, which it should do in at least 95 of 100 cases: `node libs/hashing/src/versions/bootstrap.sim.ts [rounds] [--json]`.
 *
 * Populations are made of values that differences of average precision take: many zeros, a skewed rest, and harm so rare that most samples of 100 have none of it. `percentile` and
 * `studentised` resample the queries alone; they are the methods that were not chosen. `gap` is how far the chosen bound lies below the mean of its sample, on average.
 */
import { parseArgs } from 'node:util';
import type { RandomSource } from '@lethe/std';
import { seededRandom } from '@lethe/std';
import { lowerBoundOfMean } from './bootstrap.ts';

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: { json: { type: 'boolean', default: false } },
});
const rounds = Number(positionals[0] ?? 1_000);
const LEVEL = 0.95;
const RESAMPLES = 200;

/** Values with their probabilities. */
const populations: Record<string, readonly (readonly [number, number])[]> = {
  'even, few zeros': Array.from({ length: 21 }, (_, i) => [(i - 10) / 100, 1 / 21] as const),
  'many zeros, rare gain': [
    [0, 0.7],
    [-0.01, 0.25],
    [0.4, 0.05],
  ],
  'many zeros, rare harm': [
    [0, 0.7],
    [0.01, 0.25],
    [-0.4, 0.05],
  ],
  'skewed harm': Array.from({ length: 40 }, (_, i) => [0.02 - (i / 40) ** 6, 1 / 40] as const),
  'harm of one in 100': [
    [0, 0.99],
    [-0.9, 0.01],
  ],
  'harm of one in 100, noise': [
    [0.002, 0.495],
    [-0.002, 0.495],
    [-0.9, 0.01],
  ],
  'harm of one in 500': [
    [0.001, 0.499],
    [-0.001, 0.499],
    [-0.9, 0.002],
  ],
};

function resampled(values: Float64Array, random: RandomSource): { percentile: number; studentised: number } {
  const moments = (pick: (i: number) => number) => {
    let [sum, squares] = [0, 0];
    for (let i = 0; i < values.length; i++) {
      const value = values[pick(i)]!;
      sum += value;
      squares += value * value;
    }
    const mean = sum / values.length;
    return { mean, error: Math.sqrt(Math.max(0, squares / values.length - mean * mean) / values.length) };
  };
  const { mean, error } = moments((i) => i);
  const drawn = Array.from({ length: RESAMPLES }, () => moments(() => random.below(values.length)));
  const means = drawn.map((one) => one.mean).sort((a, b) => a - b);
  const ratios = drawn
    .map((one) => (one.error > 0 ? (one.mean - mean) / one.error : 1))
    .sort((a, b) => a - b);
  return {
    percentile: means[Math.floor((1 - LEVEL) * RESAMPLES)]!,
    studentised: mean - ratios[Math.ceil(LEVEL * RESAMPLES) - 1]! * error,
  };
}

function draw(
  population: readonly (readonly [number, number])[],
  count: number,
  random: RandomSource,
): Float64Array {
  return Float64Array.from({ length: count }, () => {
    let rest = random.uniform();
    for (const [value, probability] of population) {
      if (rest < probability) return value;
      rest -= probability;
    }
    return population.at(-1)![0];
  });
}

const result = Object.entries(populations).flatMap(([name, population]) => {
  const mean = population.reduce((sum, [value, p]) => sum + value * p, 0);
  return [100, 500].map((queries) => {
    const random = seededRandom('bootstrap sim', name, queries);
    let [chosen, studentised, percentile, gap] = [0, 0, 0, 0];
    for (let round = 0; round < rounds; round++) {
      const values = draw(population, queries, random);
      const bound = lowerBoundOfMean(values, LEVEL, RESAMPLES, random);
      const other = resampled(values, random);
      if (bound <= mean) chosen++;
      if (other.studentised <= mean) studentised++;
      if (other.percentile <= mean) percentile++;
      gap += values.reduce((sum, value) => sum + value, 0) / queries - bound;
    }
    return {
      population: name,
      queries,
      rounds,
      nominal: LEVEL,
      chosen: chosen / rounds,
      studentised: studentised / rounds,
      percentile: percentile / rounds,
      gap: Number((gap / rounds).toFixed(4)),
    };
  });
});
if (flags.json) console.log(JSON.stringify(result));
else console.table(result);
