import { cpus, loadavg } from 'node:os';
import { GraphBuilder, matmul } from '@lethe/graph';
import { adam, initialWeights, type Objective, type Optimizer, sgd } from '@lethe/optim';
import { seededRandom } from '@lethe/std';
import { float32 } from '@lethe/tensor';
import { runtimeFingerprint } from './fingerprint.ts';
import { Session } from './session.ts';
import { buildTrainStep } from './train-step.ts';

/**
 * Times training steps: `node libs/runtime/src/step.bench.ts [runs]`. After 20 steps of warm-up, `runs` (300) steps are timed one by
 * one. Machines differ by a factor of two and more, so the speed of one bare matrix product comes first and each row is also
 * given as a multiple of the time that its matrix products need at that speed (forward, weight gradients, input gradients).
 */
const runs = Number(process.argv[2] ?? 300);
const batch = 256;

async function timed(action: () => Promise<unknown>): Promise<{ min: number; median: number; max: number }> {
  const times: number[] = [];
  for (let i = 0; i < runs + 20; i++) {
    const start = performance.now();
    await action();
    if (i >= 20) times.push(performance.now() - start);
  }
  times.sort((a, b) => a - b);
  return { min: times[0]!, median: times[runs >> 1]!, max: times.at(-1)! };
}

/** Seconds for 10^9 floating-point operations in a product [256, 784] x [784, 512]. */
async function productSpeed(threads: number): Promise<number> {
  const g = new GraphBuilder();
  g.output('y', matmul(g.examples('a', [batch, 784]), g.shared('b', [784, 512])));
  const session = await Session.create(g.build(), { threads });
  const feeds = {
    a: float32([batch, 784], new Float32Array(batch * 784).fill(0.5)),
    b: float32([784, 512], new Float32Array(784 * 512).fill(0.5)),
  };
  const fetches = { y: float32([batch, 512], new Float32Array(batch * 512)) };
  const { median } = await timed(() => session.runInto(feeds, fetches));
  await session.close();
  return (2 * batch * 784 * 512) / 1e6 / median;
}

/** Operations of all products of a step: two for each layer, and the input gradient for all but the first. */
const operations = (widths: readonly number[]): number =>
  widths.slice(1).reduce((sum, d, i) => sum + 2 * batch * widths[i]! * d * (i === 0 ? 2 : 3), 0);

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
const speeds = { 1: await productSpeed(1), 2: await productSpeed(2) };
process.stdout.write(
  `${cpuModel}, ${cpus().length} cores, load ${load}, ${runtime}, ${runs} steps, batch ${batch}; ` +
    `matrix product ${speeds[1].toFixed(0)} GFLOP/s with 1 thread, ${speeds[2].toFixed(0)} with 2\n`,
);

for (const [widths, threads, name, objective, optimizer] of rows) {
  const model = { widths, activation: 'relu' } as const;
  const random = seededRandom('bench', name);
  const initial = initialWeights(model, random);
  const step = await buildTrainStep({ model, rows: batch, optimizer, objective, initial, threads });
  const x = Float32Array.from({ length: batch * 784 }, () => random.uniform());
  const labels = BigInt64Array.from({ length: batch }, () => BigInt(random.below(10)));
  const mask = new Float32Array(batch).fill(1);
  const time = await timed(() => step.run({ x, labels, mask, learningRate: 0.01 }));
  const floor = operations(widths) / 1e6 / speeds[threads === 1 ? 1 : 2];
  const ms = (value: number): string => value.toFixed(2).padStart(6);
  process.stdout.write(
    `${widths.join('-').padEnd(15)} ${threads} thr  ${name.padEnd(29)} min ${ms(time.min)}  median ${ms(time.median)}  max ${ms(time.max)} ms  ` +
      `${(time.median / floor).toFixed(2)} x its products\n`,
  );
  await step.close();
}
