/**
 * HashVFL on digits split by columns over two parties: accuracy with binary codes and with floats in their place, bytes per sample, time.
 *   node libs/vertical/src/hashvfl-mnist.bench.ts [--held-out]
 * With --held-out every fourth subject's rows stand in for the test rows: for comparing constants without looking at the test rows.
 * Everything runs in this process; the bytes are those that would cross the wire as payload.
 */
import { loadMnist } from '@lethe/datasets';
import { Session } from '@lethe/runtime';
import { hex, sha256 } from '@lethe/std';
import {
  type Alignment,
  epochBatches,
  gradientRowBytes,
  learningRateAt,
  PartyTrainer,
  TopTrainer,
  type VerticalPlan,
  verticalPlan,
} from './index.ts';

const SIDE = 28;
const HALF = SIDE / 2;
const { waves, test: testRows } = loadMnist();
const all = waves.flat();
// Four rows a subject, adjacent: sixteen rows are four subjects.
const isHeldOut = (_: unknown, row: number): boolean => row % 16 >= 12;
const heldOut = process.argv[2] === '--held-out';
const train = heldOut ? all.filter((row, i) => !isHeldOut(row, i)) : all;
const test = heldOut ? all.filter(isHeldOut) : testRows;
const plan = verticalPlan({ classes: 10, parties: 2, rows: train.length });
const columns = (rows: readonly { values: readonly unknown[] }[], party: number) => {
  const out = new Float32Array(rows.length * SIDE * HALF);
  for (const [i, row] of rows.entries()) {
    const pixels = row.values[0] as Uint8Array;
    for (let y = 0; y < SIDE; y++) {
      for (let x = 0; x < HALF; x++)
        out[(i * SIDE + y) * HALF + x] = pixels[y * SIDE + party * HALF + x]! / 255;
    }
  }
  return out;
};
const trainX = [columns(train, 0), columns(train, 1)];
const testX = [columns(test, 0), columns(test, 1)];
const alignment: Alignment = { version: 1, rows: train.map((_, i) => `row-${i}`), tombstones: new Set() };
const indexOf = new Map(alignment.rows.map((row, i) => [row, i]));

async function measure(name: string, change: Partial<VerticalPlan>, job: string): Promise<void> {
  const used = { ...plan, ...change };
  const load = (model: Parameters<typeof Session.create>[0]) => Session.create(model);
  const features = SIDE * HALF;
  const parties = [
    await PartyTrainer.create(used, features, load, `${job}/0`),
    await PartyTrainer.create(used, features, load, `${job}/1`),
  ];
  const top = await TopTrainer.create(used, load, job, sha256(`${job} targets`));
  const started = performance.now();
  let up = 0;
  let down = 0;
  for (let epoch = 0; epoch < used.epochs; epoch++) {
    for (const batch of epochBatches(alignment, sha256(job), epoch, used)) {
      const rows = batch.map((row) => indexOf.get(row)!);
      const learningRate = learningRateAt(used, epoch);
      const codes: Uint8Array[] = [];
      for (const [p, party] of parties.entries())
        codes.push(await party.forward(gather(trainX[p]!, rows, features)));
      const { gradients } = await top.train(
        codes,
        rows.map((i) => train[i]!.label!),
        learningRate,
      );
      for (const [p, party] of parties.entries()) await party.backward(gradients[p]!, learningRate);
      for (const trainer of [...parties, top]) trainer.commit();
      up = codes[0]!.length / batch.length;
      down = gradients[0]!.length / batch.length;
    }
  }
  const seconds = (performance.now() - started) / 1000;
  const codes = [await parties[0]!.encode(testX[0]!), await parties[1]!.encode(testX[1]!)];
  const logits = await top.predict(codes, test.length);
  let right = 0;
  for (const [i, row] of test.entries()) {
    const own = logits.subarray(i * 10, i * 10 + 10);
    if (own.indexOf(Math.max(...own)) === row.label) right++;
  }
  console.log(
    `${name.padEnd(34)} accuracy ${(right / test.length).toFixed(4)}  bytes/sample/party up ${up} down ${down} (expected ${gradientRowBytes(used.codeBits, used.gradientFormat)})  ${seconds.toFixed(1)} s  ${hex(top.digest()).slice(0, 12)}`,
  );
  for (const trainer of [...parties, top]) await trainer.close();
}

function gather(x: Float32Array, rows: readonly number[], width: number): Float32Array {
  const out = new Float32Array(rows.length * width);
  for (const [i, row] of rows.entries()) out.set(x.subarray(row * width, (row + 1) * width), i * width);
  return out;
}

for (const job of ['job a', 'job b', 'job c']) {
  console.log(job);
  await measure('hash, sign gradients', {}, job);
  await measure('hash, int8 gradients', { gradientFormat: 'int8' }, job);
  await measure('hash, sign gradients, consistency 1', { consistencyWeight: 1 }, job);
  const float = { representation: 'float', gradientFormat: 'float32' } as const;
  await measure('float, consistency 3', float, job);
  await measure('float, consistency 0', { ...float, consistencyWeight: 0 }, job);
}
