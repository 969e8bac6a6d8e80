/** Each method against a slow statement of what it says, and what only this method promises. `battery.test.ts` has what all share. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { equalBytes, hex, isError, seededRandom } from '@lethe/std';
import { allocateClasses, emptyCodebook, targetCode } from '../codebook.ts';
import { HASHING } from '../errors.ts';
import { createFeatureMap } from '../features.ts';
import { encodeFeatures, fitHashFunction, functionFingerprint, scoresOf } from '../function.ts';
import { distance } from '../hamming.ts';
import { addItems, emptyStatistics, statisticsDigest, subtractItems, targetsOf } from '../statistics.ts';
import { addAnchors } from './anchors.ts';
import { centreThresholds, meanScores } from './centred.ts';
import { DEFAULT_FEW_SHOT, shiftedCopies } from './few-shot.ts';
import { cellsOf, emptyTable, eraseItems, readCodes, writeItems } from './key-value.ts';
import { contentCodes, contentCodesOf, NearDuplicateFilter } from './near-duplicates.ts';
import { countFlips, fuseViews, stabilityOf, viewWeight } from './view-fusion.ts';

const D = 48;
const K = 16;
const WIDTH = 36;
const map = createFeatureMap({ seed: 'methods', inputWidth: WIDTH, featureDim: D });
const codebook = allocateClasses(emptyCodebook(K), ['a', 'b', 'c', 'd', 'e']);
const random = seededRandom('methods test');
const inputs = random.bytes(80 * WIDTH);
const features = map.apply(inputs);
const labels = Int32Array.from({ length: 80 }, (_, i) => i % 3);
const sums = addItems(emptyStatistics(D, K), { features, targets: targetsOf(codebook, labels) });
const fn = fitHashFunction(sums, { features: map.spec, codebook, lambda: 500, version: 1 });
const refused = (change: () => unknown, maker: (typeof HASHING)[keyof typeof HASHING]) =>
  assert.throws(change, (e) => isError(e, maker));

// Near-duplicates.

const idOf = (n: number) => Uint8Array.from({ length: 16 }, (_, i) => (i === 0 ? n : i === 1 ? n >> 8 : 7));
/** Clustered codes of 16 bits, so that chains and families of several occur. */
const arrivals = Array.from({ length: 160 }, (_, n) => {
  const code = Uint8Array.of(17 * random.below(16), 0);
  for (let flip = random.below(4); flip > 0; flip--) {
    const bit = random.below(16);
    code[bit >> 3]! ^= 1 << (bit & 7);
  }
  return { id: idOf((n * 37) % 160), code };
});
const filterOf = (some: typeof arrivals, radius = 2) => {
  const filter = new NearDuplicateFilter({ codeBits: 16, radius });
  for (const { id, code } of some) filter.admit(id, code);
  return filter;
};

test('an item is kept if the smallest distance to those kept is above r, else it belongs to the nearest, by plain loops', () => {
  const kept: typeof arrivals = [];
  const filter = new NearDuplicateFilter({ codeBits: 16, radius: 2 });
  for (const { id, code } of arrivals) {
    const nearest = kept
      .map((other) => ({ id: other.id, d: distance(code, 0, other.code, 0, 2) }))
      .sort((a, b) => a.d - b.d || Buffer.compare(a.id, b.id))[0];
    const admission = filter.admit(id, code);
    if (nearest === undefined || nearest.d > 2) {
      assert.deepEqual(admission, { kept: true });
      kept.push({ id, code });
    } else {
      assert.deepEqual(admission, { kept: false, original: nearest.id, distance: nearest.d });
    }
  }
  assert.deepEqual([filter.originals, filter.duplicates], [kept.length, arrivals.length - kept.length]);
  assert.ok(kept.length > 20 && filter.duplicates > 20);
});

