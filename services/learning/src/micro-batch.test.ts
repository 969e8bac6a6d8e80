import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sleep } from '@lethe/std';
import { MicroBatch } from './micro-batch.ts';

/** A model of two columns and one class whose answer is the sum of the row, and the sizes of its runs. */
function adder(windowMs = 1, rowsMax = 8) {
  const runs: number[] = [];
  const batch = new MicroBatch({
    columns: 2,
    classes: 1,
    rowsMax,
    windowMs,
    run: async (matrix) => {
      runs.push(matrix.length / 2);
      await sleep(1);
      if (matrix.includes(Number.NaN)) throw new Error('broken');
      return Float32Array.from(
        { length: matrix.length / 2 },
        (_, row) => matrix[2 * row]! + matrix[2 * row + 1]!,
      );
    },
  });
  return { runs, batch };
}

const rows = (...values: number[]): Float32Array => Float32Array.from(values.flatMap((value) => [value, 1]));

test('questions of one window share a run, and each gets its own answer', async () => {
  const { runs, batch } = adder();
  const answers = await Promise.all([batch.ask(rows(1)), batch.ask(rows(2, 3)), batch.ask(rows(4))]);
  assert.deepEqual(
    answers.map((answer) => [...answer]),
    [[2], [3, 4], [5]],
  );
  assert.deepEqual(runs, [4]);
});

test('a run is never larger than it may be; a full one does not wait; a large question goes alone', async () => {
  const { runs, batch } = adder(60_000);
  const five = [1, 2, 3, 4, 5];
  const pending = [batch.ask(rows(...five)), batch.ask(rows(...five)), batch.ask(rows(1, 2, 3))];
  const large = await batch.ask(rows(...five, ...five));
  assert.equal(large.length, 10);
  assert.deepEqual(
    (await Promise.all(pending)).map(({ length }) => length),
    [5, 5, 3],
  );
  assert.deepEqual(runs.toSorted(), [10, 5, 8]);
});

test('a run that fails fails for those who shared it, and for nobody else', async () => {
  const { batch } = adder();
  const [a, b] = await Promise.allSettled([batch.ask(rows(Number.NaN)), batch.ask(rows(1))]);
  assert.deepEqual([a.status, b.status], ['rejected', 'rejected']);
  assert.deepEqual([...(await batch.ask(rows(1)))], [2]);
});

test('whoever waits is answered before the model goes', async () => {
  const { batch } = adder(60_000);
  const waiting = batch.ask(rows(7));
  await batch.flush();
  assert.deepEqual([...(await waiting)], [8]);
});
