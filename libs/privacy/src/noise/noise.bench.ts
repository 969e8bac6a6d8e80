import { createCipheriv } from 'node:crypto';
import { cpus, loadavg } from 'node:os';
import { secureRandom } from '@lethe/std';
import { PrivacyRandomness } from '../randomness.ts';
import { samplePoisson } from '../sampling/poisson.ts';
import { noiseGrid } from './grid.ts';
import { drawNoiseKey, Keystream } from './keystream.ts';
import { RoundedNormal } from './rounded-normal.ts';
import { StepNoise } from './step-noise.ts';

/**
 * Noise and sampling on one core, in nanoseconds of processor time a value: `node libs/privacy/src/noise/noise.bench.ts [--json]`. Rows take turns,
 * so that a busy machine slows them alike; least, median and largest of the rounds. Baselines: Box-Muller in float64 on the same keystream,
 * and the sum of four of its normals, halved, which is how Opacus 1.5 hides the holes of floating-point noise in its secure mode.
 */
const COUNT = 1 << 20;
const ROUNDS = 15;
const randomness = new PrivacyRandomness('production', secureRandom());
const key = drawNoiseKey(randomness);
const out = new Float32Array(COUNT);
const wide = new Float64Array(COUNT);
const zeros = new Uint8Array(1 << 18);

function keystream(algorithm: string, bytes: number): void {
  const cipher = createCipheriv(algorithm, key.subarray(0, bytes), new Uint8Array(16));
  for (let at = 0; at < 4 * COUNT; at += zeros.length) cipher.update(zeros);
}

/** The words of one keystream again and again: the ziggurat without the cipher. */
class Repeated extends Keystream {
  readonly #words = new Keystream(key, 0, 'samples').words(1 << 16).slice();
  override words(count: number): Int32Array {
    return count >= this.#words.length ? this.#words : this.#words.subarray(0, count);
  }
}

function boxMuller(normals: number): void {
  const stream = new Keystream(key, 1, 'samples');
  wide.fill(0);
  for (let pass = 0; pass < normals; pass++) {
    for (let at = 0; at < COUNT; ) {
      const words = stream.words(1 << 14);
      for (let w = 0; w < words.length && at < COUNT; w += 4) {
        const u = ((words[w]! >>> 5) * 67_108_864 + (words[w + 1]! >>> 6) + 1) * 2 ** -53;
        const angle = 2 * Math.PI * (((words[w + 2]! >>> 5) * 67_108_864 + (words[w + 3]! >>> 6)) * 2 ** -53);
        const radius = Math.sqrt(-2 * Math.log(u));
        wide[at]! += radius * Math.cos(angle);
        wide[at + 1]! += radius * Math.sin(angle);
        at += 2;
      }
    }
  }
  if (normals > 1) for (let i = 0; i < COUNT; i++) wide[i]! /= Math.sqrt(normals);
}

const grid = noiseGrid(1, 1.1, COUNT);
const noise = new StepNoise(key);
const normal = new RoundedNormal(grid.standardDeviation / grid.spacing, grid.spacing);
const POPULATION = 1_000_000;
const ways: Record<string, { readonly values: number; readonly run: () => void }> = {
  'aes-128-ctr, 4 bytes': { values: COUNT, run: () => keystream('aes-128-ctr', 16) },
  'aes-256-ctr, 4 bytes': { values: COUNT, run: () => keystream('aes-256-ctr', 32) },
  'ziggurat alone': {
    values: COUNT,
    run: () => normal.fill(out, new Repeated(key, 0, 'samples'), new Repeated(key, 0, 'spill')),
  },
  'noise of a step': { values: COUNT, run: () => noise.fill(noise.nextStep, grid, [out]) },
  'Box-Muller': { values: COUNT, run: () => boxMuller(1) },
  'four Box-Muller, summed': { values: COUNT, run: () => boxMuller(4) },
  'Poisson draw, q 0.001': {
    values: POPULATION,
    run: () => void samplePoisson(POPULATION, 0.001, randomness),
  },
};

const times = Object.fromEntries(Object.keys(ways).map((way) => [way, [] as number[]]));
for (let round = -3; round < ROUNDS; round++) {
  for (const [way, { values, run }] of Object.entries(ways)) {
    const start = process.cpuUsage();
    run();
    const { user, system } = process.cpuUsage(start);
    if (round >= 0) times[way]!.push(((user + system) * 1000) / values);
  }
}
const rows = Object.entries(times).map(([way, list]) => {
  list.sort((a, b) => a - b);
  return { way, least: list[0]!, median: list[ROUNDS >> 1]!, largest: list.at(-1)! };
});
const machine = { cpu: cpus()[0]!.model, cores: cpus().length, load: loadavg()[0]! };
if (process.argv.includes('--json'))
  process.stdout.write(`${JSON.stringify({ machine, unit: 'ns', rows })}\n`);
else {
  process.stdout.write(
    `${machine.cpu}, ${machine.cores} cores, load ${machine.load.toFixed(1)}, node ${process.version}\n`,
  );
  for (const { way, least, median, largest } of rows) {
    process.stdout.write(
      `${way.padEnd(24)} ${median.toFixed(2).padStart(6)} ns (${least.toFixed(2)} to ${largest.toFixed(2)}), ${(1000 / median).toFixed(0).padStart(4)} M/s\n`,
    );
  }
}