test('whichever of a family is named, the family leaves, and the filter is one that was never given it', () => {
  let largest = 0;
  for (const { id } of arrivals.filter((_, n) => n % 4 === 0)) {
    const filter = filterOf(arrivals);
    const { original, duplicates } = filter.erase(id);
    largest = Math.max(largest, duplicates.length);
    const family = new Set([original, ...duplicates].map(hex));
    assert.ok(family.has(hex(id)));
    const never = filterOf(arrivals.filter((item) => !family.has(hex(item.id))));
    assert.equal(hex(filter.digest()), hex(never.digest()));
    for (const gone of family) refused(() => filter.erase(Buffer.from(gone, 'hex')), HASHING.ITEM_NOT_FOUND);
  }
  assert.ok(largest >= 2);
  // And nothing of it attracts what comes later, or refuses it.
  const later = filterOf(arrivals);
  const { original, duplicates } = later.erase(arrivals[3]!.id);
  const family = new Set([original, ...duplicates].map(hex));
  const again = [
    ...arrivals.filter(({ id }) => !family.has(hex(id))),
    ...arrivals.filter(({ id }) => family.has(hex(id))),
  ];
  for (const { id, code } of again.slice(-family.size)) later.admit(id, code);
  assert.equal(hex(later.digest()), hex(filterOf(again).digest()));
  // A smaller unit would not do: without the original alone, its duplicate would have been kept.
  const twins = [
    { id: idOf(1), code: Uint8Array.of(0, 0) },
    { id: idOf(2), code: Uint8Array.of(1, 0) },
  ];
  assert.equal(filterOf(twins).duplicates, 1);
  assert.equal(filterOf(twins.slice(1)).duplicates, 0);
});

test('the erasure of one of two twins takes the influence of both out of the sums', () => {
  const twin = inputs.slice(0, WIDTH);
  twin[3]! ^= 1;
  const codes = contentCodes(map, Uint8Array.from([...inputs.subarray(0, 2 * WIDTH), ...twin]), 40);
  const filter = new NearDuplicateFilter({ codeBits: 40, radius: 3 });
  const rows = [0, 1, 2].filter((n) => filter.admit(idOf(n), codes.subarray(5 * n, 5 * n + 5)).kept);
  assert.deepEqual(rows, [0, 1], 'the twin is not learned');
  const batch = (n: number) => ({
    features: features.subarray(n * D, (n + 1) * D),
    targets: targetsOf(codebook, labels.subarray(n, n + 1)),
  });
  const learned = rows.reduce((all, n) => addItems(all, batch(n)), emptyStatistics(D, K));
  const { original, duplicates } = filter.erase(idOf(2));
  assert.deepEqual([original, duplicates], [idOf(0), [idOf(2)]]);
  const without = subtractItems(learned, batch(0));
  assert.ok(
    equalBytes(statisticsDigest(without), statisticsDigest(addItems(emptyStatistics(D, K), batch(1)))),
  );
});

test('content codes are the active units; bad items leave the filter as it was', () => {
  const codes = contentCodes(map, inputs, 40);
  for (let row = 0; row < 80; row++) {
    for (let u = 0; u < 40; u++) {
      assert.equal((codes[row * 5 + (u >> 3)]! >> (u & 7)) & 1, features[row * D + u]! > 0 ? 1 : 0);
    }
  }
  assert.deepEqual(contentCodesOf(features, D, 40), codes);
  refused(() => contentCodesOf(features.subarray(1), D, 40), HASHING.SHAPE_MISMATCH);
  for (const bits of [0, 12, 48, 1.5]) refused(() => contentCodes(map, inputs, bits), HASHING.OPTION_INVALID);
  for (const radius of [-1, 17, 0.5, Number.NaN]) {
    refused(() => new NearDuplicateFilter({ codeBits: 16, radius }), HASHING.OPTION_INVALID);
  }
  const filter = filterOf(arrivals);
  const before = hex(filter.digest());
  for (const { id, code } of arrivals.slice(0, 9)) refused(() => filter.admit(id, code), HASHING.ITEM_EXISTS);
  refused(() => filter.admit(idOf(999), new Uint8Array(3)), HASHING.CODE_LENGTH_WRONG);
  refused(() => filter.admit(new Uint8Array(3), arrivals[0]!.code), HASHING.SHAPE_MISMATCH);
  refused(() => filterOf([]).admit(new Uint8Array(3), arrivals[0]!.code), HASHING.SHAPE_MISMATCH);
  assert.equal(hex(filter.digest()), before);
});

