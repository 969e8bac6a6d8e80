import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GraphBuilder, relu } from '@lethe/graph';
import { initialWeights, type Objective, sgd } from '@lethe/optim';
import { hex, isError, seededRandom } from '@lethe/std';
import { float32, TENSOR } from '@lethe/tensor';
import {
  buildPredictor,
  buildTrainStep,
  type MlpBatch,
  RUNTIME,
  runtimeFingerprint,
  Session,
} from './index.ts';

const model = { widths: [6, 16, 3], activation: 'relu' } as const;
const rows = 16;
const mean: Objective = { kind: 'mean', divisor: rows };
const clipped: Objective = { kind: 'clipped', subjects: 4, l2ClipNorm: 0.5, divisor: 4, noise: 'input' };

/** Three separable clusters. */
function batch(seed: number): MlpBatch {
  const random = seededRandom('train-step', seed);
  const labels = BigInt64Array.from({ length: rows }, () => BigInt(random.below(3)));
  const x = Float32Array.from({ length: rows * 6 }, (_, i) => {
    const label = Number(labels[Math.floor(i / 6)]);
    return (i % 3 === label ? 1 : 0) + 0.3 * random.uniform();
  });
  return { x, labels, mask: new Float32Array(rows).fill(1), learningRate: 0.3 };
}

const create = (objective: Objective) =>
  buildTrainStep({
    model,
    rows,
    optimizer: sgd(),
    objective,
    initial: initialWeights(model, seededRandom('initial')),
  });

const quiet = (value = 0): Record<string, Float32Array> => ({
  'dense0.w': new Float32Array(6 * 16).fill(value),
  'dense0.b': new Float32Array(16),
  'dense1.w': new Float32Array(16 * 3),
  'dense1.b': new Float32Array(3),
});

async function digestAfter(
  objective: Objective,
  change: (data: MlpBatch, t: number) => MlpBatch,
): Promise<string> {
  const step = await create(objective);
  for (let t = 0; t < 10; t++) {
    const data = change(batch(t), t);
    await step.run(objective.kind === 'clipped' ? { ...data, noise: quiet() } : data);
  }
  const digest = hex(step.digest());
  await step.close();
  return digest;
}

for (const objective of [mean, clipped]) {
  test(`${objective.kind}: training lowers the loss, and the predictor classifies`, async () => {
    const step = await create(objective);
    const losses: number[] = [];
    for (let t = 0; t < 120; t++) {
      const data = batch(t);
      const result = await step.run(objective.kind === 'clipped' ? { ...data, noise: quiet() } : data);
      losses.push(result.loss);
      assert.equal(result.norms?.length, objective.kind === 'clipped' ? 4 : undefined);
    }
    assert.ok(losses.at(-1)! < 0.4 * losses[0]!, `${losses[0]} became ${losses.at(-1)}`);
    const predictor = await buildPredictor({ model, rows: 5 });
    const data = batch(1000);
    const logits = await predictor.logits(step.parameters(), data.x);
    assert.equal(logits.length, rows * 3);
    const wrong = data.labels.filter((label, i) => {
      const row = logits.subarray(3 * i, 3 * i + 3);
      return row.indexOf(Math.max(...row)) !== Number(label);
    });
    assert.equal(wrong.length, 0);
    await predictor.close();
    await step.close();
  });

  test(`${objective.kind}: the digest is the same in another session, and another when one value changes`, async () => {
    const same = (data: MlpBatch): MlpBatch => data;
    const reference = await digestAfter(objective, same);
    assert.equal(await digestAfter(objective, same), reference);
    const changed = (data: MlpBatch, t: number): MlpBatch =>
      t === 9 ? { ...data, x: data.x.with(7, data.x[7]! + 1e-3) } : data;
    assert.notEqual(await digestAfter(objective, changed), reference);
  });
}

test('a masked row changes nothing, whatever it holds', async () => {
  for (const objective of [mean, clipped]) {
    const masked =
      (value: number) =>
      (data: MlpBatch): MlpBatch => ({
        ...data,
        x: data.x.map((old, i) => (i < 6 ? value : old)),
        mask: data.mask.with(0, 0),
      });
    assert.equal(await digestAfter(objective, masked(0)), await digestAfter(objective, masked(0.7)));
  }
});

test('noise is added to the sum before the division by the expected batch size', async () => {
  const step = await create(clipped);
  const data = { ...batch(0), mask: new Float32Array(rows) };
  const before = step.parameters()['dense0.w']!.data;
  await step.run({ ...data, learningRate: 1, noise: quiet(2) });
  const after = step.parameters()['dense0.w']!.data;
  assert.ok(after.every((value, i) => Math.abs(before[i]! - value - 2 / 4) < 1e-6));
  await step.close();
});

test('what does not fit is refused with a code before the runtime sees it', async () => {
  const step = await create(clipped);
  const data = { ...batch(0), noise: quiet() };
  const refusals: readonly (readonly [
    Parameters<typeof step.run>[0],
    { readonly spec: { readonly code: string } },
  ])[] = [
    [batch(0), RUNTIME.INPUT_MISMATCH],
    [{ ...data, x: data.x.subarray(1) }, TENSOR.SHAPE_MISMATCH],
    [{ ...data, labels: data.labels.with(3, 3n) }, RUNTIME.LABEL_OUT_OF_RANGE],
    [{ ...data, labels: data.labels.with(3, -1n) }, RUNTIME.LABEL_OUT_OF_RANGE],
  ];
  for (const [bad, kind] of refusals) {
    await assert.rejects(step.run(bad), (error: { code?: string }) => error.code === kind.spec.code);
  }
  await step.run(data);
  await step.close();
  await assert.rejects(step.run(data), (error) => isError(error, RUNTIME.CLOSED));
});

test('a session names the input that is missing, unknown or misshapen', async () => {
  const g = new GraphBuilder();
  g.output('y', relu(g.examples('x', [2])));
  const built = g.build();
  const session = await Session.create(built);
  const x = float32([2], Float32Array.of(-1, 2));
  for (const bad of [{}, { x, z: x }, { x: float32([1], Float32Array.of(1)) }]) {
    await assert.rejects(session.run(bad), (error) => isError(error, RUNTIME.INPUT_MISMATCH));
  }
  assert.deepEqual([...(await session.run({ x })).y!.data], [0, 2]);
  await session.close();
  await assert.rejects(Session.create({ ...built, bytes: built.bytes.subarray(9) }), (error) =>
    isError(error, RUNTIME.MODEL_REFUSED),
  );
});

test('the fingerprint names runtime, CPU, architecture and threads', () => {
  const { runtime, cpuModel, architecture, threads } = runtimeFingerprint(2);
  assert.equal(threads, 2);
  assert.match(runtime, /^onnxruntime-node \d+\.\d+\.\d+/);
  assert.ok(cpuModel.length > 0 && architecture.length > 0);
});
