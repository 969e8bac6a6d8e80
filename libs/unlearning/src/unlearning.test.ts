import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hex, isError, seededRandom, sha256, shuffle } from '@lethe/std';
import fc from 'fast-check';
import {
  checkSpec,
  dealMembers,
  expectedCost,
  labelScores,
  type Member,
  meanLogits,
  place,
  placementCommitment,
  planErasure,
  predictedClasses,
  type Seed,
  type SegmentTrainer,
  type Shard,
  type SisaSpec,
  seedsAfterErasure,
  segmentBatches,
  segmentSeed,
  shardSeeds,
  type TrainedSegment,
  trainShard,
  UNLEARNING,
} from './index.ts';

const spec: SisaSpec = { shardCount: 8, sliceCount: 4, epochs: 2, batchSize: 8 };
const keys = { shardKey: new Uint8Array(32).fill(1), sliceKey: new Uint8Array(32).fill(2) };
const before = new Uint8Array([1]);
const after = new Uint8Array([2]);

const people = (count: number): Member[] =>
  Array.from({ length: count }, (_, s) => ({
    alias: `person-${s}`,
    rows: [0, 1, 2, 3].map((k) => 4 * s + k),
  }));

/** A trainer whose weights are the hash of all it was ever fed: two runs agree only if every batch agrees, in order. */
const recorder = (value: (row: number) => string = String): SegmentTrainer<string> => ({
  initial: (seed) => hex(sha256('initial', seed)),
  async train(weights, batches) {
    let chain = weights;
    for (const batch of batches) chain = hex(sha256(chain, batch.map(value).join(',')));
    return chain;
  },
  digest: (weights) => weights,
});

async function run(
  trainer: SegmentTrainer<string>,
  shard: Shard,
  seeds: readonly Seed[],
  resume: { from?: number; checkpoint?: string } = {},
): Promise<TrainedSegment<string>[]> {
  return trainShard(trainer, { spec, shard, seeds, ...resume });
}

const digests = (segments: readonly TrainedSegment<string>[]): string[] =>
  segments.map(({ record }) => record.digest);

test('resuming from before the slice equals training the shard from nothing on the survivors', async () => {
  const members = people(200);
  const dealt = dealMembers(members, keys, spec);
  for (const { alias } of members.slice(0, 40)) {
    const { shard, slice } = place(keys, alias, spec);
    const recorded = shardSeeds(before, shard, spec);
    const original = await run(recorder(), dealt[shard]!, recorded);
    const plan = planErasure([alias], members, keys, spec);
    const [part] = plan.shards;
    assert.equal(plan.shards.length, 1);
    assert.equal(part?.resumeFromSegment, slice);
    assert.deepEqual(part.destroyedCheckpoints, [1, 2, 3, 4].slice(slice - 1));

    const seeds = seedsAfterErasure(recorded, slice, after, shard);
    for (const [segment, seed] of seeds.entries()) {
      assert.equal(seed, segmentSeed(segment < slice ? before : after, shard, segment));
    }
    const kept = original.slice(0, slice - 1);
    const checkpoint = kept.at(-1)?.checkpoint;
    const resumed = await run(
      recorder(),
      part.survivors,
      seeds,
      checkpoint === undefined ? { from: slice } : { from: slice, checkpoint },
    );
    const scratch = await run(recorder(), part.survivors, seeds);
    assert.deepEqual([...digests(kept), ...digests(resumed)], digests(scratch));
    assert.equal(
      resumed.reduce((sum, { record }) => sum + record.optimizerSteps, 0),
      part.optimizerSteps,
    );

    const changed = await run(
      recorder((row) => (row === part.survivors.slices[0]![0] ? 'x' : String(row))),
      part.survivors,
      seeds,
    );
    assert.notEqual(digests(changed)[0], digests(scratch)[0]);
    assert.ok(
      !part.survivors.slices.flat().some((row) => members.find((m) => m.alias === alias)?.rows.includes(row)),
    );
  }
});

test('erasing a person leaves every other shard as it was, row for row', () => {
  const members = people(120);
  const { shard } = place(keys, 'person-7', spec);
  const rest = dealMembers(
    members.filter(({ alias }) => alias !== 'person-7'),
    keys,
    spec,
  );
  for (const [i, other] of dealMembers(members, keys, spec).entries()) {
    if (i !== shard) assert.deepEqual(rest[i], other);
  }
});

test('the deal depends on who is there, not on the order in which they came', () => {
  const members = people(60);
  const shuffled = shuffle([...members], seededRandom('arrival'));
  assert.deepEqual(dealMembers(shuffled, keys, spec), dealMembers(members, keys, spec));
});

test('the average cost of one erasure is (1/S)(2R+1)/(3R) of a retraining', () => {
  assert.equal(expectedCost(spec).toFixed(4), '0.0938');
  const members = people(1000);
  const places = members.map(({ alias }) => JSON.stringify(place(keys, alias, spec)));
  const oneOfEachSlice = [...new Set(places)].map((at) => members[places.indexOf(at)]!);
  assert.equal(oneOfEachSlice.length, 32);
  const costs = oneOfEachSlice.map(({ alias }) => {
    const plan = planErasure([alias], members, keys, spec);
    return plan.optimizerSteps / plan.optimizerStepsFullRetrain;
  });
  const average = costs.reduce((sum, cost) => sum + cost, 0) / costs.length;
  assert.ok(Math.abs(average / expectedCost(spec) - 1) < 0.02, `${average}`);
  assert.ok(Math.max(...costs) <= 0.15, `${Math.max(...costs)}`);
});

