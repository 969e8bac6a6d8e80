import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import {
  clippedGradientSum,
  dense,
  embedding,
  GraphBuilder,
  gradients,
  mul,
  softmaxCrossEntropy,
  tanh,
  type Value,
} from '@lethe/graph';
import { Session } from '@lethe/runtime';
import { isError, type RandomSource, secureRandom, seededRandom, shuffle } from '@lethe/std';
import { float32, type Tensor, tensor } from '@lethe/tensor';
import { BoundedSum, type ClippedStep } from '../clipping/bounded-sum.ts';
import { PRIVACY } from '../errors.ts';
import { addGaussianNoise, addStepNoise, GaussianStream, NoisySum } from '../noise/gaussian.ts';
import { noiseGrid } from '../noise/grid.ts';
import { drawNoiseKey } from '../noise/keystream.ts';
import { StepNoise } from '../noise/step-noise.ts';
import type { PlanSampling } from '../plan.ts';
import { PrivacyRandomness, type RunMode } from '../randomness.ts';
import { drawSizeMax, drawUnits } from '../sampling/draw.ts';
import { samplePoisson } from '../sampling/poisson.ts';
import { type DpSgdParts, dpSgdStep } from './dp-sgd.ts';

/**
 * Tests of the tests: every known way to lose the guarantee in silence is planted into the parts of a step, and a check of this file has to see
 * it; the real parts pass all checks. Statistical checks have fixed seeds and bounds of six standard deviations: on correct parts with fresh seeds
 * each would raise a false alarm about once in 10^8 (normal law; the sums are of 600 and more terms).
 */

const POPULATION = 40;
const SAMPLING: PlanSampling = {
  kind: 'truncated-poisson',
  probability: 0.25,
  cap: 16,
  population: POPULATION,
};
const CAP = drawSizeMax(SAMPLING);
const EXPECTED_UNITS = 10;
const C = 0.4;
const NOISE_MULTIPLIER = 1.5;
const UNITS_PER_RUN = 4;
const [ROWS, WIDTH, CLASSES] = [3, 4, 3];
/** Values of the tied table and of the bias. */
const LENGTHS = [CLASSES * WIDTH, CLASSES] as const;
/** A unit that is not finite. */
const BROKEN = 7;

/** What a training is made of, and what a bug may sit in. */
interface Parts {
  readonly mode: RunMode;
  /** The randomness of one run. */
  source(): RandomSource;
  draw(randomness: PrivacyRandomness): Uint32Array;
  /** The clipping of the step after `moves` updates. */
  clippedAt(moves: number): ClippedStep;
  /** The noise of one run. */
  noise(randomness: PrivacyRandomness): DpSgdParts['addNoise'];
  step(parts: DpSgdParts): Promise<void>;
}

// The model: a table that is embedding and head, and a bias; subjects of three rows.

interface Row {
  readonly x: readonly number[];
  readonly id: number;
  readonly label: number;
}
const random = seededRandom('planted-bugs', 'data');
const signed = (): number => 2 * random.uniform() - 1;
const SUBJECTS: readonly (readonly Row[])[] = Array.from({ length: POPULATION }, (_, unit) =>
  Array.from({ length: ROWS }, () => ({
    x: Array.from({ length: WIDTH }, () => (unit === BROKEN ? Number.NaN : 2 * signed())),
    id: random.below(CLASSES),
    label: random.below(CLASSES),
  })),
);
const START = LENGTHS.map((length) => Array.from({ length }, signed));
/** Each update makes the parameters, and with them the gradients, larger. */
const parametersAt = (moves: number): [table: Tensor, bias: Tensor] => {
  const [table, bias] = START.map((values) => Float32Array.from(values, (value) => value * 2 ** (moves - 1)));
  return [float32([CLASSES, WIDTH], table!), float32([CLASSES], bias!)];
};

