import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isError, type RandomSource, seededRandom } from '@lethe/std';
import { PRIVACY } from '../errors.ts';
import { PrivacyRandomness } from '../randomness.ts';
import { capFor, samplePoisson, sampleTruncatedPoisson } from './poisson.ts';

const research = (name: string): PrivacyRandomness =>
  new PrivacyRandomness('research', seededRandom('poisson.test', name));

/** Deviation of a chi-square statistic from its mean in standard deviations; 6 is passed once in 10^8 at 50 and more degrees of freedom. */
const excess = (counts: readonly number[], expected: number, variance: number): number =>
  (counts.reduce((sum, count) => sum + (count - expected) ** 2 / variance, 0) - counts.length) /
  Math.sqrt(2 * counts.length);

test('inclusion: every subject is in a binomial number of draws, whatever the probability', () => {
  for (const [q, draws] of [
    [0.004, 40_000],
    [0.3, 4000],
    [0.9, 4000],
  ] as const) {
    const counts = new Array<number>(100).fill(0);
    const randomness = research(`inclusion ${q}`);
    for (let draw = 0; draw < draws; draw++) {
      for (const subject of samplePoisson(100, q, randomness)) counts[subject]!++;
    }
    assert.ok(Math.abs(excess(counts, draws * q, draws * q * (1 - q))) < 6, `q ${q}`);
    const total = counts.reduce((sum, count) => sum + count);
    assert.ok(Math.abs(total - 100 * draws * q) < 5 * Math.sqrt(100 * draws * q * (1 - q)), `total at ${q}`);
  }
});

test('pairs: two subjects are drawn together as often as independence says, neighbours and distant ones', () => {
  const [draws, q] = [20_000, 0.25];
  const pairs = Array.from({ length: 60 }, (_, i) => [i, (i + 1 + (i % 7) * 9) % 60] as const);
  const together = new Array<number>(60).fill(0);
  const randomness = research('pairs');
  for (let draw = 0; draw < draws; draw++) {
    const drawn = new Set(samplePoisson(60, q, randomness));
    pairs.forEach(([a, b], i) => {
      if (drawn.has(a) && drawn.has(b)) together[i]!++;
    });
  }
  const p = q * q;
  // The pairs overlap, so their chi-square is wider than that of independent cells; each alone is checked at 5 standard deviations.
  for (const count of together) assert.ok(Math.abs(count - draws * p) < 5 * Math.sqrt(draws * p * (1 - p)));
});

/** Probabilities of the binomial law, by its recurrence. */
function binomial(n: number, q: number): number[] {
  const p = [(1 - q) ** n];
  for (let k = 1; k <= n; k++) p.push((p[k - 1]! * (n - k + 1) * q) / (k * (1 - q)));
  return p;
}

test('sizes: the size of a draw is binomial, and the empty draw is as frequent as it should be', () => {
  const [n, q, draws] = [40, 0.05, 40_000];
  const sizes = new Array<number>(n + 1).fill(0);
  const randomness = research('sizes');
  for (let draw = 0; draw < draws; draw++) sizes[samplePoisson(n, q, randomness).length]!++;
  binomial(n, q).forEach((p, size) => {
    assert.ok(
      Math.abs(sizes[size]! - draws * p) < 5 * Math.sqrt(draws * p) + 1,
      `${sizes[size]} of size ${size}`,
    );
  });
  assert.ok(sizes[0]! > 4000, 'a draw of nobody happens and is returned');
});

/** A source whose 16-bit digits are given and whose further words are given. */
function scripted(digits: readonly number[], words: readonly number[]): RandomSource {
  const left = [...words];
  return {
    kind: 'seeded',
    bytes: () => new Uint8Array(Uint16Array.from(digits).buffer),
    u32: () => left.shift() ?? assert.fail('no word is left'),
    uniform: () => assert.fail('not used'),
    below: () => assert.fail('not used'),
  };
}

test('exactness: a tie of the first 16 bits is settled by the other 37, to the last one', () => {
  // The threshold's digit is 0x1234, its low part 5 x 2^32 + 77.
  const q = (0x1234 * 2 ** 37 + 5 * 2 ** 32 + 77) / 2 ** 53;
  const words = [5 << 27, 76, 5 << 27, 77, 4 << 27, 0xffffffff, 6 << 27, 0];
  const randomness = new PrivacyRandomness(
    'research',
    scripted(
      [0x1233, 0x1234, 0x1234, 0x1234, 0x1234, 0x1235],
      words.map((word) => word >>> 0),
    ),
  );
  assert.deepEqual([...samplePoisson(6, q, randomness)], [0, 1, 3]);
});

test('certain and impossible: q = 1 draws everybody, the smallest q nobody in a million', () => {
  assert.equal(samplePoisson(20_000, 1, research('one')).length, 20_000);
  assert.deepEqual([...samplePoisson(3, 1, research('one'))], [0, 1, 2]);
  assert.equal(samplePoisson(1_000_000, 2 ** -53, research('least')).length, 0);
  assert.equal(samplePoisson(0, 0.5, research('nobody')).length, 0);
});

test('truncation: sizes end at the cap with the mass of the tail, and every subject stays equally likely', () => {
  const [n, q, cap, draws] = [50, 0.2, 10, 40_000];
  const randomness = research('truncated');
  const counts = new Array<number>(n).fill(0);
  let full = 0;
  for (let draw = 0; draw < draws; draw++) {
    const drawn = sampleTruncatedPoisson(n, q, cap, randomness);
    assert.ok(drawn.length <= cap && drawn.every((subject, i) => i === 0 || drawn[i - 1]! < subject));
    if (drawn.length === cap) full++;
    for (const subject of drawn) counts[subject]!++;
  }
  const law = binomial(n, q);
  const tail = law.slice(cap).reduce((sum, p) => sum + p);
  assert.ok(Math.abs(full - draws * tail) < 5 * Math.sqrt(draws * tail * (1 - tail)));
  const inclusion = law.reduce((sum, p, size) => sum + p * Math.min(size, cap), 0) / n;
  // Draws at the cap make counts slightly less spread than binomial: only an excess is an error.
  assert.ok(excess(counts, draws * inclusion, draws * inclusion * (1 - inclusion)) < 6);
  const total = counts.reduce((sum, count) => sum + count);
  assert.ok(Math.abs(total / draws / n / inclusion - 1) < 0.005);
});

test('truncation: the subset is uniform: of everybody, all pairs come equally often', () => {
  const draws = 60_000;
  const pairs = new Map<string, number>();
  const randomness = research('subsets');
  for (let draw = 0; draw < draws; draw++) {
    const key = sampleTruncatedPoisson(12, 1, 2, randomness).join();
    pairs.set(key, (pairs.get(key) ?? 0) + 1);
  }
  assert.equal(pairs.size, 66);
  assert.ok(Math.abs(excess([...pairs.values()], draws / 66, (draws / 66) * (1 - 1 / 66))) < 6);
});

test('caps: mean and six deviations, never above the population; a cap that is none is refused', () => {
  assert.equal(capFor(60_000, 256 / 60_000), 352);
  assert.equal(capFor(100, 0.5, 0), 50);
  assert.equal(capFor(10, 0.9), 10);
  assert.equal(capFor(10, 2 ** -53), 1);
  for (const cap of [0, 1.5, Number.NaN]) {
    assert.throws(
      () => sampleTruncatedPoisson(3, 0.5, cap, research('cap')),
      (error: unknown) => isError(error, PRIVACY.INVALID_MECHANISM),
    );
  }
});
