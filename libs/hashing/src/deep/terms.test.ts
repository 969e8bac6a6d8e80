/** Every row of the table of loss terms against finite differences; the lifelong term against its form with every old item in it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  add,
  GraphBuilder,
  gradients,
  matmul,
  mul,
  reduceSumSquare,
  sub,
  tanh,
  type Value,
} from '@lethe/graph';
import { Session } from '@lethe/runtime';
import { seededRandom } from '@lethe/std';
import { elements, type Tensor, tensor } from '@lethe/tensor';
import { addCodes, type CodeSums, emptyCodeSums, lifelongSums, unitLabels } from './code-sums.ts';
import { lossContext } from './networks.ts';
import { LOSS_TERMS, type LossTermName, snrDistances } from './terms.ts';

const B = 5;
const K = 16;
const C = 4;
const MODALITIES = ['image', 'text'];

type Feeds = Record<string, Tensor>;
const float64 = (shape: readonly number[], data: ArrayLike<number>): Tensor =>
  tensor('float64', shape, Float64Array.from(data));

const random = seededRandom('terms');
const numbers = (count: number): Float64Array =>
  Float64Array.from({ length: count }, () => 2 * random.uniform() - 1);
const signs = (count: number): Int8Array =>
  Int8Array.from({ length: count }, () => (random.below(2) === 0 ? 1 : -1));
const sets = (count: number): number[][] =>
  Array.from({ length: count }, (_, i) => {
    const set = Array.from({ length: C }, (_, c) => c).filter(() => random.below(3) === 0);
    return set.length > 0 ? set : [i % C];
  });

const old = { codes: signs(300 * K), labels: sets(300) };
const sums: CodeSums = addCodes(emptyCodeSums(K, C), old);
const batch = sets(B);

/** Inputs of all terms; the last row lacks its text. */
function feedsOf(): Feeds {
  const { g, p, q, items } = lifelongSums(sums);
  const scaled = (part: Float64Array): Float64Array => part.map((value) => value / items);
  const relations = Float64Array.from({ length: B * 3 }, (_, i) => [0.5, 0.3, 0.2][i % 3]!);
  return {
    'raw.image': float64([B, K], numbers(B * K)),
    'raw.text': float64([B, K], numbers(B * K)),
    'mask.image': float64([B, 1], [1, 1, 1, 1, 1]),
    'mask.text': float64([B, 1], [1, 1, 1, 1, 0]),
    labels: float64([B, C], unitLabels(batch, C)),
    codes: float64([B, K], signs(B * K)),
    g: float64([K, K], scaled(g)),
    p: float64([C, K], scaled(p)),
    q: float64([C, C], scaled(q)),
    'relations.image': float64([B, 3], relations),
    'relations.text': float64([B, 3], relations),
    prototypes: float64([3, K], signs(3 * K)),
  };
}

async function evaluate(build: (g: GraphBuilder, raw: readonly Value[]) => Value, feeds: Feeds) {
  const g = new GraphBuilder();
  const raw = MODALITIES.map((name) => g.parameter(`raw.${name}`, [B, K], 'float64'));
  const value = build(g, raw);
  g.output('value', value);
  for (const [m, gradient] of gradients(value, raw).entries()) g.output(`by.${MODALITIES[m]}`, gradient);
  const model = g.build();
  const session = await Session.create(model);
  const of = async (given: Feeds) => {
    const used = Object.fromEntries(model.inputs.map(({ name }) => [name, given[name]!]));
    return session.run(used);
  };
  const first = await of(feeds);
  return { first, of, close: () => session.close() };
}

const shape = {
  rows: B,
  codeBits: K,
  classes: C,
  modalities: MODALITIES,
  weights: {},
  teacher: { classes: 3, temperature: 0.2 },
};
const scalarOf = (out: Feeds | Readonly<Feeds>): number => out.value!.data[0] as number;

