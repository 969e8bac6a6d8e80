import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { initialWeights } from '@lethe/optim';
import { Session } from '@lethe/runtime';
import { isError, secureRandom, seededRandom } from '@lethe/std';
import { BoundedSum, type ClippedStep } from '../clipping/bounded-sum.ts';
import { clippedGradientGraph, graphClippedStep, type SubjectRows } from '../clipping/clipped-graph.ts';
import { PRIVACY } from '../errors.ts';
import { mechanismSpec } from '../mechanism.ts';
import { addGaussianNoise, GaussianStream } from '../noise/gaussian.ts';
import { PrivacyRandomness } from '../randomness.ts';
import { samplePoisson } from '../sampling/poisson.ts';
import { dpSgdStep } from './dp-sgd.ts';
import { heavyBall } from './momentum.ts';

const FEATURES = 12;
const model = { widths: [FEATURES, 9, 4], activation: 'relu' } as const;
const graphSpec = { model, subjectsPerChunk: 8, rowsPerSubject: 4 };
const execution = { subjectsPerChunk: 8, stepsPerReservation: 10 };
const parameters = initialWeights(model, seededRandom('dp-sgd', 'test'));
const shapes = Object.values(parameters).map(({ data }) => data.length);
const session = await Session.create(clippedGradientGraph(graphSpec));
after(() => session.close());

const research = (seed: string) => new PrivacyRandomness('research', seededRandom(seed));
const spec = (l2ClipNorm: number) =>
  mechanismSpec({ samplingProbability: 0.5, noiseMultiplier: 1.5, l2ClipNorm, steps: 10, delta: 1e-5 });

/** Subjects with 0 to 5 rows (a fifth does not fit and is not used), some enormous, some not finite. */
function subjects(count: number, seed: number): SubjectRows[] {
  const random = seededRandom('subjects', seed);
  return Array.from({ length: count }, (_, s) => {
    const rows = random.below(6);
    const size = [1, 0.01, 1000, 1e30][random.below(4)]!;
    const features = Float32Array.from({ length: rows * FEATURES }, () => size * (2 * random.uniform() - 1));
    if (s % 5 === 4 && rows > 0)
      features[random.below(features.length)] = [Number.NaN, Infinity, -Infinity][s % 3]!;
    return { features, labels: Array.from({ length: rows }, () => random.below(4)) };
  });
}

const flat = (sum: BoundedSum): number[] => sum.values.flatMap((value) => [...value]);
const distance = (a: BoundedSum, b: BoundedSum): number => {
  const other = flat(b);
  return Math.hypot(...flat(a).map((value, i) => value - other[i]!));
};

test('sensitivity: one subject more moves the sum by at most the clip norm, whatever its rows are', async () => {
  for (const l2ClipNorm of [0.1, 1, 20]) {
    for (let trial = 0; trial < 20; trial++) {
      const data = subjects(12, trial);
      const step = graphClippedStep(
        graphSpec,
        (feeds) => session.run(feeds),
        (s) => data[s]!,
      );
      const sum = (of: readonly number[]) =>
        BoundedSum.of(step, parameters, Uint32Array.from(of), shapes, spec(l2ClipNorm), execution);
      const all = data.map((_, s) => s);
      const whole = await sum(all);
      const away = trial % data.length;
      const without = await sum(all.filter((s) => s !== away));
      assert.ok(flat(whole).every(Number.isFinite));
      assert.ok(distance(whole, without) <= l2ClipNorm * (1 + 1e-6), `trial ${trial}, clip ${l2ClipNorm}`);
      const alone = await sum([away]);
      assert.ok(Math.hypot(...flat(alone)) <= l2ClipNorm * (1 + 1e-6));
      assert.equal(alone.l2NormBound, l2ClipNorm);
    }
  }
});

test('the bound is used: a subject above it reaches it, so the test above can fail', async () => {
  const data = [{ features: new Float32Array(4 * FEATURES).fill(3), labels: [0, 0, 0, 0] }];
  const step = graphClippedStep(
    graphSpec,
    (feeds) => session.run(feeds),
    (s) => data[s]!,
  );
  const sum = await BoundedSum.of(step, parameters, Uint32Array.of(0), shapes, spec(0.1), execution);
  assert.ok(Math.hypot(...flat(sum)) > 0.1 * 0.99);
});

