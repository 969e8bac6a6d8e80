import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  GRAPH,
  GraphBuilder,
  mlpStack,
  mlpStackParameters,
  reshape,
  softmaxCrossEntropy,
} from '@lethe/graph';
import { adam, initialWeights, sgd, trainStepGraph } from '@lethe/optim';
import { isError, seededRandom } from '@lethe/std';
import { float32, type Tensor, tensor } from '@lethe/tensor';
import { buildTrainStep, TrainStep } from './train-step.ts';

const spec = { widths: [6, 5, 3], activation: 'tanh' } as const;
const [k, n] = [4, 8];

test('each model of a stack learns what it learns alone', async () => {
  const random = seededRandom('stack');
  const initial = Array.from({ length: k }, () => initialWeights(spec, random));
  const x = Array.from({ length: k }, () => Float32Array.from({ length: n * 6 }, () => random.uniform()));
  const labels = Array.from({ length: k }, () =>
    BigInt64Array.from({ length: n }, () => BigInt(random.below(3))),
  );
  for (const optimizer of [sgd(), adam()]) {
    const g = new GraphBuilder();
    const { logits, parameters } = mlpStack(g.examples('x', [k, n, 6]), spec);
    const losses = softmaxCrossEntropy(reshape(logits, [k * n, 3]), g.examples('labels', [k * n], 'int64'));
    const graph = trainStepGraph(g, {
      losses,
      parameters,
      optimizer,
      objective: { kind: 'mean', divisor: n },
    });
    const together = Object.fromEntries(
      mlpStackParameters(spec, k).map(({ name, shape }): [string, Tensor] => [
        name,
        float32(shape, Float32Array.from(initial.flatMap((model) => [...model[name]!.data]))),
      ]),
    );
    const stack = await TrainStep.create(graph, together);
    const feeds = {
      x: float32([k, n, 6], Float32Array.from(x.flatMap((rows) => [...rows]))),
      labels: tensor('int64', [k * n], BigInt64Array.from(labels.flatMap((rows) => [...rows])), 'labels'),
    };
    for (let step = 0; step < 5; step++) await stack.run(feeds, 0.1);
    for (let model = 0; model < k; model++) {
      const alone = await buildTrainStep({
        model: spec,
        rows: n,
        optimizer,
        objective: { kind: 'mean', divisor: n },
        initial: initial[model]!,
      });
      const mask = new Float32Array(n).fill(1);
      for (let step = 0; step < 5; step++) {
        await alone.run({ x: x[model]!, labels: labels[model]!, mask, learningRate: 0.1 });
      }
      for (const [name, { data }] of Object.entries(alone.parameters())) {
        const own = stack.parameters()[name]!.data.subarray(model * data.length, (model + 1) * data.length);
        for (const [i, value] of data.entries()) {
          assert.ok(
            Math.abs(value - own[i]!) < 1e-5,
            `${name}[${i}] of model ${model}: ${own[i]} and ${value}`,
          );
        }
      }
      await alone.close();
    }
    await stack.close();
  }
});

test('a stack takes rows of its own for each model', () => {
  assert.throws(
    () => mlpStack(new GraphBuilder().examples('x', [8, 6]), spec),
    (error) => isError(error, GRAPH.SHAPE_DISAGREES),
  );
});
