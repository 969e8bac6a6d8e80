/** What a session guarantees: it reads new records only, gives equal bytes twice, stops where it is told, and learns. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { onnxEngine } from '@lethe/runtime';
import { bytesOf, hex, isError, sha256 } from '@lethe/std';
import { tensorsDigest } from '@lethe/tensor';
import { allocateClasses, emptyCodebook } from '../codebook.ts';
import { HASHING } from '../errors.ts';
import { hadamardRows, simplexRows } from './class-rows.ts';
import { addCodes, type CodeSums, codeSumsDigest, emptyCodeSums, widenClasses } from './code-sums.ts';
import { deepCodes, deepStepGraph } from './networks.ts';
import { syntheticItems } from './synthetic.fixture.ts';
import type { LossWeights } from './terms.ts';
import {
  DEFAULT_DEEP_OPTIONS,
  type DeepCheckpoint,
  type DeepItems,
  type DeepOutcome,
  type DeepSession,
  trainDeepSession,
} from './trainer.ts';

const K = 32;
const world = { classes: 6, widths: { image: 24, text: 16 }, noise: 0.6 };
const spec = {
  codeBits: K,
  hidden: 32,
  modalities: [
    { name: 'image', width: 24 },
    { name: 'text', width: 16 },
  ],
};
const options = { ...DEFAULT_DEEP_OPTIONS, epochs: 40, batchRows: 64, patience: 40, learningRate: 3e-3 };
const rowsOf = (classes: number) =>
  hadamardRows(
    allocateClasses(
      emptyCodebook(K),
      Array.from({ length: classes }, (_, c) => `class-${c}`),
    ),
  );
const engine = onnxEngine({ deterministic: true });

const first = (items: DeepItems): DeepSession => ({
  spec,
  options,
  classRows: rowsOf(4),
  old: emptyCodeSums(K, 4),
  items,
  seed: 'session-1',
  engine,
});
const digestOf = ({ parameters, labelCodes }: DeepOutcome): string =>
  `${hex(tensorsDigest(parameters))} ${hex(sha256(bytesOf(labelCodes)))}`;

/** Both modalities' network codes of items, as an index would have stored them. */
async function stored(sums: CodeSums, outcome: DeepOutcome, items: DeepItems): Promise<CodeSums> {
  let next = sums;
  for (const { name } of spec.modalities) {
    const codes = await deepCodes(engine, spec, outcome.parameters, name, items.inputs[name]!);
    next = addCodes(next, { codes, labels: items.labels });
  }
  return next;
}

const oldItems = () => syntheticItems(world, 400, [0, 1, 2, 3], 'old');
const newItems = syntheticItems(world, 200, [3, 4, 5], 'new');
const learned = await trainDeepSession(first(oldItems()));

function increment(old: CodeSums, weights = options.weights): DeepSession {
  return {
    spec,
    options: { ...options, weights, epochs: 60, patience: 60 },
    classRows: rowsOf(6),
    old: widenClasses(old, 6),
    items: newItems,
    previous: learned.parameters,
    seed: 'session-2',
    engine,
  };
}

const share = (
  codes: Int8Array,
  others: Int8Array,
  labels: DeepItems['labels'],
  otherLabels: DeepItems['labels'],
): number => {
  let right = 0;
  for (const [i, set] of labels.entries()) {
    let nearest = -1;
    let most = Number.NEGATIVE_INFINITY;
    for (const j of otherLabels.keys()) {
      let product = 0;
      for (let k = 0; k < K; k++) product += codes[i * K + k]! * others[j * K + k]!;
      if (product > most) [nearest, most] = [j, product];
    }
    if (otherLabels[nearest]!.some((c) => set.includes(c))) right++;
  }
  return right / labels.length;
};

