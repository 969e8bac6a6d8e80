import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as graph from '@lethe/graph';
import {
  type ClippedSum,
  type Clipping,
  type ClippingOptions,
  clippedGradientSum,
  cnn,
  GraphBuilder,
  mlp,
  type TransformerSpec,
  transformer,
  type Value,
} from '@lethe/graph';
import { Session } from '@lethe/runtime';
import { type RandomSource, seededRandom } from '@lethe/std';
import { type Tensor, zeros } from '@lethe/tensor';

/**
 * The claim under the whole guarantee, attacked: no unit moves a clipped sum by more than the clip norm C, whatever it holds. First one unit alone
 * (all others masked), its sum in float64: at most C (1 + 1e-6). Then neighbouring batches with sums in float32: at most C (1 + rounding), with
 * the rounding that the graph states and the noise is charged for. Every part also shows that C is reached, so that it could fail.
 */

interface Shape {
  readonly units: number;
  /** Rows of a unit. */
  readonly rows: number;
}
interface Built {
  readonly losses: Value;
  readonly parameters: readonly Value[];
}
interface Case extends Shape {
  readonly build: (g: GraphBuilder, shape: Shape) => Built;
  /** Which parameters are clipped together per layer, where that is tried. */
  readonly layers?: readonly number[];
}

const CLASSES = 3;
const WIDTH = 4;

/** Cross-entropies of the rows, times their mask. */
const masked = (y: Value, parameters: readonly Value[]): Built => {
  const { graph: g, shape } = y;
  const labels = g.examples('labels', [shape[0]!], 'int64');
  return {
    losses: graph.mul(graph.softmaxCrossEntropy(y, labels), g.examples('mask', [shape[0]!])),
    parameters,
  };
};
const features = (g: GraphBuilder, { units, rows }: Shape, width = WIDTH): Value =>
  g.examples('x', [units * rows, width]);
const idsOf = (g: GraphBuilder, { units, rows }: Shape): Value => g.examples('ids', [units * rows], 'int64');
/** Three logits without a parameter. */
const mixed = (x: Value): Value => {
  const values = Float32Array.from({ length: x.shape[1]! * CLASSES }, (_, i) => Math.cos(3 * i + 1));
  return graph.matmul(x, x.graph.constant('float32', [x.shape[1]!, CLASSES], values));
};

const perceptron: Case['build'] = (g, shape) => {
  const { logits, parameters } = mlp(features(g, shape), {
    widths: [WIDTH, 6, CLASSES],
    activation: 'tanh',
  });
  return masked(logits, parameters);
};
const recurrent: Case['build'] = (g, shape) => {
  const w = g.parameter('w', [WIDTH, WIDTH]);
  const x = features(g, shape);
  return masked(mixed(graph.dense(graph.tanh(graph.dense(x, w)), w)), [w]);
};
const autoencoder: Case['build'] = (g, shape) => {
  const w = g.parameter('w', [WIDTH, 3]);
  const code = graph.dense(features(g, shape), w);
  return masked(mixed(graph.dense(code, w, undefined, { transposed: true })), [w]);
};
const tied: Case['build'] = (g, shape) => {
  const [table, b] = [g.parameter('table', [CLASSES, WIDTH]), g.parameter('b', [CLASSES])];
  const hidden = graph.tanh(graph.mul(graph.embedding(table, idsOf(g, shape)), features(g, shape)));
  return masked(graph.dense(hidden, table, b, { transposed: true }), [table, b]);
};
const twoTables: Case['build'] = (g, shape) => {
  const table = g.parameter('table', [CLASSES, WIDTH]);
  const ids = idsOf(g, shape);
  const other = graph.embedding(table, graph.sub(g.constant('int64', [1], BigInt64Array.of(2n)), ids));
  return masked(mixed(graph.add(graph.embedding(table, ids), graph.mul(other, features(g, shape)))), [table]);
};
const scaleAndShift: Case['build'] = (g, shape) => {
  const [gamma, beta] = [g.parameter('gamma', [WIDTH]), g.parameter('beta', [WIDTH])];
  const positions = g.parameter('positions', [shape.rows, WIDTH]);
  const x = graph.shift(graph.scale(features(g, shape), gamma), beta);
  const sequences = graph.shift(graph.reshape(x, [shape.units, shape.rows, WIDTH]), positions);
  return masked(mixed(graph.reshape(sequences, x.shape)), [gamma, beta, positions]);
};
const decoder: TransformerSpec = {
  vocabulary: CLASSES,
  sequence: 4,
  width: 8,
  heads: 2,
  blocks: 1,
  activation: 'gelu',
  tied: true,
};
const attention =
  (spec: TransformerSpec): Case['build'] =>
  (g, shape) => {
    const { logits, parameters } = transformer(idsOf(g, shape), spec);
    return masked(logits, parameters);
  };
