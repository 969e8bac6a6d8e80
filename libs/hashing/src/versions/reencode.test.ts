import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isError } from '@lethe/std';
import fc from 'fast-check';
import { HASHING } from '../errors.ts';
import type { BlockResult, ReencodeEvent, ReencodeState } from './reencode.ts';
import { dueBlocks, reencodeProgress, startReencoding, stepReencoding } from './reencode.ts';

const plan = { function: 'shapes', toVersion: 5, fromVersions: [2, 4], revisions: [7, 7, 9, 9] };
const start = startReencoding(plan);
const result = (revision: number, digest = 'aa'): BlockResult => ({
  revision,
  items: 10,
  changed: 2,
  digest,
});
const done = (block: number, revision: number, digest?: string): ReencodeEvent => ({
  kind: 'blockReencoded',
  ledgerVersion: start.ledgerVersion,
  block,
  result: result(revision, digest),
});
const run = (events: readonly ReencodeEvent[], from = start): ReencodeState =>
  events.reduce(stepReencoding, from);
const conflicts = (e: unknown) => isError(e, HASHING.REENCODE_CONFLICT);

test('the ledger version is a function of the plan', () => {
  assert.match(start.ledgerVersion, /^v5-[0-9a-f]{16}$/);
  assert.equal(startReencoding({ ...plan }).ledgerVersion, start.ledgerVersion);
  assert.notEqual(startReencoding({ ...plan, revisions: [7, 7, 9, 10] }).ledgerVersion, start.ledgerVersion);
  assert.equal(startReencoding({ ...plan, revisions: [] }).status, 'complete');
  for (const fromVersions of [[], [4, 2], [5]]) {
    assert.throws(
      () => startReencoding({ ...plan, fromVersions }),
      (e) => isError(e, HASHING.OPTION_INVALID),
    );
  }
});

test('any order with any repetition ends in the same complete state, and a crash loses only what was not reported', () => {
  const facts = plan.revisions.map((revision, block) => done(block, revision));
  fc.assert(
    fc.property(fc.shuffledSubarray([...facts, ...facts, ...facts], { minLength: 12 }), (events) => {
      assert.deepEqual(run(events), run(facts));
    }),
  );
  const half = run([done(2, 9), done(0, 7)]);
  // What a restart reads back is plain data.
  assert.deepEqual(dueBlocks(structuredClone(half), 10), [
    { block: 1, revision: 7 },
    { block: 3, revision: 9 },
  ]);
  assert.deepEqual(dueBlocks(half, 1), [{ block: 1, revision: 7 }]);
  const all = run(facts);
  assert.equal(all.status, 'complete');
  assert.deepEqual(dueBlocks(all, 10), []);
  assert.deepEqual(reencodeProgress(all), { blocks: 4, blocksDone: 4, items: 40, changed: 8 });
  assert.equal(stepReencoding(all, facts[1]!), all, 'a redelivery is the same state');
});

test('a result read before an erasure is ignored, and the block stays due at its new revision', () => {
  const erased = run([{ kind: 'blockRewritten', block: 1, revision: 8 }, done(1, 7)]);
  assert.deepEqual(dueBlocks(erased, 2)[1], { block: 1, revision: 8 });
  const again = stepReencoding(erased, done(1, 8, 'bb'));
  assert.equal(again.results[1]?.digest, 'bb');
  // The late result of the older revision neither conflicts nor replaces.
  assert.equal(stepReencoding(again, done(1, 7)), again);
  // A finished block stays finished, an old revision goes nowhere, and later blocks are none of the plan's business.
  const after = run([done(0, 7), { kind: 'blockRewritten', block: 0, revision: 12 }]);
  assert.deepEqual(after.results[0], result(7));
  assert.equal(stepReencoding(after, { kind: 'blockRewritten', block: 0, revision: 11 }), after);
  assert.equal(stepReencoding(after, { kind: 'blockRewritten', block: 9, revision: 20 }), after);
});

test('contradictions are refused', () => {
  const state = run([done(0, 7)]);
  assert.throws(() => stepReencoding(state, done(0, 7, 'cc')), conflicts);
  assert.throws(() => stepReencoding(state, done(4, 1)), conflicts);
  assert.throws(
    () => stepReencoding(state, { ...done(1, 7), ledgerVersion: 'v5-other' } as ReencodeEvent),
    conflicts,
  );
});

test('a superseded plan takes no more blocks', () => {
  const state = run([done(0, 7), { kind: 'superseded' }]);
  assert.equal(state.status, 'superseded');
  assert.deepEqual(dueBlocks(state, 4), []);
  assert.equal(stepReencoding(state, done(1, 7)), state);
  const all = run(plan.revisions.map((revision, block) => done(block, revision)));
  assert.equal(stepReencoding(all, { kind: 'superseded' }), all, 'what is complete stays so');
});
