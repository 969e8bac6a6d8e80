/**
 * Pictures and texts with several labels each, over gRPC: learned unpaired, paired and in between, found across modalities, erased. The
 * data is synthetic: a class is a direction in each modality, an item the mean of its classes' directions and noise.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type Lethe, lethe } from '@lethe/client';
import { hashing } from '@lethe/contracts';
import { type DatasetSpec, encodePayload, encodeSpec } from '@lethe/datasets';
import { verifyInclusionProof } from '@lethe/hashing';
import { createServer, type RpcServer, tokenAuthenticator } from '@lethe/rpc';
import { hex, LetheError, seededRandom, silentLogger } from '@lethe/std';
import { DATASET, TENANT, type TestRecord, World } from './fixture.ts';
import { createHashing } from './index.ts';

const CLASSES = 6;
const PIXELS = 24;
const WORDS = 16;
const PLATFORM = 'p'.repeat(40);
const AUDITOR = 'a'.repeat(40);
const FUNCTION = `tenants/${TENANT}/hashFunctions/pairs`;

const DATA: DatasetSpec = {
  format: 'lethe-dataset-v1',
  name: 'pairs',
  provenance: 'made by a seeded generator for this test',
  subjectField: 'person',
  fields: [
    {
      kind: 'numeric-vector',
      name: 'pixels',
      element: 'uint8',
      shape: [PIXELS],
      min: 0,
      max: 255,
      optional: true,
    },
    {
      kind: 'numeric-vector',
      name: 'words',
      element: 'float32',
      shape: [WORDS],
      min: -2,
      max: 2,
      optional: true,
    },
    { kind: 'numeric', name: 'age', min: 0, max: 120, optional: true },
  ],
  label: { name: 'topics', classes: Array.from({ length: CLASSES }, (_, i) => `topic-${i}`), multiple: true },
};
const MODALITIES = [
  { name: 'image', fields: ['pixels'] },
  { name: 'text', fields: ['words'] },
];

type Has = 'both' | 'image' | 'text';

const directions = seededRandom('cross-modal', 'directions');
const pixelsOf = Array.from({ length: CLASSES }, () =>
  Array.from({ length: PIXELS }, () => directions.below(200)),
);
const wordsOf = Array.from({ length: CLASSES }, () =>
  Array.from({ length: WORDS }, () => 2 * directions.uniform() - 1),
);
const mean = (vectors: readonly (readonly number[])[], at: number): number =>
  vectors.reduce((sum, vector) => sum + vector[at]!, 0) / vectors.length;

/** A payload of these classes; without labels it is a question. */
function payloadOf(seed: string, topics: readonly number[], has: Has, isLabelled = true): Uint8Array {
  const random = seededRandom('cross-modal', seed);
  const pixels = Uint8Array.from({ length: PIXELS }, (_, p) =>
    Math.round(
      mean(
        topics.map((topic) => pixelsOf[topic]!),
        p,
      ) + random.below(30),
    ),
  );
  const words = Float32Array.from(
    { length: WORDS },
    (_, w) =>
      mean(
        topics.map((topic) => wordsOf[topic]!),
        w,
      ) +
      0.2 * random.uniform(),
  );
  const values = [has === 'text' ? undefined : pixels, has === 'image' ? undefined : words, undefined];
  return encodePayload(DATA, isLabelled ? { values, labels: topics } : { values });
}

/** Persons `{prefix}0`, …, one record each: every third with both modalities, one with a picture, one with a text alone. */
function records(prefix: string, count: number, topics: (i: number) => readonly number[]): TestRecord[] {
  const kinds: readonly Has[] = ['both', 'image', 'text'];
  return Array.from({ length: count }, (_, i) => ({
    alias: `${prefix}${i}`,
    payload: payloadOf(`${prefix}${i}`, topics(i), kinds[i % 3]!),
  }));
}

/** Every third of two classes. */
const topicsBelow =
  (classes: number) =>
  (i: number): readonly number[] => {
    const first = Math.floor(i / 3) % classes;
    const second = (first + 1 + (i % (classes - 1))) % classes;
    return i % 2 === 0 || second === first ? [first] : [first, second].sort((a, b) => a - b);
  };

