import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { type events, hashing } from '@lethe/contracts';
import { expectedAveragePrecision } from '@lethe/hashing';
import { seededRandom } from '@lethe/std';
import { compatibilityOf, figuresOf, tasksOf, type WatchAggregate } from './domain/watch.ts';
import { closeAll, eventually, FUNCTION, makeRecords, World } from './fixture.ts';
import { onePerPerson, precisions } from './probes.ts';

afterEach(closeAll);

const row = (version: number, tasks: readonly Partial<hashing.TaskScore>[]): events.HashMeasured => ({
  function: FUNCTION,
  version,
  root: '',
  tasks: tasks.map((task) => hashing.TaskScore.fromPartial(task)),
});

test('the figures are those of the literature over the newest row of each number of tasks', () => {
  const state: WatchAggregate = {
    drifts: [],
    rows: [
      row(1, [{ classes: [0], score: 0.9, baseline: 0.5 }]),
      row(2, [{ classes: [0], score: 0.7 }]),
      row(3, [
        { classes: [0], score: 0.6 },
        { classes: [1], score: 0.8, before: 0.4, baseline: 0.3 },
      ]),
    ],
  };
  const { average, forgetting, backwardTransfer, forwardTransfer } = figuresOf(state);
  assert.ok(Math.abs(average! - 0.7) < 1e-12);
  // The row of version 2 stands for the first step: 0.7, not 0.9.
  assert.ok(Math.abs(forgetting! - 0.1) < 1e-12);
  assert.ok(Math.abs(backwardTransfer! + 0.1) < 1e-12);
  assert.ok(Math.abs(forwardTransfer! - 0.1) < 1e-12);
});

test('a figure that needs a score which is not there is absent, and the others stay', () => {
  const state: WatchAggregate = {
    drifts: [],
    rows: [
      row(1, [{ classes: [0], score: 0.9 }]),
      row(2, [
        { classes: [0], score: 0.6 },
        { classes: [1], score: 0.8 },
      ]),
    ],
  };
  const figures = figuresOf(state);
  assert.ok(Math.abs(figures.average! - 0.7) < 1e-12);
  assert.equal(figures.forwardTransfer, undefined);
  assert.equal(figuresOf({ rows: [], drifts: [] }).average, undefined);
  const { classes, sinceVersion } = tasksOf(state, [0, 1, 5], 3).at(-1)!;
  assert.deepEqual([classes, sinceVersion], [[5], 3]);
  assert.equal(tasksOf(state, [0, 1], 3).length, 2);
});

test('a question does not rank the items of its own person; one shared label is relevant; ties count in expectation', async () => {
  const item = (owner: string, code: number, ...labels: number[]) => ({
    owner,
    labels,
    code: Uint8Array.of(code),
  });
  const gallery = [item('me', 0, 1), item('a', 1, 1, 2), item('b', 1, 3), item('c', 7, 2)];
  const ask = (owner: string | undefined, labels: number[]) =>
    precisions([{ code: Uint8Array.of(0), labels, owner }], gallery, 8);
  // Two at distance 1, one of them relevant: (1/1 + 1/2) / 2.
  assert.equal((await ask('me', [1]))[0], 0.75);
  assert.equal((await ask('me', [4]))[0], Number.NaN);
  assert.ok((await ask(undefined, [1]))[0]! > 0.75);
  const ids = [3, 1, 2].map((id) => ({ itemId: Uint8Array.of(id), owner: id === 3 ? 'x' : 'y' }));
  assert.deepEqual(
    onePerPerson(ids, 9).map(({ itemId }) => itemId[0]),
    [1, 3],
  );
  assert.equal(onePerPerson(ids, 1).length, 1);
});