interface RowInputs {
  readonly x: Value;
  readonly ids: Value;
  readonly labels: Value;
  readonly mask: Value;
}
const rowInputs = (g: GraphBuilder, rows: number): RowInputs => ({
  x: g.examples('x', [rows, WIDTH]),
  ids: g.examples('ids', [rows], 'int64'),
  labels: g.examples('labels', [rows], 'int64'),
  mask: g.examples('mask', [rows]),
});
const lossesOf = (
  { x, ids, labels, mask }: RowInputs,
  inTable: Value,
  outTable: Value,
  bias: Value,
): Value => {
  const hidden = tanh(mul(embedding(inTable, ids), x));
  return mul(softmaxCrossEntropy(dense(hidden, outTable, bias, { transposed: true }), labels), mask);
};
const NOBODY: Row = { x: new Array<number>(WIDTH).fill(0), id: 0, label: 0 };
/** @param mask one value a row; rows without one are padding */
const feedsOf = (rows: readonly Row[], mask: readonly number[], size: number): Record<string, Tensor> => {
  const all = Array.from({ length: size }, (_, i) => rows[i] ?? NOBODY);
  const whole = (values: readonly number[]): Tensor =>
    tensor('int64', [size], BigInt64Array.from(values, BigInt));
  return {
    x: float32([size, WIDTH], Float32Array.from(all.flatMap(({ x }) => x))),
    ids: whole(all.map(({ id }) => id)),
    labels: whole(all.map(({ label }) => label)),
    mask: float32(
      [size],
      Float32Array.from(all, (_, i) => mask[i] ?? 0),
    ),
  };
};

const clippingGraph = (): { session: Promise<Session>; rounding: number } => {
  const g = new GraphBuilder();
  const inputs = rowInputs(g, UNITS_PER_RUN * ROWS);
  const table = g.parameter('table', [CLASSES, WIDTH]);
  const bias = g.parameter('bias', [CLASSES]);
  const { sums, rounding } = clippedGradientSum(lossesOf(inputs, table, table, bias), [table, bias], {
    subjects: UNITS_PER_RUN,
    l2ClipNorm: g.shared('l2ClipNorm', []),
    sums: 'float64',
  });
  for (const [i, sum] of sums.entries()) g.output(`sum${i}`, sum);
  return { session: Session.create(g.build()), rounding };
};
const rowGraph = (): Promise<Session> => {
  const g = new GraphBuilder();
  const inputs = rowInputs(g, 1);
  const tables = ['inTable', 'outTable'].map((name) => g.parameter(name, [CLASSES, WIDTH])) as [Value, Value];
  const bias = g.parameter('bias', [CLASSES]);
  const losses = lossesOf(inputs, ...tables, bias);
  for (const [i, gradient] of gradients(losses, [...tables, bias]).entries()) g.output(`g${i}`, gradient);
  return Session.create(g.build());
};
const { session: clippingSession, rounding } = clippingGraph();
const rowSession = rowGraph();
after(async () => {
  await (await clippingSession).close();
  await (await rowSession).close();
});

const REAL: Parts = {
  mode: 'research',
  source: () => seededRandom('planted-bugs', 'run'),
  draw: (randomness) => drawUnits(SAMPLING, POPULATION, randomness),
  clippedAt: (moves) => ({
    unitsPerRun: UNITS_PER_RUN,
    lengths: LENGTHS,
    rounding,
    async clippedSum(units, l2ClipNorm) {
      const rows = [...units].flatMap((unit) => SUBJECTS[unit]!);
      const [table, bias] = parametersAt(moves);
      const out = await (await clippingSession).run({
        ...feedsOf(
          rows,
          rows.map(() => 1),
          UNITS_PER_RUN * ROWS,
        ),
        table,
        bias,
        l2ClipNorm: float32([], Float32Array.of(l2ClipNorm)),
      });
      return LENGTHS.map((_, i) => out[`sum${i}`]!.data as Float64Array);
    },
  }),
  noise(randomness) {
    const stream = new GaussianStream(randomness);
    return async (sum) => addGaussianNoise(sum, NOISE_MULTIPLIER, stream);
  },
  step: dpSgdStep,
};

// Clipping by hand, from the gradients of single rows through every use of a parameter: the reference, and where bugs are easy to plant.

type Vectors = readonly Float64Array[];
/** Gradients of one row: by the table as embedding, by the table as head, by the bias. */
type RowGradient = readonly [Float64Array, Float64Array, Float64Array];

