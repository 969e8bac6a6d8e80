import assert from 'node:assert/strict';
import { createHash, createHmac } from 'node:crypto';
import { test } from 'node:test';
import { isError, seededRandom } from '@lethe/std';
import {
  type ArmUnits,
  AUDITING,
  assignArms,
  checkCoins,
  coinKeyHash,
  generateCanary,
  logitMargin,
  tossCoin,
  unitsDigest,
} from './index.ts';

const KEY = new Uint8Array(32).fill(7);
const DATASET = 'tenants/t/datasets/d';
const UNITS = Array.from({ length: 20_000 }, (_, i) => `canary-${i}`);

test('the coin is the documented HMAC', () => {
  for (const unit of UNITS.slice(0, 200)) {
    const mac = createHmac('sha256', Buffer.alloc(32, 7))
      .update(
        Buffer.concat([
          Buffer.from('lethe/audit/v1'),
          Buffer.of(0),
          Buffer.from(DATASET),
          Buffer.of(0),
          Buffer.from(unit),
        ]),
      )
      .digest('hex');
    const fraction = Number.parseInt(mac.slice(0, 12), 16) / 281_474_976_710_656;
    assert.equal(tossCoin(KEY, DATASET, unit), fraction < 0.6 ? 'OUT' : fraction < 0.7 ? 'KEEP' : 'DELETE');
  }
  assert.equal(coinKeyHash(KEY), createHash('sha256').update(KEY).digest('hex'));
});

test('arms are 60/10/30 within five standard errors, and change with the key and the data set', () => {
  const arms = assignArms(KEY, DATASET, UNITS);
  const expect = (count: number, share: number) =>
    assert.ok(Math.abs(count - 20_000 * share) < 5 * Math.sqrt(20_000 * share * (1 - share)), `${count}`);
  expect(arms.out.length, 0.6);
  expect(arms.keep.length, 0.1);
  expect(arms.delete.length, 0.3);
  assert.notDeepEqual(assignArms(new Uint8Array(32), DATASET, UNITS), arms);
  assert.notDeepEqual(assignArms(KEY, `${DATASET}2`, UNITS), arms);
});

test('one unit in a wrong arm, a unit twice or another key is found', () => {
  const arms = assignArms(KEY, DATASET, UNITS.slice(0, 500));
  const hash = coinKeyHash(KEY);
  checkCoins(KEY, hash, DATASET, arms);
  const mismatch = (e: unknown) => isError(e, AUDITING.COIN_MISMATCH);
  const moved: ArmUnits = { ...arms, keep: [...arms.keep, arms.out[3]!], out: arms.out.toSpliced(3, 1) };
  assert.throws(() => checkCoins(KEY, hash, DATASET, moved), mismatch);
  assert.throws(
    () => checkCoins(KEY, hash, DATASET, { ...arms, out: [...arms.out, arms.out[0]!] }),
    mismatch,
  );
  assert.throws(
    () => checkCoins(new Uint8Array(32), hash, DATASET, arms),
    (e) => isError(e, AUDITING.BAD_COIN_KEY),
  );
  assert.throws(
    () => coinKeyHash(new Uint8Array(31)),
    (e) => isError(e, AUDITING.BAD_COIN_KEY),
  );
  assert.notEqual(unitsDigest(moved), unitsDigest(arms));
});

test('canaries: a pattern in its range, a uniform label, the declared density', () => {
  const spec = { features: 400, low: -1, high: 3, classes: 7, pattern: 'SPARSE', density: 0.25 } as const;
  const random = seededRandom('canaries');
  const labels = new Array<number>(7).fill(0);
  let set = 0;
  for (let i = 0; i < 700; i++) {
    const canary = generateCanary(spec, random);
    labels[canary.label]!++;
    assert.equal(canary.features.length, 400);
    for (const value of canary.features) {
      assert.ok(value >= -1 && value <= 3);
      if (value !== -1) set++;
    }
  }
  assert.ok(Math.abs(set / (700 * 400) - 0.25) < 0.01);
  assert.ok(
    labels.every((count) => count > 55 && count < 150),
    labels.join(),
  );
  const noise = generateCanary({ ...spec, pattern: 'NOISE' }, random);
  assert.ok(noise.features.every((value) => value > -1));
  for (const bad of [{ features: 0 }, { classes: 1 }, { low: 3 }, { density: 0 }, { high: Number.NaN }]) {
    assert.throws(
      () => generateCanary({ ...spec, ...bad }, random),
      (e) => isError(e, AUDITING.BAD_CANARY_SPEC),
    );
  }
});

test('the score is the log-odds of the true label, also where the probability rounds to 1', () => {
  const logits = [1.5, -0.25, 3, 0.125];
  const total = logits.reduce((sum, z) => sum + Math.exp(z), 0);
  logits.forEach((z, label) => {
    const p = Math.exp(z) / total;
    assert.ok(Math.abs(logitMargin(logits, label) - Math.log(p / (1 - p))) < 1e-12);
  });
  assert.equal(logitMargin([1000, 0], 0), 1000);
  assert.equal(logitMargin([1000, 0], 1), -1000);
  for (const [bad, label] of [
    [[1], 0],
    [[1, 2], 2],
    [[1, Number.NaN], 0],
    [[1, 2], 0.5],
  ] as const) {
    assert.throws(
      () => logitMargin(bad, label),
      (e) => isError(e, AUDITING.BAD_LOGITS),
    );
  }
});