test('rankings over words and sets of labels are those of counting bit by bit, at widths of any number of bytes', async () => {
  const random = seededRandom('rankings');
  for (const codeBits of [8, 24, 64, 72]) {
    const items = Array.from({ length: 300 }, () => ({
      owner: `p${random.below(60)}`,
      labels: [0, 1, 2, 3].filter(() => random.below(3) === 0),
      code: random.bytes(codeBits / 8),
    }));
    const asked = items.slice(0, 40).map((item, i) => (i % 4 === 0 ? { ...item, owner: undefined } : item));
    const expected = asked.map(({ code, labels, owner }) => {
      const sizes = new Uint32Array(codeBits + 1);
      const relevant = new Uint32Array(codeBits + 1);
      for (const item of items) {
        if (item.owner === owner) continue;
        const differing = code.map((byte, i) => byte ^ item.code[i]!);
        const d = [...differing].reduce((sum, byte) => sum + byte.toString(2).replaceAll('0', '').length, 0);
        sizes[d]!++;
        if (item.labels.some((label) => labels.includes(label))) relevant[d]!++;
      }
      return expectedAveragePrecision(sizes, relevant);
    });
    assert.deepEqual([...(await precisions(asked, items, codeBits))], expected);
  }
});

test('average compatibility counts the pairs that the gates compared, and is absent without one', () => {
  const report = (version: number, ...pairs: readonly [hashing.GateComparison_Kind, number, number][]) =>
    hashing.GateReport.fromPartial({
      version,
      comparisons: pairs.map(([kind, other, difference]) => ({ kind, version: other, difference })),
    });
  const { KIND_STORED, KIND_HOME } = hashing.GateComparison_Kind;
  const gates = [
    report(1),
    report(2, [KIND_STORED, 1, 0.02], [KIND_HOME, 1, 0.5]),
    report(4, [KIND_STORED, 1, -0.01], [KIND_STORED, 2, 0], [KIND_HOME, 2, 0.5]),
  ];
  assert.deepEqual(compatibilityOf(gates), { comparedPairs: 3, averageCompatibility: 1 / 3 });
  assert.deepEqual(compatibilityOf(gates.slice(0, 1)), { comparedPairs: 0, averageCompatibility: undefined });
});

test('each promotion appends a row; a task is measured before it is learned, and an erasure leaves the rows', async () => {
  const world = await World.with(...makeRecords('a', 40, [0, 1]));
  const { api, close } = await world.service({ probesMin: 5 });
  await api.create();
  await api.settled();
  const rows = async (count: number) =>
    await eventually(async () => {
      const metrics = await api.metrics();
      return metrics.rows.length >= count ? metrics : undefined;
    });
  const first = await rows(1);
  assert.deepEqual(
    first.rows[0]!.tasks.map(({ classes, probes }) => ({ classes, probes })),
    [{ classes: [0, 1], probes: 40 }],
  );
  assert.ok(first.rows[0]!.tasks[0]!.score! > first.rows[0]!.tasks[0]!.baseline!);
  assert.equal(first.average, first.rows[0]!.tasks[0]!.score);
  assert.equal(first.forgetting, undefined);

  await api.update(world.commitRoot(makeRecords('b', 20, [2])));
  await api.settled();
  const second = await rows(2);
  const [old, learned] = second.rows[1]!.tasks;
  assert.deepEqual([old!.sinceVersion, learned!.sinceVersion], [1, 2]);
  assert.deepEqual(learned!.classes, [2]);
  assert.equal(learned!.probes, 20);
  assert.equal(old!.before, undefined);
  assert.ok(learned!.before !== undefined && learned!.baseline !== undefined);
  assert.ok(learned!.score! > 0.8);
  assert.ok(second.forgetting! < 0.1);
  assert.equal(second.forwardTransfer, learned!.before - learned!.baseline);

  await world.startErasure('a3');
  await world.erased();
  const after = await api.metrics();
  assert.deepEqual(after.rows, second.rows);
  await api.update(world.commitRoot(makeRecords('c', 5, [0])));
  await api.settled();
  const third = await rows(3);
  assert.equal(third.rows[2]!.tasks.length, 2);
  assert.equal(third.rows[2]!.tasks[0]!.probes, 40 - 1 + 5);
  await close();
});

test('a score of too few persons is not kept', async () => {
  const world = await World.with(...makeRecords('a', 10, [0, 1]));
  const { api, close } = await world.service({ probesMin: 11 });
  await api.create();
  await api.settled();
  const { rows, average } = await eventually(async () => {
    const metrics = await api.metrics();
    return metrics.rows.length > 0 ? metrics : undefined;
  });
  assert.equal(rows[0]!.tasks[0]!.probes, 10);
  assert.equal(rows[0]!.tasks[0]!.score, undefined);
  assert.equal(average, undefined);
  await close();
});
