import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clopperPearson } from '@lethe/statistics';
import { concatBytes, isError, seededRandom } from '@lethe/std';
import { allocateClasses, classCode, emptyCodebook, packCode } from '../codebook.ts';
import { HASHING } from '../errors.ts';
import { createFeatureMap } from '../features.ts';
import { encodeFeatures, fitHashFunction } from '../function.ts';
import { averagePrecisions, meanAveragePrecision } from '../metrics.ts';
import { addItems, emptyStatistics, targetsOf } from '../statistics.ts';
import { conformalPValues, flagExtreme } from './conformal.ts';
import { expectedOccurrences, hubCode } from './hubs.ts';
import { codeMargins } from './margins.ts';
import { attackTargets } from './targeted.ts';
import { nearestDistances, uniquenessSignal } from './uniqueness.ts';

const WIDTH = 48;
const CLASSES = 4;
const random = seededRandom('attacks.test');

/** Noisy copies of one prototype a class. */
const prototypes = Array.from({ length: CLASSES }, () => random.bytes(WIDTH));
function sample(count: number, noise = 80): { inputs: Uint8Array; labels: Int32Array } {
  const labels = Int32Array.from({ length: count }, (_, i) => i % CLASSES);
  const inputs = concatBytes(
    ...Array.from(labels, (label) =>
      prototypes[label]!.map((byte) =>
        Math.min(255, Math.max(0, byte + random.below(2 * noise + 1) - noise)),
      ),
    ),
  );
  return { inputs, labels };
}

const codebook = allocateClasses(emptyCodebook(64), ['a', 'b', 'c', 'd']);
const map = createFeatureMap({ seed: 'attacks', inputWidth: WIDTH, featureDim: 128 });
function learned(items: { inputs: Uint8Array; labels: Int32Array }, lambda = 65_536) {
  const features = map.apply(items.inputs);
  const statistics = addItems(emptyStatistics(128, 64), {
    features,
    targets: targetsOf(codebook, items.labels),
  });
  return fitHashFunction(statistics, { features: map.spec, codebook, lambda, version: 1 });
}
const items = sample(600);
const fn = learned(items);
const codesOf = (inputs: Uint8Array) => encodeFeatures(fn, map.apply(inputs));

test('the slope of the features is what their differences say, up to rounding', () => {
  const { inputs } = sample(1);
  const cotangent = new Float64Array(128);
  for (let unit = 0; unit < 127; unit++) cotangent[unit] = random.below(201) / 100 - 1;
  const slope = map.vjp(inputs, cotangent);
  const weighted = (at: Uint8Array) => map.apply(at).reduce((sum, f, i) => sum + f * cotangent[i]!, 0);
  let error = 0;
  for (let column = 0; column < WIDTH; column++) {
    const moved = (by: number) =>
      inputs.map((byte, i) => (i === column ? Math.min(247, Math.max(8, byte)) + by : byte));
    error += Math.abs((weighted(moved(8)) - weighted(moved(-8))) / 16 - slope[column]!);
  }
  const size = slope.reduce((sum, value) => sum + Math.abs(value), 0);
  assert.ok(error < 0.35 * size, `${error} of ${size}`);
});

test('a targeted attack stays within its budget, never moves away, and raises t-MAP; without a budget it does nothing', () => {
  const queries = sample(80);
  const wanted = queries.labels.map((label) => (label + 1) % CLASSES);
  const targets = Array.from(wanted, (label) => classCode(codebook, label));
  const tMap = (inputs: Uint8Array) =>
    meanAveragePrecision(
      averagePrecisions(
        { codes: codesOf(inputs), labels: wanted },
        { codes: codesOf(items.inputs), labels: items.labels },
        64,
      ),
      wanted,
    );
  const attacked = attackTargets(fn, map, queries.inputs, targets, { epsilon: 64, steps: 12 });
  assert.ok(attacked.inputs.every((byte, i) => Math.abs(byte - queries.inputs[i]!) <= 64));
  assert.ok(attacked.agreedAfter.every((agreed, i) => agreed >= attacked.agreedBefore[i]!));
  const [before, after] = [tMap(queries.inputs), tMap(attacked.inputs)];
  assert.ok(after > before + 0.2, `t-MAP ${before} -> ${after}`);
  const idle = attackTargets(fn, map, queries.inputs, targets, { epsilon: 0, steps: 3 });
  assert.deepEqual(idle.inputs, queries.inputs);
  assert.throws(() => attackTargets(fn, map, queries.inputs, targets, { epsilon: 8, steps: 0 }), {
    code: 'LETHE-3410',
  });
  assert.throws(() => attackTargets(fn, map, queries.inputs, targets.slice(1), { epsilon: 8, steps: 1 }), {
    code: 'LETHE-3403',
  });
});