const FIRST = records('a', 240, topicsBelow(CLASSES - 1));
/** The last class comes with the update. */
const SECOND = records('b', 60, (i) => (i % 2 === 0 ? [CLASSES - 1] : [i % 3, CLASSES - 1]));

const coded = (code: string) => (error: unknown) => error instanceof LetheError && error.code === code;

let world: World;
let server: RpcServer;
let stop: () => Promise<void>;
let client: Lethe;
let auditor: Lethe;

before(async () => {
  world = await World.with(...FIRST);
  world.datasetSpec = encodeSpec(DATA);
  const service = createHashing(world.deps, { rootWaitMs: 50, replicaWaitMs: 50 });
  await service.start();
  const credentials = [
    { id: 'platform', role: 'platform' as const, tenants: [TENANT], token: PLATFORM },
    { id: 'auditor', role: 'auditor' as const, tenants: [TENANT], token: AUDITOR },
  ];
  server = await createServer({
    services: service.bindings,
    authenticate: tokenAuthenticator(credentials),
    logger: silentLogger,
  });
  client = lethe({ address: server.address, token: PLATFORM });
  auditor = lethe({ address: server.address, token: AUDITOR });
  stop = async () => {
    client.close();
    auditor.close();
    await service.close();
    await server.close(200);
  };
});
after(async () => await stop());

const settled = async (): Promise<hashing.HashFunction> => {
  let last: hashing.HashFunction | undefined;
  for await (const state of client.hashing.watchHashFunction({ name: FUNCTION })) last = state;
  return last!;
};
const codes = async (): Promise<hashing.CodeEntry[]> => {
  const out: hashing.CodeEntry[] = [];
  for await (const entry of auditor.hashing.listCodes({ name: FUNCTION })) out.push(entry);
  return out;
};
const ask = (has: Has, topics: readonly number[], seed: string) => ({
  $case: 'payload' as const,
  value: payloadOf(`question ${seed}`, topics, has, false),
});

/** Share of the ten nearest items of a modality that have a class of the question, over questions of every class. */
async function precision(from: Has, to: string, classes: readonly number[]): Promise<number> {
  let right = 0;
  let all = 0;
  for (const topic of classes) {
    for (let i = 0; i < 5; i++) {
      const { neighbours } = await client.hashing.search({
        name: FUNCTION,
        query: ask(from, [topic], `${from} ${topic} ${i}`),
        k: 10,
        filter: { modalities: [to] },
      });
      assert.ok(neighbours.every(({ modality }) => modality === to));
      right += neighbours.filter(({ labels }) => labels.includes(topic)).length;
      all += neighbours.length;
    }
  }
  return right / all;
}

test('a function of two modalities is asked for, and wrong ones are refused before anything is learned', async () => {
  const parent = `tenants/${TENANT}`;
  const spec = {
    root: `${DATASET}/roots/1`,
    codeBits: 32,
    featureDim: 64,
    lambda: 256,
    modalities: MODALITIES,
  };
  const create = (over: object) =>
    client.hashing.createHashFunction({ parent, functionId: 'pairs', spec: { ...spec, ...over } });
  const overlapping = [...MODALITIES, { name: 'again', fields: ['words'] }];
  await assert.rejects(create({ modalities: [] }), coded('LETHE-4207'));
  await assert.rejects(create({ modalities: overlapping }), coded('LETHE-4207'));
  await assert.rejects(create({ modalities: [{ name: 'sound', fields: ['waves'] }] }), coded('LETHE-2315'));
  await assert.rejects(create({ tier: hashing.HashFunctionSpec_Tier.TIER_DEEP }), coded('LETHE-4207'));
  await assert.rejects(client.hashing.getHashFunction({ name: FUNCTION }), coded('LETHE-4201'));
  await create({});
  const learned = await settled();
  assert.equal(learned.state, hashing.HashFunction_State.STATE_SERVING);
  const third = FIRST.length / 3;
  assert.deepEqual(
    learned.modalities.map(({ name, itemCount }) => [name, Number(itemCount)]),
    [
      ['image', 2 * third],
      ['text', 2 * third],
    ],
  );
  assert.equal(Number(learned.itemCount), 4 * third);
  assert.equal(Number(learned.ledgerSize), 4 * third);
});