test('a first session learns codes by which an unseen text finds a picture of its class', async () => {
  const queries = syntheticItems(world, 100, [0, 1, 2, 3], 'queries');
  const text = await deepCodes(engine, spec, learned.parameters, 'text', queries.inputs.text!);
  const image = await deepCodes(engine, spec, learned.parameters, 'image', oldItems().inputs.image!);
  const found = share(text, image, queries.labels, oldItems().labels);
  assert.ok(found > 0.85, `nearest picture shares a class in ${found}`);
  assert.ok(learned.epochs.at(-1)!.trainingLoss < learned.epochs[0]!.trainingLoss / 2);
});

test('simplex rows are another geometry that is learned as well', async () => {
  const { parameters } = await trainDeepSession({ ...first(oldItems()), classRows: simplexRows(K, 4) });
  const queries = syntheticItems(world, 100, [0, 1, 2, 3], 'queries');
  const text = await deepCodes(engine, spec, parameters, 'text', queries.inputs.text!);
  const image = await deepCodes(engine, spec, parameters, 'image', oldItems().inputs.image!);
  assert.ok(share(text, image, queries.labels, oldItems().labels) > 0.85);
});

test('two runs give equal bytes; another seed gives others', async () => {
  const again = await trainDeepSession(first(oldItems()));
  assert.equal(digestOf(again), digestOf(learned));
  const other = await trainDeepSession({ ...first(oldItems()), seed: 'session-x' });
  assert.notEqual(digestOf(other), digestOf(learned));
});

/**
 * Asadi et al. 2023: "without keeping any prior task data". Here the old records are destroyed before the second increment, and nothing changes.
 */
test('an increment reads no old record: with the old ones destroyed it gives equal bytes', async () => {
  const items = oldItems();
  const old = await stored(emptyCodeSums(K, 4), learned, items);
  const weights = { ...options.weights, distillation: 5 };
  const with_ = await trainDeepSession(increment(old, weights));
  for (const rows of Object.values(items.inputs)) rows.fill(Number.NaN);
  const without = await trainDeepSession(increment(old, weights));
  assert.equal(digestOf(without), digestOf(with_));
  assert.notEqual(digestOf(await trainDeepSession(increment(emptyCodeSums(K, 4), weights))), digestOf(with_));
});

/** "prototypes ... maintain relative similarities as compared to new task data" (Asadi et al. 2023): what the old net said of the new records is kept. */
test('an increment changes no old sum and finds new classes; with distillation it forgets old ones less', async () => {
  const items = oldItems();
  const old = await stored(emptyCodeSums(K, 4), learned, items);
  const before = hex(codeSumsDigest(old));
  const image = await deepCodes(engine, spec, learned.parameters, 'image', items.inputs.image!);
  const found = async (next: DeepOutcome, among: readonly number[]): Promise<number> => {
    const fresh = await deepCodes(engine, spec, next.parameters, 'image', newItems.inputs.image!);
    const queries = syntheticItems(world, 100, among, `queries-${among}`);
    const text = await deepCodes(engine, spec, next.parameters, 'text', queries.inputs.text!);
    return share(text, Int8Array.from([...image, ...fresh]), queries.labels, [
      ...items.labels,
      ...newItems.labels,
    ]);
  };
  const plain = await trainDeepSession(increment(old));
  const held = await trainDeepSession(increment(old, { ...options.weights, distillation: 300 }));
  assert.equal(hex(codeSumsDigest(old)), before);
  const [forgot, kept] = [await found(plain, [0, 1, 2]), await found(held, [0, 1, 2])];
  assert.ok(kept > 0.9 && kept > forgot + 0.1, `old classes: ${forgot} without, ${kept} with distillation`);
  for (const next of [plain, held]) assert.ok((await found(next, [4, 5])) > 0.8);
});

