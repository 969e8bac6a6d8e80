/**
 * Another process: learns the hash function from all digits in a shuffled order and prints what it arrived at. It shares nothing
 * with the platform but the library and the public constants.
 */
import { randomBytes } from 'node:crypto';
import { byteMatrix, labelsOf, loadMnist, vectorWidth } from '@lethe/datasets';
import {
  addItems,
  allocateClasses,
  createFeatureMap,
  DEFAULT_HASH_OPTIONS,
  emptyCodebook,
  emptyStatistics,
  encodeFeatures,
  fitHashFunction,
  targetsOf,
  weightsDigest,
} from '@lethe/hashing';
import { hex, seededRandom, shuffle } from '@lethe/std';
import { processorMs } from '@lethe/telemetry';
import { meanPrecision } from '../measure.ts';

export interface FullRetrain {
  readonly weightsDigest: string;
  readonly statisticsMs: number;
  readonly solveMs: number;
  readonly map: number;
}

const { codeBits, featureDim, lambda, seed } = DEFAULT_HASH_OPTIONS;
const { spec, waves, waveClasses, test } = loadMnist();
const records = shuffle(waves.flat(), seededRandom(randomBytes(32)));
const map = createFeatureMap({ seed, featureDim, inputWidth: vectorWidth(spec) });
const codebook = allocateClasses(emptyCodebook(codeBits), spec.label.classes);
const learn = (rows: typeof records) => {
  const startedMs = processorMs();
  const features = map.apply(byteMatrix(spec, rows));
  const statistics = addItems(emptyStatistics(featureDim, codeBits), {
    features,
    targets: targetsOf(codebook, labelsOf(rows)),
  });
  const solvingMs = processorMs();
  const fn = fitHashFunction(statistics, { features: map.spec, codebook, lambda, version: 2 });
  return { fn, features, statisticsMs: solvingMs - startedMs, solveMs: processorMs() - solvingMs };
};
// The first call compiles the loops, as the platform's first learning has done.
learn(records.slice(0, 512));
const { fn, features, statisticsMs, solveMs } = learn(records);
const precision = meanPrecision(
  { codes: encodeFeatures(fn, map.apply(byteMatrix(spec, test))), labels: labelsOf(test) },
  { codes: encodeFeatures(fn, features), labels: labelsOf(records) },
  codeBits,
  waveClasses[1]!,
);
const result: FullRetrain = {
  weightsDigest: hex(weightsDigest(fn)),
  statisticsMs,
  solveMs,
  map: precision.all,
};
process.stdout.write(JSON.stringify(result));