const plus = (a: Vectors, b: Vectors): Float64Array[] =>
  a.map((part, p) => part.map((value, i) => value + b[p]![i]!));
const times = (a: Vectors, factor: number): Float64Array[] =>
  a.map((part) => part.map((value) => value * factor));
const nothing = (): Float64Array[] => LENGTHS.map((length) => new Float64Array(length));
const total = (all: readonly Vectors[]): Float64Array[] => all.reduce<Float64Array[]>(plus, nothing());
const lengthOf = (parts: Vectors): number => {
  let squared = 0;
  for (const part of parts) for (const value of part) squared += value * value;
  return Math.sqrt(squared);
};
const tied = ([embedded, head, bias]: RowGradient): Vectors => [
  embedded.map((value, i) => value + head[i]!),
  bias,
];
/** Of a subject, once; the clip norm is shared by all parameters. A subject that is not finite has nothing to add. */
const factorOf = (norm: number): number => (Number.isFinite(norm) ? Math.min(1, C / norm) : 0);
const scaled = (gradient: Vectors, factor: number): Vectors =>
  factor === 0 ? nothing() : times(gradient, factor);

const known = new Map<string, Promise<RowGradient[]>>();
function gradientsOf(unit: number, moves: number): Promise<RowGradient[]> {
  const key = `${unit} ${moves}`;
  const found =
    known.get(key) ??
    (async () => {
      const [table, bias] = parametersAt(moves);
      const all: RowGradient[] = [];
      for (const row of SUBJECTS[unit]!) {
        const out = await (await rowSession).run({
          ...feedsOf([row], [1], 1),
          inTable: table,
          outTable: table,
          bias,
        });
        const part = (i: number): Float64Array => Float64Array.from(out[`g${i}`]!.data as Float32Array);
        all.push([part(0), part(1), part(2)]);
      }
      return all;
    })();
  known.set(key, found);
  return found;
}

/** A clipped step by hand. @param contribution of one subject */
const byHand = (
  contribution: (rows: readonly RowGradient[], unit: number, moves: number) => Vectors | Promise<Vectors>,
): Pick<Parts, 'clippedAt'> => ({
  clippedAt: (moves) => ({
    ...REAL.clippedAt(moves),
    clippedSum: async (units) => {
      let sum = nothing();
      for (const unit of units)
        sum = plus(sum, await contribution(await gradientsOf(unit, moves), unit, moves));
      return sum;
    },
  }),
});
const whole = (rows: readonly RowGradient[]): Vectors => total(rows.map(tied));
const correct = byHand((rows) => scaled(whole(rows), factorOf(lengthOf(whole(rows)))));

// Checks. Each of them throws an assertion where the parts are wrong.

const SIGMAS = 6;
const everybody = Uint32Array.from({ length: POPULATION }, (_, unit) => unit);
const runOf = (parts: Parts): PrivacyRandomness => new PrivacyRandomness(parts.mode, parts.source());

interface Played {
  readonly drawn: Uint32Array;
  /** What the optimizer got; absent where it was not called. */
  readonly gradient: Vectors | undefined;
}

/** Steps of one run, at the first parameters. @param noise replaces the noise */
async function play(
  parts: Parts,
  draws: readonly Uint32Array[],
  noise: DpSgdParts['addNoise'] = parts.noise(runOf(parts)),
): Promise<Played[]> {
  const clipped = parts.clippedAt(0);
  const played: Played[] = [];
  for (const drawn of draws) {
    let gradient: Vectors | undefined;
    await parts.step({
      sample: () => drawn,
      clippedSum: (units) => BoundedSum.of(clipped, units, C, CAP),
      addNoise: noise,
      update: async (given) => {
        gradient = given;
      },
      expectedUnits: EXPECTED_UNITS,
    });
    played.push({ drawn, gradient });
  }
  return played;
}

const drawsOf = (parts: Parts, count: number): Uint32Array[] => {
  const randomness = runOf(parts);
  return Array.from({ length: count }, () => parts.draw(randomness));
};
const cleanSum = (units: Uint32Array): Promise<Vectors> =>
  correct.clippedAt(0).clippedSum(units, C) as Promise<Vectors>;

