import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type CnnSpec, cnnParameters } from '@lethe/graph';
import { initialParameters, sgd } from '@lethe/optim';
import { onnxEngine } from '@lethe/runtime';
import { seededRandom } from '@lethe/std';
import { ACCOUNTANT_VERSION } from '../accountants/epsilon.ts';
import { dpPlan, NOISE_GENERATORS } from '../plan.ts';
import { PrivacyRandomness } from '../randomness.ts';
import { rowUnits } from './mlp-model.ts';
import { cnnModel, pictureUnits } from './picture-model.ts';
import type { UnitSource } from './private-model.ts';
import { createDpTrainer } from './trainer.ts';

const spec: CnnSpec = {
  picture: [6, 6, 1],
  convolutions: [{ filters: 4, kernel: 3, pool: { kernel: 2 } }],
  widths: [2],
};
const SIZE = 36;
const POPULATION = 60;

/** A bright stripe, upright or lying, somewhere. */
const labels = Array.from({ length: POPULATION }, (_, i) => i % 2);
const pixels = Uint8Array.from({ length: POPULATION * SIZE }, (_, i) => {
  const picture = Math.floor(i / SIZE);
  const [row, column] = [Math.floor((i % SIZE) / 6), i % 6];
  return (labels[picture] === 0 ? row : column) === 1 + (Math.floor(picture / 2) % 4) ? 250 : 10;
});
const pictures = pictureUnits({ pixels, labels, size: SIZE });

async function trained(units: UnitSource, unitsPerRun: number, steps: number, noisy: boolean) {
  const trainer = await createDpTrainer({
    plan: dpPlan({
      unit: 'record',
      relation: 'add-or-remove-one',
      sampling: { kind: 'truncated-poisson', probability: 0.5, cap: 55, population: POPULATION },
      steps,
      expectedUnits: 30,
      clipping: { kind: 'flat', l2ClipNorm: 0.5 },
      noise: { multiplier: 1, generator: NOISE_GENERATORS[0], mode: 'research' },
      mechanism: 'dp-sgd',
      delta: 1e-3,
      accountant: ACCOUNTANT_VERSION,
    }),
    model: cnnModel(spec),
    units,
    optimizer: sgd(),
    learningRate: 1,
    initial: initialParameters(cnnParameters(spec), seededRandom('pictures')),
    randomness: new PrivacyRandomness('research', seededRandom('pictures', 'run')),
    engine: onnxEngine(),
    execution: {
      unitsPerRun,
      ...(noisy
        ? {}
        : {
            noise: ({ lengths }: { readonly lengths: readonly number[] }) => ({
              mode: 'research' as const,
              next: () => lengths.map((length) => new Float32Array(length)),
              close: () => undefined,
            }),
          }),
    },
  });
  for (let step = 0; step < steps; step++) await trainer.step();
  const parameters = trainer.parameters();
  await trainer.close();
  return parameters;
}

const largest = (a: Awaited<ReturnType<typeof trained>>, b: Awaited<ReturnType<typeof trained>>): number =>
  Math.max(
    ...Object.entries(a).flatMap(([name, { data }]) =>
      [...data].map((v, i) => Math.abs(v - b[name]!.data[i]!)),
    ),
  );

/** Share of right answers, by the network written out for one convolution and one layer. */
function accuracy(parameters: Awaited<ReturnType<typeof trained>>): number {
  const of = (name: string): Float32Array => parameters[name]!.data;
  let right = 0;
  for (let picture = 0; picture < POPULATION; picture++) {
    const at = (row: number, column: number): number => pixels[picture * SIZE + row * 6 + column]! / 255;
    const logits = [...of('dense0.b')];
    for (let py = 0; py < 2; py++)
      for (let px = 0; px < 2; px++)
        for (let f = 0; f < 4; f++) {
          let best = 0;
          for (const [dy, dx] of [
            [0, 0],
            [0, 1],
            [1, 0],
            [1, 1],
          ] as const) {
            let sum = of('conv0.b')[f]!;
            for (let tap = 0; tap < 9; tap++)
              sum +=
                at(2 * py + dy + Math.floor(tap / 3), 2 * px + dx + (tap % 3)) * of('conv0.w')[tap * 4 + f]!;
            best = Math.max(best, sum);
          }
          for (let c = 0; c < 2; c++) logits[c]! += best * of('dense0.w')[((py * 2 + px) * 4 + f) * 2 + c]!;
        }
    if (Number(logits[1]! > logits[0]!) === labels[picture]) right++;
  }
  return right / POPULATION;
}

test('a convolutional network learns pictures privately', async () => {
  const parameters = await trained(pictures, 55, 60, true);
  assert.ok(accuracy(parameters) > 0.85, `${accuracy(parameters)}`);
});

test('pictures of bytes are the rows that they stand for, fused and in chunks', async () => {
  const rows = rowUnits(
    labels.map((label, i) => ({
      features: Float32Array.from(pixels.subarray(i * SIZE, (i + 1) * SIZE), (v) => (v / 255 - 0.1) / 0.3),
      labels: [label],
    })),
    1,
    SIZE,
  );
  const bytes = pictureUnits({ pixels, labels, size: SIZE }, { mean: 0.1, deviation: 0.3 });
  const whole = await trained(bytes, 55, 3, false);
  assert.ok(largest(whole, await trained(rows, 55, 3, false)) < 1e-6);
  assert.ok(largest(whole, await trained(bytes, 7, 3, false)) < 2e-5);
});