for (const name of Object.keys(LOSS_TERMS) as LossTermName[]) {
  test(`${name}: the gradient is that of finite differences, and a missing modality has none`, async () => {
    const feeds = feedsOf();
    const run = await evaluate(
      (g, raw) => LOSS_TERMS[name].build(lossContext(g, shape, raw, 'float64')),
      feeds,
    );
    assert.ok(Number.isFinite(scalarOf(run.first)));
    for (const modality of MODALITIES) {
      const gradient = run.first[`by.${modality}`]!.data as Float64Array;
      const at = feeds[`raw.${modality}`]!;
      for (let i = 0; i < elements([B, K]); i++) {
        const moved = async (step: number): Promise<number> => {
          const data = Float64Array.from(at.data as Float64Array);
          data[i]! += step;
          return scalarOf(await run.of({ ...feeds, [`raw.${modality}`]: float64([B, K], data) }));
        };
        const h = 1e-5;
        const difference = ((await moved(h)) - (await moved(-h))) / (2 * h);
        assert.ok(
          Math.abs(difference - gradient[i]!) < 1e-6 * (1 + Math.abs(difference)),
          `${modality} ${i}`,
        );
        if (modality === 'text' && i >= (B - 1) * K) assert.equal(Math.abs(gradient[i]!), 0);
      }
    }
    assert.ok((run.first['by.image']!.data as Float64Array).some((value) => value !== 0));
    await run.close();
  });
}

/**
 * "the old codes ... take part in training and stay invariant" (arXiv 2304.13357). There they are held in full; here as sums.
 */
test('the lifelong term equals the form that holds every old code, in value and gradient, to 1e-9', async () => {
  const feeds = feedsOf();
  const short = await evaluate(
    (g, raw) => LOSS_TERMS.similarity.build(lossContext(g, shape, raw, 'float64')),
    feeds,
  );
  const n = old.labels.length;
  const likeness = Float64Array.from({ length: B * n }, (_, at) => {
    const [i, j] = [Math.floor(at / n), at % n];
    const a = batch[i]!;
    const b = old.labels[j]!;
    return a.filter((c) => b.includes(c)).length / Math.sqrt(a.length * b.length);
  });
  const long = await evaluate((g, raw) => {
    const s = mul(g.constant('float64', [B, n], likeness), K);
    const codes = g.constant('float64', [n, K], Float64Array.from(old.codes));
    const terms = raw.map((f, m) => {
      const mask = g.examples(`mask.${MODALITIES[m]}`, [B, 1], 'float64');
      return reduceSumSquare(mul(sub(s, matmul(tanh(f), codes, { transB: true })), mask));
    });
    return mul(
      terms.reduce((a, b) => add(a, b)),
      1 / (B * n),
    );
  }, feeds);
  const close = (a: number, b: number): void =>
    assert.ok(Math.abs(a - b) <= 1e-9 * (1 + Math.abs(b)), `${a} ${b}`);
  close(scalarOf(short.first), scalarOf(long.first));
  for (const modality of MODALITIES) {
    const a = short.first[`by.${modality}`]!.data as Float64Array;
    const b = long.first[`by.${modality}`]!.data as Float64Array;
    for (const i of a.keys()) close(a[i]!, b[i]!);
  }
  await Promise.all([short.close(), long.close()]);
});

/**
 * Yuan et al. 2019: "SNR(x_a, x) = Var(x_a - x) / Var(x_a)" as their reference implementation has it (the noise over the signal), margins 0 and 1.
 */
