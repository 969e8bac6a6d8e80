import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { Session } from '@lethe/runtime';
import { hex, isError, seededRandom, sha256 } from '@lethe/std';
import { type Alignment, batchRoot, epochBatches, type RowPseudonym } from './alignment.ts';
import { decodeCheckpoint, encodeCheckpoint } from './checkpoint.ts';
import { VERTICAL } from './errors.ts';
import { checkPlan, type VerticalPlan, verticalPlan } from './networks.ts';
import { PartyTrainer } from './party-trainer.ts';
import { TopTrainer } from './top-trainer.ts';
import { type LoadGraph, learningRateAt } from './trainer.ts';

const FEATURES = 6;
const CLASSES = 3;
const ROWS = 400;
const plan: VerticalPlan = {
  codeBits: 8,
  classes: CLASSES,
  parties: 2,
  bottomHidden: 12,
  topHidden: 10,
  batchRows: 64,
  epochs: 6,
  learningRate: 0.02,
  consistencyWeight: 1,
  gradientFormat: 'sign',
  representation: 'sign',
};
const jobKey = sha256('a job of the test');

// Each party holds noisy columns around the class's centre; neither half alone separates all classes.
const random = seededRandom('vertical training test');
const labels = Array.from({ length: ROWS }, () => random.below(CLASSES));
const columns = [0, 1].map((party) =>
  Float32Array.from({ length: ROWS * FEATURES }, (_, i) => {
    const label = labels[Math.floor(i / FEATURES)]!;
    const centre =
      (i % FEATURES) % 2 === (party === 0 ? (label === 0 ? 1 : 0) : label === 1 ? 1 : 0) ? 1 : -1;
    return centre + 1.5 * (random.uniform() - 0.5);
  }),
);
const rowOf = (row: RowPseudonym) => Number(row.slice(4));
const alignment: Alignment = {
  version: 1,
  rows: Array.from({ length: ROWS }, (_, i) => `row-${i}`),
  tombstones: new Set(),
};
const gather = (party: number, rows: readonly number[]) => {
  const x = new Float32Array(rows.length * FEATURES);
  for (const [i, row] of rows.entries()) {
    x.set(columns[party]!.subarray(row * FEATURES, (row + 1) * FEATURES), i * FEATURES);
  }
  return x;
};

const opened: { close(): Promise<void> }[] = [];
after(async () => {
  for (const session of opened) await session.close();
});
const load: LoadGraph = async (model) => {
  const session = await Session.create(model);
  opened.push(session);
  return session;
};

interface Federation {
  readonly parties: readonly PartyTrainer[];
  readonly top: TopTrainer;
}

async function federation(used: VerticalPlan = plan): Promise<Federation> {
  const secret = sha256('targets');
  return {
    parties: [
      await PartyTrainer.create(used, FEATURES, load, 'job/left'),
      await PartyTrainer.create(used, FEATURES, load, 'job/right'),
    ],
    top: await TopTrainer.create(used, load, 'job', secret),
  };
}

const trainers = ({ parties, top }: Federation) => [...parties, top];
const digests = (f: Federation) => trainers(f).map((trainer) => hex(trainer.digest()));

async function prepare(
  { parties, top }: Federation,
  batch: readonly RowPseudonym[],
  learningRate: number,
): Promise<void> {
  const rows = batch.map(rowOf);
  const codes = [await parties[0]!.forward(gather(0, rows)), await parties[1]!.forward(gather(1, rows))];
  const { gradients } = await top.train(
    codes,
    rows.map((row) => labels[row]!),
    learningRate,
  );
  for (const [p, party] of parties.entries()) await party.backward(gradients[p]!, learningRate);
}

/** Trains the job, beginning at `from` committed steps; `visit` is called before each step. */
async function train(
  f: Federation,
  rows: Alignment,
  from = 0,
  visit: (step: number) => void = () => {},
): Promise<void> {
  let step = 0;
  for (let epoch = 0; epoch < plan.epochs; epoch++) {
    for (const batch of epochBatches(rows, jobKey, epoch, plan)) {
      if (step++ < from) continue;
      visit(step - 1);
      await prepare(f, batch, learningRateAt(plan, epoch));
      for (const trainer of trainers(f)) trainer.commit();
    }
  }
}