test('conformal p-values are valid for any distribution, ties included, and flag no more than they say', () => {
  const draw = (count: number) =>
    Float64Array.from({ length: count }, () => Math.floor(1 / (0.01 + random.below(1_000) / 1_000)));
  for (const alpha of [0.01, 0.1, 0.5]) {
    let flagged = 0;
    const rounds = 400;
    for (let round = 0; round < rounds; round++) flagged += flagExtreme(draw(199), draw(1), alpha).length;
    assert.ok(clopperPearson(flagged, rounds, 0.999)[0] <= alpha, `${flagged} of ${rounds} at ${alpha}`);
  }
  assert.deepEqual(
    [...conformalPValues(Float64Array.of(1, 2, 2, 3), Float64Array.of(0, 2, 4))],
    [1, 0.8, 0.2],
  );
  assert.throws(() => flagExtreme(draw(98), draw(1), 0.01), { code: 'LETHE-3410' }, 'cannot be told with 98');
  const nan = Float64Array.of(1, Number.NaN);
  assert.throws(() => conformalPValues(draw(9), nan), { code: 'LETHE-3410' });
  assert.throws(() => conformalPValues(nan, draw(1)), { code: 'LETHE-3410' });
});

/** Codes of a class, each bit flipped with this probability. */
function noisy(count: number, codeBits: number, flip: number): Uint8Array {
  const book = allocateClasses(emptyCodebook(codeBits), ['a', 'b', 'c', 'd']);
  return concatBytes(
    ...Array.from({ length: count }, (_, i) => {
      const code = packCode(classCode(book, i % CLASSES));
      for (let bit = 0; bit < codeBits; bit++)
        if (random.below(1_000) < 1_000 * flip) code[bit >> 3]! ^= 1 << (bit & 7);
      return code;
    }),
  );
}

test('occurrences add up, share ties, and a planted hub is found in one round of probes', () => {
  const even = expectedOccurrences(new Uint8Array(8), new Uint8Array(8 * 40), 64, 10);
  assert.ok(
    even.every((n) => n === 0.25),
    'forty equal codes share ten places',
  );
  const [queries, held] = [noisy(800, 256, 0.05), noisy(12_000, 256, 0.05)];
  const occurrences = expectedOccurrences(queries, held, 256, 10);
  assert.ok(Math.abs(occurrences.reduce((sum, n) => sum + n, 0) - 8_000) < 1e-6);
  const ofOneClass = concatBytes(
    ...Array.from({ length: 200 }, (_, i) => queries.subarray(128 * i, 128 * i + 32)),
  );
  const planted = concatBytes(held, hubCode(ofOneClass, 256));
  const after = expectedOccurrences(queries, planted, 256, 10);
  assert.ok(after.at(-1)! > 0.95 * 200, `in the top ten of ${after.at(-1)} of 200 queries`);
  assert.deepEqual(flagExtreme(occurrences, after.subarray(12_000), 1e-4), [0]);
});

test('uniqueness says nothing of members of a function that learned them no differently, and raises the alarm where it did', () => {
  const strangers = sample(300, 240);
  const many = sample(600, 240);
  const plain = uniquenessSignal(codesOf(many.inputs), codesOf(strangers.inputs), 64);
  assert.ok(plain.interval[0] <= 0.5 + 0.06 && plain.auc < 0.62, `${plain.auc}`);
  // Twelve items a class of 128 features, hardly any ridge: it fits them exactly, and their codes are the class's.
  const few = sample(48, 240);
  const exact = learned(few, 1e-3);
  const encode = (inputs: Uint8Array) => encodeFeatures(exact, map.apply(inputs));
  const overfit = uniquenessSignal(encode(few.inputs), encode(strangers.inputs), 64);
  assert.ok(overfit.alarm && overfit.auc > 0.7, `${overfit.auc}`);
  assert.ok(overfit.redundancyMembers > overfit.redundancyStrangers);
  assert.throws(() => nearestDistances(new Uint8Array(8), new Uint8Array(8), 64, true), {
    code: 'LETHE-3410',
  });
  assert.throws(() => nearestDistances(new Uint8Array(9), new Uint8Array(8), 64, false), {
    code: 'LETHE-3406',
  });
});

test('an attack that stops where the code flips has small margins', () => {
  const clean = codeMargins(fn, map.apply(items.inputs));
  assert.ok(clean.every((margin) => margin >= 0 && Number.isFinite(margin)));
  assert.throws(() => codeMargins(fn, new Uint8Array(127)), { code: 'LETHE-3403' });
});

test('neighbours are counted among one or more', () => {
  for (const k of [0, -3, 1.5, Number.NaN]) {
    assert.throws(
      () => expectedOccurrences(new Uint8Array(8), new Uint8Array(16), 64, k),
      (error) => isError(error, HASHING.OPTION_INVALID),
    );
  }
});
