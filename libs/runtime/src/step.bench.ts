import { cpus, loadavg } from 'node:os';
import { adam, initialWeights, type Objective, type Optimizer, sgd } from '@lethe/optim';
import { seededRandom } from '@lethe/std';
import { runtimeFingerprint } from './fingerprint.ts';
import { buildTrainStep } from './train-step.ts';

/**
 * Times training steps: `node libs/runtime/src/step.bench.ts [runs]`. Each row is warmed up with 20 steps, then `runs` (300)
 * steps are timed one by one; the figure to quote is the median, and the minimum where other programs share the machine.
 */
const runs = Number(process.argv[2] ?? 300);
const batch = 256;
const clipped = (subjects: number): Objective => ({
  kind: 'clipped',
  subjects,
  l2ClipNorm: 1,
  divisor: subjects,
  noise: 'none',
});
const mean: Objective = { kind: 'mean', divisor: batch };
const large = [784, 512, 512, 10];
const small = [784, 256, 10];

const rows: readonly (readonly [readonly number[], number, string, Objective, Optimizer])[] = [
  [large, 1, 'plain sgd', mean, sgd()],
  [large, 1, 'clipped sgd', clipped(batch), sgd()],
  [large, 1, 'clipped sgd, 4 rows a subject', clipped(batch / 4), sgd()],
  [large, 1, 'plain adam', mean, adam()],
  [small, 2, 'plain sgd', mean, sgd()],
  [small, 2, 'clipped sgd', clipped(batch), sgd()],
];

const { runtime, cpuModel } = runtimeFingerprint();
const load = loadavg()[0]!.toFixed(1);
process.stdout.write(
  `${cpuModel}, ${cpus().length} cores, load ${load}, ${runtime}, ${runs} steps, batch ${batch}\n`,
);

for (const [widths, threads, name, objective, optimizer] of rows) {
  const model = { widths, activation: 'relu' } as const;
  const random = seededRandom('bench', name);
  const initial = initialWeights(model, random);
  const step = await buildTrainStep({ model, rows: batch, optimizer, objective, initial, threads });
  const x = Float32Array.from({ length: batch * 784 }, () => random.uniform());
  const labels = BigInt64Array.from({ length: batch }, () => BigInt(random.below(10)));
  const mask = new Float32Array(batch).fill(1);
  const times: number[] = [];
  for (let i = 0; i < runs + 20; i++) {
    const start = performance.now();
    await step.run({ x, labels, mask, learningRate: 0.01 });
    if (i >= 20) times.push(performance.now() - start);
  }
  times.sort((a, b) => a - b);
  const [low, middle, high] = [times[0]!, times[runs >> 1]!, times.at(-1)!].map((ms) =>
    ms.toFixed(2).padStart(7),
  );
  process.stdout.write(
    `${widths.join('-').padEnd(16)} ${threads} threads  ${name.padEnd(30)} min ${low}  median ${middle}  max ${high} ms\n`,
  );
  await step.close();
}