const grid = noiseGrid(
  BoundedSum.bound(REAL.clippedAt(0), C, CAP),
  NOISE_MULTIPLIER,
  LENGTHS.reduce((sum, length) => sum + length),
);

/** What was added to the clean sums, in standard deviations that the plan states, by parameter. */
async function noiseOf(parts: Parts, draws: readonly Uint32Array[]): Promise<number[][]> {
  const byParameter: number[][] = LENGTHS.map(() => []);
  for (const { drawn, gradient } of await play(parts, draws)) {
    const clean = await cleanSum(drawn);
    for (const [p, values] of (gradient ?? nothing()).entries()) {
      const into = byParameter[p]!;
      for (const [i, value] of values.entries())
        into.push((value * EXPECTED_UNITS - clean[p]![i]!) / grid.standardDeviation);
    }
  }
  return byParameter;
}

function assertStandardNormal(values: readonly number[], what: string): void {
  const n = values.length;
  const mean = values.reduce((sum, value) => sum + value, 0) / n;
  const square = values.reduce((sum, value) => sum + value ** 2, 0) / n;
  assert.ok(Math.abs(mean) < SIGMAS / Math.sqrt(n), `${what}: the mean is ${mean} deviations`);
  assert.ok(Math.abs(square - 1) < SIGMAS * Math.sqrt(2 / n), `${what}: the variance is ${square} times`);
}

