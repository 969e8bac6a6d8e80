import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type CnnSpec,
  cnn,
  cnnParameters,
  dense,
  exportOnnx,
  GRAPH,
  GraphBuilder,
  importOnnx,
  mul,
  reduceMean,
  reshape,
  softmaxCrossEntropy,
  sub,
} from '@lethe/graph';
import { initialParameters, initialWeights, momentum } from '@lethe/optim';
import { onnxEngine, Session } from '@lethe/runtime';
import { hex, isError, seededRandom, sha256 } from '@lethe/std';
import { float32, type Tensor } from '@lethe/tensor';
import { ACCOUNTANT_VERSION } from '../accountants/epsilon.ts';
import { PRIVACY } from '../errors.ts';
import { dpPlan, NOISE_GENERATORS } from '../plan.ts';
import { PrivacyRandomness } from '../randomness.ts';
import { frozenEncoderModel } from './frozen-encoder.ts';
import { rowUnits, type UnitRows } from './mlp-model.ts';
import type { PrivateModel } from './private-model.ts';
import { createDpTrainer } from './trainer.ts';

const POPULATION = 90;
const CLASSES = 3;
const SIZE = 36;

const spec: CnnSpec = {
  picture: [6, 6, 1],
  convolutions: [{ filters: 4, kernel: 3, pool: { kernel: 2 } }],
  widths: [8],
};

/** A small convolutional encoder as a file of somebody: pictures [n, 6, 6, 1] to features [n, 8]. */
function encoderFile(): Uint8Array {
  const g = new GraphBuilder();
  const { logits } = cnn(g.examples('pictures', [2, 6, 6, 1]), spec);
  const { bytes, batch } = exportOnnx(
    { features: logits },
    initialParameters(cnnParameters(spec), seededRandom('encoder')),
  );
  assert.deepEqual(batch, { open: true });
  return bytes;
}

/** Clusters: a picture of a class's own, and noise. */
function clusters(seed: string): UnitRows[] {
  const centre = seededRandom('clusters', 'centres');
  const centres = Array.from({ length: CLASSES * SIZE }, () => 2 * centre.uniform() - 1);
  const random = seededRandom('clusters', seed);
  return Array.from({ length: POPULATION }, (_, i) => ({
    features: Float32Array.from(
      { length: SIZE },
      (_, p) => centres[(i % CLASSES) * SIZE + p]! + 0.5 * (2 * random.uniform() - 1),
    ),
    labels: [i % CLASSES],
  }));
}

const training = (model: PrivateModel, initial: Readonly<Record<string, Tensor>>, unitsPerRun = 70) => ({
  plan: dpPlan({
    unit: 'record',
    relation: 'add-or-remove-one',
    sampling: { kind: 'truncated-poisson', probability: 0.5, cap: 70, population: POPULATION },
    steps: 40,
    expectedUnits: 45,
    clipping: { kind: 'flat', l2ClipNorm: 0.5 },
    noise: { multiplier: 1, generator: NOISE_GENERATORS[0], mode: 'research' },
    mechanism: 'dp-sgd',
    delta: 1e-3,
    accountant: ACCOUNTANT_VERSION,
  }),
  model,
  units: rowUnits(clusters('train'), 1, SIZE),
  optimizer: momentum(),
  learningRate: 2,
  initial,
  randomness: new PrivacyRandomness('research', seededRandom('encoder', 'run')),
  engine: onnxEngine(),
  execution: { unitsPerRun },
});

