import { momentum } from '@lethe/optim';
import { seededRandom } from '@lethe/std';
import {
  dealMembers,
  type Member,
  planErasure,
  type SisaSpec,
  seedsAfterErasure,
  shardSeeds,
  trainShard,
} from '@lethe/unlearning';
import { type LabelledRows, MlpClassifier } from './classifier.ts';

/** A small ensemble on four clusters, for sisa.test.ts; run as a program it retrains a shard on the survivors of an erasure. */
export const spec: SisaSpec = { shardCount: 3, sliceCount: 3, epochs: 2, batchSize: 16 };
export const keys = { shardKey: new Uint8Array(32).fill(5), sliceKey: new Uint8Array(32).fill(6) };
export const members: readonly Member[] = Array.from({ length: 60 }, (_, s) => ({
  alias: `subject-${s}`,
  rows: [0, 1, 2].map((k) => 3 * s + k),
}));
const features = 12;

/** @param changedRow its first feature is another in the lowest bit */
export function rows(changedRow?: number): LabelledRows {
  const random = seededRandom('sisa.fixture');
  const count = members.length * 3;
  const labels = BigInt64Array.from({ length: count }, () => BigInt(random.below(4)));
  const x = Float32Array.from({ length: count * features }, (_, i) => {
    const label = Number(labels[Math.floor(i / features)]);
    return (i % 4 === label ? 1 : 0) + random.uniform();
  });
  if (changedRow !== undefined) new Uint8Array(x.buffer, changedRow * features * 4, 1)[0]! ^= 1;
  return { features: x, labels };
}

export const classifier = (data: LabelledRows): Promise<MlpClassifier> =>
  MlpClassifier.create(
    {
      model: { widths: [features, 16, 4], activation: 'relu' },
      batchSize: 16,
      optimizer: momentum(),
      learningRate: 0.05,
    },
    data,
  );

export const recordedSeeds = (shard: number): string[] => shardSeeds(new Uint8Array([1]), shard, spec);

/** Digests of all segments of the person's shard, trained from nothing on the survivors with the seeds after the erasure. */
export async function retrain(alias: string, changedRow?: number): Promise<string[]> {
  const [part] = planErasure([alias], members, keys, spec).shards;
  if (!part) return [];
  const seeds = seedsAfterErasure(
    recordedSeeds(part.shard),
    part.resumeFromSegment,
    new Uint8Array([2]),
    part.shard,
  );
  const trainer = await classifier(rows(changedRow));
  const segments = await trainShard(trainer, { spec, shard: part.survivors, seeds });
  await trainer.close();
  return segments.map(({ record }) => record.digest);
}

export const shards = dealMembers(members, keys, spec);

if (import.meta.main) {
  const [alias = '', changedRow] = process.argv.slice(2);
  const digests = await retrain(alias, changedRow === undefined ? undefined : Number(changedRow));
  process.stdout.write(JSON.stringify(digests));
}