test('texts find pictures and pictures find texts, whether their records were paired or not', async () => {
  const old = [...Array(CLASSES - 1).keys()];
  for (const [from, to] of [
    ['text', 'image'],
    ['image', 'text'],
    ['text', 'text'],
  ] as const) {
    const share = await precision(from, to, old);
    assert.ok(share > 0.9, `${from} to ${to}: ${share}`);
  }
});

test('a question says which modality it is of, or has one', async () => {
  const query = ask('both', [1], 'ambiguous');
  await assert.rejects(client.hashing.search({ name: FUNCTION, query, k: 3 }), coded('LETHE-4207'));
  const asText = await client.hashing.search({ name: FUNCTION, query, k: 3, modality: 'text' });
  const text = ask('text', [1], 'ambiguous');
  assert.deepEqual(
    (await client.hashing.search({ name: FUNCTION, query: text, k: 3 })).neighbours,
    asText.neighbours,
  );
  const named = client.hashing.search({ name: FUNCTION, query: text, k: 3, modality: 'image' });
  await assert.rejects(named, coded('LETHE-4207'));
  const unknown = client.hashing.search({ name: FUNCTION, query: text, k: 3, modality: 'sound' });
  await assert.rejects(unknown, coded('LETHE-4207'));
  const encoded = await client.hashing.encode({ name: FUNCTION, payload: text.value });
  assert.equal(encoded.modality, 'text');
  const byCode = { $case: 'code' as const, value: encoded.code };
  assert.deepEqual(
    (await client.hashing.search({ name: FUNCTION, query: byCode, k: 3 })).neighbours,
    asText.neighbours,
  );
  const withModality = client.hashing.search({ name: FUNCTION, query: byCode, k: 3, modality: 'text' });
  await assert.rejects(withModality, coded('LETHE-4207'));
  await assert.rejects(
    client.hashing.search({ name: FUNCTION, query: { $case: 'code', value: new Uint8Array(3) }, k: 3 }),
    coded('LETHE-3406'),
  );
  const ageOnly = encodePayload(DATA, { values: [undefined, undefined, 30] });
  const none = client.hashing.search({ name: FUNCTION, query: { $case: 'payload', value: ageOnly }, k: 3 });
  await assert.rejects(none, coded('LETHE-4207'));
  const payloads = [text.value];
  await assert.rejects(client.hashing.predict({ name: FUNCTION, payloads }), coded('LETHE-4207'));
});

test('filters and radius give what the listed codes give', async () => {
  const entries = await codes();
  const { code } = await client.hashing.encode({
    name: FUNCTION,
    payload: ask('image', [2], 'filter').value,
  });
  const bits = (a: Uint8Array, b: Uint8Array): number =>
    a.reduce((sum, byte, i) => sum + [...(byte ^ b[i]!).toString(2)].filter((bit) => bit === '1').length, 0);
  const within = (fits: (entry: hashing.CodeEntry) => boolean, radius: number) =>
    entries
      .filter((entry) => fits(entry) && bits(entry.code, code) <= radius)
      .map((entry) => `${String(bits(entry.code, code)).padStart(3)} ${hex(entry.itemId)}`)
      .sort();
  const found = async (filter: Partial<hashing.SearchFilter>, radius: number) => {
    const query = { $case: 'code' as const, value: code };
    const { neighbours } = await client.hashing.search({ name: FUNCTION, query, radius, filter });
    return neighbours.map(({ distance, itemId }) => `${String(distance).padStart(3)} ${hex(itemId)}`);
  };
  const cases: [Partial<hashing.SearchFilter>, (entry: hashing.CodeEntry) => boolean][] = [
    [{}, () => true],
    [{ modalities: ['text'] }, ({ modality }) => modality === 'text'],
    [{ labelsAny: [1, 3] }, ({ labels }) => labels.includes(1) || labels.includes(3)],
    [
      { labelsAll: [1, 2], modalities: ['image'] },
      ({ labels, modality }) => modality === 'image' && labels.includes(1) && labels.includes(2),
    ],
    [{ functionVersions: [1] }, ({ functionVersion }) => functionVersion === 1],
  ];
  for (const [filter, fits] of cases) {
    for (const radius of [8, 32])
      assert.deepEqual(await found(filter, radius), within(fits, radius), JSON.stringify(filter));
  }
  assert.ok(within(() => true, 8).length > 5);
  const leaves = entries.map(({ leafIndex }) => Number(leafIndex));
  assert.deepEqual(leaves, [...leaves.keys()]);
});

