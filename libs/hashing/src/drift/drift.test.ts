/** The detectors on real digits. The rate of false alarms is shown by `drift.sim.ts`, not here. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isError, seededRandom } from '@lethe/std';
import { HASHING } from '../errors.ts';
import { encodeFeatures } from '../function.ts';
import { digits } from '../versions/digits.fixture.ts';
import { trafficWithout } from './drift.fixture.ts';
import type { DriftReport } from './monitor.ts';
import { DriftMonitor } from './monitor.ts';
import { observeItems } from './observe.ts';
import type { DriftItems } from './profile.ts';
import { answers } from './profile.ts';
import { DEFAULT_DRIFT, driftReference } from './reference.ts';

const HELD_OUT = 4;
const data = digits(512, 'drift');
const traffic = trafficWithout(data, HELD_OUT);
const reference = driftReference(traffic.draw(32_768, seededRandom('reference')), traffic.fn.codebook);
const watch = (...parts: readonly DriftItems[]): DriftReport[] => {
  const monitor = new DriftMonitor(reference);
  return parts.flatMap((part) => monitor.observe(part));
};
const clean = (count: number, seed: string) => traffic.draw(count, seededRandom('traffic', seed));

test('observed codes are the codes of encodeFeatures, and margins the mean of |u|', () => {
  const features = data.rows([1, 2, 3, 4, 5]);
  const { codes, margins } = observeItems(traffic.fn, features);
  assert.deepEqual(codes, encodeFeatures(traffic.fn, features));
  let sum = 0;
  for (let k = 0; k < 64; k++) {
    let u = 0;
    for (let i = 0; i < 512; i++) u += features[512 + i]! * traffic.fn.weights[i * 64 + k]!;
    sum += Math.abs(u);
  }
  assert.ok(Math.abs(margins[1]! - sum / 64) < 1e-12);
});

test('a report comes every 1,024 items from the first full window on, and unchanged traffic gives no alarm', () => {
  const reports = watch(clean(3_000, 'a'), clean(37_960, 'b'));
  assert.deepEqual(
    reports.map(({ items }) => items),
    Array.from({ length: 37 }, (_, i) => 4_096 + 1_024 * i),
  );
  assert.deepEqual(
    reports.flatMap(({ alarms }) => alarms),
    [],
  );
  const { figures } = reports.at(-1)!;
  assert.ok(Math.abs(figures.dispersion - 1) < 0.3, `${figures.dispersion}`);
  assert.ok(Math.abs(figures.openSetRate - figures.referenceOpenSetRate) < 0.01);
  assert.ok(figures.marginPsi < 0.02);
  // Batches do not matter.
  assert.deepEqual(
    watch(clean(6_000, 'c')).at(-1),
    watch(...Array.from({ length: 6 }, (_, i) => slice(clean(6_000, 'c'), i * 1_000, (i + 1) * 1_000))).at(
      -1,
    ),
  );
});

const slice = ({ codes, margins }: DriftItems, from: number, to: number): DriftItems => ({
  codes: codes.subarray(from * 8, to * 8),
  margins: margins.subarray(from, to),
});

test('a class that the function does not know, at 5 % of traffic, is found within two windows', () => {
  for (let repeat = 0; repeat < 3; repeat++) {
    const mixed = traffic.drawMixed(8_192, 0.05, seededRandom('mixed', repeat));
    const found = watch(clean(8_192, `before ${repeat}`), mixed).find(({ drifted }) => drifted);
    assert.ok(found && found.items > 8_192, `${found?.items}`);
    assert.ok(found.alarms.includes('novelty'));
  }
});

test('each detector sees what it is for', () => {
  const changed = (change: (codes: Uint8Array, at: number, i: number, margins: Float64Array) => void) => {
    const { codes, margins } = clean(4_096, 'changed');
    for (let i = 0; i < 4_096; i++) change(codes, 8 * i, i, margins);
    return watch({ codes, margins })[0]!.alarms;
  };
  const stuck = changed((codes, at) => {
    codes[at + 2]! |= 0x10;
  });
  assert.ok(stuck.includes('balance'), stuck.join());
  const unsure = changed((_, __, i, margins) => {
    margins[i]! *= 0.85;
  });
  assert.deepEqual(unsure, ['margin']);
  // One code again and again, in a tenth of the traffic: a crowd around one place.
  const crowd = changed((codes, at, i) => {
    if (i % 10 === 0) codes.set([1, 2, 3, 4, 5, 6, 7, 8], at);
  });
  assert.ok(crowd.includes('hubness') && crowd.includes('openSet'), crowd.join());
  // A fair coin of a bit becomes a copy of another: its own balance may stay, pairs do not.
  const copied = changed((codes, at) => {
    codes[at]! = (codes[at]! & 0xfe) | ((codes[at]! >> 2) & 1);
  });
  assert.ok(copied.includes('covariance'), copied.join());
});

test('traffic in runs of one class is not independent draws, and the report shows it', () => {
  const random = seededRandom('runs');
  const byClass = Map.groupBy(traffic.poolLabels.keys(), (i) => traffic.poolLabels[i]!);
  const order = Array.from({ length: 512 }, () => [...byClass.values()][random.below(9)]!).flatMap(
    (members) => Array.from({ length: 16 }, () => members[random.below(members.length)]!),
  );
  const bytes = order.flatMap((i) => [...traffic.pool.codes.subarray(8 * i, 8 * i + 8)]);
  const reports = watch({
    codes: Uint8Array.from(bytes),
    margins: Float64Array.from(order, (i) => traffic.pool.margins[i]!),
  });
  assert.ok(reports[0]!.figures.dispersion > 5, `${reports[0]!.figures.dispersion}`);
});

test('counts are those of a plain recount', () => {
  const { profile, tally } = reference;
  const { codes, margins } = traffic.draw(32_768, seededRandom('reference'));
  const counts = new Uint32Array(tally.counts.length);
  const bit = (i: number, k: number) => (codes[8 * i + (k >> 3)]! >> (k & 7)) & 1;
  for (let i = 4_096; i < 32_768; i++) {
    const { yes } = answers(profile, codes, 8 * i, margins[i]!);
    assert.equal(yes.filter((q) => q >= profile.questions - DEFAULT_DRIFT.anchors).length, 10);
    for (const q of yes) counts[q]!++;
    let pair = profile.questions;
    for (let a = 1; a < 64; a++) {
      for (let b = 0; b < a; b++, pair++) if (bit(i, a) === bit(i, b)) counts[pair]!++;
    }
  }
  assert.equal(tally.items, 28_672);
  assert.deepEqual(tally.counts, counts);
});

test('clear forgets, and bad input is refused without a trace', () => {
  const monitor = new DriftMonitor(reference);
  monitor.observe(clean(5_000, 'd'));
  monitor.clear();
  assert.equal(monitor.observe(clean(4_095, 'e')).length, 0);
  const one = clean(1, 'f');
  const refused = (items: DriftItems, error: Parameters<typeof isError>[1]) =>
    assert.throws(
      () => monitor.observe(items),
      (e) => isError(e, error),
    );
  refused({ ...one, margins: Float64Array.of(Number.NaN) }, HASHING.OPTION_INVALID);
  refused({ ...one, codes: new Uint8Array(7) }, HASHING.SHAPE_MISMATCH);
  assert.equal(monitor.observe(one).length, 1, 'the refused items did not count');
  assert.throws(
    () => driftReference(clean(32_767, 'g'), traffic.fn.codebook),
    (e) => isError(e, HASHING.DRIFT_REFERENCE_INVALID),
  );
  assert.throws(
    () => driftReference(clean(1, 'g'), traffic.fn.codebook, { ...DEFAULT_DRIFT, stride: 1_000 }),
    (e) => isError(e, HASHING.OPTION_INVALID),
  );
});