test('the SNR distance is 0 for equal rows, not symmetric, and the same for scaled rows', async () => {
  const anchors = numbers(B * K);
  const compared = numbers(B * K);
  const g = new GraphBuilder();
  const a = g.examples('a', [B, K], 'float64');
  const x = g.examples('x', [B, K], 'float64');
  g.output('d', snrDistances(a, x));
  const session = await Session.create(g.build());
  const of = async (left: Float64Array, right: Float64Array): Promise<Float64Array> =>
    (await session.run({ a: float64([B, K], left), x: float64([B, K], right) })).d!.data as Float64Array;
  const d = await of(anchors, compared);
  const variance = (row: Float64Array): number => {
    const mean = row.reduce((sum, value) => sum + value, 0) / K;
    return row.reduce((sum, value) => sum + (value - mean) ** 2, 0) / K;
  };
  for (let i = 0; i < B; i++) {
    for (let j = 0; j < B; j++) {
      const signal = anchors.slice(i * K, (i + 1) * K);
      const noise = compared.slice(j * K, (j + 1) * K).map((value, k) => value - signal[k]!);
      assert.ok(Math.abs(d[i * B + j]! - variance(noise) / variance(signal)) < 1e-5);
    }
  }
  const scaled = await of(
    anchors.map((value) => 7 * value),
    compared.map((value) => 7 * value),
  );
  for (const i of d.keys()) assert.ok(Math.abs(scaled[i]! - d[i]!) < 1e-5);
  const own = await of(anchors, anchors);
  for (let i = 0; i < B; i++) assert.ok(Math.abs(own[i * B + i]!) < 1e-9);
  assert.ok(Math.abs((await of(compared, anchors))[0]! - d[0]!) > 1e-3);
  await session.close();
});

/** The published balance term is the sum of all outputs: the more negative, the better. Ours has its least value where every bit is balanced. */
test('balance is 0 exactly where each bit is balanced, however the rows are', async () => {
  const feeds = feedsOf();
  const balanced = Float64Array.from({ length: B * K }, (_, i) =>
    Math.floor(i / K) === B - 1 ? 0 : Math.floor(i / K) % 2 ? 1 : -1,
  );
  const all = Float64Array.from({ length: B * K }, () => -1);
  const run = await evaluate(
    (g, raw) => LOSS_TERMS.balance.build(lossContext(g, shape, raw, 'float64')),
    feeds,
  );
  const at = async (data: Float64Array): Promise<number> =>
    scalarOf(
      await run.of({ ...feeds, 'raw.image': float64([B, K], data), 'raw.text': float64([B, K], data) }),
    );
  assert.ok(Math.abs(await at(balanced)) < 1e-12);
  assert.ok((await at(all)) > 1);
  await run.close();
});

/**
 * Asadi et al. 2023: "a novel distillation loss that constrains class prototypes to maintain relative similarities as compared to new task data".
 */
test('distillation is least where the relations to the prototypes are the teacher’s', async () => {
  const feeds = feedsOf();
  const u = (feeds['raw.image']!.data as Float64Array).map(Math.tanh);
  const prototypes = feeds.prototypes!.data as Float64Array;
  const relations = new Float64Array(B * 3);
  for (let i = 0; i < B; i++) {
    const row = u.subarray(i * K, (i + 1) * K);
    const size = Math.sqrt(row.reduce((sum, value) => sum + value * value, 0));
    const scores = [0, 1, 2].map((m) =>
      Math.exp(
        row.reduce((sum, value, k) => sum + value * prototypes[m * K + k]!, 0) / (size * Math.sqrt(K)) / 0.2,
      ),
    );
    scores.forEach((score, m) => {
      relations[i * 3 + m] = score / (scores[0]! + scores[1]! + scores[2]!);
    });
  }
  const none = float64([B, 1], new Float64Array(B));
  const same = { ...feeds, 'mask.text': none, 'relations.image': float64([B, 3], relations) };
  const run = await evaluate(
    (g, raw) => LOSS_TERMS.distillation.build(lossContext(g, shape, raw, 'float64')),
    same,
  );
  assert.ok(Math.abs(scalarOf(run.first)) < 1e-9);
  for (const value of run.first['by.image']!.data as Float64Array) assert.ok(Math.abs(value) < 1e-9);
  assert.ok(scalarOf(await run.of({ ...feeds, 'mask.text': none })) > 1e-3);
  await run.close();
});
