import {
  GraphBuilder,
  mlp,
  mlpParameters,
  mlpStack,
  mlpStackParameters,
  reshape,
  softmaxCrossEntropy,
} from '@lethe/graph';
import { sgd, trainStepGraph } from '@lethe/optim';
import { seededRandom } from '@lethe/std';
import { float32, type Shape, type Tensor, tensor } from '@lethe/tensor';
import { runtimeFingerprint } from './fingerprint.ts';
import { TrainStep } from './train-step.ts';

/**
 * Whether k models in one graph are faster than k runs: `npm run bench -- stack`. One thread, k = 8, both ways in turns, 300 steps; milliseconds
 * for all k models: median, first and ninth decile.
 */
const K = 8;
const RUNS = 300;
const random = seededRandom('stack.bench');
const values = (shape: Shape): Tensor<'float32'> =>
  float32(
    shape,
    Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => 0.1 * random.uniform()),
  );
const labelled = (n: number): Tensor => tensor('int64', [n], new BigInt64Array(n), 'labels');
const initial = (
  parameters: readonly { readonly name: string; readonly shape: Shape }[],
): Record<string, Tensor> => Object.fromEntries(parameters.map(({ name, shape }) => [name, values(shape)]));

const { cpuModel } = runtimeFingerprint();
console.log(`${cpuModel}, ${K} models`);
for (const [n, widths] of [
  [16, [64, 16, 10]],
  [32, [784, 16, 10]],
  [32, [784, 64, 10]],
  [128, [784, 128, 10]],
] as const) {
  const spec = { widths, activation: 'relu' } as const;
  const objective = { kind: 'mean', divisor: n } as const;
  const single = new GraphBuilder();
  const one = mlp(single.examples('x', [n, widths[0]]), spec);
  const oneGraph = trainStepGraph(single, {
    losses: softmaxCrossEntropy(one.logits, single.examples('labels', [n], 'int64')),
    parameters: one.parameters,
    optimizer: sgd(),
    objective,
  });
  const stacked = new GraphBuilder();
  const all = mlpStack(stacked.examples('x', [K, n, widths[0]]), spec);
  const allGraph = trainStepGraph(stacked, {
    losses: softmaxCrossEntropy(
      reshape(all.logits, [K * n, 10]),
      stacked.examples('labels', [K * n], 'int64'),
    ),
    parameters: all.parameters,
    optimizer: sgd(),
    objective,
  });
  const singles: TrainStep[] = [];
  for (let i = 0; i < K; i++) singles.push(await TrainStep.create(oneGraph, initial(mlpParameters(spec))));
  const stack = await TrainStep.create(allGraph, initial(mlpStackParameters(spec, K)));
  const oneFeeds = { x: values([n, widths[0]]), labels: labelled(n) };
  const allFeeds = { x: values([K, n, widths[0]]), labels: labelled(K * n) };
  const ways = {
    runs: async () => {
      for (const step of singles) await step.run(oneFeeds, 0.01);
    },
    stack: async () => {
      await stack.run(allFeeds, 0.01);
    },
  };
  const taken: Record<keyof typeof ways, number[]> = { runs: [], stack: [] };
  for (let i = 0; i < RUNS; i++) {
    for (const way of ['runs', 'stack'] as const) {
      const start = performance.now();
      await ways[way]();
      taken[way].push(performance.now() - start);
    }
  }
  const text = (times: number[]): string => {
    times.sort((a, b) => a - b);
    const at = (share: number): string => times[Math.floor(share * (RUNS - 1))]!.toFixed(2);
    return `${at(0.5)} [${at(0.1)}, ${at(0.9)}]`;
  };
  console.log(
    `${widths.join('-').padEnd(11)} ${String(n).padStart(3)} rows: ${K} runs ${text(taken.runs)} ms, one graph ${text(taken.stack)} ms`,
  );
  for (const step of [...singles, stack]) await step.close();
}
