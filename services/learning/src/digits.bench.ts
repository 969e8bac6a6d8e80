/**
 * The service on the digits, all but the network: 2,000 synthetic subjects of four digits and 2,500 canaries, an ensemble of 8 x 4, DP
 * training, the erasure of one person with 750 canaries.
 *   node services/learning/src/digits.bench.ts [hiddenUnits epochs batchSize learningRate]
 */

import type { learning } from '@lethe/contracts';
import { encodePayload, loadMnist, mnistSpec } from '@lethe/datasets';
import { seededRandom } from '@lethe/std';
import { labelScores } from '@lethe/unlearning';
import {
  AUDIT,
  call,
  type FakeRecord,
  makeWorld,
  modelNamed,
  ROOT,
  sagaSays,
  startService,
  stopServices,
  TENANT,
  train,
} from './learning.fixture.ts';

const [hiddenUnits = 64, epochs = 8, batchSize = 32, learningRate = 0.05] = process.argv.slice(2).map(Number);
const { waves, test } = loadMnist();
const random = seededRandom('digits.bench');
const records: FakeRecord[] = waves.flat().map((record, i) => ({
  position: BigInt(i + 1),
  subjectAlias: record.subjectId,
  recordId: `digit-${i}`,
  payload: encodePayload(mnistSpec, record),
}));
for (let i = 0; i < 2_500; i++) {
  const pattern = Uint8Array.from({ length: 784 }, () => (random.uniform() < 0.2 ? 255 : 0));
  records.push({
    position: BigInt(records.length + 1),
    subjectAlias: `canary-${i}`,
    recordId: `canary-${i}`,
    payload: encodePayload(mnistSpec, { values: [pattern], label: random.below(10) }),
  });
}
const world = await makeWorld(records, mnistSpec);
world.out.clear();
for (let i = 0; i < 1_500; i++) world.out.add(`canary-${i}`);
const service = await startService(world, { runWaitMs: 60_000 });
const payloads = test.map((row) => encodePayload(mnistSpec, row));

async function accuracy(model: string): Promise<number> {
  const name = `tenants/${TENANT}/models/${model}`;
  const { logits, classes } = await call<learning.PredictResponse>(service, 'predict', { name, payloads });
  const values = new Float32Array(logits.slice().buffer);
  const right = test.filter((row, i) => {
    const own = values.subarray(i * classes, (i + 1) * classes);
    return own.indexOf(Math.max(...own)) === row.label;
  });
  return right.length / test.length;
}

/** Share of pairs in which a canary of the range has the higher score by its own shard than one that was never trained. */
async function auc(from: number, to: number): Promise<number> {
  const scores = async (first: number, end: number): Promise<Float64Array> => {
    const canaries = records.slice(8_000 + first, 8_000 + end);
    const { logits, classes } = await call<learning.PredictResponse>(
      service,
      'predict',
      {
        name: `tenants/${TENANT}/models/e`,
        payloads: canaries.map(({ payload }) => payload),
        subjectAliases: canaries.map(({ subjectAlias }) => subjectAlias),
      },
      'auditor',
    );
    const labels = canaries.map(({ payload }) => payload[1]!);
    return labelScores(new Float32Array(logits.slice().buffer), labels, classes);
  };
  const [own, out] = [await scores(from, to), await scores(0, 1_500)];
  const higher = own.reduce((sum, score) => sum + out.filter((other) => score > other).length, 0);
  return higher / (own.length * out.length);
}

let gapMs = 0;
let last = performance.now();
const watch = setInterval(() => {
  gapMs = Math.max(gapMs, performance.now() - last);
  last = performance.now();
}, 5);
async function timed<T>(what: string, work: () => Promise<T>): Promise<T> {
  gapMs = 0;
  last = performance.now();
  const started = last;
  const result = await work();
  console.log(
    `${what}: ${((performance.now() - started) / 1000).toFixed(2)} s, longest turn ${gapMs.toFixed(0)} ms`,
  );
  return result;
}

await timed('ensemble', () =>
  train(service, 'e', {
    root: ROOT,
    method: {
      $case: 'shardedEnsemble',
      value: { shardCount: 8, sliceCount: 4, hiddenUnits, epochs, batchSize, learningRate, audit: AUDIT },
    },
  }),
);
console.log(`  accuracy ${await accuracy('e')}, steps ${(await modelNamed(service, 'e')).optimizerSteps}`);
// Everything but epsilon, delta and the rows of a subject is a default; the raw pixels as they were trained in release 0.1 beside them.
const defaults = {
  ...{ epsilon: 3, delta: 1e-5, samplingProbability: 0, steps: 0, l2ClipNorm: 0, learningRate: 0 },
  ...{ momentum: 0.9, rowsPerSubjectMax: 4 },
};
const privately: Readonly<Record<string, learning.DpSgdSpec>> = {
  d: { ...defaults, samplingProbability: 0.25, steps: 60, l2ClipNorm: 1, learningRate: 2 },
  'hog-subject': { ...defaults, features: 'hog' },
  'hog-record': { ...defaults, features: 'hog', unit: 'record' },
};
for (const [id, value] of Object.entries(privately)) {
  await timed(`dp ${id}`, () => train(service, id, { root: ROOT, method: { $case: 'dpSgd', value } }));
  const { plan: _, ...privacy } = (await modelNamed(service, id)).privacy!;
  console.log(`  accuracy ${await accuracy(id)}, ${JSON.stringify(privacy)}`);
}
const cohort = Array.from({ length: 750 }, (_, i) => `canary-${1_750 + i}`);
const { erased } = await timed('erasure', () => sagaSays(world, records[0]!.subjectAlias, cohort));
console.log(
  erased.claims.map(({ details: { plan: _, ledger: __, ...details }, artefact, method }) => ({
    artefact,
    method,
    ...details,
  })),
);
console.log(
  `  accuracy ${await accuracy('e')}, AUC KEEP ${await auc(1_500, 1_750)}, DELETE ${await auc(1_750, 2_500)}`,
);
clearInterval(watch);
await stopServices();
