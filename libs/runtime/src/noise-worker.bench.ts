import { cpus, loadavg } from 'node:os';
import { initialWeights, sgd } from '@lethe/optim';
import { noiseGrid, PrivacyRandomness, StepNoise } from '@lethe/privacy';
import { secureRandom, seededRandom } from '@lethe/std';
import { runtimeFingerprint } from './fingerprint.ts';
import { NoiseWorker } from './noise-worker.ts';
import { buildTrainStep } from './train-step.ts';

/**
 * What noise adds to a clipped step of one thread (784-512-512-10, batch 256): none, an input that never changes (the addition alone), made on the
 * same thread, and made by the worker while the step before runs. `node libs/runtime/src/noise-worker.bench.ts [steps] [--json]`; the four ways take turns step by
 * step, so that a busy machine slows them alike. Processor time is that of the process, all threads together.
 */
const steps = Number(process.argv.slice(2).find((argument) => /^\d+$/.test(argument)) ?? 300);
const batch = 256;
const model = { widths: [784, 512, 512, 10], activation: 'relu' } as const;
const initial = initialWeights(model, seededRandom('noise bench'));
const names = Object.keys(initial);
const lengths = names.map((name) => initial[name]!.data.length);
const grid = noiseGrid(
  1,
  1.1,
  lengths.reduce((sum, length) => sum + length, 0),
);

const step = (noise: 'input' | 'none') =>
  buildTrainStep({
    model,
    rows: batch,
    optimizer: sgd(),
    objective: { kind: 'clipped', subjects: batch, l2ClipNorm: 1, divisor: batch, noise },
    initial,
    threads: 1,
  });
const [quiet, noisy] = [await step('none'), await step('input')];
const random = seededRandom('rows');
const rows = {
  x: Float32Array.from({ length: batch * 784 }, () => random.uniform()),
  labels: BigInt64Array.from({ length: batch }, () => BigInt(random.below(10))),
  mask: new Float32Array(batch).fill(1),
  learningRate: 0.01,
};
const named = (values: readonly Float32Array[]) =>
  Object.fromEntries(names.map((name, p) => [name, values[p]!]));
const own = lengths.map((length) => new Float32Array(length));
const inline = new StepNoise(secureRandom().bytes(32));
const worker = NoiseWorker.start({
  randomness: new PrivacyRandomness('production', secureRandom()),
  grid,
  lengths,
});
let made = 0;
const ways = {
  none: () => quiet.run(rows),
  constant: () => noisy.run({ ...rows, noise: named(own) }),
  'same thread': () => {
    inline.fill(inline.nextStep, grid, own);
    return noisy.run({ ...rows, noise: named(own) });
  },
  worker: async () => noisy.run({ ...rows, noise: named(await worker.next(made++)) }),
};
const times = Object.fromEntries(Object.keys(ways).map((way) => [way, [] as number[]]));
for (let i = 0; i < steps + 20; i++) {
  for (const [way, run] of Object.entries(ways)) {
    const start = performance.now();
    await run();
    if (i >= 20) times[way]!.push(performance.now() - start);
  }
}
await worker.close();
await Promise.all([quiet.close(), noisy.close()]);

const rowsOut = Object.entries(times).map(([way, list]) => {
  const sorted = list.toSorted((a, b) => a - b);
  const at = (share: number): number => sorted[Math.floor(share * (sorted.length - 1))]!;
  return { way, medianMs: at(0.5), lowerMs: at(0.05), upperMs: at(0.95) };
});
const machine = {
  cpu: runtimeFingerprint().cpuModel,
  cores: cpus().length,
  load: loadavg()[0]!,
  steps,
  parameters: lengths.reduce((sum, length) => sum + length, 0),
};
if (process.argv.includes('--json')) process.stdout.write(`${JSON.stringify({ machine, rows: rowsOut })}\n`);
else {
  process.stdout.write(
    `${machine.cpu}, ${machine.cores} cores, load ${machine.load.toFixed(1)}, ${machine.parameters} parameters, ${steps} steps\n`,
  );
  for (const { way, medianMs, lowerMs, upperMs } of rowsOut) {
    process.stdout.write(
      `noise ${way.padEnd(12)} ${medianMs.toFixed(2)} ms (5 %: ${lowerMs.toFixed(2)}, 95 %: ${upperMs.toFixed(2)}), ${(medianMs / rowsOut[0]!.medianMs).toFixed(2)} x none\n`,
    );
  }
}
