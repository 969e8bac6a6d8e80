/**
 * Attacks on an analytic function of the digits: `npm run bench -- attacks [--json]`.
 *
 * The first 4,000 digits are learned and indexed; others are probes, queries of attackers and strangers. Figures are of one split.
 */
import { byteMatrix, labelsOf, loadMnist, vectorWidth } from '@lethe/datasets';
import { clopperPearson } from '@lethe/statistics';
import { concatBytes } from '@lethe/std';
import {
  addItems,
  allocateClasses,
  attackTargets,
  averagePrecisions,
  classCode,
  codeMargins,
  createFeatureMap,
  DEFAULT_HASH_OPTIONS,
  emptyCodebook,
  emptyStatistics,
  encodeFeatures,
  expectedOccurrences,
  fitHashFunction,
  flagExtreme,
  hubCode,
  meanAveragePrecision,
  targetsOf,
  uniquenessSignal,
} from '../index.ts';

const ITEMS = 4_000;
const PROBES = 1_000;
const ATTACKERS = 200;

const { spec, waves, test } = loadMnist();
const rows = [...waves.flat(), ...test];
const inputsOf = (from: number, to: number) => byteMatrix(spec, rows.slice(from, to));
const labels = labelsOf(rows);
const map = createFeatureMap({
  seed: DEFAULT_HASH_OPTIONS.seed,
  featureDim: DEFAULT_HASH_OPTIONS.featureDim,
  inputWidth: vectorWidth(spec),
});
const features = { items: map.apply(inputsOf(0, ITEMS)), probes: map.apply(inputsOf(ITEMS, ITEMS + PROBES)) };
const strangers = map.apply(inputsOf(ITEMS + PROBES, ITEMS + 3 * PROBES));
const itemLabels = labels.slice(0, ITEMS);

function learned(codeBits: number) {
  const codebook = allocateClasses(emptyCodebook(codeBits), spec.label.classes);
  const empty = emptyStatistics(map.spec.featureDim, codeBits);
  const statistics = addItems(empty, { features: features.items, targets: targetsOf(codebook, itemLabels) });
  return fitHashFunction(statistics, {
    features: map.spec,
    codebook,
    lambda: DEFAULT_HASH_OPTIONS.lambda,
    version: 1,
  });
}

function targeted(fn: ReturnType<typeof learned>, epsilon: number) {
  const from = ITEMS + 3 * PROBES;
  const inputs = inputsOf(from, from + ATTACKERS);
  const wanted = labels.slice(from, from + ATTACKERS).map((label) => (label + 1) % 10);
  const targets = Array.from(wanted, (label) => classCode(fn.codebook, label));
  const items = { codes: encodeFeatures(fn, features.items), labels: itemLabels };
  const tMap = (asked: Uint8Array) => {
    const queries = { codes: encodeFeatures(fn, map.apply(asked)), labels: wanted };
    return meanAveragePrecision(averagePrecisions(queries, items, fn.codebook.codeBits), wanted);
  };
  const attacked = attackTargets(fn, map, inputs, targets, { epsilon, steps: 20 });
  // Low margins are suspicious: -margin is extreme where the margin is small.
  const negative = (values: Float64Array) => values.map((value) => -value);
  const reference = negative(codeMargins(fn, features.probes));
  const caught = flagExtreme(reference, negative(codeMargins(fn, map.apply(attacked.inputs))), 0.05).length;
  return {
    epsilon,
    tMapBefore: tMap(inputs),
    tMapAfter: tMap(attacked.inputs),
    quarantinedAt5PercentOfClean: caught / ATTACKERS,
    interval: clopperPearson(caught, ATTACKERS, 0.95),
  };
}

function hub(fn: ReturnType<typeof learned>) {
  const { codeBits } = fn.codebook;
  const codes = encodeFeatures(fn, features.items);
  const probes = encodeFeatures(fn, features.probes);
  const bytes = codeBits / 8;
  const ofClass = Array.from({ length: PROBES }, (_, i) => i).filter((i) => labels[ITEMS + i] === 3);
  const concept = concatBytes(...ofClass.map((i) => probes.subarray(i * bytes, (i + 1) * bytes)));
  const clean = expectedOccurrences(probes, codes, codeBits, 10);
  const planted = expectedOccurrences(probes, concatBytes(codes, hubCode(concept, codeBits)), codeBits, 10);
  // The least share of false alarms that so many reference items can tell.
  const alpha = 1 / (ITEMS + 1);
  return {
    codeBits,
    reach: planted.at(-1)! / ofClass.length,
    mostOfAnHonestItem: clean.reduce((most, n) => Math.max(most, n), 0) / ofClass.length,
    found: flagExtreme(clean, planted.subarray(ITEMS), alpha).length === 1,
    falseAlarmsAtMost: alpha,
  };
}

const report = {
  targeted: [8, 32].map((epsilon) => targeted(learned(64), epsilon)),
  hub: [64, 256].map((codeBits) => hub(learned(codeBits))),
  uniqueness: [16, 64, 256].map((codeBits) => {
    const fn = learned(codeBits);
    return {
      codeBits,
      ...uniquenessSignal(encodeFeatures(fn, features.items), encodeFeatures(fn, strangers), codeBits),
    };
  }),
};
if (process.argv.includes('--json')) console.log(JSON.stringify(report));
else console.dir(report, { depth: null });