const convolutional: Case['build'] = (g, shape) => {
  const { logits, parameters } = cnn(features(g, shape, 36), {
    picture: [6, 6, 1],
    convolutions: [{ filters: 2, kernel: 3, padding: 1, pool: { kernel: 2, stride: 2 } }],
    widths: [CLASSES],
  });
  return masked(logits, parameters);
};
/** A layer whose input and output gradient are both the adversary's own. */
const probeOf =
  (width: number): Case['build'] =>
  (g, shape) => {
    const w = g.parameter('w', [width, CLASSES]);
    const x = features(g, shape, width);
    const pull = g.examples('pull', [x.shape[0]!, CLASSES]);
    const losses = graph.reduceSum(graph.mul(graph.dense(x, w), pull), [1]);
    return { losses: graph.mul(losses, g.examples('mask', [x.shape[0]!])), parameters: [w] };
  };

const CASES: Readonly<Record<string, Case>> = {
  MLP: { build: perceptron, units: 4, rows: 1, layers: [0, 0, 1, 1] },
  'MLP, several rows': { build: perceptron, units: 3, rows: 5, layers: [0, 0, 1, 1] },
  'recurrent use': { build: recurrent, units: 4, rows: 1 },
  'recurrent use, several rows': { build: recurrent, units: 3, rows: 3 },
  'tied embedding and head': { build: tied, units: 3, rows: 4 },
  'tied auto-encoder': { build: autoencoder, units: 3, rows: 3 },
  'two uses of one table': { build: twoTables, units: 3, rows: 4 },
  'scale, shift and positions': { build: scaleAndShift, units: 3, rows: 3 },
  attention: { build: attention(decoder), units: 3, rows: 4 },
  LoRA: {
    build: attention({ ...decoder, tied: false, lora: { rank: 2, alpha: 4, on: ['q', 'v', 'down'] } }),
    units: 3,
    rows: 4,
  },
  convolution: { build: convolutional, units: 3, rows: 1, layers: [0, 0, 1, 1] },
  'any input and gradient': { build: probeOf(WIDTH), units: 4, rows: 1 },
  'any inputs and gradients': { build: probeOf(WIDTH), units: 3, rows: 5 },
};

/** A graph of clipped sums in one session, with its buffers. */
class Rig {
  readonly feeds: Record<string, Tensor> = {};
  readonly #out: Record<string, Tensor> = {};
  readonly #session: Session;
  readonly clipped: ClippedSum;
  readonly shape: Shape;
  readonly #count: number;

  private constructor(session: Session, clipped: ClippedSum, shape: Shape, count: number) {
    this.#session = session;
    this.clipped = clipped;
    this.shape = shape;
    this.#count = count;
    for (const { name, dtype, shape } of session.inputs) this.feeds[name] = zeros(dtype, shape);
    for (const { name, dtype, shape } of session.outputs) this.#out[name] = zeros(dtype, shape);
  }

  static async of(each: Case, options: Partial<ClippingOptions>): Promise<Rig> {
    const g = new GraphBuilder();
    const { losses, parameters } = each.build(g, each);
    const clipped = clippedGradientSum(losses, parameters, {
      subjects: each.units,
      l2ClipNorm: g.shared('l2ClipNorm', []),
      ...options,
    });
    for (const [i, sum] of clipped.sums.entries()) g.output(`sum${i}`, sum);
    g.output('norms', clipped.norms);
    g.output('factors', clipped.factors);
    return new Rig(await Session.create(g.build()), clipped, each, parameters.length);
  }

  floats(name: string): Float32Array {
    return this.feeds[name]!.data as Float32Array;
  }