async function accuracy({ parties, top }: Federation): Promise<number> {
  const logits = await top.predict(
    [await parties[0]!.encode(columns[0]!), await parties[1]!.encode(columns[1]!)],
    ROWS,
  );
  const right = labels.filter((label, row) => {
    const own = logits.subarray(row * CLASSES, (row + 1) * CLASSES);
    return own.indexOf(Math.max(...own)) === label;
  });
  return right.length / ROWS;
}

test('two parties learn what neither knows alone, through codes; equal runs give equal digests', async () => {
  const [one, two] = [await federation(), await federation()];
  const untrained = await accuracy(one);
  await train(one, alignment);
  await train(two, alignment);
  assert.deepEqual(digests(one), digests(two));
  assert.ok((await accuracy(one)) > 0.97 && untrained < 0.8);
  // The other party's columns matter: with them shuffled away the model falls back to what one half tells.
  const { parties, top } = one;
  const blind = await top.predict(
    [await parties[0]!.encode(columns[0]!), await parties[1]!.encode(new Float32Array(ROWS * FEATURES))],
    ROWS,
  );
  const right = labels.filter((label, row) => {
    const own = blind.subarray(row * CLASSES, (row + 1) * CLASSES);
    return own.indexOf(Math.max(...own)) === label;
  });
  assert.ok(right.length / ROWS < 0.9);
});

// Six batches of 64 are 384 rows: in the second case the epochs become a step shorter.
for (const [count, gone] of [
  [400, ['row-17']],
  [385, ['row-30', 'row-31']],
] as const) {
  test(`erasing ${gone.length} of ${count} rows: from the checkpoint before their first use, training equals a run that never saw them`, async () => {
    const before = { ...alignment, rows: alignment.rows.slice(0, count) };
    const isGone = (row: RowPseudonym) => (gone as readonly string[]).includes(row);
    const firstUse = epochBatches(before, jobKey, 0, plan).findIndex((batch) => batch.some(isGone));
    assert.ok(firstUse > 0, 'the test needs rows whose first batch is not the first one');
    const run = await federation();
    const saved: Uint8Array[] = [];
    await train(run, before, 0, (step) => {
      // Through bytes, as a service keeps them.
      if (step === firstUse)
        saved.push(...trainers(run).map((trainer) => encodeCheckpoint(trainer.checkpoint())));
    });
    const seen = digests(run);
    for (const [i, trainer] of trainers(run).entries()) trainer.restore(decodeCheckpoint(saved[i]!));
    await train(run, { ...before, version: 2, tombstones: new Set(gone) }, firstUse);
    const never = await federation();
    await train(never, { ...before, rows: before.rows.filter((row) => !isGone(row)) });
    assert.deepEqual(digests(run), digests(never));
    assert.notDeepEqual(digests(run), seen, 'rows more must show in the digest');
  });
}

test('an aborted step leaves no trace, and gradients without codes are refused', async () => {
  const f = await federation();
  const [batch] = epochBatches(alignment, jobKey, 0, plan);
  const before = digests(f);
  await prepare(f, batch!, 0.01);
  assert.deepEqual(digests(f), before, 'nothing changes before COMMIT');
  for (const trainer of trainers(f)) trainer.abort();
  const outOfStep = (error: unknown) => isError(error, VERTICAL.OUT_OF_STEP);
  for (const trainer of trainers(f)) assert.throws(() => trainer.commit(), outOfStep);
  await assert.rejects(f.parties[0]!.backward(new Uint8Array(0), 0.01), outOfStep);
  await prepare(f, batch!, 0.01);
  for (const trainer of trainers(f)) trainer.commit();
  const undisturbed = await federation();
  await prepare(undisturbed, batch!, 0.01);
  for (const trainer of trainers(undisturbed)) trainer.commit();
  assert.deepEqual(digests(f), digests(undisturbed));
});

