/**
 * Deep tier on Phosphor under the protocol of `quality.bench.ts`: `node libs/hashing/src/deep/hashing-deep.bench.ts [--json] [--tune]`.
 *
 * One session over everything, and six sessions without replay, on the encoder outputs that the analytic head reads. Two seeds are few: the figures say
 * how far training without replay falls behind. `--tune` prints the grid of increments on validation icons within
 * the training part. Needs `npm run data -- phosphor use`.
 */
import { cpus } from 'node:os';
import { PHOSPHOR_CATEGORIES, phosphorTasks } from '@lethe/datasets';
import { USE_WIDTH } from '@lethe/datasets/encoders';
import { onnxEngine } from '@lethe/runtime';
import type { LifelongPlan } from '../evaluation/index.ts';
import { deepMethod, runProtocol, seedInterval } from '../evaluation/index.ts';
import { ACROSS, phosphorSet, PICTURE_SIDE as SIDE, validationPlan } from '../evaluation/phosphor.fixture.ts';
import type { DeepOptions } from './index.ts';
import { DEFAULT_DEEP_OPTIONS } from './index.ts';

const started = performance.now();
const json = process.argv.includes('--json');
const say = json ? console.error : console.log;
const { icons, set } = await phosphorSet();
const spec = {
  codeBits: 64,
  hidden: 256,
  modalities: [
    { name: 'image', width: SIDE * SIDE },
    { name: 'text', width: USE_WIDTH },
  ],
};
const options: DeepOptions = { ...DEFAULT_DEEP_OPTIONS, epochs: 12, patience: 12 };
const increment = (learningRate: number, distillation: number): DeepOptions => ({
  ...options,
  learningRate,
  weights: { ...options.weights, distillation },
});
/** The best of `--tune` by the smaller of the two directions. */
const CHOSEN = increment(1e-3, 300);
const engine = onnxEngine({ deterministic: true });

async function run(policy: 'lifelong' | 'full', plan: LifelongPlan, seed: number, step = CHOSEN) {
  const setup = {
    spec,
    options,
    increment: step,
    seed: `${seed}`,
    engine,
    classes: PHOSPHOR_CATEGORIES.length,
    tasks: 6,
  };
  const { directions } = await runProtocol(set, plan, deepMethod(policy, setup), ACROSS);
  for (const { direction, overall, newClasses, forgetting } of directions) {
    say(
      `seed ${seed}  deep, ${policy.padEnd(8)} ${direction.padEnd(11)} mAP ${overall.toFixed(4)}  new ${newClasses.toFixed(4)}${policy === 'lifelong' ? `  forgetting ${forgetting.toFixed(4)}` : ''}  (${((performance.now() - started) / 1_000).toFixed(0)} s)`,
    );
  }
  return directions;
}

async function tune(): Promise<void> {
  const plan = validationPlan(set, phosphorTasks(icons, 0), 0);
  for (const [rate, distillation] of [
    [1e-3, 0],
    [1e-3, 300],
    [1e-3, 3_000],
    [3e-4, 300],
    [1e-4, 300],
    [1e-4, 0],
  ] as const) {
    say(`learning rate ${rate}, distillation ${distillation}`);
    await run('lifelong', plan, 0, increment(rate, distillation));
  }
}

if (process.argv.includes('--tune')) await tune();
else {
  const runs: Record<'lifelong' | 'full', Awaited<ReturnType<typeof run>>>[] = [];
  for (const seed of [0, 1]) {
    const plan = phosphorTasks(icons, seed);
    runs.push({ lifelong: await run('lifelong', plan, seed), full: await run('full', plan, seed) });
  }
  const bars = [0, 1].map((d) => {
    const ratios = runs.map(({ lifelong, full }) => lifelong[d]!.overall / full[d]!.overall);
    const { mean, low, high } = seedInterval(ratios);
    const name = `deep, ${runs[0]!.full[d]!.direction} lifelong / full`;
    return { name, measured: mean, low, high, bar: '>= 0.97', met: mean >= 0.97 };
  });
  for (const { name, measured, met } of bars)
    say(`${met ? 'met    ' : 'NOT MET'} ${name}: ${measured.toFixed(4)} (>= 0.97)`);
  const seconds = (performance.now() - started) / 1_000;
  const machine = { processor: cpus()[0]?.model, cores: cpus().length, node: process.version };
  if (json) console.log(JSON.stringify({ bench: 'hashing-deep', machine, seconds, bars, runs }, null, 2));
}
