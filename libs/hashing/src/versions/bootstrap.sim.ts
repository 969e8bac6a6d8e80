/**
 * How often the gate's lower bound lies below the true mean, which it should do in 95 of 100 cases: `node libs/hashing/src/versions/bootstrap.sim.ts [rounds] [--json]`.
 *
 * Populations are made of values that differences of average precision take: many zeros, a skewed rest. `percentile` is the method that was not chosen. The last
 * one cannot work: a harm of one query in 500 is absent from most samples of 100, whatever is resampled.
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
const RESAMPLES = 500;

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
  'harm of one in 500': [
    [0.001, 0.499],
    [-0.001, 0.499],
    [-0.9, 0.002],
  ],
};

function percentileBound(values: Float64Array, random: RandomSource): number {
  const means = Float64Array.from({ length: RESAMPLES }, () => {
    let sum = 0;
    for (let i = 0; i < values.length; i++) sum += values[random.below(values.length)]!;
    return sum / values.length;
  });
  return means.sort()[Math.floor((1 - LEVEL) * RESAMPLES)]!;
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
    let studentised = 0;
    let percentile = 0;
    for (let round = 0; round < rounds; round++) {
      const values = draw(population, queries, random);
      if (lowerBoundOfMean(values, LEVEL, RESAMPLES, random) <= mean) studentised++;
      if (percentileBound(values, random) <= mean) percentile++;
    }
    return {
      population: name,
      queries,
      rounds,
      nominal: LEVEL,
      studentised: studentised / rounds,
      percentile: percentile / rounds,
    };
  });
});
if (flags.json) console.log(JSON.stringify(result));
else console.table(result);