test('codes for prediction depend on the row alone, whatever stands beside it', async () => {
  const f = await federation();
  await train(f, alignment);
  const all = await f.parties[0]!.encode(columns[0]!);
  const single = await f.parties[0]!.encode(gather(0, [123]));
  assert.deepEqual(single, all.subarray(123, 124));
});

test('codes of another batch, of too few parties, and labels that are no class are refused', async () => {
  const f = await federation();
  const rows = Array.from({ length: 64 }, (_, i) => i);
  const codes = await f.parties[0]!.forward(gather(0, rows));
  const known = rows.map((row) => labels[row]!);
  const badCodes = (error: unknown) => isError(error, VERTICAL.BAD_CODES);
  await assert.rejects(f.top.train([codes], known, 0.01), badCodes);
  await assert.rejects(f.top.train([codes, codes.subarray(1)], known, 0.01), badCodes);
  await assert.rejects(f.top.train([codes, codes], known.with(0, CLASSES), 0.01), (error: unknown) =>
    isError(error, VERTICAL.BAD_NETWORK),
  );
  await assert.rejects(f.parties[0]!.backward(new Uint8Array(3), 0.01), (error: unknown) =>
    isError(error, VERTICAL.BAD_GRADIENTS),
  );
});

test('the order of an epoch: a permutation, another each epoch, and removal moves only what comes after', () => {
  const batches = epochBatches(alignment, jobKey, 0, plan);
  assert.equal(batches.length, Math.floor(ROWS / plan.batchRows));
  assert.equal(new Set(batches.flat()).size, batches.length * plan.batchRows);
  assert.notDeepEqual(batches, epochBatches(alignment, jobKey, 1, plan));
  assert.notDeepEqual(batches, epochBatches(alignment, sha256('another job'), 0, plan));
  const gone = batches[3]![5]!;
  const without = epochBatches({ ...alignment, tombstones: new Set([gone]) }, jobKey, 0, plan);
  assert.deepEqual(without.slice(0, 3), batches.slice(0, 3));
  assert.deepEqual(
    without.flat().slice(0, -1),
    batches.flat().filter((row) => row !== gone),
  );
  const root = batchRoot(batches[0]!);
  assert.equal(root, batchRoot(without[0]!));
  assert.notEqual(root, batchRoot([...batches[0]!].reverse()));
});

test('a plan that cannot be trained is refused by field', () => {
  for (const change of [
    { codeBits: 0 },
    { parties: 1.5 },
    { learningRate: Number.NaN },
    { consistencyWeight: -1 },
  ]) {
    const [field] = Object.keys(change);
    assert.throws(
      () => checkPlan({ ...plan, ...change }),
      (error: unknown) => isError(error, VERTICAL.BAD_NETWORK) && error.details.field === field,
    );
  }
  assert.throws(
    () => checkPlan({ ...plan, batchRows: 32 }),
    (error: unknown) => isError(error, VERTICAL.BATCH_TOO_SMALL),
  );
});

test('a checkpoint that is cut short or is something else is refused', async () => {
  const bytes = encodeCheckpoint((await federation()).top.checkpoint());
  const refused = (error: unknown) => isError(error, VERTICAL.BAD_CHECKPOINT);
  for (const bad of [bytes.subarray(0, 3), bytes.subarray(0, -1), new Uint8Array(100)]) {
    assert.throws(() => decodeCheckpoint(bad), refused);
  }
});

test('a plan follows the data: longer codes for more classes, a batch that the rows fill', () => {
  assert.equal(verticalPlan({ classes: 10, parties: 2, rows: 8000 }).batchRows, 256);
  const small = verticalPlan({ classes: 16, parties: 2, rows: 150 });
  assert.deepEqual([small.codeBits, small.batchRows], [32, 128]);
  const tooFew = (error: unknown) => isError(error, VERTICAL.BATCH_TOO_SMALL);
  assert.throws(() => verticalPlan({ classes: 3, parties: 2, rows: 40 }), tooFew);
  assert.throws(() => epochBatches({ ...alignment, rows: ['row-1'] }, jobKey, 0, plan), tooFew);
});