test('padding and chunks are a schedule: they do not change the sum', async () => {
  const data = subjects(13, 99);
  const step = graphClippedStep(
    graphSpec,
    (feeds) => session.run(feeds),
    (s) => data[s]!,
  );
  const all = Uint32Array.from(data.keys());
  const eight = await BoundedSum.of(step, parameters, all, shapes, spec(1), execution);
  const three = await BoundedSum.of(step, parameters, all, shapes, spec(1), {
    ...execution,
    subjectsPerChunk: 3,
  });
  assert.ok(distance(eight, three) < 1e-6);
});

test('an empty draw is a step of pure noise', async () => {
  const step = graphClippedStep(
    graphSpec,
    (feeds) => session.run(feeds),
    () => assert.fail('no subject is read'),
  );
  const sum = await BoundedSum.of(step, parameters, new Uint32Array(0), shapes, spec(1), execution);
  assert.ok(flat(sum).every((value) => value === 0));
  const randomness = research('empty');
  const after = await dpSgdStep(
    {
      spec: spec(1),
      execution,
      randomness,
      noise: new GaussianStream(randomness),
      clippedStep: step,
      update: heavyBall(1, 0),
      population: 0,
      expectedSubjects: 4,
      shapes,
    },
    parameters,
  );
  assert.notDeepEqual(after['dense0.w']!.data, parameters['dense0.w']!.data);
});

test('a graph that does not clip, or gives other shapes, is refused before noise is added', async () => {
  const give = (values: readonly Float32Array[]): ClippedStep<undefined> => ({
    clippedSum: async () => values,
  });
  const refused = (error: unknown) => isError(error, PRIVACY.SENSITIVITY_UNKNOWN);
  const of = (values: readonly Float32Array[]) =>
    BoundedSum.of(give(values), undefined, Uint32Array.of(0, 1), [2], spec(1), execution);
  await assert.rejects(of([Float32Array.of(3, 0)]), refused);
  await assert.rejects(of([Float32Array.of(Number.NaN, 0)]), refused);
  await assert.rejects(of([Float32Array.of(1)]), refused);
  assert.deepEqual([...(await of([Float32Array.of(2, 0)])).values[0]!], [2, 0]);
});

test('noise: standard deviation noiseMultiplier x clip norm, mean 0, no correlation between neighbours', async () => {
  const zero: ClippedStep<undefined> = { clippedSum: () => assert.fail('an empty draw runs nothing') };
  const sum = await BoundedSum.of(zero, undefined, new Uint32Array(0), [400_000], spec(2), execution);
  const [values] = addGaussianNoise(sum, 1.5, new GaussianStream(research('noise'))).values;
  const n = values!.length;
  let [mean, square, lag, fourth] = [0, 0, 0, 0];
  values!.forEach((value, i) => {
    mean += value / n;
    square += value ** 2 / n;
    fourth += value ** 4 / n;
    lag += (value * values![(i + 1) % n]!) / n;
  });
  assert.ok(Math.abs(Math.sqrt(square) / 3 - 1) < 0.006, 'five standard errors');
  assert.ok(Math.abs(mean) < (5 * 3) / Math.sqrt(n));
  assert.ok(Math.abs(lag / square) < 5 / Math.sqrt(n));
  assert.ok(Math.abs(fourth / square ** 2 - 3) < 5 * Math.sqrt(24 / n), 'the kurtosis of a normal');
  assert.ok(
    flat(sum).every((value) => value === 0),
    'the clipped sum itself is not changed',
  );
});

test('sampling: each subject is in a binomial number of draws, and draws of two subjects are independent', () => {
  const randomness = new PrivacyRandomness('production', secureRandom());
  const [population, draws, q] = [50, 4000, 0.25];
  const counts = new Array<number>(population).fill(0);
  let together = 0;
  for (let draw = 0; draw < draws; draw++) {
    const sampled = samplePoisson(population, q, randomness);
    for (const subject of sampled) counts[subject]!++;
    if (sampled.includes(0) && sampled.includes(1)) together++;
  }
  const chiSquared = counts.reduce((sum, count) => sum + (count - draws * q) ** 2 / (draws * q * (1 - q)), 0);
  // 50 degrees of freedom: mean 50, standard deviation 10; the bound is passed once in 10^8 runs.
  assert.ok(chiSquared < 122 && chiSquared > 10, `chi squared ${chiSquared}`);
  assert.ok(Math.abs(together - draws * q * q) < 6 * Math.sqrt(draws * q * q));
  assert.deepEqual([...samplePoisson(3, 1, randomness)], [0, 1, 2]);
});