// Semi-paired anchors.

/** x = M⁻¹ b by Gauss-Jordan with pivoting, columns one by one. */
function solvePlain(m: number[][], b: number[]): number[] {
  const rows = m.map((row, i) => [...row, b[i]!]);
  for (let i = 0; i < rows.length; i++) {
    const pivot = rows.findIndex(
      (row, j) => j >= i && Math.abs(row[i]!) === Math.max(...rows.slice(i).map((r) => Math.abs(r[i]!))),
    );
    [rows[i], rows[pivot]] = [rows[pivot]!, rows[i]!];
    for (let j = 0; j < rows.length; j++) {
      if (j === i) continue;
      const factor = rows[j]![i]! / rows[i]![i]!;
      rows[j] = rows[j]!.map((value, k) => value - factor * rows[i]![k]!);
    }
  }
  return rows.map((row, i) => row.at(-1)! / row[i]!);
}

test('the sums give zᵀB of the reconstruction over anchors, z found from the anchors themselves', () => {
  const anchors = 20;
  const rho = 3_000;
  const rowOf = (n: number) => [...features.subarray(n * D, (n + 1) * D)];
  const dot = (a: number[], b: number[]) => a.reduce((sum, value, i) => sum + value * b[i]!, 0);
  const A = Array.from({ length: anchors }, (_, n) => rowOf(n));
  const partnerCodes = random.bytes(anchors * 2);
  const head = fitHashFunction(
    addAnchors(emptyStatistics(D, K), { features: features.subarray(0, anchors * D), partnerCodes }),
    { features: map.spec, codebook, lambda: rho, version: 1 },
  );
  const normal = A.map((a, i) => A.map((b, j) => dot(a, b) + (i === j ? rho : 0)));
  for (let n = anchors; n < 40; n++) {
    const x = rowOf(n);
    const z = solvePlain(
      normal,
      A.map((a) => dot(a, x)),
    );
    const u = scoresOf(head, features.subarray(n * D, (n + 1) * D));
    for (let k = 0; k < K; k++) {
      const bit = (a: number) => ((partnerCodes[2 * a + (k >> 3)]! >> (k & 7)) & 1 ? 1 : -1);
      const expected = z.reduce((sum, value, a) => sum + value * bit(a), 0);
      assert.ok(Math.abs(u[k]! - expected) < 1e-9, `${u[k]} ${expected}`);
    }
  }
  refused(
    () => addAnchors(emptyStatistics(D, K), { features, partnerCodes: new Uint8Array(3) }),
    HASHING.CODE_LENGTH_WRONG,
  );
  refused(
    () => addAnchors(emptyStatistics(D, K), { features, partnerCodes: new Uint8Array(4) }),
    HASHING.SHAPE_MISMATCH,
  );
});

// Views.

test('noise in a view lowers its weight; flips are those of the codes, counted one by one', () => {
  const encode = (rows: Uint8Array) => encodeFeatures(fn, map.apply(rows));
  const noise = { seed: 's', patterns: 1, amplitude: 9 };
  const { flips, bits } = countFlips(encode, inputs, { inputWidth: WIDTH, noise });
  assert.equal(bits, 80 * K);
  const shift = seededRandom('lethe/hashing/view-noise/v1', 's', 0, WIDTH, 9);
  const pattern = Array.from({ length: WIDTH }, () => shift.below(19) - 9);
  const moved = inputs.map((x, i) => Math.min(255, Math.max(0, x + pattern[i % WIDTH]!)));
  const [a, b] = [encode(inputs), encode(moved)];
  let expected = 0;
  for (let bit = 0; bit < bits; bit++) {
    if (((a[bit >> 3]! ^ b[bit >> 3]!) >> (bit & 7)) & 1) expected++;
  }
  assert.ok(expected > 0);
  assert.equal(flips, expected);

  // Two classes far apart in a steady view, and the same labels over noise.
  const steady = Uint8Array.from({ length: 200 * WIDTH }, (_, i) => {
    const side = Math.floor(i / WIDTH) % 2 === (i % WIDTH < WIDTH / 2 ? 0 : 1);
    return (side ? 190 : 30) + random.below(30);
  });
  const two = targetsOf(
    codebook,
    Int32Array.from({ length: 200 }, (_, i) => i % 2),
  );
  const weights = [steady, random.bytes(200 * WIDTH)].map((view) => {
    const viewSums = addItems(emptyStatistics(D, K), { features: map.apply(view), targets: two });
    const head = fitHashFunction(viewSums, { features: map.spec, codebook, lambda: 500, version: 1 });
    const counts = countFlips((rows) => encodeFeatures(head, map.apply(rows)), view, { inputWidth: WIDTH });
    return { weight: viewWeight(counts), stability: stabilityOf(counts) };
  });
  assert.ok(weights[0]!.stability > weights[1]!.stability);
  assert.ok(weights[0]!.weight > 2 * weights[1]!.weight, JSON.stringify(weights));
});