test('an update brings a new class; old codes stay; its writes can be read', async () => {
  const before = await codes();
  const root = world.commitRoot(SECOND);
  await client.hashing.createUpdate({ name: FUNCTION, root });
  const { appliedSequence, version, oldCodesRootBefore, oldCodesRootAfter } = await settled();
  assert.equal(version, 2);
  assert.deepEqual(oldCodesRootAfter, oldCodesRootBefore);
  const entryOf = ({ itemId, code, functionVersion, labels }: hashing.CodeEntry) => ({
    itemId,
    code,
    functionVersion,
    labels,
  });
  const now = await codes();
  assert.deepEqual(now.slice(0, before.length).map(entryOf), before.map(entryOf));
  assert.ok((await precision('text', 'image', [CLASSES - 1])) > 0.9);
  const query = ask('text', [0], 'read your writes');
  const seen = await client.hashing.search({
    name: FUNCTION,
    query,
    k: 1,
    minAppliedSequence: appliedSequence,
  });
  assert.ok(appliedSequence > 0n && seen.appliedSequence >= appliedSequence);
  const tooFar = { name: FUNCTION, query, k: 1, minAppliedSequence: appliedSequence + 1_000n };
  await assert.rejects(client.hashing.search(tooFar), coded('LETHE-4212'));
});

test('a function says what its index holds; an auditor sees that an item is in it', async () => {
  const { liveVersions, modalities, itemCount, ledgerSize, ledgerRoot, segmentCount } =
    await auditor.hashing.getHashFunction({ name: FUNCTION });
  const sum = (counts: readonly bigint[]): bigint => counts.reduce((total, count) => total + count, 0n);
  assert.deepEqual(
    liveVersions.map(({ version }) => version),
    [1, 2],
  );
  assert.equal(sum(liveVersions.map(({ codeCount }) => codeCount)), itemCount);
  assert.equal(sum(modalities.map((modality) => modality.itemCount)), itemCount);
  assert.match(liveVersions[1]!.fingerprint, /^[0-9a-f]{64}$/u);
  assert.equal(segmentCount, 1);
  const [first] = await codes();
  const { itemId, leafHash } = first!;
  const proof = await auditor.hashing.getInclusionProof({ name: FUNCTION, itemId });
  assert.deepEqual(proof.leafHash, leafHash);
  assert.deepEqual(proof.ledgerRoot, ledgerRoot);
  assert.equal(proof.ledgerSize, ledgerSize);
  const checked = {
    index: Number(proof.leafIndex),
    size: Number(ledgerSize),
    path: proof.path,
    root: ledgerRoot,
  };
  assert.ok(verifyInclusionProof({ ...checked, leaf: leafHash }));
  assert.ok(!verifyInclusionProof({ ...checked, leaf: leafHash.with(0, leafHash[0]! ^ 1) }));
  const stranger = auditor.hashing.getInclusionProof({ name: FUNCTION, itemId: new Uint8Array(16) });
  await assert.rejects(stranger, coded('LETHE-3408'));
});

test('new labels on an old item are another record: it is one more item, and the old one keeps code and labels', async () => {
  const before = await codes();
  const again: TestRecord = { alias: 'a1', payload: payloadOf('a1', [0, 1, 5], 'image') };
  await client.hashing.createUpdate({ name: FUNCTION, root: world.commitRoot([again]) });
  await settled();
  const now = await codes();
  assert.equal(now.length, before.length + 1);
  const entryOf = ({ itemId, code, labels }: hashing.CodeEntry) => ({ itemId, code, labels });
  assert.deepEqual(now.slice(0, -1).map(entryOf), before.map(entryOf));
  assert.deepEqual(now.at(-1)!.labels, [0, 1, 5]);
});

test('a person of both modalities leaves with both items', async () => {
  const before = await codes();
  await world.request('a0');
  await world.startErasure('a0');
  const erased = await world.erased();
  assert.ok(erased.claims.length > 0);
  const now = await codes();
  assert.equal(before.length - now.length, 2);
});
