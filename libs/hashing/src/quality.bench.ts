/**
 * Quality and cost of the analytic head on the digits: `node libs/hashing/src/quality.bench.ts [featureDim] [lambda] [seed]`.
 *
 * before   the function knows digits 0-7; queries of all ten digits against codes of the first wave and, for 8 and 9, codes by the
 *          old function too (the stale baseline)
 * after    updated from the second wave alone; old codes stay as they are, new items and queries use the new function
 * full     trained on everything, every code computed anew
 */
import type { DataRecord } from '@lethe/datasets';
import { byteMatrix, labelsOf, loadMnist, vectorWidth } from '@lethe/datasets';
import { concatBytes, hex } from '@lethe/std';
import type { HashFunction, HeadStatistics } from './index.ts';
import {
  addItems,
  allocateClasses,
  averagePrecisions,
  createFeatureMap,
  DEFAULT_HASH_OPTIONS,
  emptyCodebook,
  emptyStatistics,
  encodeFeatures,
  fitHashFunction,
  meanAveragePrecision,
  targetsOf,
  weightsDigest,
} from './index.ts';

const options = {
  ...DEFAULT_HASH_OPTIONS,
  ...(process.argv[2] ? { featureDim: Number(process.argv[2]) } : {}),
  ...(process.argv[3] ? { lambda: Number(process.argv[3]) } : {}),
  ...(process.argv[4] ? { seed: process.argv[4] } : {}),
};
const { spec, waves, waveClasses, test } = loadMnist();
const [first, second] = waves as [readonly DataRecord[], readonly DataRecord[]];
const map = createFeatureMap({
  seed: options.seed,
  featureDim: options.featureDim,
  inputWidth: vectorWidth(spec),
});
const codebook = allocateClasses(emptyCodebook(options.codeBits), spec.label.classes);
const empty = emptyStatistics(options.featureDim, options.codeBits);
const setting = { features: map.spec, codebook, lambda: options.lambda };

/** Statistics of `records` on top of `base`, and the solve; milliseconds of each. */
function learn(base: HeadStatistics, records: readonly DataRecord[], version: number) {
  const inputs = byteMatrix(spec, records);
  const t0 = performance.now();
  const features = map.apply(inputs);
  const t1 = performance.now();
  const statistics = addItems(base, { features, targets: targetsOf(codebook, labelsOf(records)) });
  const t2 = performance.now();
  const fn = fitHashFunction(statistics, { ...setting, version });
  const ms = { features: t1 - t0, sums: t2 - t1, solve: performance.now() - t2 };
  return { fn, statistics, ms, total: ms.features + ms.sums + ms.solve };
}

const codesOf = (fn: HashFunction, records: readonly { readonly values: DataRecord['values'] }[]) =>
  encodeFeatures(fn, map.apply(byteMatrix(spec, records)));
const queryLabels = labelsOf(test);
const itemLabels = labelsOf([...first, ...second]);

function quality(fn: HashFunction, codes: Uint8Array) {
  const queries = { codes: codesOf(fn, test), labels: queryLabels };
  const precisions = averagePrecisions(queries, { codes, labels: itemLabels }, options.codeBits);
  const of = (classes?: readonly number[]) =>
    meanAveragePrecision(precisions, queryLabels, classes).toFixed(4);
  return `mAP all ${of()}  first wave ${of(waveClasses[0])}  second wave ${of(waveClasses[1])}`;
}

const show = (ms: Record<string, number>) =>
  Object.entries(ms)
    .map(([name, value]) => `${name} ${value.toFixed(0)} ms`)
    .join('  ');

// The first call compiles the loops; without it the initial fit would be charged for that.
learn(empty, first.slice(0, 512), 1);
const initial = learn(empty, first, 1);
const updated = learn(initial.statistics, second, 2);
const full = learn(empty, [...second, ...first], 2);
const oldCodes = codesOf(initial.fn, first);
console.log(`D ${options.featureDim}  K ${options.codeBits}  lambda ${options.lambda}  seed ${options.seed}`);
console.log(`initial  ${show(initial.ms)}`);
console.log(`update   ${show(updated.ms)}  total ${updated.total.toFixed(0)} ms`);
console.log(`full     ${show(full.ms)}  total ${full.total.toFixed(0)} ms`);
const withoutFeatures = 1 - (updated.ms.sums + updated.ms.solve) / (full.ms.sums + full.ms.solve);
console.log(
  `saved    ${(1 - updated.total / full.total).toFixed(3)} (sums and solve alone: ${withoutFeatures.toFixed(3)})`,
);
console.log(`equal    ${hex(weightsDigest(updated.fn)) === hex(weightsDigest(full.fn))}`);
console.log(`before   ${quality(initial.fn, codesOf(initial.fn, [...first, ...second]))}`);
console.log(`after    ${quality(updated.fn, concatBytes(oldCodes, codesOf(updated.fn, second)))}`);
console.log(`full     ${quality(full.fn, codesOf(full.fn, [...first, ...second]))}`);