test('weights and fusion by hand', () => {
  assert.equal(viewWeight({ flips: 0, bits: 31 }), 383);
  assert.equal(viewWeight({ flips: 1, bits: 4 }), Math.round(64 * Math.log2(3.5 / 1.5)));
  assert.equal(viewWeight({ flips: 5, bits: 8 }), 0);
  refused(() => viewWeight({ flips: 0, bits: 0 }), HASHING.OPTION_INVALID);
  const views = [
    { scores: Float64Array.of(1, -1, 0.5, 0, 1, 1, 1, 1), weight: 2 },
    { scores: Float64Array.of(-1, 1, -1.5, 0, 1, -3, -2, -1), weight: 1 },
  ];
  // Sums 1, -1, -0.5, 0, 3, -1, 0, 1; a sum of 0 is no bit.
  assert.deepEqual([...fuseViews(views, 8)], [0b1001_0001]);
  refused(
    () => fuseViews([views[0]!, { scores: new Float64Array(16), weight: 1 }], 8),
    HASHING.SHAPE_MISMATCH,
  );
  refused(() => countFlips((rows) => rows, inputs, { inputWidth: 35 }), HASHING.SHAPE_MISMATCH);
  const noise = { seed: 's', patterns: 0, amplitude: 9 };
  refused(() => countFlips((rows) => rows, inputs, { inputWidth: WIDTH, noise }), HASHING.OPTION_INVALID);
  assert.deepEqual(
    encodeFeatures(fn, features),
    fuseViews([{ scores: scoresOf(fn, features), weight: 1 }], K),
    'one view alone is its function',
  );
});

// Thresholds.

test('tau is the mean of u over the items; the centred function is u > tau, the same 1,000 times', () => {
  const u = scoresOf(fn, features);
  const tau = meanScores(fn, sums);
  for (let k = 0; k < K; k++) {
    let mean = 0;
    for (let n = 0; n < 80; n++) mean += u[n * K + k]! / 80;
    assert.ok(Math.abs(tau[k]! - mean) < 1e-10);
  }
  const centred = centreThresholds(fn, sums);
  const codes = encodeFeatures(centred, features);
  for (let bit = 0; bit < 80 * K; bit++) {
    const margin = u[bit]! - tau[bit % K]!;
    if (Math.abs(margin) > 1e-9) assert.equal((codes[bit >> 3]! >> (bit & 7)) & 1, margin > 0 ? 1 : 0);
  }
  const fingerprint = hex(functionFingerprint(centred));
  assert.notEqual(fingerprint, hex(functionFingerprint(fn)));
  for (let round = 0; round < 1_000; round++) assert.ok(equalBytes(encodeFeatures(centred, features), codes));
  assert.equal(hex(functionFingerprint(centreThresholds(fn, sums))), fingerprint);
  refused(() => meanScores(fn, emptyStatistics(D, K)), HASHING.OPTION_INVALID);
  refused(() => meanScores(fn, emptyStatistics(D, 8)), HASHING.SHAPE_MISMATCH);
});

// Key-value table.