test('a session that is resumed at an epoch ends as one that was not interrupted', async () => {
  let kept: DeepCheckpoint | undefined;
  const cancel = new AbortController();
  const cancelled = trainDeepSession({
    ...first(oldItems()),
    signal: cancel.signal,
    onEpoch: (report, checkpoint) => {
      if (report.epoch !== 5) return;
      kept = checkpoint();
      cancel.abort();
    },
  });
  await assert.rejects(cancelled, (e) => isError(e, HASHING.TRAINING_CANCELLED));
  const resumed = await trainDeepSession({ ...first(oldItems()), resume: kept! });
  assert.equal(digestOf(resumed), digestOf(learned));
  assert.equal(resumed.epochs.length, learned.epochs.length);
  await assert.rejects(trainDeepSession({ ...first(oldItems()), seed: 'another', resume: kept! }), (e) =>
    isError(e, HASHING.CHECKPOINT_MISMATCH),
  );
});

test('training stops early by the validation split and hands out its best epoch', async () => {
  const session = {
    ...first(oldItems()),
    options: { ...options, epochs: 60, patience: 3, learningRate: 2e-2 },
  };
  const { epochs, bestEpoch } = await trainDeepSession(session);
  assert.ok(epochs.length < 60);
  assert.equal(epochs.length, bestEpoch + 3);
  const least = Math.min(...epochs.map(({ validation }) => validation));
  assert.equal(epochs[bestEpoch - 1]!.validation, least);
});

test('a record that lacks a modality trains the other one', async () => {
  const items = oldItems();
  const present = { text: Uint8Array.from(items.labels, (_, i) => i % 2) };
  const half = await trainDeepSession(first({ ...items, present }));
  const ruined = {
    ...items.inputs,
    text: items.inputs.text!.map((value, at) => (Math.floor(at / 16) % 2 ? value : 9)),
  };
  assert.equal(
    digestOf(await trainDeepSession(first({ ...items, inputs: ruined, present }))),
    digestOf(half),
  );
});

test('the graph of a step is the same for any number of old codes', () => {
  const shape = {
    rows: 8,
    codeBits: K,
    classes: 4,
    modalities: ['image', 'text'],
    weights: options.weights,
    teacher: { classes: 0, temperature: 1 },
  };
  const { model } = deepStepGraph(spec, shape);
  const sizes = model.inputs.filter(({ name }) => ['g', 'p', 'q'].includes(name)).map(({ shape }) => shape);
  assert.deepEqual(sizes, [
    [K, K],
    [4, K],
    [4, 4],
  ]);
});

test('what does not fit is refused with its code', async () => {
  const items = oldItems();
  const nan = {
    ...items.inputs,
    text: items.inputs.text!.map((value, at) => (at === 7 ? Number.NaN : value)),
  };
  // As from a file of options.
  const weight = (name: string): LossWeights => ({ [name]: 1 });
  const refused: [Partial<DeepSession>, (typeof HASHING)[keyof typeof HASHING]][] = [
    [{ items: { ...items, inputs: nan } }, HASHING.INPUTS_INVALID],
    [{ items: { ...items, inputs: { image: items.inputs.image! } } }, HASHING.INPUTS_INVALID],
    [{ items: { ...items, labels: items.labels.map(() => [9]) } }, HASHING.LABELS_INVALID],
    [{ old: emptyCodeSums(K, 5) }, HASHING.SHAPE_MISMATCH],
    [{ spec: { ...spec, codeBits: 24 } }, HASHING.OPTION_INVALID],
    [{ options: { ...options, validationShare: 0.9 } }, HASHING.OPTION_INVALID],
    [{ options: { ...options, weights: { distillation: 1, similarity: 1 } } }, HASHING.OPTION_INVALID],
    [{ options: { ...options, weights: { similarity: 3e38 } } }, HASHING.TRAINING_DIVERGED],
    [
      { options: { ...options, weights: { ...options.weights, ...weight('virtual-classes') } } },
      HASHING.METHOD_MISSING,
    ],
    [
      { options: { ...options, weights: { ...options.weights, ...weight('few-shot') } } },
      HASHING.OPTION_INVALID,
    ],
  ];
  for (const [change, kind] of refused) {
    await assert.rejects(
      trainDeepSession({ ...first(items), ...change }),
      (e) => isError(e, kind),
      kind.reason,
    );
  }
});
