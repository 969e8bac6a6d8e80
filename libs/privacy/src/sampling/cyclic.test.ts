import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '@lethe/std';
import { PrivacyRandomness } from '../randomness.ts';
import { cyclicGroup, sampleCyclicPoisson } from './cyclic.ts';
import { samplePoisson } from './poisson.ts';

const research = (name: string): PrivacyRandomness =>
  new PrivacyRandomness('research', seededRandom('cyclic.test', name));

test('groups: fixed by the id and about equal, and no id moves when another goes', () => {
  const groups = new Array<number>(8).fill(0);
  for (let unit = 0; unit < 16_000; unit++) groups[cyclicGroup(`unit-${unit}`, 8, 'plan')]!++;
  // Five standard deviations of a binomial count of 16,000 draws of 1/8.
  for (const count of groups) assert.ok(Math.abs(count - 2000) < 5 * Math.sqrt(2000 * (7 / 8)), `${groups}`);
  assert.equal(cyclicGroup('unit-7', 8, 'plan'), cyclicGroup('unit-7', 8, 'plan'));
  assert.ok(
    [...Array(50).keys()].some((u) => cyclicGroup(`${u}`, 8, 'plan') !== cyclicGroup(`${u}`, 8, 'other')),
  );
});

test('draws: only the group whose turn it is, each of its units in a binomial number of rounds', () => {
  const groups = [0, 1, 2, 3].map((g) => Uint32Array.from({ length: 25 }, (_, i) => 4 * i + g));
  const randomness = research('draws');
  const [rounds, q] = [4000, 0.3];
  const counts = new Array<number>(100).fill(0);
  for (let step = 0; step < 4 * rounds; step++) {
    for (const unit of sampleCyclicPoisson(groups, q, step, randomness)) {
      assert.equal(unit % 4, step % 4);
      counts[unit]!++;
    }
  }
  const chi = counts.reduce((sum, count) => sum + (count - rounds * q) ** 2 / (rounds * q * (1 - q)), 0);
  assert.ok(Math.abs(chi - 100) < 6 * Math.sqrt(200), `chi-square ${chi}`);
});

test('one group of everybody is Poisson sampling, bit for bit', () => {
  const everybody = [Uint32Array.from({ length: 1000 }, (_, i) => i)];
  const [a, b] = [research('same'), research('same')];
  for (let step = 0; step < 20; step++) {
    assert.deepEqual(sampleCyclicPoisson(everybody, 0.1, step, a), samplePoisson(1000, 0.1, b));
  }
});