test('a head on a frozen encoder learns privately, by its per-example rule; the file stays as it is', async () => {
  const bytes = encoderFile();
  const before = hex(sha256(bytes));
  const model = frozenEncoderModel(bytes, { classes: CLASSES });
  assert.deepEqual([model.rowSize, model.head.widths], [SIZE, [8, CLASSES]]);

  const trainer = await createDpTrainer(training(model, initialWeights(model.head, seededRandom('head'))));
  assert.ok(trainer.fused);
  assert.deepEqual(
    trainer.norms.map(({ parameter, rule, rows }) => ({ parameter, rule, rows })),
    [
      { parameter: 'dense0.w', rule: 'ghost', rows: 1 },
      { parameter: 'dense0.b', rule: 'instantiated', rows: 1 },
    ],
  );
  for (let step = 0; step < 40; step++) await trainer.step();
  const head = trainer.parameters();
  await trainer.close();
  assert.deepEqual(Object.keys(head), ['dense0.w', 'dense0.b']);
  assert.equal(hex(sha256(bytes)), before);

  // Tested as a person would: the features of the file, and the head on them.
  const fresh = clusters('test');
  const g = new GraphBuilder();
  const x = float32([POPULATION, 6, 6, 1], Float32Array.from(fresh.flatMap(({ features }) => [...features])));
  const { outputs } = importOnnx(g, bytes, { batch: POPULATION });
  const [w, b] = [g.parameter('dense0.w', [8, CLASSES]), g.parameter('dense0.b', [CLASSES])];
  g.output('logits', dense(outputs.features!, w, b));
  const session = await Session.create(g.build());
  const { logits } = await session.run({ pictures: x, ...head });
  await session.close();
  const right = fresh.filter(({ labels }, i) => {
    const row = [...(logits!.data as Float32Array).subarray(i * CLASSES, (i + 1) * CLASSES)];
    return row.indexOf(Math.max(...row)) === labels[0];
  }).length;
  assert.ok(right / POPULATION > 0.7, `${right} of ${POPULATION}; chance is a third`);
});

test('hidden layers, chunks and a layer in the middle', async () => {
  const bytes = encoderFile();
  const model = frozenEncoderModel(bytes, { classes: CLASSES, hidden: [5], features: 'features' });
  assert.deepEqual(model.head.widths, [8, 5, CLASSES]);
  const trainer = await createDpTrainer(
    training(model, initialWeights(model.head, seededRandom('head')), 16),
  );
  assert.equal(trainer.fused, false);
  await trainer.step();
  await trainer.close();
  assert.throws(
    () => frozenEncoderModel(bytes, { classes: CLASSES, features: 'nothing' }),
    (error) => isError(error, PRIVACY.PLAN_REFUSED) && /nothing/.test(String(error)),
  );
});

test('an encoder that is trained through a node without a rule is refused, with the node', async () => {
  const written = new GraphBuilder();
  const hidden = dense(written.examples('x', [70, SIZE]), written.parameter('w', [SIZE, 4]));
  const odd = written.operator({ op: 'opaque', type: 'Softsign', inputs: [hidden], shape: [70, 4] });
  const w = float32([SIZE, 4], new Float32Array(SIZE * 4).fill(0.1));
  const { bytes } = exportOnnx({ y: odd }, { w });
  const model: PrivateModel = {
    build(g, units) {
      const x = reshape(g.examples('x', [units, 1, SIZE]), [units, SIZE]);
      const labels = g.examples('labels', [units], 'int64');
      const mask = g.examples('mask', [units]);
      const { outputs, parameters } = importOnnx(g, bytes, { inputs: { x }, trainable: () => true });
      return { losses: mul(softmaxCrossEntropy(outputs.y!, labels), mask), parameters };
    },
  };
  await assert.rejects(
    createDpTrainer(training(model, { w })),
    (error) =>
      isError(error, GRAPH.ONNX_NOT_IMPORTED) && /\(Softsign\).*no gradient rule.*frozen/.test(String(error)),
  );
});

test('an encoder that compares the examples of a batch is refused', async () => {
  const g = new GraphBuilder();
  const x = g.examples('x', [70, SIZE]);
  const { bytes } = exportOnnx({ features: sub(x, reduceMean(x, [0], true)) }, {});
  assert.throws(
    () => frozenEncoderModel(bytes, { classes: CLASSES }),
    (error) => isError(error, GRAPH.ONNX_NOT_IMPORTED) && /70/.test(String(error)),
  );
});
