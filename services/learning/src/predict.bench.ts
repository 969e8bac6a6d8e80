/**
 * What batching of concurrent questions gives: 2,000 questions of one row, so many at a time, with and without a window.
 *
 *     node services/learning/src/predict.bench.ts
 */
import { buildPredictor } from '@lethe/runtime';
import { seededRandom } from '@lethe/std';
import { float32 } from '@lethe/tensor';
import { MicroBatch } from './micro-batch.ts';
import { privateClassifier } from './training/dp-trainer.ts';

const [COLUMNS, CLASSES, ROWS_MAX, QUESTIONS] = [784, 10, 256, 2_000];
const random = seededRandom('predict.bench');
const values = (length: number): Float32Array<ArrayBuffer> =>
  Float32Array.from({ length }, () => random.uniform() - 0.5);
const weights = {
  'dense0.w': float32([COLUMNS, CLASSES], values(COLUMNS * CLASSES)),
  'dense0.b': float32([CLASSES], values(CLASSES)),
};
const predictor = await buildPredictor({ model: privateClassifier({}, COLUMNS, CLASSES), rows: ROWS_MAX });
let turn: Promise<unknown> = Promise.resolve();
let runs = 0;
const inTurn = (matrix: Float32Array): Promise<Float32Array> => {
  runs++;
  const mine = turn.then(() => predictor.logits(weights, matrix));
  turn = mine;
  return mine;
};

async function measure(
  name: string,
  ask: (row: Float32Array) => Promise<Float32Array>,
  callers: number,
): Promise<void> {
  const row = values(COLUMNS);
  const times: number[] = [];
  runs = 0;
  let left = QUESTIONS;
  const started = performance.now();
  const caller = async (): Promise<void> => {
    while (left-- > 0) {
      const at = performance.now();
      await ask(row);
      times.push(performance.now() - at);
    }
  };
  await Promise.all(Array.from({ length: callers }, caller));
  const seconds = (performance.now() - started) / 1_000;
  times.sort((a, b) => a - b);
  const at = (share: number): string => times[Math.floor(share * times.length)]!.toFixed(2);
  console.log(
    `${name}, ${callers} callers: ${Math.round(QUESTIONS / seconds)} answers/s, ${runs} runs, median ${at(0.5)} ms, p99 ${at(0.99)} ms`,
  );
}

for (const callers of [1, 8, 64]) {
  await measure('alone      ', inTurn, callers);
  for (const windowMs of [1, 2]) {
    const batch = new MicroBatch({
      columns: COLUMNS,
      classes: CLASSES,
      rowsMax: ROWS_MAX,
      windowMs,
      run: inTurn,
    });
    await measure(`window ${windowMs} ms`, (row) => batch.ask(row), callers);
  }
}
await predictor.close();
