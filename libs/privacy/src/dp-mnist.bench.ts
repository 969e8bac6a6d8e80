/**
 * A linear classifier of digits by DP-SGD per subject: accuracy at epsilon <= 3, delta = 1e-5 over several runs with secure noise.
 *   node libs/privacy/src/dp-mnist.bench.ts [--grid]
 *
 * How the constants were chosen. Pixels are scaled to unit length image by image, a fixed rule that looks at one record only. Clip norm 1, momentum 0.9
 * and a large batch (a quarter of the subjects) follow published practice (clip most subjects, few large steps). Steps and learning rate come from a
 * coarse grid (`--grid`) that trains on three quarters of the subjects and is scored on the rows of the others; the test rows take no part. The
 * chosen row is within the noise of the best (0.866, 0.869; three runs each) and needs fewer steps. In a deployment such a grid has to run on public data or be charged; here the digits are public and the subjects synthetic.
 */
import { loadMnist } from '@lethe/datasets';
import { initialWeights } from '@lethe/optim';
import { buildPredictor, Session } from '@lethe/runtime';
import { secureRandom, seededRandom, shuffle } from '@lethe/std';
import {
  calibrateNoiseMultiplier,
  clippedGradientGraph,
  dpSgdStep,
  dyadicProbability,
  epsilonUpper,
  GaussianStream,
  graphClippedStep,
  heavyBall,
  type MechanismSpec,
  mechanismSpec,
  PrivacyRandomness,
  type SubjectRows,
} from './index.ts';

const EPSILON = 3;
const RUNS = 3;
const model = { widths: [784, 10], activation: 'relu' } as const;
const execution = { subjectsPerChunk: 128, stepsPerReservation: 10 };
const CHOSEN = { steps: 60, learningRate: 2, l2ClipNorm: 1 };
type Choice = typeof CHOSEN;

const { waves, test } = loadMnist();
const subjects = new Map<string, { features: number[]; labels: number[] }>();
for (const record of waves.flat()) {
  const subject = subjects.get(record.subjectId) ?? { features: [], labels: [] };
  subject.features.push(...unitLength(record.values[0] as Uint8Array));
  subject.labels.push(record.label!);
  subjects.set(record.subjectId, subject);
}
const rows: SubjectRows[] = [...subjects.values()].map(({ features, labels }) => ({
  features: Float32Array.from(features),
  labels,
}));
const testRows: SubjectRows = {
  features: Float32Array.from(test.flatMap((row) => [...unitLength(row.values[0] as Uint8Array)])),
  labels: test.map((row) => row.label!),
};

const graphSpec = { model, subjectsPerChunk: execution.subjectsPerChunk, rowsPerSubject: 4 };
const session = await Session.create(clippedGradientGraph(graphSpec));
const predictor = await buildPredictor({ model, rows: 500 });
const initial = initialWeights(model, seededRandom('dp-mnist', 'bench'));
for (const value of Object.values(initial)) value.data.fill(0);

const noiseMultipliers = new Map<number, number>();

function specOf({ steps, l2ClipNorm }: Choice): MechanismSpec {
  const plan = { samplingProbability: dyadicProbability(1 / 4), steps, delta: 1e-5 };
  const noiseMultiplier = noiseMultipliers.get(steps) ?? calibrateNoiseMultiplier(plan, EPSILON);
  noiseMultipliers.set(steps, noiseMultiplier);
  return mechanismSpec({ ...plan, noiseMultiplier, l2ClipNorm });
}

async function train(subjects: readonly SubjectRows[], choice: Choice): Promise<typeof initial> {
  const spec = specOf(choice);
  const randomness = new PrivacyRandomness('production', secureRandom());
  const run = {
    spec,
    execution,
    randomness,
    noise: new GaussianStream(randomness),
    clippedStep: graphClippedStep(
      graphSpec,
      (feeds) => session.run(feeds),
      (subject) => subjects[subject]!,
    ),
    update: heavyBall(choice.learningRate, 0.9),
    population: subjects.length,
    expectedSubjects: subjects.length * spec.samplingProbability,
    shapes: Object.values(initial).map(({ data }) => data.length),
  };
  let parameters = initial;
  for (let step = 0; step < spec.steps; step++) parameters = { ...(await dpSgdStep(run, parameters)) };
  return parameters;
}

async function accuracy(parameters: typeof initial, { features, labels }: SubjectRows): Promise<number> {
  const logits = await predictor.logits(parameters, features);
  const right = labels.filter((label, i) => {
    const own = logits.subarray(i * 10, i * 10 + 10);
    return own.indexOf(Math.max(...own)) === label;
  });
  return right.length / labels.length;
}

async function grid(): Promise<void> {
  const shuffled = shuffle([...rows], seededRandom('dp-mnist', 'grid'));
  const [seen, held] = [shuffled.slice(0, 1500), shuffled.slice(1500)];
  const heldRows = {
    features: Float32Array.from(held.flatMap(({ features }) => [...features])),
    labels: held.flatMap(({ labels }) => labels),
  };
  for (const steps of [40, 60, 80]) {
    for (const l2ClipNorm of [0.5, 1, 2]) {
      for (const learningRate of [1, 2, 4]) {
        const choice = { steps, learningRate, l2ClipNorm };
        let sum = 0;
        for (let run = 0; run < RUNS; run++) sum += await accuracy(await train(seen, choice), heldRows);
        console.log(`${JSON.stringify(choice)} held-out accuracy ${(sum / RUNS).toFixed(4)}`);
      }
    }
  }
}

if (process.argv[2] === '--grid') {
  await grid();
} else {
  const spec = specOf(CHOSEN);
  console.log(`${JSON.stringify({ ...spec, ...CHOSEN })}, epsilonUpper ${epsilonUpper(spec, spec.delta)}`);
  for (let run = 1; run <= RUNS; run++) {
    const begun = performance.now();
    const parameters = await train(rows, CHOSEN);
    const seconds = ((performance.now() - begun) / 1000).toFixed(2);
    console.log(
      `run ${run}: accuracy ${(await accuracy(parameters, testRows)).toFixed(4)}, ${seconds} s for ${spec.steps} steps`,
    );
  }
}
await session.close();
await predictor.close();

function unitLength(bytes: Uint8Array): Float32Array {
  let squared = 0;
  for (const value of bytes) squared += value * value;
  const length = Math.sqrt(squared) || 1;
  return Float32Array.from(bytes, (value) => value / length);
}