test('deleting an item changes its at most C cells; every other byte is as before', () => {
  const spec = { heads: 9, keyBits: 5, codeBits: K };
  const table = emptyTable(spec);
  const keyed = (from: number, to: number) => ({
    features: features.subarray(from * D, to * D),
    featureDim: D,
    targets: targetsOf(codebook, labels.subarray(from, to)),
  });
  writeItems(table, keyed(0, 80));
  for (const n of [0, 31, 79]) {
    const before = { values: table.values.slice(), counts: table.counts.slice() };
    const cells = eraseItems(table, keyed(n, n + 1));
    assert.deepEqual(
      [...cells],
      [...cellsOf(spec, keyed(n, n + 1).features, D)].sort((a, b) => a - b),
    );
    assert.ok(cells.length === 9);
    for (let cell = 0; cell < table.counts.length; cell++) {
      const touched = cells.includes(cell);
      assert.equal(table.counts[cell], before.counts[cell]! - (touched ? 1 : 0));
      const now = table.values.subarray(cell * K, (cell + 1) * K);
      assert.equal(!touched, equalBytes(bytes(now), bytes(before.values.subarray(cell * K, (cell + 1) * K))));
    }
  }
});
const bytes = (view: Int32Array) => new Uint8Array(view.buffer, view.byteOffset, view.byteLength);

test('cells and codes of the table by plain statement: a head reads the mean target of its pattern', () => {
  const spec = { heads: 6, keyBits: 5, codeBits: K };
  const table = emptyTable(spec);
  writeItems(table, { features, featureDim: D, targets: targetsOf(codebook, labels) });
  const pattern = (n: number, head: number) =>
    [0, 1, 2, 3, 4].map((bit) => features[n * D + head * 5 + bit]! > 0).join();
  const codes = readCodes(table, features, D);
  for (let n = 0; n < 80; n++) {
    for (let k = 0; k < K; k++) {
      let u = 0;
      for (let head = 0; head < 6; head++) {
        const same = [...labels.keys()].filter((m) => pattern(m, head) === pattern(n, head));
        const sum = same.reduce((total, m) => total + targetCode(codebook, [labels[m]!])[k]!, 0);
        u += sum / (same.length + 1);
      }
      if (Math.abs(u) > 1e-9) assert.equal((codes[n * 2 + (k >> 3)]! >> (k & 7)) & 1, u > 0 ? 1 : 0);
    }
  }
  for (const wrong of [{ heads: 0 }, { keyBits: 13 }, { codeBits: 12 }]) {
    refused(() => emptyTable({ ...spec, ...wrong }), HASHING.OPTION_INVALID);
  }
  refused(() => cellsOf({ ...spec, heads: 24 }, features, D), HASHING.SHAPE_MISMATCH);
  refused(() => writeItems(table, { features, featureDim: D, targets: [] }), HASHING.SHAPE_MISMATCH);
});

// Few shots.

test('shifted copies: pixel by pixel, the unshifted one in the middle', () => {
  const options = { side: 6, reach: 2, weight: 1 };
  const two = inputs.subarray(0, 2 * WIDTH);
  const out = shiftedCopies(two, options);
  assert.equal(out.length, 25 * two.length);
  assert.deepEqual(out.subarray(12 * two.length, 13 * two.length), two);
  for (let at = 0; at < out.length; at++) {
    const shift = Math.floor(at / two.length);
    const picture = Math.floor((at % two.length) / WIDTH);
    const y = Math.floor((at % WIDTH) / 6) - (Math.floor(shift / 5) - 2);
    const x = (at % 6) - ((shift % 5) - 2);
    const there = y >= 0 && y < 6 && x >= 0 && x < 6;
    assert.equal(out[at], there ? two[picture * WIDTH + y * 6 + x] : 0);
  }
  for (const wrong of [{ side: 0 }, { reach: 6 }, { reach: -1 }, { weight: 0 }, { weight: 1.5 }]) {
    refused(() => shiftedCopies(two, { ...options, ...wrong }), HASHING.OPTION_INVALID);
  }
  refused(() => shiftedCopies(two, DEFAULT_FEW_SHOT), HASHING.SHAPE_MISMATCH);
});
