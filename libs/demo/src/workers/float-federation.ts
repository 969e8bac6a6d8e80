/** Another process: the federation's network without its hash layer, floats in place of codes, same budget. Prints its accuracy. */
import { floatMatrix, loadMnist, splitColumns, takeColumns, vectorWidth } from '@lethe/datasets';
import { Session } from '@lethe/runtime';
import { sha256 } from '@lethe/std';
import {
  type Alignment,
  epochBatches,
  learningRateAt,
  PartyTrainer,
  TopTrainer,
  verticalPlan,
} from '@lethe/vertical';

const { spec, waves, test } = loadMnist();
const train = waves.flat();
const plan = verticalPlan(
  { classes: spec.label.classes.length, parties: 2, rows: train.length },
  { representation: 'float', gradientFormat: 'float32' },
);
const width = vectorWidth(spec);
const columns = splitColumns(spec, 2);
const matrix = floatMatrix(spec, train);
const halves = columns.map((own) => takeColumns(matrix, width, own));
const load = (model: Parameters<typeof Session.create>[0]) => Session.create(model);
const parties = await Promise.all(
  columns.map((own, p) => PartyTrainer.create(plan, own.length, load, `float/${p}`)),
);
const top = await TopTrainer.create(plan, load, 'float', sha256('float targets'));
const alignment: Alignment = { version: 1, rows: train.map((_, i) => String(i)), tombstones: new Set() };
for (let epoch = 0; epoch < plan.epochs; epoch++) {
  const learningRate = learningRateAt(plan, epoch);
  for (const batch of epochBatches(alignment, sha256('float'), epoch, plan)) {
    const rows = batch.map(Number);
    const sent: Uint8Array[] = [];
    for (const [p, party] of parties.entries())
      sent.push(await party.forward(gather(halves[p]!, rows, columns[p]!.length)));
    const labels = rows.map((row) => train[row]!.label!);
    const { gradients } = await top.train(sent, labels, learningRate);
    for (const [p, party] of parties.entries()) await party.backward(gradients[p]!, learningRate);
    for (const trainer of [...parties, top]) trainer.commit();
  }
}
const testMatrix = floatMatrix(spec, test);
const codes: Uint8Array[] = [];
for (const [p, party] of parties.entries())
  codes.push(await party.encode(takeColumns(testMatrix, width, columns[p]!)));
const logits = await top.predict(codes, test.length);
const classes = spec.label.classes.length;
let right = 0;
for (const [i, row] of test.entries()) {
  const own = logits.subarray(i * classes, (i + 1) * classes);
  if (own.indexOf(Math.max(...own)) === row.label) right++;
}
process.stdout.write(JSON.stringify({ accuracy: right / test.length }));

function gather(x: Float32Array, rows: readonly number[], columnCount: number): Float32Array {
  const out = new Float32Array(rows.length * columnCount);
  for (const [i, row] of rows.entries())
    out.set(x.subarray(row * columnCount, (row + 1) * columnCount), i * columnCount);
  return out;
}
