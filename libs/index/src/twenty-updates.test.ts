/** Old codes through 20 consecutive updates with new classes: no byte changes, the root over the earlier items stays, and one flipped bit is caught. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  addItems,
  allocateClasses,
  createFeatureMap,
  emptyCodebook,
  emptyStatistics,
  encodeFeatures,
  fitHashFunction,
  HASHING,
  ITEM_ID_BYTES,
  labelBytes,
  targetsOf,
  verifyUpdateProof,
} from '@lethe/hashing';
import { concatBytes, hex, isError, LetheError, seededRandom } from '@lethe/std';
import { optionsOf } from './fixture.ts';
import { CodeIndex, type EntryBatch, MemorySegments } from './index.ts';

const UPDATES = 20;
const NEW_CLASSES = 2;
const ITEMS = 12;
const CLASSES = (UPDATES + 1) * NEW_CLASSES;
const BITS = 64;
const CODE_BYTES = BITS / 8;
const WIDTH = 24;
const SALT_BYTES = 32;

const random = seededRandom('twenty updates');
const map = createFeatureMap({ seed: 'twenty updates', inputWidth: WIDTH, featureDim: 64 });
const prototypes = Array.from({ length: CLASSES }, () => random.bytes(WIDTH));

/** Records of the classes that come with this version: a prototype each, with noise. */
function arrival(version: number) {
  const labels = Int32Array.from(
    { length: ITEMS },
    (_, i) => (version - 1) * NEW_CLASSES + (i % NEW_CLASSES),
  );
  const inputs = Uint8Array.from(
    [...labels].flatMap((label) => [
      ...prototypes[label]!.map((byte) => Math.min(255, byte + random.below(160))),
    ]),
  );
  return { labels, features: map.apply(inputs) };
}

function batchOf(codes: Uint8Array, labels: Int32Array, version: number): EntryBatch {
  const width = labelBytes(CLASSES);
  const bits = new Uint8Array(labels.length * width);
  labels.forEach((label, row) => {
    bits[row * width + (label >> 3)]! |= 1 << (label & 7);
  });
  return {
    ids: random.bytes(labels.length * ITEM_ID_BYTES),
    codes,
    fnVersions: new Uint32Array(labels.length).fill(version),
    modalities: new Uint8Array(labels.length),
    labels: bits,
    owners: Uint32Array.from(labels, (_, i) => i),
    aliases: Array.from(labels, (_, i) => `person-${version}-${i}`),
    salts: random.bytes(labels.length * SALT_BYTES),
  };
}

const codesOf = (index: CodeIndex): Uint8Array =>
  concatBytes(
    ...Array.from(index.entries(), (entry) => {
      assert.ok(entry.kind === 'live');
      return entry.code;
    }),
  );

/** A store that gives one bit of its segments wrong. */
const flipped = (store: MemorySegments, bit: number) =>
  Object.assign(Object.create(store), {
    get: async (reference: string) => {
      const bytes = await store.get(reference);
      bytes[(bit >> 3) % bytes.length]! ^= 1 << (bit & 7);
      return bytes;
    },
  }) as MemorySegments;

test('20 updates, each with new classes: 0 bytes of old codes change, roots stay equal, every update is proven, a flipped bit is caught', async () => {
  const store = new MemorySegments();
  const index = CodeIndex.create({ ...optionsOf(store), codeBits: BITS, classes: CLASSES });
  let codebook = emptyCodebook(BITS);
  let statistics = emptyStatistics(map.spec.featureDim, BITS);
  const arrived: { features: Uint8Array; batch: EntryBatch }[] = [];
  const states: { size: number; root: Uint8Array }[] = [];
  let before = new Uint8Array(0);
  let wouldDiffer = 0;

  for (let version = 1; version <= UPDATES + 1; version++) {
    const { labels, features } = arrival(version);
    const names = Array.from({ length: NEW_CLASSES }, (_, c) => `class ${version} ${c}`);
    codebook = allocateClasses(codebook, names);
    // Of the new data alone.
    statistics = addItems(statistics, { features, targets: targetsOf(codebook, labels) });
    const fn = fitHashFunction(statistics, { features: map.spec, codebook, lambda: 10_000, version });
    const batch = batchOf(encodeFeatures(fn, features), labels, version);
    const change = await index.append(batch, BigInt(version));
    assert.ok(verifyUpdateProof(change.proof));
    await change.commit();

    // What is in memory, and what a new process reads.
    const reopened = await CodeIndex.open(index.manifest(), optionsOf(store));
    for (const held of [index, reopened]) {
      const codes = codesOf(held);
      assert.equal(codes.length, before.length + ITEMS * CODE_BYTES);
      assert.equal(hex(codes.subarray(0, before.length)), hex(before), `old codes after update ${version}`);
      for (const { size, root } of states) {
        assert.equal(hex(held.root(size)), hex(root), `root over ${size} after update ${version}`);
        const proof = held.proveUpdate(size, root);
        assert.deepEqual(proof.rootAfter, index.root());
        assert.ok(verifyUpdateProof(proof));
      }
    }
    reopened.close();

    const { bytes } = index.manifest().segments[0]!;
    const damaged = flipped(store, random.below(8 * bytes));
    await assert.rejects(
      CodeIndex.open(index.manifest(), optionsOf(damaged)),
      (error) => error instanceof LetheError && error.status === 'DATA_LOSS',
    );

    for (const old of arrived) {
      encodeFeatures(fn, old.features).forEach((byte, i) => {
        if (byte !== old.batch.codes[i]) wouldDiffer++;
      });
    }
    arrived.push({ features, batch });
    states.push({ size: index.size, root: index.root() });
    before = Uint8Array.from(codesOf(index));
  }
  assert.equal(states.length, UPDATES + 1);
  assert.ok(wouldDiffer > 100, `the newest functions give old records the same codes: ${wouldDiffer} bytes`);

  // The same history with one bit of one old code flipped and every digest made anew: no earlier root follows.
  const forged = CodeIndex.create({ ...optionsOf(new MemorySegments()), codeBits: BITS, classes: CLASSES });
  for (const [at, { batch }] of arrived.entries()) {
    const codes = batch.codes.slice();
    if (at === 3) codes[5]! ^= 0x10;
    await (await forged.append({ ...batch, codes })).commit();
  }
  states.forEach(({ size, root }, at) => {
    if (at < 3) assert.ok(verifyUpdateProof(forged.proveUpdate(size, root)));
    else
      assert.throws(
        () => forged.proveUpdate(size, root),
        (error) => isError(error, HASHING.PROOF_INVALID),
      );
  });
  const [first, last] = [states[3]!, states.at(-1)!];
  const honest = index.proveUpdate(first.size, first.root);
  assert.ok(!verifyUpdateProof({ ...honest, rootAfter: forged.root() }));
  assert.deepEqual(honest.rootAfter, last.root);
});