const CHECKS = {
  /** Sizes of draws and the return of units are those of independent coins. The cap moves mean and variance by less than the bounds leave. */
  async 'units join independently'(parts: Parts) {
    const draws = drawsOf(parts, 2000);
    const q = SAMPLING.probability;
    const [mean, variance] = [POPULATION * q, POPULATION * q * (1 - q)];
    const sizes = draws.map(({ length }) => length);
    const average = sizes.reduce((sum, size) => sum + size) / sizes.length;
    const spread = sizes.reduce((sum, size) => sum + (size - average) ** 2, 0) / sizes.length;
    const deviation = Math.sqrt(variance / sizes.length);
    assert.ok(Math.abs(average - mean) < SIGMAS * deviation, `draws have ${average} units`);
    assert.ok(
      Math.abs(spread / variance - 1) < SIGMAS * Math.sqrt(2 / sizes.length),
      `sizes vary by ${spread}, not ${variance}`,
    );
    const pairs = draws.slice(1).map((draw, t) => {
      const before = new Set(draws[t]);
      return draw.filter((unit) => before.has(unit)).length;
    });
    const again = pairs.reduce((sum, count) => sum + count) / (pairs.length * POPULATION);
    // Of neighbouring draws: the variance of a pair's mean is below three times that of independent ones.
    const bound = SIGMAS * Math.sqrt((3 * q ** 2) / (pairs.length * POPULATION));
    assert.ok(Math.abs(again - q ** 2) < bound, `a unit comes twice in a row in ${again} of the draws`);
  },

  /** The size that the price and the rounding of the sum count on. */
  async 'no draw is above the cap'(parts: Parts) {
    for (const drawn of drawsOf(parts, 2000)) assert.ok(drawn.length <= CAP, `${drawn.length} units`);
  },

  /** Sensitivity: a unit alone adds at most C (1 + 1e-6), now and after updates, and the bound is reached. */
  async 'each unit adds at most the clip norm'(parts: Parts) {
    let most = 0;
    for (const moves of [0, 1, 2, 3]) {
      const step = parts.clippedAt(moves);
      for (const unit of everybody) {
        const sums = (await step.clippedSum(Uint32Array.of(unit), C)) as Vectors;
        const length = lengthOf(sums) / C;
        assert.ok(length <= 1 + 1e-6, `unit ${unit} adds ${length} clip norms after ${moves} updates`);
        most = Math.max(most, length);
      }
    }
    assert.ok(most >= 0.99, `no unit was clipped: ${most}`);
  },

  /** The sum of a run is the sum of its units alone, whatever the run is padded with. */
  async 'a run adds up its units'(parts: Parts) {
    const step = parts.clippedAt(1);
    for (let count = 0; count <= UNITS_PER_RUN; count++) {
      const units = Uint32Array.from({ length: count }, (_, i) => 9 * i + 1);
      const together = (await step.clippedSum(units, C)) as Vectors;
      const alone: Vectors[] = [];
      for (const unit of units) alone.push((await step.clippedSum(Uint32Array.of(unit), C)) as Vectors);
      const apart = lengthOf(plus(together, times(total(alone), -1)));
      assert.ok(apart <= 1e-6 * C * count, `${count} units are ${apart} away from their sum`);
    }
  },

  /** One noise a step, on every parameter, of the stated deviation however many runs a step has. */
  async 'the noise is that of the plan'(parts: Parts) {
    for (const [p, values] of (await noiseOf(parts, drawsOf(REAL, 300))).entries())
      assertStandardNormal(values, `parameter ${p}`);
  },

  /** The noises of neighbouring steps have nothing in common. */
  async 'no noise is used twice'(parts: Parts) {
    const draws = Array.from({ length: 300 }, () => Uint32Array.of());
    const [table] = await noiseOf(parts, draws);
    const size = LENGTHS[0];
    const products = table!.slice(size).map((value, i) => value * table![i]!);
    const correlation = products.reduce((sum, value) => sum + value, 0) / products.length;
    const bound = SIGMAS / Math.sqrt(products.length);
    assert.ok(Math.abs(correlation) < bound, `noise of neighbouring steps correlates by ${correlation}`);
  },

  /** In production two runs have nothing in common: equal noises of 15 values would be a chance of less than 2^-200. */
  async 'two production runs have other noise'(parts: Parts) {
    const production: Parts = { ...parts, mode: 'production', source: secureRandom };
    const [one, other] = [
      await noiseOf(production, [Uint32Array.of()]),
      await noiseOf(production, [Uint32Array.of()]),
    ];
    assert.notDeepEqual(one, other);
  },

  /** The divisor is the public one: without noise the gradient times it is the sum, for small and large draws. */
  async 'the divisor is the expected number of units'(parts: Parts) {
    const draws = [1, 4, EXPECTED_UNITS, CAP].map((size) => everybody.subarray(0, size));
    const silent: DpSgdParts['addNoise'] = async (sum) => new NoisySum(sum.values, 0);
    for (const { drawn, gradient } of await play(parts, draws, silent)) {
      assert.ok(gradient, `nothing was released for ${drawn.length} units`);
      const clean = await cleanSum(drawn);
      const apart = lengthOf(plus(times(gradient, EXPECTED_UNITS), times(clean, -1)));
      assert.ok(
        apart < 1e-5 * C * drawn.length,
        `a draw of ${drawn.length} is ${apart} away from sum / divisor`,
      );
    }
  },

  /** An empty draw is released as pure noise: a step that is left out tells that nobody was drawn. */
  async 'an empty draw is a step'(parts: Parts) {
    const draws = Array.from({ length: 100 }, (_, t) =>
      t % 2 === 0 ? Uint32Array.of() : Uint32Array.of(1, 2),
    );
    for (const { drawn, gradient } of await play(parts, draws))
      assert.ok(gradient, `no update for a draw of ${drawn.length}`);
    const values = (
      await noiseOf(
        parts,
        draws.filter(({ length }) => length === 0),
      )
    ).flat();
    assertStandardNormal(values, 'empty draws');
  },
} as const satisfies Record<string, (parts: Parts) => Promise<void>>;

// Bugs.

interface Bug {
  readonly name: string;
  readonly plant: () => Partial<Parts>;
  /** The check that sees it. */
  readonly caughtBy: keyof typeof CHECKS;
}

/** Micro-batches of a step that takes the noise for each of them. */
async function noiseForEachRun(parts: DpSgdParts): Promise<void> {
  const units = parts.sample();
  let sum = nothing();
  for (let at = 0; at < Math.max(1, units.length); at += UNITS_PER_RUN) {
    const noisy = await parts.addNoise(await parts.clippedSum(units.subarray(at, at + UNITS_PER_RUN)));
    sum = plus(sum, noisy.values);
  }
  await parts.update(times(sum, 1 / parts.expectedUnits));
}

