/**
 * How long the accountants take, and how far the bound is above the references: node libs/privacy/src/accountants/accountants.bench.ts [--json]
 * Times are medians of warm runs in milliseconds; run it on an idle machine.
 */
import { readFileSync } from 'node:fs';
import { calibrateNoise } from './calibrate.ts';
import { contourEpsilon } from './contour.ts';
import { pldEpsilon } from './pld.ts';
import { rdpEpsilon } from './rdp.ts';
import type { PrivacyRelation } from './runs.ts';

const REPEATS = 5;

function median(work: () => unknown): number {
  work();
  const times = Array.from({ length: REPEATS }, () => {
    const from = performance.now();
    work();
    return performance.now() - from;
  });
  return Number(times.sort((a, b) => a - b)[REPEATS >> 1]!.toFixed(1));
}

const CASES = [
  ['mnist, 14,062 steps', 256 / 60_000, 1.1, 14_062, 1e-5],
  ['tiny delta, 10,000 steps', 0.001, 1, 10_000, 1e-12],
  ['rare large losses, 1,000 steps', 0.001, 0.5, 1000, 1e-5],
  ['one step', 0.01, 1, 1, 1e-5],
  ['10^6 steps', 0.001, 1, 1_000_000, 1e-5],
  ['10^6 steps, rare draws', 1e-4, 0.7, 1_000_000, 1e-8],
] as const;

const times = CASES.flatMap(([name, samplingProbability, noiseMultiplier, steps, delta]) =>
  (['add-remove', 'replace-one'] as const).map((relation) => {
    const run = [{ samplingProbability, noiseMultiplier, steps }];
    const { epsilon } = pldEpsilon(run, relation, delta);
    return {
      name,
      relation,
      epsilon,
      pldMs: median(() => pldEpsilon(run, relation, delta)),
      contourMs: median(() => contourEpsilon(run, relation, delta, epsilon)),
      rdpMs: median(() => rdpEpsilon(run, relation, delta)),
    };
  }),
);

const calibrations = [
  ['epsilon 1', 14_062, 1, 'add-remove'],
  ['epsilon 3', 14_062, 3, 'add-remove'],
  ['epsilon 8', 14_062, 8, 'add-remove'],
  ['epsilon 3', 14_062, 3, 'replace-one'],
  ['epsilon 3, 10^6 steps', 1_000_000, 3, 'add-remove'],
].map(([name, steps, epsilon, relation]) => {
  const target = {
    samplingProbability: 256 / 60_000,
    steps: Number(steps),
    delta: 1e-5,
    epsilon: Number(epsilon),
    relation: relation as PrivacyRelation,
  };
  return {
    name,
    relation,
    noiseMultiplier: calibrateNoise(target).noiseMultiplier,
    ms: median(() => calibrateNoise(target)),
  };
});

interface Reference {
  readonly sigma: number;
  readonly q: number;
  readonly steps: number;
  readonly delta: number;
  readonly relation: PrivacyRelation;
  readonly epsilon: number;
}

const references = JSON.parse(
  readFileSync(new URL('./references/references.json', import.meta.url), 'utf8'),
) as readonly Reference[];
/** Excess over the reference as a share of max(1e-4, 2e-4 epsilon), the worst by number of steps. */
const accuracy: Record<string, { rows: number; worst: number; slowestMs: number }> = {};
for (const { sigma, q, steps, delta, relation, epsilon } of references) {
  const from = performance.now();
  const bound = pldEpsilon(
    [{ samplingProbability: q, noiseMultiplier: sigma, steps }],
    relation,
    delta,
  ).epsilon;
  const ms = performance.now() - from;
  const key = `${relation}, ${steps} steps`;
  accuracy[key] ??= { rows: 0, worst: 0, slowestMs: 0 };
  const cell = accuracy[key];
  cell.rows++;
  cell.worst = Math.max(cell.worst, (bound - epsilon) / Math.max(1e-4, 2e-4 * epsilon));
  cell.slowestMs = Math.max(cell.slowestMs, ms);
}

if (process.argv.includes('--json')) console.log(JSON.stringify({ times, calibrations, accuracy }, null, 2));
else {
  console.table(times);
  console.table(calibrations);
  console.table(accuracy);
}
