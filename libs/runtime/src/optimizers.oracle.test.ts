import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GraphBuilder, innerProduct } from '@lethe/graph';
import { adam, adamW, momentum, type Optimizer, sgd, trainStepGraph } from '@lethe/optim';
import { float32 } from '@lethe/tensor';
import { TrainStep } from './train-step.ts';

/** The update rules by hand, for one coordinate: state in, next parameter out. */
type Rule = (p: number, g: number, t: number, state: Record<string, number>, learningRate: number) => number;

const adamRule =
  (decay: number): Rule =>
  (p, g, t, state, learningRate) => {
    state.m = 0.9 * (state.m ?? 0) + 0.1 * g;
    state.v = 0.999 * (state.v ?? 0) + 0.001 * g * g;
    const m = state.m / (1 - 0.9 ** t);
    const v = state.v / (1 - 0.999 ** t);
    return p - learningRate * (m / (Math.sqrt(v) + 1e-8) + decay * p);
  };

const OPTIMIZERS: readonly (readonly [Optimizer, Rule])[] = [
  [sgd(), (p, g, _t, _state, learningRate) => p - learningRate * g],
  [
    momentum({ decay: 0.8 }),
    (p, g, _t, state, learningRate) => {
      state.v = 0.8 * (state.v ?? 0) + g;
      return p - learningRate * state.v;
    },
  ],
  [adam(), adamRule(0)],
  [adamW({ weightDecay: 0.1 }), adamRule(0.1)],
];

for (const [optimizer, rule] of OPTIMIZERS) {
  test(`${optimizer.name} equals its rule over five steps, a checkpoint in between included`, async () => {
    // loss = x . w, so the gradient is the input x.
    const g = new GraphBuilder();
    const w = g.parameter('w', [1, 3]);
    const losses = innerProduct(g.examples('x', [1, 3]), w);
    const graph = trainStepGraph(g, {
      losses,
      parameters: [w],
      optimizer,
      objective: { kind: 'mean', divisor: 2 },
    });
    const expected = [0.5, -1, 2];
    const initial = { w: float32([1, 3], Float32Array.from(expected)) };
    let step = await TrainStep.create(graph, initial);
    const states: Record<string, number>[] = expected.map(() => ({}));
    for (let t = 1; t <= 5; t++) {
      const gradient = expected.map((_, i) => Math.sin(t * (i + 1)));
      const learningRate = 0.1 / t;
      await step.run({ x: float32([1, 3], Float32Array.from(gradient)) }, learningRate);
      for (const [i, value] of gradient.entries()) {
        expected[i] = rule(expected[i]!, value / 2, t, states[i]!, learningRate);
      }
      if (t === 3) {
        const resumed = await TrainStep.create(graph, initial);
        resumed.load(step.parameters(), step.optimizerState(), step.steps);
        await step.close();
        step = resumed;
      }
    }
    for (const [i, value] of step.parameters().w!.data.entries()) {
      assert.ok(Math.abs(value - expected[i]!) < 2e-6, `${value} is not ${expected[i]}`);
    }
    await step.close();
  });
}