test('several subjects of a shard share one resumption, from the earliest slice', () => {
  const members = people(100);
  const together = members
    .filter(({ alias }) => place(keys, alias, spec).shard === 3)
    .map(({ alias }) => alias);
  const plan = planErasure(together.slice(0, 5), members, keys, spec);
  assert.equal(plan.shards.length, 1);
  const earliest = Math.min(...together.slice(0, 5).map((alias) => place(keys, alias, spec).slice));
  assert.equal(plan.shards[0]?.resumeFromSegment, earliest);
});

test('erasing everyone trains nothing and still ends', async () => {
  const members = people(10);
  const plan = planErasure(
    members.map(({ alias }) => alias),
    members,
    keys,
    spec,
  );
  assert.equal(plan.optimizerSteps, 0);
  for (const { survivors, shard } of plan.shards) {
    const segments = await run(recorder(), survivors, shardSeeds(after, shard, spec));
    assert.deepEqual(new Set(digests(segments)).size, 1);
  }
});

test('a subject who is not in the ensemble is refused without being named', () => {
  assert.throws(
    () => planErasure(['stranger', 'person-1'], people(3), keys, spec),
    (error: Error) => isError(error, UNLEARNING.UNKNOWN_SUBJECT) && !error.message.includes('stranger'),
  );
});

test('a resumption without its checkpoint or with too few seeds is refused', async () => {
  const [shard] = dealMembers(people(10), keys, spec);
  const seeds = shardSeeds(before, 0, spec);
  await assert.rejects(run(recorder(), shard!, seeds, { from: 2 }), (error) =>
    isError(error, UNLEARNING.CHECKPOINT_MISSING),
  );
  await assert.rejects(run(recorder(), shard!, seeds.slice(1)), (error) =>
    isError(error, UNLEARNING.SEEDS_MISSING),
  );
});

test('a specification outside of its limits is refused', () => {
  for (const bad of [{ shardCount: 0 }, { sliceCount: 1.5 }, { epochs: -1 }, { batchSize: Number.NaN }]) {
    assert.throws(
      () => checkSpec({ ...spec, ...bad }),
      (error) => isError(error, UNLEARNING.BAD_SPEC),
    );
  }
  assert.equal(checkSpec(spec), spec);
});

test('every epoch of a segment visits every row once, in another order', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 60 }), fc.integer({ min: 1, max: 9 }), (count, batchSize) => {
      const rows = Array.from({ length: count }, (_, i) => 3 * i);
      const batches = [...segmentBatches(rows, { ...spec, batchSize }, 'seed')];
      assert.ok(batches.every((batch) => batch.length > 0 && batch.length <= batchSize));
      const visited = batches.flat();
      assert.equal(visited.length, 2 * count);
      for (const epoch of [visited.slice(0, count), visited.slice(count)]) {
        assert.deepEqual(
          epoch.toSorted((a, b) => a - b),
          rows,
        );
      }
    }),
    { seed: 5 },
  );
  const rows = Array.from({ length: 40 }, (_, i) => i);
  const [first, second] = [...segmentBatches(rows, { ...spec, batchSize: 40 }, 'seed')];
  assert.notDeepEqual(first, second);
  assert.notDeepEqual(first, [...segmentBatches(rows, { ...spec, batchSize: 40 }, 'other')][0]);
});

test('shards and slices get their share, and other keys deal otherwise', () => {
  const members = people(4000);
  const shards = dealMembers(members, keys, spec);
  for (const { slices } of shards) {
    for (const rows of slices) assert.ok(Math.abs(rows.length / 4 - 125) < 5 * Math.sqrt(125));
  }
  const other = { ...keys, shardKey: keys.sliceKey };
  const moved = members.filter(
    ({ alias }) => place(other, alias, spec).shard !== place(keys, alias, spec).shard,
  );
  assert.ok(Math.abs(moved.length / 4000 - 7 / 8) < 0.03);
  assert.notEqual(placementCommitment(keys), placementCommitment(other));
});

test('logits are averaged, classes are their largest, scores are log-odds of the label', () => {
  const mean = meanLogits([Float32Array.of(1, 0, 3, 5), Float32Array.of(3, 1, 1, -5)]);
  assert.deepEqual([...mean], [2, 0.5, 2, 0]);
  assert.deepEqual(predictedClasses(Float32Array.of(1, 2, 2, 5, 5, 0), 3), [1, 0]);
  const p = Math.exp(2) / (Math.exp(2) + Math.exp(0.5));
  const [score, sure] = labelScores(Float32Array.of(2, 0.5, 1000, -1000), [0, 0], 2);
  assert.ok(Math.abs(score! - Math.log(p / (1 - p))) < 1e-12);
  assert.equal(sure, 2000);
});
