import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  meanLogits,
  place,
  planErasure,
  predictedClasses,
  seedsAfterErasure,
  trainShard,
} from '@lethe/unlearning';
import { classifier, keys, members, recordedSeeds, retrain, rows, shards, spec } from './sisa.fixture.ts';

const otherProcess = (...args: readonly string[]): unknown =>
  JSON.parse(
    execFileSync(process.execPath, [fileURLToPath(new URL('./sisa.fixture.ts', import.meta.url)), ...args], {
      encoding: 'utf8',
    }),
  );

for (const slice of [1, 2, 3]) {
  test(`a person in slice ${slice}: resumed weights equal those of another process that never saw them`, async () => {
    const { alias } = members.find((member) => place(keys, member.alias, spec).slice === slice)!;
    const [part] = planErasure([alias], members, keys, spec).shards;
    const { shard, survivors, resumeFromSegment } = part!;
    const trainer = await classifier(rows());
    const original = await trainShard(trainer, { spec, shard: shards[shard]!, seeds: recordedSeeds(shard) });
    const kept = original.slice(0, resumeFromSegment - 1);
    const last = kept.at(-1);
    const resumed = await trainShard(trainer, {
      spec,
      shard: survivors,
      seeds: seedsAfterErasure(recordedSeeds(shard), resumeFromSegment, new Uint8Array([2]), shard),
      from: resumeFromSegment,
      ...(last ? { checkpoint: last.checkpoint } : {}),
    });
    await trainer.close();
    const digests = [...kept, ...resumed].map(({ record }) => record.digest);
    assert.equal(digests.length, spec.sliceCount);
    assert.deepEqual(otherProcess(alias), digests);
    assert.notEqual(digests.at(-1), original.at(-1)?.record.digest);

    const survivor = survivors.slices.flat()[0]!;
    const changed = await retrain(alias, survivor);
    assert.notEqual(changed.at(-1), digests.at(-1), 'one bit of one record changes the weights');
  });
}

test('the ensemble of shards classifies by mean logits', async () => {
  const data = rows();
  const trainer = await classifier(data);
  const perShard: Float32Array[] = [];
  for (const shard of shards) {
    const segments = await trainShard(trainer, { spec, shard, seeds: recordedSeeds(shard.shard) });
    perShard.push(await trainer.logits(segments.at(-1)!.checkpoint, data.features));
  }
  await trainer.close();
  const right = predictedClasses(meanLogits(perShard), 4).filter(
    (label, i) => BigInt(label) === data.labels[i],
  );
  assert.ok(right.length >= 0.9 * data.labels.length, `${right.length} of ${data.labels.length}`);
});
