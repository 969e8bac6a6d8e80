/** What every method that keeps something of records has to hold, whichever it is: order does not matter, and erased equals never had. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hex, isError, seededRandom, shuffle } from '@lethe/std';
import { allocateClasses, emptyCodebook } from '../codebook.ts';
import { requireMethod } from '../deep/methods.ts';
import { HASHING } from '../errors.ts';
import { createFeatureMap } from '../features.ts';
import { encodeFeatures, fitHashFunction, weightsDigest } from '../function.ts';
import type { HeadStatistics } from '../statistics.ts';
import { addItems, emptyStatistics, statisticsDigest, subtractItems, targetsOf } from '../statistics.ts';
import { addAnchors, subtractAnchors } from './anchors.ts';
import { centreThresholds } from './centred.ts';
import { addShots, subtractShots } from './few-shot.ts';
import { emptyTable, eraseItems, tableDigest, writeItems } from './key-value.ts';
import { addFlips, countFlips, subtractFlips, viewWeight } from './view-fusion.ts';

const SIDE = 6;
const WIDTH = SIDE * SIDE;
const map = createFeatureMap({ seed: 'battery', inputWidth: WIDTH, featureDim: 64 });
const codebook = allocateClasses(emptyCodebook(16), ['a', 'b', 'c']);

interface Item {
  readonly input: Uint8Array;
  readonly label: number;
  readonly partner: Uint8Array;
}
const random = seededRandom('battery items');
const items = Array.from(
  { length: 60 },
  (_, i): Item => ({ input: random.bytes(WIDTH), label: i % 3, partner: random.bytes(2) }),
);

const inputs = (some: readonly Item[]) => Uint8Array.from(some.flatMap(({ input }) => [...input]));
const batch = (some: readonly Item[]) => ({
  features: map.apply(inputs(some)),
  targets: targetsOf(
    codebook,
    Int32Array.from(some, ({ label }) => label),
  ),
});
const fit = (sums: HeadStatistics) =>
  fitHashFunction(sums, { features: map.spec, codebook, lambda: 1_000, version: 1 });
const sumsMethod = (
  add: (sums: HeadStatistics, some: readonly Item[]) => HeadStatistics,
  take: (sums: HeadStatistics, some: readonly Item[]) => HeadStatistics,
  digest: (sums: HeadStatistics) => Uint8Array = (sums) => weightsDigest(fit(sums)),
) => {
  let sums = emptyStatistics(64, 16);
  return {
    add: (some: readonly Item[]) => {
      sums = add(sums, some);
    },
    erase: (some: readonly Item[]) => {
      sums = take(sums, some);
    },
    digest: () => `${hex(statisticsDigest(sums))} ${hex(digest(sums))}`,
  };
};

interface Kept {
  add(some: readonly Item[]): void;
  erase(some: readonly Item[]): void;
  digest(): string;
}

const shots = (some: readonly Item[]) => ({ ...batch(some), inputs: inputs(some), features: map.apply });
const few = { side: SIDE, reach: 1, weight: 3 };
const anchors = (some: readonly Item[]) => ({
  features: map.apply(inputs(some)),
  partnerCodes: Uint8Array.from(some.flatMap(({ partner }) => [...partner])),
});
const version1 = fit(addItems(emptyStatistics(64, 16), batch(items.slice(0, 30))));
const flips = (some: readonly Item[]) =>
  countFlips((rows) => encodeFeatures(version1, map.apply(rows)), inputs(some), { inputWidth: WIDTH });

const KEPT: Readonly<Record<string, () => Kept>> = {
  'semi-paired-anchors': () =>
    sumsMethod(
      (sums, some) => addAnchors(sums, anchors(some)),
      (sums, some) => subtractAnchors(sums, anchors(some)),
    ),
  'few-shot': () =>
    sumsMethod(
      (sums, some) => addShots(sums, shots(some), few),
      (sums, some) => subtractShots(sums, shots(some), few),
    ),
  'dynamic-threshold': () =>
    sumsMethod(
      (sums, some) => addItems(sums, batch(some)),
      (sums, some) => subtractItems(sums, batch(some)),
      (sums) => weightsDigest(centreThresholds(fit(sums), sums)),
    ),
  'key-value-head': () => {
    const table = emptyTable({ heads: 7, keyBits: 3, codeBits: 16 });
    const keyed = (some: readonly Item[]) => ({ ...batch(some), featureDim: 64 });
    return {
      add: (some) => writeItems(table, keyed(some)),
      erase: (some) => {
        eraseItems(table, keyed(some));
      },
      digest: () => hex(tableDigest(table)),
    };
  },
  'view-fusion': () => {
    let counts = { flips: 0, bits: 0 };
    return {
      add: (some) => {
        counts = addFlips(counts, flips(some));
      },
      erase: (some) => {
        counts = subtractFlips(counts, flips(some));
      },
      digest: () => `${counts.flips} of ${counts.bits}, weight ${viewWeight(counts)}`,
    };
  },
};

for (const [name, make] of Object.entries(KEPT)) {
  test(`${name}: any order and split of the items gives the same bytes, erased equals never had, too much is refused`, () => {
    assert.ok(requireMethod(name).source.length > 20);
    const survivors = items.filter((_, i) => i % 5 !== 2);
    const leaving = items.filter((_, i) => i % 5 === 2);
    const reference = make();
    reference.add(survivors);
    for (let round = 0; round < 3; round++) {
      const mixed = shuffle([...items], seededRandom('battery order', round));
      const kept = make();
      kept.add(mixed.slice(0, 20 + round));
      kept.add(mixed.slice(20 + round));
      assert.notEqual(kept.digest(), reference.digest());
      kept.erase(leaving.slice(0, 5));
      kept.erase(leaving.slice(5));
      assert.equal(kept.digest(), reference.digest());
    }
    const one = make();
    one.add(items.slice(0, 1));
    const before = one.digest();
    assert.throws(
      () => one.erase(items.slice(0, 2)),
      (e) => isError(e, HASHING.STATISTICS_UNDERFLOW),
    );
    assert.equal(one.digest(), before);
  });
}