const BUGS: readonly Bug[] = [
  {
    name: 'no Poisson sampling: a shuffled list in batches of fixed size',
    plant: () => {
      const list = Array.from(everybody);
      let at = POPULATION;
      return {
        draw(randomness) {
          if (at === POPULATION) {
            shuffle(list, randomness.source);
            at = 0;
          }
          at += EXPECTED_UNITS;
          return Uint32Array.from(list.slice(at - EXPECTED_UNITS, at));
        },
      };
    },
    caughtBy: 'units join independently',
  },
  {
    name: 'the cap is dropped',
    plant: () => ({ draw: (randomness) => samplePoisson(POPULATION, SAMPLING.probability, randomness) }),
    caughtBy: 'no draw is above the cap',
  },
  {
    name: 'mean instead of sum',
    plant: () => ({
      clippedAt: (moves) => ({
        ...REAL.clippedAt(moves),
        clippedSum: async (units, clip) =>
          times(
            (await REAL.clippedAt(moves).clippedSum(units, clip)) as Vectors,
            1 / Math.max(1, units.length),
          ),
      }),
    }),
    caughtBy: 'a run adds up its units',
  },
  {
    name: 'padding counts: a run is filled up with its last unit',
    plant: () => ({
      clippedAt: (moves) => ({
        ...REAL.clippedAt(moves),
        clippedSum: (units, clip) =>
          REAL.clippedAt(moves).clippedSum(
            Uint32Array.from({ length: UNITS_PER_RUN }, (_, i) => units[Math.min(i, units.length - 1)] ?? 0),
            clip,
          ),
      }),
    }),
    caughtBy: 'a run adds up its units',
  },
  {
    name: 'stale norms: factors of the parameters before the update',
    plant: () =>
      byHand(async (rows, unit, moves) =>
        scaled(whole(rows), factorOf(lengthOf(whole(await gradientsOf(unit, Math.max(0, moves - 1)))))),
      ),
    caughtBy: 'each unit adds at most the clip norm',
  },
  {
    name: 'a tied weight has the norm of its last use',
    plant: () =>
      byHand((rows) => {
        const last = total(rows.map(([, head, bias]) => [head, bias]));
        return scaled(whole(rows), factorOf(lengthOf(last)));
      }),
    caughtBy: 'each unit adds at most the clip norm',
  },
  {
    name: 'a tied weight has the norms of its uses, without their inner product',
    plant: () =>
      byHand((rows) => {
        const [first, last] = [0, 1].map((use) => total(rows.map((row) => [row[use]!, row[2]])));
        const squares = lengthOf([first![0]!]) ** 2 + lengthOf(last!) ** 2;
        return scaled(whole(rows), factorOf(Math.sqrt(squares)));
      }),
    caughtBy: 'each unit adds at most the clip norm',
  },
  {
    name: 'every parameter is clipped to the whole clip norm',
    plant: () => byHand((rows) => whole(rows).map((part) => scaled([part], factorOf(lengthOf([part])))[0]!)),
    caughtBy: 'each unit adds at most the clip norm',
  },
  {
    name: 'every row of a unit is clipped by itself',
    plant: () => byHand((rows) => total(rows.map(tied).map((row) => scaled(row, factorOf(lengthOf(row)))))),
    caughtBy: 'each unit adds at most the clip norm',
  },
  {
    name: 'a unit that is not finite counts',
    plant: () => byHand((rows) => times(whole(rows), Math.min(1, C / lengthOf(whole(rows))))),
    caughtBy: 'each unit adds at most the clip norm',
  },
  {
    name: 'noise for every micro-batch',
    plant: () => ({ step: noiseForEachRun }),
    caughtBy: 'the noise is that of the plan',
  },
  {
    name: 'noise on the first parameter only',
    plant: () => ({
      noise(randomness) {
        const add = REAL.noise(randomness);
        return async (sum) => {
          const noisy = await add(sum);
          return new NoisySum([noisy.values[0]!, ...sum.values.slice(1)], noisy.standardDeviation);
        };
      },
    }),
    caughtBy: 'the noise is that of the plan',
  },
  {
    name: 'the noise is divided as if the sum were a mean',
    plant: () => ({
      noise(randomness) {
        const add = REAL.noise(randomness);
        return async (sum) => {
          const noisy = await add(sum);
          const noise = plus(noisy.values, times(sum.values, -1));
          return new NoisySum(plus(sum.values, times(noise, 1 / EXPECTED_UNITS)), noisy.standardDeviation);
        };
      },
    }),
    caughtBy: 'the noise is that of the plan',
  },
  {
    name: 'the noise of a step is used for the next one too',
    plant: () => ({
      noise(randomness) {
        const stream = new StepNoise(drawNoiseKey(randomness));
        const kept = LENGTHS.map((length) => new Float32Array(length));
        let calls = 0;
        return async (sum) => {
          if (calls++ % 2 === 0) stream.fill(stream.nextStep, grid, kept);
          return addStepNoise(sum, grid, kept);
        };
      },
    }),
    caughtBy: 'no noise is used twice',
  },
  {
    name: 'seeded noise in production',
    plant: () => ({
      noise() {
        const stream = new StepNoise(new Uint8Array(32).fill(7));
        return async (sum) => {
          const values = LENGTHS.map((length) => new Float32Array(length));
          stream.fill(stream.nextStep, grid, values);
          return addStepNoise(sum, grid, values);
        };
      },
    }),
    caughtBy: 'two production runs have other noise',
  },
  {
    name: 'the divisor is the size of the draw',
    plant: () => ({
      step: (parts) => {
        let size = 0;
        const sample = (): Uint32Array => {
          const units = parts.sample();
          size = units.length;
          return units;
        };
        const update: DpSgdParts['update'] = (gradient) =>
          parts.update(times(gradient, parts.expectedUnits / Math.max(1, size)));
        return dpSgdStep({ ...parts, sample, update });
      },
    }),
    caughtBy: 'the divisor is the expected number of units',
  },
  {
    name: 'an empty draw is skipped',
    plant: () => ({
      async step(parts) {
        const units = parts.sample();
        if (units.length > 0) await dpSgdStep({ ...parts, sample: () => units });
      },
    }),
    caughtBy: 'an empty draw is a step',
  },
];