  /** @returns float64 copies of the sums, one a parameter */
  async sums(): Promise<Float64Array[]> {
    await this.#session.runInto(this.feeds, this.#out);
    return Array.from({ length: this.#count }, (_, i) =>
      Float64Array.from(this.#out[`sum${i}`]!.data as Float64Array),
    );
  }

  /** The bound on the norm of a unit's gradient, and its factor, of the last run. */
  decision(unit: number): { readonly norm: number; readonly factor: number } {
    return {
      norm: Number(this.#out.norms!.data[unit]),
      factor: Number(this.#out.factors!.data[unit]),
    };
  }

  close(): Promise<void> {
    return this.#session.close();
  }
}

const lengthOf = (...parts: readonly Float64Array[]): number => {
  let squared = 0;
  for (const part of parts) for (const value of part) squared += value * value;
  return Math.sqrt(squared);
};

const FLAVOURS = ['plain', 'plain', 'alike', 'wild', 'broken', 'faint and loud'] as const;
const BREAKERS = [Number.NaN, Infinity, -Infinity, 1e30, -3e38, 1e-30, 1e-42];

/** New inputs and parameters; a unit holds what it likes, and so do the units that are masked out. */
function adversarial(rig: Rig, random: RandomSource, flavour: (typeof FLAVOURS)[number]): void {
  const signed = (): number => 2 * random.uniform() - 1;
  const power = (low: number, high: number): number => 10 ** (low + (high - low) * random.uniform());
  for (const [name, { data, shape }] of Object.entries(rig.feeds)) {
    if (name === 'mask' || name === 'l2ClipNorm') continue;
    if (data instanceof BigInt64Array) {
      for (let i = 0; i < data.length; i++) data[i] = BigInt(random.below(CLASSES));
      continue;
    }
    const scale = name === 'x' || name === 'pull' ? power(-1, 3) : power(-1, 0.5);
    for (let i = 0; i < data.length; i++) {
      data[i] =
        flavour === 'wild' && (name === 'x' || name === 'pull')
          ? Math.sign(signed()) * power(-12, 12)
          : scale * signed();
    }
    if (flavour === 'alike' && name === 'x') {
      const width = data.length / shape[0]!;
      for (let i = width; i < data.length; i++) data[i] = Number(data[i % width]) * (1 + 1e-5 * signed());
    }
    if (flavour === 'faint and loud') {
      // Products of ordinary size, of factors whose squares leave the range of float32.
      const shift = (name === 'x' ? power(-25, -15) : name === 'pull' ? power(13, 18) : scale) / scale;
      for (let i = 0; i < data.length; i++) data[i] = Number(data[i]) * shift;
    }
    if (flavour === 'broken' && random.below(3) === 0) {
      data[random.below(data.length)] = BREAKERS[random.below(BREAKERS.length)]!;
    }
  }
}

interface Tally {
  trials: number;
  /** Largest contribution relative to C. */
  worst: number;
  /** Trials in which the unit was clipped, and those of them in which its contribution had at least 0.99 C. */
  clipped: number;
  reached: number;
}

const STABILITY = 1e-3;

/** One unit at a time, all others masked out. */
async function contributions(
  each: Case,
  options: Partial<ClippingOptions>,
  trials: number,
  seed: string,
): Promise<Tally & { readonly rounding: number }> {
  const { units, rows } = each;
  const kind = options.clipping?.kind ?? 'flat';
  const layers = kind === 'per-layer' ? each.layers! : undefined;
  const shares = layers ? new Set(layers).size : 1;
  const rig = await Rig.of(each, options);
  const random = seededRandom('sensitivity', seed);
  const tally: Tally = { trials, worst: 0, clipped: 0, reached: 0 };
  for (let trial = 0; trial < trials; trial++) {
    const flavour = FLAVOURS[trial % FLAVOURS.length]!;
    adversarial(rig, random, flavour);
    const clip = Math.fround(10 ** (-6 * random.uniform()));
    rig.floats('l2ClipNorm')[0] = clip;
    const unit = random.below(units);
    const mask = rig.floats('mask').fill(0);
    // Some rows of the unit are padding.
    for (let row = 0; row < rows; row++) mask[unit * rows + row] = row > 0 && random.below(4) === 0 ? 0 : 1;
    const sums = await rig.sums();
    const length = lengthOf(...sums);
    assert.ok(Number.isFinite(length), `${seed}, ${flavour}: the sum is not finite`);
    tally.worst = Math.max(tally.worst, length / clip);
    const { norm, factor } = rig.decision(unit);
    if (!(norm > Math.max(clip, kind === 'automatic' ? 200 * STABILITY : 0) && factor > 0)) continue;
    if (!flavour.startsWith('plain')) continue;
    const parts = layers
      ? [...new Set(layers)].map((layer) => sums.filter((_, i) => layers[i] === layer))
      : [sums];
    const most = Math.max(...parts.map((part) => lengthOf(...part))) * Math.sqrt(shares);
    if (layers && !(factor < 0.9)) continue;
    tally.clipped++;
    if (most >= 0.99 * clip) tally.reached++;
  }
  await rig.close();
  return { ...tally, rounding: rig.clipped.rounding };
}

const CLIPPINGS: readonly Clipping[] = [
  { kind: 'flat' },
  { kind: 'automatic', stability: STABILITY },
  { kind: 'per-layer' },
];
/** 13 cases, 2 norm rules, 2 or 3 clippings: 58 graphs. */
const TRIALS = 180;
const LONG_TRIALS = 100;
const NEIGHBOUR_TRIALS = 20;

for (const [name, each] of Object.entries(CASES)) {
  test(`one unit, ${name}: at most C (1 + 1e-6), and C is reached`, async () => {
    for (const norms of ['ghost', 'instantiated'] as const) {
      for (const clipping of CLIPPINGS) {
        if (clipping.kind === 'per-layer' && !each.layers) continue;
        const seed = `${name}, ${norms}, ${clipping.kind}`;
        const found = await contributions(each, { norms, clipping, sums: 'float64' }, TRIALS, seed);
        assert.ok(found.worst <= 1 + 1e-6, `${seed}: ${found.worst} C`);
        assert.ok(found.clipped >= 10, `${seed}: clipped ${found.clipped} times only`);
        assert.ok(
          found.reached > 0.5 * found.clipped,
          `${seed}: ${found.reached} of ${found.clipped} reach C`,
        );
      }
    }
  });
}

/** T tokens that are the same but for `spread`, whose gradients cancel but for a rest of about 1e-3. */
function longSequence(rig: Rig, random: RandomSource, spread: number, cancels: boolean): void {
  const signed = (): number => 2 * random.uniform() - 1;
  const [x, pull] = [rig.floats('x'), rig.floats('pull')];
  const [tokens, pulls] = [x.length / rig.feeds.mask!.data.length, CLASSES];
  const token = Float64Array.from({ length: tokens }, signed);
  const direction = Float64Array.from({ length: pulls }, signed);
  for (let i = 0; i < x.length; i++) x[i] = token[i % tokens]! * (1 + spread * signed());
  for (let i = 0; i < pull.length; i++) {
    const row = Math.floor(i / pulls);
    const sign = cancels && row % 2 === 1 ? -1 : 1;
    pull[i] = sign * direction[i % pulls]! * (1 + (cancels ? 1e-3 * signed() : 0));
  }
}

for (const width of [4, 64]) {
  test(`long sequences: 512 nearly equal tokens of width ${width} that cancel, or all pull one way`, async () => {
    const each: Case = { build: probeOf(width), units: 2, rows: 512 };
    for (const norms of ['ghost', 'instantiated'] as const) {
      const rig = await Rig.of(each, { norms, sums: 'float64' });
      const random = seededRandom('sensitivity', 'long', norms, width);
      const clip = Math.fround(0.1);
      const tally = { worst: 0, most: [0, 0] };
      for (let trial = 0; trial < LONG_TRIALS; trial++) {
        const cancels = trial % 2 === 0;
        longSequence(rig, random, [0, 1e-6, 1e-4, 1e-2][random.below(4)]!, cancels);
        rig.floats('l2ClipNorm')[0] = clip;
        rig.floats('mask').fill(0).fill(1, 0, 512);
        const length = lengthOf(...(await rig.sums())) / clip;
        tally.worst = Math.max(tally.worst, length);
        tally.most[trial % 2] = Math.max(tally.most[trial % 2]!, length);
      }
      await rig.close();
      assert.ok(tally.worst <= 1 + 1e-6, `${norms}: ${tally.worst} C`);
      assert.ok(tally.most[1]! >= 0.99, `${norms}: rows that pull one way reach ${tally.most[1]} C`);
    }
  });
}

/** Inputs without one unit: the others move up, so that sums are taken in another order, and padding comes last. */
function without(rig: Rig, unit: number): void {
  const { units } = rig.shape;
  for (const name of ['x', 'ids', 'labels', 'mask', 'pull']) {
    const data = rig.feeds[name]?.data;
    if (!data) continue;
    const size = data.length / units;
    data.copyWithin(unit * size, (unit + 1) * size);
    if (data instanceof BigInt64Array) data.fill(0n, data.length - size);
    else data.fill(0, data.length - size);
  }
}

/** Batches whose units all pull one way, which is where a sum in float32 loses most; a few hold what they like. */
function batch(rig: Rig, random: RandomSource): void {
  const { units, rows } = rig.shape;
  adversarial(rig, random, 'plain');
  for (const name of ['x', 'ids', 'labels', 'pull']) {
    const data = rig.feeds[name]?.data;
    if (!data) continue;
    const size = data.length / units;
    for (let unit = 1; unit < units; unit++) {
      if (random.below(4) > 0) data.copyWithin(unit * size, 0, size);
    }
    if (data instanceof Float32Array) {
      for (let i = 0; i < data.length; i++) data[i]! *= 1 + 1e-3 * random.uniform();
      if (random.below(3) === 0) data[random.below(data.length)] = Number.NaN;
    }
  }
  rig.floats('mask').fill(1);
  if (rows > 1) rig.floats('mask')[random.below(units * rows)] = 0;
}

const NEIGHBOURS: Readonly<Record<string, readonly number[]>> = {
  MLP: [4, 64, 256, 1_100],
  'MLP, several rows': [4, 64, 256],
  'tied embedding and head': [64, 256],
  attention: [16, 256],
  convolution: [16, 256],
  'any inputs and gradients': [64, 256, 600],
};

for (const [name, sizes] of Object.entries(NEIGHBOURS)) {
  test(`neighbouring batches, ${name}: sums in float32 differ by at most C (1 + rounding)`, async () => {
    for (const units of sizes) {
      for (const clipping of CLIPPINGS.slice(0, 2)) {
        const rig = await Rig.of({ ...CASES[name]!, units }, { clipping });
        const random = seededRandom('sensitivity', 'neighbours', name, units, clipping.kind);
        const seed = `${units} units, ${clipping.kind}`;
        let [worst, alone] = [0, 0];
        for (let trial = 0; trial < NEIGHBOUR_TRIALS; trial++) {
          batch(rig, random);
          const clip = Math.fround(10 ** (-3 * random.uniform()));
          rig.floats('l2ClipNorm')[0] = clip;
          const more = await rig.sums();
          without(rig, random.below(units));
          const less = await rig.sums();
          const moved = lengthOf(...more.map((sum, p) => sum.map((value, i) => value - less[p]![i]!)));
          assert.ok(Number.isFinite(moved), `${seed}: a sum is not finite`);
          worst = Math.max(worst, moved / clip);
          rig.floats('mask').fill(0).fill(1, 0, rig.shape.rows);
          alone = Math.max(alone, lengthOf(...(await rig.sums())) / clip);
        }
        await rig.close();
        const { rounding } = rig.clipped;
        assert.ok(rounding <= 0.05, `${seed}: a rounding of ${rounding} C is charged`);
        assert.ok(worst <= 1 + rounding, `${seed}: ${worst} C, charged are ${1 + rounding}`);
        assert.ok(worst >= 0.99, `${seed}: no batch moves by more than ${worst} C`);
        assert.ok(alone <= 1 + 1e-6, `${seed}: one unit's contribution in float32 is ${alone} C`);
      }
    }
  });
}

test('gradients whose squares underflow are clipped to a clip norm of their size', async () => {
  for (const rows of [1, 5]) {
    for (const norms of ['ghost', 'instantiated'] as const) {
      const rig = await Rig.of({ build: probeOf(WIDTH), units: 3, rows }, { norms, sums: 'float64' });
      const random = seededRandom('sensitivity', 'faint', rows, norms);
      let worst = 0;
      for (let trial = 0; trial < 50; trial++) {
        adversarial(rig, random, 'plain');
        for (const name of ['x', 'pull']) {
          const data = rig.floats(name);
          for (let i = 0; i < data.length; i++) data[i]! *= 1e-13;
        }
        rig.floats('l2ClipNorm')[0] = 1e-26;
        rig.floats('mask').fill(0).fill(1, 0, rows);
        worst = Math.max(worst, lengthOf(...(await rig.sums())) / 1e-26);
      }
      await rig.close();
      assert.ok(worst > 0 && worst <= 1 + 1e-6, `${rows} rows, ${norms}: ${worst} C`);
    }
  }
});

test('the trials are at least ten thousand', () => {
  const graphs = Object.values(CASES).map(({ layers }) => 2 * (layers ? 3 : 2));
  assert.ok(TRIALS * graphs.reduce((sum, count) => sum + count) >= 10_000);
});
