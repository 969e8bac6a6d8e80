import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isError, seededRandom, shuffle } from '@lethe/std';
import { allocateClasses, classCode, emptyCodebook, packCode } from './codebook.ts';
import { HASHING } from './errors.ts';
import { averagePrecisions, expectedAveragePrecision, meanAveragePrecision } from './metrics.ts';
import { nearestClass, voteLabel } from './predict.ts';

/** Average precision of one ranking without ties. */
function averagePrecision(ranking: readonly boolean[]): number {
  let hits = 0;
  let sum = 0;
  ranking.forEach((relevant, i) => {
    if (relevant) sum += ++hits / (i + 1);
  });
  return sum / hits;
}

test('the expectation is the mean over random tie orders', () => {
  const sizes = [3, 0, 9, 1, 14, 6];
  const relevant = [1, 0, 4, 0, 5, 0];
  const random = seededRandom('ties');
  const orders = 20_000;
  let sum = 0;
  let least = 1;
  let most = 0;
  for (let order = 0; order < orders; order++) {
    const ranking = sizes.flatMap((size, d) =>
      shuffle(
        Array.from({ length: size }, (_, i) => i < relevant[d]!),
        random,
      ),
    );
    const ap = averagePrecision(ranking);
    sum += ap;
    least = Math.min(least, ap);
    most = Math.max(most, ap);
  }
  const expected = expectedAveragePrecision(sizes, relevant);
  assert.ok(most - least > 0.2, 'single orders differ, or the test would show nothing');
  assert.ok(Math.abs(sum / orders - expected) < 0.003, `${sum / orders} against ${expected}`);
});

test('without ties it is the usual average precision', () => {
  const random = seededRandom('no ties');
  for (let round = 0; round < 20; round++) {
    const ranking = Array.from({ length: 30 }, (_, i) => i === 7 || random.below(3) === 0);
    const expected = expectedAveragePrecision(new Array(30).fill(1), ranking.map(Number));
    assert.ok(Math.abs(expected - averagePrecision(ranking)) < 1e-12);
  }
});

test('codes of the right class score 1, per class too, and a query without relevant items does not count', () => {
  const items = { codes: Uint8Array.of(0, 0, 0xff, 0xff), labels: Int32Array.of(1, 1, 2, 2) };
  const queries = { codes: Uint8Array.of(0, 0xff, 0, 0), labels: Int32Array.of(1, 2, 2, 9) };
  const precisions = averagePrecisions(queries, items, 8);
  // The third query sees its two items last: (1/3 + 2/4) / 2.
  assert.deepEqual([...precisions], [1, 1, (1 / 3 + 1 / 2) / 2, Number.NaN]);
  assert.equal(meanAveragePrecision(precisions, queries.labels, [1]), 1);
  assert.equal(meanAveragePrecision(precisions, queries.labels), (2 + 5 / 12) / 3);
  assert.throws(
    () => averagePrecisions({ ...queries, codes: new Uint8Array(3) }, items, 8),
    (e) => isError(e, HASHING.SHAPE_MISMATCH),
  );
});

test('votes: most, then nearest, then the smallest label', () => {
  const vote = (...pairs: [number, number][]) =>
    voteLabel(pairs.map(([label, distance]) => ({ label, distance })));
  assert.deepEqual(vote([3, 9], [1, 0], [3, 9]), { label: 3, share: 2 / 3 });
  assert.deepEqual(vote([3, 2], [1, 5], [3, 2], [1, 1]), { label: 3, share: 0.5 });
  assert.deepEqual(vote([3, 2], [1, 2]), { label: 1, share: 0.5 });
  assert.throws(
    () => voteLabel([]),
    (e) => isError(e, HASHING.OPTION_INVALID),
  );
});

test('the nearest class forgives fewer than K/4 wrong bits', () => {
  const codebook = allocateClasses(emptyCodebook(64), ['a', 'b', 'c', 'd']);
  const code = packCode(classCode(codebook, 2));
  code[0]! ^= 0xff;
  code[5]! ^= 0x7f;
  assert.deepEqual(nearestClass(codebook, code), { classIndex: 2, distance: 15 });
  assert.throws(
    () => nearestClass(codebook, code.subarray(1)),
    (e) => isError(e, HASHING.CODE_LENGTH_WRONG),
  );
});