for (const [name, check] of Object.entries(CHECKS)) {
  test(`the real parts pass: ${name}`, () => check(REAL));
  test(`clipping by hand passes: ${name}`, () => check({ ...REAL, ...correct }));
}

for (const { name, plant, caughtBy } of BUGS) {
  test(`planted, "${name}", is seen by "${caughtBy}"`, async () => {
    await assert.rejects(CHECKS[caughtBy]({ ...REAL, ...plant() }), assert.AssertionError);
  });
}

test('every check sees a bug', () => {
  assert.deepEqual(
    Object.keys(CHECKS).filter((check) => !BUGS.some(({ caughtBy }) => caughtBy === check)),
    [],
  );
});

test('clipping by hand and the graph are the same sum', async () => {
  for (const moves of [0, 1, 2]) {
    for (const unit of everybody) {
      const [graph, hand] = await Promise.all(
        [REAL, correct].map((parts) => parts.clippedAt(moves).clippedSum(Uint32Array.of(unit), C)),
      );
      const apart = lengthOf(plus(graph as Vectors, times(hand as Vectors, -1)));
      assert.ok(apart < 2e-5 * C, `unit ${unit} after ${moves} updates: ${apart}`);
    }
  }
});

test('some bugs cannot be written: a seeded source in production, a step of noise asked for twice', () => {
  assert.throws(
    () => new PrivacyRandomness('production', seededRandom('planted-bugs')),
    (error) => isError(error, PRIVACY.SEEDED_SOURCE),
  );
  const stream = new StepNoise(new Uint8Array(32));
  const values = [new Float32Array(4)];
  stream.fill(0, grid, values);
  assert.throws(
    () => stream.fill(0, grid, values),
    (error) => isError(error, PRIVACY.NOISE_REUSED),
  );
});
