/**
 * What each method of this folder brings, with its baseline in the same run: `node libs/hashing/src/methods/hashing-methods.bench.ts [--json]`.
 *
 * Digits (10,000 in an order drawn from the seed) and, for the anchors, Phosphor icons with every fifth held out; mAP@all in expectation over
 * ties, codes from records alone. Needs `npm run data -- phosphor use`; without it the anchors are left out by name.
 */
import { availableParallelism, cpus, loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import {
  byteMatrix,
  isFetched,
  labelsOf,
  loadMnist,
  loadPhosphor,
  PHOSPHOR_CATEGORIES,
  phosphorTasks,
  pinnedDataset,
} from '@lethe/datasets';
import { phosphorTexts, USE_WIDTH } from '@lethe/datasets/encoders';
import { seededRandom, shuffle } from '@lethe/std';
import { allocateClasses, emptyCodebook } from '../codebook.ts';
import { DEFAULT_CROSS_MODAL } from '../cross-modal.ts';
import { meanOf, rankingQuality, seedInterval } from '../evaluation/index.ts';
import { createFeatureMap } from '../features.ts';
import type { HashFunction } from '../function.ts';
import { DEFAULT_HASH_OPTIONS, encodeFeatures, fitHashFunction, scoresOf } from '../function.ts';
import type { LabelledCodes } from '../metrics.ts';
import { averagePrecisions, meanAveragePrecision } from '../metrics.ts';
import { nearestClass } from '../predict.ts';
import { quantiseEmbeddings } from '../quantise.ts';
import type { HeadStatistics } from '../statistics.ts';
import { addItems, emptyStatistics, subtractItems, targetsOf, targetsOfClasses } from '../statistics.ts';
import { addAnchors } from './anchors.ts';
import { centreThresholds } from './centred.ts';
import { addShots, DEFAULT_FEW_SHOT } from './few-shot.ts';
import { emptyTable, eraseItems, readCodes, writeItems } from './key-value.ts';
import { contentCodes, NearDuplicateFilter } from './near-duplicates.ts';
import { countFlips, fuseViews, stabilityOf, viewWeight } from './view-fusion.ts';

const { values: flags } = parseArgs({ options: { json: { type: 'boolean', default: false } } });
const started = performance.now();
const K = 64;
const BYTES = K / 8;
const SIDE = 28;
const PIXELS = SIDE * SIDE;
const LAMBDA = DEFAULT_HASH_OPTIONS.lambda;

interface Set10 {
  readonly inputs: Uint8Array;
  readonly labels: Int32Array;
}
const { spec, waves, test } = loadMnist();
const rows = [...waves.flat(), ...test];
function digits(seed: string): Set10 {
  const order = shuffle([...rows], seededRandom('methods bench', seed));
  return { inputs: byteMatrix(spec, order), labels: labelsOf(order) };
}
const part = ({ inputs, labels }: Set10, from: number, to: number): Set10 => ({
  inputs: inputs.subarray(from * PIXELS, to * PIXELS),
  labels: labels.subarray(from, to),
});
const pick = ({ inputs, labels }: Set10, at: readonly number[]): Set10 => ({
  inputs: Buffer.concat(at.map((i) => inputs.subarray(i * PIXELS, (i + 1) * PIXELS))),
  labels: Int32Array.from(at, (i) => labels[i]!),
});
const seedsOf = <T>(count: number, run: (seed: string) => T): T[] =>
  Array.from({ length: count }, (_, seed) => run(String(seed)));
/** Mean of each figure of the runs with its interval over seeds. */
function summary<T extends Record<string, number>>(runs: readonly T[]) {
  return Object.fromEntries(
    Object.keys(runs[0]!).map((name) => {
      const { mean, low, high } = seedInterval(runs.map((run) => run[name]!));
      return [name, { mean, low, high }];
    }),
  );
}
const mapOf = (queries: LabelledCodes, items: LabelledCodes, classes?: readonly number[]) =>
  meanAveragePrecision(averagePrecisions(queries, items, K), queries.labels, classes);
const codebook10 = allocateClasses(emptyCodebook(K), spec.label.classes);
const featureMap = (featureDim: number, inputWidth = PIXELS, seed = DEFAULT_HASH_OPTIONS.seed) =>
  createFeatureMap({ seed, inputWidth, featureDim });
const sumsOf = (features: Uint8Array, labels: Int32Array, dim: number, codebook = codebook10) =>
  addItems(emptyStatistics(dim, K), { features, targets: targetsOf(codebook, labels) });
const solve = (sums: HeadStatistics, map: ReturnType<typeof featureMap>, codebook = codebook10) =>
  fitHashFunction(sums, { features: map.spec, codebook, lambda: LAMBDA, version: 1 });
const coded = (fn: HashFunction, features: Uint8Array, labels: Int32Array): LabelledCodes => ({
  codes: encodeFeatures(fn, features),
  labels,
});

/** 2,000 digits, and three noisy copies of each 0 to 4: what is dropped, and what a function learned without it is worth. */
function nearDuplicates(seed: string) {
  const data = digits(seed);
  const originals = part(data, 0, 2_000);
  const random = seededRandom('planted copies', seed);
  const copied = [...originals.labels.keys()].flatMap((i) => (originals.labels[i]! < 5 ? [i, i, i] : []));
  const copies = pick(originals, copied);
  const noisy = copies.inputs.map((x) => Math.max(0, Math.min(255, x + random.below(33) - 16)));
  const all = {
    inputs: Buffer.concat([originals.inputs, noisy]),
    labels: Int32Array.from([...originals.labels, ...copies.labels]),
  };
  const content = contentCodes(featureMap(260, PIXELS, 'content'), all.inputs, 256);
  const filter = new NearDuplicateFilter({ codeBits: 256, radius: RADIUS });
  const itemId = (n: number) => new Uint8Array(Uint32Array.of(n, 0, 0, 0).buffer);
  const from = performance.now();
  const admitted = [...all.labels.keys()].map((n) =>
    filter.admit(itemId(n), content.subarray(32 * n, 32 * n + 32)),
  );
  const perItem = (performance.now() - from) / admitted.length;
  const kept = [...all.labels.keys()].filter((n) => admitted[n]!.kept);
  const dropped = admitted.flatMap((admission, n) =>
    admission.kept ? [] : [{ n, original: admission.original }],
  );
  const right = dropped.filter(
    ({ n, original }) => n >= 2_000 && Buffer.from(original).readUInt32LE() === copied[n - 2_000],
  );
  const map = featureMap(512);
  const queries = part(data, 8_000, 9_000);
  const gallery = part(data, 3_000, 6_000);
  const quality = (some: Set10) => {
    const fn = solve(sumsOf(map.apply(some.inputs), some.labels, 512), map);
    return mapOf(
      coded(fn, map.apply(queries.inputs), queries.labels),
      coded(fn, map.apply(gallery.inputs), gallery.labels),
    );
  };
  return {
    items: all.labels.length,
    kept: kept.length,
    copiesFound: right.length / copied.length,
    droppedThatAreCopies: right.length / dropped.length,
    mapAll: quality(all),
    mapFiltered: quality(pick(all, kept)),
    millisecondsPerItem: perItem,
  };
}
/** Of 256 bits; a round number, not tuned. */
const RADIUS = 24;

/**
 * Pictures learn from the codes of their texts, where an icon has both; labels teach the texts only. Collections: the texts and pictures of the
 * training icons, of which the paired pictures were learned; `unseen`, pictures of held-out icons, of which none was.
 */
function anchorsOf(texts: Float32Array) {
  const { icons, pictures, side } = loadPhosphor();
  const width = 256;
  const small = new Uint8Array((pictures.length / (side * side)) * width);
  for (let at = 0; at < small.length; at++) {
    const picture = Math.floor(at / width);
    const [y, x] = [Math.floor((at % width) / 16) * 2, (at % 16) * 2];
    const of = (dy: number, dx: number) => pictures[(picture * side + y + dy) * side + x + dx]!;
    small[at] = Math.round((of(0, 0) + of(0, 1) + of(1, 0) + of(1, 1)) / 4);
  }
  const dim = DEFAULT_CROSS_MODAL.featureDim;
  const imageMap = createFeatureMap({ seed: 'lethe-1/image', inputWidth: width, featureDim: dim });
  const textMap = createFeatureMap({ seed: 'lethe-1/text', inputWidth: USE_WIDTH, featureDim: dim });
  const imageFeatures = imageMap.apply(small);
  const textFeatures = textMap.apply(quantiseEmbeddings(texts, USE_WIDTH));
  const codebook = allocateClasses(emptyCodebook(K), PHOSPHOR_CATEGORIES);
  const gather = (from: Uint8Array, groups: readonly number[], size: number) =>
    new Uint8Array(Buffer.concat(groups.map((group) => from.subarray(group * size, (group + 1) * size))));
  const labelsOfIcons = (groups: readonly number[]) => groups.map((group) => icons[group]!.labels);
  const six = (groups: readonly number[]) => groups.flatMap((group) => new Array<number>(6).fill(group));
  const options = { codebook, lambda: DEFAULT_CROSS_MODAL.lambda, version: 1 };
  return (seed: string) => {
    const plan = phosphorTasks(icons, Number(seed));
    const train = shuffle(
      plan.tasks.flatMap(({ items }) => items),
      seededRandom('pairing', seed),
    );
    const textSums = addItems(emptyStatistics(dim, K), {
      features: gather(textFeatures, train, dim),
      targets: targetsOfClasses(codebook, labelsOfIcons(train)),
    });
    const textFn = fitHashFunction(textSums, { ...options, features: textMap.spec });
    const textItems = {
      codes: encodeFeatures(textFn, gather(textFeatures, train, dim)),
      labels: labelsOfIcons(train),
    };
    const textQueries = {
      codes: encodeFeatures(textFn, gather(textFeatures, plan.heldOut, dim)),
      labels: labelsOfIcons(plan.heldOut),
    };
    const score = (sums: HeadStatistics) => {
      const fn = fitHashFunction(sums, { ...options, features: imageMap.spec });
      const of = (groups: readonly number[]) => ({
        codes: encodeFeatures(fn, gather(imageFeatures, groups, 6 * dim)),
        labels: labelsOfIcons(six(groups)),
      });
      return {
        imageToText: meanOf(rankingQuality(of(plan.heldOut), textItems, K).averagePrecision),
        textToImage: meanOf(rankingQuality(textQueries, of(train), K).averagePrecision),
        textToUnseen: meanOf(rankingQuality(textQueries, of(plan.heldOut), K).averagePrecision),
      };
    };
    const paired = (share: number) => {
      const some = train.slice(0, Math.round(share * train.length));
      const partnerCodes = gather(
        textItems.codes,
        [...some.keys()].flatMap((i) => new Array<number>(6).fill(i)),
        BYTES,
      );
      return score(
        addAnchors(emptyStatistics(dim, K), { features: gather(imageFeatures, some, 6 * dim), partnerCodes }),
      );
    };
    const [all, half, tenth] = [paired(1), paired(0.5), paired(0.1)];
    const labelled = score(
      addItems(emptyStatistics(dim, K), {
        features: gather(imageFeatures, train, 6 * dim),
        targets: targetsOfClasses(codebook, labelsOfIcons(six(train))),
      }),
    );
    return {
      imageToText100: all.imageToText,
      imageToText50: half.imageToText,
      imageToText10: tenth.imageToText,
      imageToTextLabelled: labelled.imageToText,
      textToImage100: all.textToImage,
      textToImage50: half.textToImage,
      textToImage10: tenth.textToImage,
      textToImageLabelled: labelled.textToImage,
      textToUnseen100: all.textToUnseen,
      textToUnseen50: half.textToUnseen,
      textToUnseen10: tenth.textToUnseen,
      keptAt50: Math.min(half.imageToText / all.imageToText, half.textToImage / all.textToImage),
    };
  };
}

const HALVES: Readonly<Record<string, (x: number, y: number) => boolean>> = {
  upper: (_, y) => y < SIDE / 2,
  lower: (_, y) => y >= SIDE / 2,
  left: (x) => x < SIDE / 2,
  right: (x) => x >= SIDE / 2,
};

/** Four halves of a digit; the upper one is noise in everything that comes after the fit, or in everything. */
function viewFusion(seed: string) {
  const data = part(digits(seed), 0, 4_000);
  const width = PIXELS / 2;
  const dim = 384;
  const noise = seededRandom('broken view', seed).bytes(data.labels.length * width);
  const [learned, counted] = [2_500, 3_000];
  const run = (broken: 'none' | 'after' | 'always') => {
    const views = Object.entries(HALVES).map(([name, has]) => {
      const columns = [...new Array(PIXELS).keys()].filter((p) => has(p % SIDE, Math.floor(p / SIDE)));
      const inputs = new Uint8Array(data.labels.length * width);
      for (let i = 0; i < data.labels.length; i++) {
        columns.forEach((p, c) => {
          inputs[i * width + c] = data.inputs[i * PIXELS + p]!;
        });
      }
      const from = broken === 'always' ? 0 : learned * width;
      if (name === 'upper' && broken !== 'none') inputs.set(noise.subarray(from), from);
      const map = featureMap(dim, width, `lethe-1/${name}`);
      const features = map.apply(inputs);
      const fn = solve(
        sumsOf(features.subarray(0, learned * dim), data.labels.subarray(0, learned), dim),
        map,
      );
      const counts = countFlips(
        (some) => encodeFeatures(fn, map.apply(some)),
        inputs.subarray(learned * width, counted * width),
        { inputWidth: width },
      );
      return { name, scores: scoresOf(fn, features), counts };
    });
    const score = (weightOf: (view: (typeof views)[number]) => number) => {
      const codes = fuseViews(
        views.map((view) => ({ scores: view.scores, weight: weightOf(view) })),
        K,
      );
      const of = (a: number, b: number) => ({
        codes: codes.subarray(a * BYTES, b * BYTES),
        labels: data.labels.subarray(a, b),
      });
      return mapOf(of(counted, 4_000), of(0, learned));
    };
    return {
      mean: score(() => 1),
      stability: score(({ counts }) => stabilityOf(counts)),
      logOdds: score(({ counts }) => viewWeight(counts)),
      stable: stabilityOf(views[0]!.counts),
      weight: viewWeight(views[0]!.counts) / viewWeight(views[1]!.counts),
    };
  };
  const [none, after, always] = [run('none'), run('after'), run('always')];
  return {
    cleanMean: none.mean,
    cleanLogOdds: none.logOdds,
    brokenAfterMean: after.mean,
    brokenAfterStability: after.stability,
    brokenAfterLogOdds: after.logOdds,
    brokenAlwaysMean: always.mean,
    brokenAlwaysLogOdds: always.logOdds,
    stabilityClean: none.stable,
    stabilityBroken: after.stable,
    weightRatioClean: none.weight,
    weightRatioBroken: after.weight,
  };
}

/** Digits of ten classes alike, and of five, one of which has ten times as many items as each other. */
function thresholds(seed: string) {
  const data = digits(seed);
  const map = featureMap(512);
  const run = (keep: (i: number) => boolean) => {
    const at = [...data.labels.keys()].filter(keep);
    const some = pick(data, at);
    const cut = Math.floor(at.length * 0.8);
    const features = map.apply(some.inputs);
    const [learned, asked] = [features.subarray(0, cut * 512), features.subarray(cut * 512)];
    const sums = sumsOf(learned, some.labels.subarray(0, cut), 512);
    const plain = solve(sums, map);
    const of = (fn: HashFunction) => {
      const items = coded(fn, learned, some.labels.subarray(0, cut));
      const queries = coded(fn, asked, some.labels.subarray(cut));
      const ones = new Float64Array(K);
      for (let bit = 0; bit < items.codes.length * 8; bit++) {
        ones[bit % K]! += (items.codes[bit >> 3]! >> (bit & 7)) & 1;
      }
      const imbalance = ones.reduce((sum, count) => sum + Math.abs(count / cut - 0.5), 0) / K;
      return { map: mapOf(queries, items), imbalance };
    };
    return [of(plain), of(centreThresholds(plain, sums))] as const;
  };
  const even = run((i) => i < 5_000);
  const skewed = run((i) => data.labels[i] === 0 || (data.labels[i]! < 5 && i < 1_000));
  return {
    evenImbalance: even[0].imbalance,
    evenImbalanceCentred: even[1].imbalance,
    evenMap: even[0].map,
    evenMapCentred: even[1].map,
    skewedImbalance: skewed[0].imbalance,
    skewedImbalanceCentred: skewed[1].imbalance,
    skewedMap: skewed[0].map,
    skewedMapCentred: skewed[1].map,
  };
}

/** Table and analytic head on the same 4,000 digits. More key bits do better and cost memory: shape chosen on other seeds. */
function keyValue(seed: string) {
  const data = digits(seed);
  const [learned, asked] = [part(data, 0, 4_000), part(data, 8_000, 9_000)];
  const targets = targetsOf(codebook10, learned.labels);
  const judge = (items: Uint8Array, queries: Uint8Array) => {
    const right = [...asked.labels].filter(
      (label, q) =>
        nearestClass(codebook10, queries.subarray(q * BYTES, (q + 1) * BYTES)).classIndex === label,
    );
    return {
      accuracy: right.length / asked.labels.length,
      map: mapOf({ codes: queries, labels: asked.labels }, { codes: items, labels: learned.labels }),
    };
  };
  const dim = TABLE.heads * TABLE.keyBits + 4;
  const tableMap = featureMap(dim);
  const [items, queries] = [tableMap.apply(learned.inputs), tableMap.apply(asked.inputs)];
  const table = emptyTable({ ...TABLE, codeBits: K });
  writeItems(table, { features: items, featureDim: dim, targets });
  const byTable = judge(readCodes(table, items, dim), readCodes(table, queries, dim));
  const one = { features: items.subarray(0, dim), featureDim: dim, targets: targets.slice(0, 1) };
  let from = performance.now();
  const cells = eraseItems(table, one).length;
  const tableErasure = performance.now() - from;
  const headDim = DEFAULT_HASH_OPTIONS.featureDim;
  const headMap = featureMap(headDim);
  const headItems = headMap.apply(learned.inputs);
  const sums = sumsOf(headItems, learned.labels, headDim);
  const fn = solve(sums, headMap);
  const byHead = judge(encodeFeatures(fn, headItems), encodeFeatures(fn, headMap.apply(asked.inputs)));
  from = performance.now();
  solve(
    subtractItems(sums, { features: headItems.subarray(0, headDim), targets: targets.slice(0, 1) }),
    headMap,
  );
  return {
    tableAccuracy: byTable.accuracy,
    headAccuracy: byHead.accuracy,
    tableMap: byTable.map,
    headMap: byHead.map,
    cellsChanged: cells,
    tableErasureMilliseconds: tableErasure,
    headErasureMilliseconds: performance.now() - from,
    tableMegabytes: (table.values.byteLength + table.counts.byteLength) / 2 ** 20,
  };
}
const TABLE = { heads: 300, keyBits: 10 };

const quarterTurn = (inputs: Uint8Array) =>
  inputs.map((_, at) => {
    const [y, x] = [Math.floor((at % PIXELS) / SIDE), at % SIDE];
    return inputs[at - (at % PIXELS) + (SIDE - 1 - x) * SIDE + y]!;
  });

/** Eight digits learned, two more from five pictures each; pairs that the options were not chosen on. */
function fewShot(seed: string) {
  const pairs = [
    [6, 7],
    [3, 4],
    [0, 9],
  ];
  const added = pairs[Number(seed) % pairs.length]!;
  const old = [...new Array(10).keys()].filter((c) => !added.includes(c));
  const data = digits(`few ${seed}`);
  const at = [...data.labels.keys()];
  const base = at.filter((i) => old.includes(data.labels[i]!)).slice(0, 4_000);
  const shots = added.flatMap((c) => at.filter((i) => data.labels[i] === c).slice(0, 5));
  const used = new Set([...base, ...shots]);
  const rest = at.filter((i) => !used.has(i));
  const fresh = rest.filter((i) => added.includes(data.labels[i]!));
  const asked = pick(data, [
    ...rest.filter((i) => old.includes(data.labels[i]!)).slice(0, 600),
    ...fresh.slice(0, 300),
  ]);
  const gallery = pick(data, [...base, ...fresh.slice(300, 1_100)]);
  const dim = 512;
  const map = featureMap(dim);
  const rowsOf = (some: Set10) => some.labels.map((label) => [...old, ...added].indexOf(label));
  const codebook = allocateClasses(
    emptyCodebook(K),
    [...old, ...added].map((c) => spec.label.classes[c]!),
  );
  const [learned, few] = [pick(data, base), pick(data, shots)];
  const before = sumsOf(map.apply(learned.inputs), rowsOf(learned), dim, codebook);
  const targets = targetsOf(codebook, rowsOf(few));
  const plain = addItems(before, { features: map.apply(few.inputs), targets });
  const helped = addShots(before, { inputs: few.inputs, targets, features: map.apply }, DEFAULT_FEW_SHOT);
  const [askedFeatures, galleryFeatures] = [map.apply(asked.inputs), map.apply(gallery.inputs)];
  const quality = (sums: HeadStatistics, rows = codebook) => {
    const fn = solve(sums, map, rows);
    const precisions = averagePrecisions(
      coded(fn, askedFeatures, asked.labels),
      coded(fn, galleryFeatures, gallery.labels),
      K,
    );
    const of = (classes: readonly number[]) => meanAveragePrecision(precisions, asked.labels, classes);
    return { fresh: of(added), old: of(old) };
  };
  const [none, simple, better] = [quality(before), quality(plain), quality(helped)];
  // Virtual classes: the old digits by one, two and three quarter turns, on rows after those of the digits.
  const rows = allocateClasses(
    codebook,
    [1, 2, 3].flatMap((turns) => old.map((c) => `${c} turned by ${turns}`)),
  );
  let turned = helped;
  let picture = learned.inputs;
  for (const turns of [1, 2, 3]) {
    picture = quarterTurn(picture);
    const virtual = rowsOf(learned).map((row) => 10 + (turns - 1) * old.length + row);
    turned = addItems(turned, { features: map.apply(picture), targets: targetsOf(rows, virtual) });
  }
  const virtual = quality(turned, rows);
  return {
    newUnlearned: none.fresh,
    newPlain: simple.fresh,
    newFewShot: better.fresh,
    oldBefore: none.old,
    oldPlain: simple.old,
    oldFewShot: better.old,
    oldDrop: none.old - better.old,
    newFewShotVirtual: virtual.fresh,
    oldFewShotVirtual: virtual.old,
  };
}

const phosphor = isFetched(pinnedDataset('phosphor')) && isFetched(pinnedDataset('use'));
const figures = {
  'near-duplicates': summary(seedsOf(3, nearDuplicates)),
  ...(phosphor && {
    'semi-paired-anchors': summary(seedsOf(5, anchorsOf(await phosphorTexts(loadPhosphor().icons)))),
  }),
  'view-fusion': summary(seedsOf(3, viewFusion)),
  'dynamic-threshold': summary(seedsOf(3, thresholds)),
  'key-value-head': summary(seedsOf(3, keyValue)),
  'few-shot': summary(seedsOf(6, fewShot)),
};
const mean = (method: keyof typeof figures, figure: string) => figures[method]![figure]!.mean;
const bars = [
  {
    bar: 'near-duplicates: fewer items, mAP not lower by more than 0.005',
    met:
      mean('near-duplicates', 'kept') < mean('near-duplicates', 'items') &&
      mean('near-duplicates', 'mapFiltered') >= mean('near-duplicates', 'mapAll') - 0.005,
  },
  ...(phosphor
    ? [
        {
          bar: 'semi-paired-anchors: at 50 % pairing at least 90 % of the mAP at 100 %, both directions',
          met: mean('semi-paired-anchors', 'keptAt50') >= 0.9,
        },
      ]
    : []),
  {
    bar: 'view-fusion: weight of a broken view falls, mAP degrades less than that of mean fusion',
    met:
      mean('view-fusion', 'weightRatioBroken') < mean('view-fusion', 'weightRatioClean') &&
      mean('view-fusion', 'cleanLogOdds') - mean('view-fusion', 'brokenAfterLogOdds') <
        mean('view-fusion', 'cleanMean') - mean('view-fusion', 'brokenAfterMean'),
  },
  {
    bar: 'dynamic-threshold: bits nearer to balance where classes are skewed',
    met: mean('dynamic-threshold', 'skewedImbalanceCentred') < mean('dynamic-threshold', 'skewedImbalance'),
  },
  {
    bar: 'few-shot: new classes above the plain increment, old ones at most 0.01 lower than before',
    met: mean('few-shot', 'newFewShot') > mean('few-shot', 'newPlain') && mean('few-shot', 'oldDrop') <= 0.01,
  },
];
const result = {
  bench: 'hashing-methods',
  machine: { cpu: cpus()[0]?.model, cores: availableParallelism(), load: loadavg() },
  codeBits: K,
  figures,
  leftOut: phosphor ? [] : ['semi-paired-anchors'],
  bars,
  seconds: (performance.now() - started) / 1_000,
};
if (flags.json) console.log(JSON.stringify(result));
else {
  for (const [name, table] of Object.entries(figures)) {
    console.log(name);
    console.table(table);
  }
  console.table(bars);
  console.log(`${result.seconds.toFixed(0)} s`);
}
