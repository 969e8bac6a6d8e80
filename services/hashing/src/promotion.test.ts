/** The gate before a version serves, and the ways out for one that it holds. */
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { hashing } from '@lethe/contracts';
import { encodePayload } from '@lethe/datasets';
import { bytesOf, hex, LetheError, seededRandom } from '@lethe/std';
import { erase } from './consumers/erasure.ts';
import { onRootRequested } from './consumers/learn.ts';
import { moveCodes } from './consumers/reencode.ts';
import type { HashingContext } from './context.ts';
import { decodeHead, encodeHead } from './domain/head.ts';
import {
  closeAll,
  eventually,
  FUNCTION,
  FUNCTION_SPEC,
  makeRecords,
  SPEC,
  TENANT,
  type TestRecord,
  trainedDigests,
  World,
} from './fixture.ts';
import { addressOf } from './functions.ts';
import { promoteHashVersion } from './rpc/promote-hash-version.ts';
import { search } from './rpc/search.ts';

afterEach(closeAll);

const ADDRESS = addressOf(TENANT, 'shapes');
const { VERDICT_FIRST_VERSION, VERDICT_PASSED, VERDICT_UNTESTED, VERDICT_FAILED } =
  hashing.GateReport_Verdict;
const { MODE_FORCE, MODE_FAN_OUT, MODE_UNSPECIFIED } = hashing.PromoteHashVersionRequest_Mode;
const { KIND_STORED, KIND_HOME } = hashing.GateComparison_Kind;

/** A record for each person, so that persons are as many as can be. */
function people(prefix: string, count: number, label: (i: number) => number, pattern = label): TestRecord[] {
  const random = seededRandom('promotion', prefix);
  return Array.from({ length: count }, (_, i) => {
    const pixels = Uint8Array.from(
      { length: 8 },
      (__, p) => (p % 3 === pattern(i) ? 150 : 60) + random.below(60),
    );
    return { alias: `${prefix}${i}`, payload: encodePayload(SPEC, { values: [pixels], label: label(i) }) };
  });
}

const FIRST = people('a', 240, (i) => i % 2);
const GOOD = people('b', 60, (i) => i % 3);
/** Squares that are called round and round ones that are called square, three times as many as were learned before. */
const SABOTAGE = people(
  's',
  720,
  (i) => i % 2,
  (i) => 1 - (i % 2),
);

const GATE = hashing.PromotionGate.fromPartial({});
const GATED: hashing.HashFunctionSpec = { ...FUNCTION_SPEC, gate: undefined };
const coded = (code: string) => (error: unknown) => error instanceof LetheError && error.code === code;

/** A world whose function has learned `first` and been asked to learn `second`. */
async function updated(
  first: readonly TestRecord[],
  second: readonly TestRecord[],
  gate: hashing.PromotionGate | undefined = GATE,
) {
  const world = await World.with(...first);
  const { api, close } = await world.service();
  await api.create({ ...GATED, gate });
  const before = await api.settled();
  const root = world.commitRoot(second);
  await api.update(root);
  return { world, api, close, before, root, after: await api.settled() };
}

const promote = (context: HashingContext, mode: hashing.PromoteHashVersionRequest_Mode, root = '') =>
  promoteHashVersion(context, { name: FUNCTION, root, mode, requestId: '' });

/** What a process does that is told of the promotion, up to its fact. */
async function promoteBy(
  context: HashingContext,
  mode: hashing.PromoteHashVersionRequest_Mode,
): Promise<void> {
  await promote(context, mode);
  const { pending } = await context.functions.load(ADDRESS);
  await onRootRequested(context, ADDRESS, pending!.eventId);
}

const labelsFound = async (context: HashingContext, payload: Uint8Array): Promise<number[]> => {
  const query = { $case: 'payload' as const, value: payload };
  const { neighbours } = await search(
    context,
    hashing.SearchRequest.fromPartial({ name: FUNCTION, k: 30, query }),
  );
  return neighbours!.map(({ label }) => label!);
};

/** Everything that any key still opens, in one. */
async function atRestOf(world: World, { functions }: HashingContext): Promise<Buffer> {
  const { learned } = await functions.serving(ADDRESS);
  // Pieces of the present state are all that there are keys for.
  assert.equal(
    learned.references.length,
    world.liveKinds.filter((kind) => !['needles', 'proof'].includes(kind)).length,
  );
  return Buffer.concat(await Promise.all(learned.references.map((at) => functions.state.get(TENANT, at))));
}

test('a first version is promoted without a comparison, an update that hurts nobody with the figures that show it', async () => {
  const { api, before, after } = await updated(FIRST, GOOD);
  assert.equal(before.gate?.verdict, VERDICT_FIRST_VERSION);
  assert.equal(after.version, 2);
  assert.equal(after.held, undefined);
  const { gate } = after;
  assert.equal(gate?.verdict, VERDICT_PASSED, gate?.reasons.join(' '));
  assert.deepEqual(
    gate?.comparisons.map(({ kind, version, queries, passed }) => [kind, version, queries, passed]),
    [
      [KIND_STORED, 1, 240, true],
      [KIND_HOME, 1, 240, true],
    ],
  );
  assert.ok(gate?.comparisons.every(({ liveMap, lowerBound }) => liveMap > 0.8 && lowerBound >= -0.05));
  assert.deepEqual([gate?.epsilon, gate?.confidenceLevel, gate?.untestedVersions], [0.05, 0.95, []]);
  const stored = gate?.comparisons[0]?.difference ?? Number.NaN;
  const { averageCompatibility, comparedPairs } = await api.metrics();
  assert.deepEqual([averageCompatibility, comparedPairs], [stored > 0 ? 1 : 0, 1]);
  const { sums, weights } = trainedDigests([...FIRST, ...GOOD]);
  assert.deepEqual([after.sumsDigest, after.weightsDigest], [sums, weights]);
});

test('with fewer than 100 persons the report says that nothing was compared, and who demands a comparison gets none', async () => {
  const few = makeRecords('few', 40, [0, 1]);
  const { after } = await updated(few, GOOD);
  assert.equal(after.version, 2);
  assert.equal(after.gate?.verdict, VERDICT_UNTESTED);
  assert.deepEqual([after.gate.comparisons, after.gate.untestedVersions], [[], [1]]);
  assert.match(
    after.gate.reasons.join(),
    /^Not enough probes: fewer than 100 persons have items of version 1\.$/,
  );
  const demanding = await updated(few, GOOD, { ...GATE, require: true });
  assert.equal(demanding.after.version, 1);
  assert.equal(demanding.after.held?.report?.verdict, VERDICT_UNTESTED);
});

test('an update that breaks retrieval is held: the version before serves on, nothing is kept, and the condition says the way out', async () => {
  const { world, api, after, root } = await updated(FIRST, SABOTAGE);
  assert.equal(after.version, 1);
  assert.equal(after.state, hashing.HashFunction_State.STATE_SERVING);
  const { held } = after;
  assert.deepEqual([held?.version, held?.root, held?.report?.verdict], [2, root, VERDICT_FAILED]);
  assert.equal(held?.weightsDigest, trainedDigests([...FIRST, ...SABOTAGE]).weights);
  assert.ok(held.report?.comparisons.some(({ passed, difference }) => !passed && difference < -0.2));
  const [condition] = after.conditions;
  assert.equal(condition?.reason, 'Held');
  assert.match(condition.message, /On codes of version 1 mAP differs by -0\.\d+.*MODE_FORCE.*MODE_FAN_OUT/);
  const { labels } = await api.predict(FIRST.slice(0, 4).map(({ payload }) => payload));
  assert.deepEqual(labels, [0, 1, 0, 1]);
  assert.deepEqual(world.liveKinds, ['block', 'block', 'head', 'segment']);
  // Asked again, the gate says the same; a later root that mends it is promoted.
  await api.update(root);
  assert.deepEqual((await api.settled()).held, held);
});

test('a gate that only reports holds nothing, as in functions of releases that had none', async () => {
  const { after } = await updated(FIRST, SABOTAGE, { ...GATE, reportOnly: true });
  assert.equal(after.version, 2);
  assert.equal(after.gate?.verdict, VERDICT_FAILED);
  assert.equal(after.held, undefined);
});

test('FORCE: the held root is learned and answers for all, old codes stay; promoting anything else is refused', async () => {
  const { world, api, before, root } = await updated(FIRST, SABOTAGE);
  const context = world.context();
  await assert.rejects(promote(context, MODE_UNSPECIFIED), coded('LETHE-4207'));
  await assert.rejects(promote(context, MODE_FORCE, before.learnedRoot), coded('LETHE-4216'));
  const codes = await api.codes();
  const asked = { name: FUNCTION, root, mode: MODE_FORCE, requestId: 'decided' };
  await promoteHashVersion(context, asked);
  // Asked again, by a caller who has not seen the answer: it is pending, or done.
  await promoteHashVersion(context, asked).catch((error) => assert.ok(coded('LETHE-4216')(error)));
  const after = await api.settled();
  assert.deepEqual([after.version, after.learnedRoot, after.held], [2, root, undefined]);
  assert.equal(after.gate?.verdict, VERDICT_FAILED, 'what was overruled stays visible');
  assert.equal(after.weightsDigest, trainedDigests([...FIRST, ...SABOTAGE]).weights);
  assert.deepEqual((await api.codes()).slice(0, codes.length), codes);
  assert.equal(after.reencoding, undefined);
  await assert.rejects(promote(context, MODE_FORCE), coded('LETHE-4216'));
});

/** More than one feature block of old codes: two steps. */
const MANY = people('m', 4_200, (i) => i % 2);
const MANY_SABOTAGED = people(
  'n',
  6_300,
  (i) => i % 2,
  (i) => 1 - (i % 2),
);

/** A held update of many items, with no service running. */
async function heldMany() {
  const { world, close, before } = await updated(MANY, MANY_SABOTAGED);
  await close();
  const context = world.context();
  const { learned } = await context.functions.serving(ADDRESS);
  const weights = Buffer.from(bytesOf(learned.head.parts[0]!.fn.weights)).subarray(0, 256);
  return { world, context, before, oldWeights: Buffer.from(weights) };
}

test('FAN_OUT: both versions answer while codes are moved; a killed step is done again; then the old weights are gone', async () => {
  const { world, context, before, oldWeights } = await heldMany();
  await promoteBy(context, MODE_FAN_OUT);
  const { current } = await context.functions.load(ADDRESS);
  assert.deepEqual(current?.reencoding, { fromVersion: 1, toVersion: 2, step: 0, codesLeft: 4_200n });
  const head = (await context.functions.serving(ADDRESS)).learned.head;
  assert.deepEqual(decodeHead(encodeHead(head)), head);
  assert.ok((await atRestOf(world, context)).includes(oldWeights), 'the check can fail');
  // The version before asks its own codes for round ones, the newest its own for what it calls so: both kinds come.
  const found = await labelsFound(context, MANY[0]!.payload);
  assert.equal(found.length, 30);
  assert.deepEqual([...new Set(found)].sort(), [0, 1]);
  const filtered = await search(
    context,
    hashing.SearchRequest.fromPartial({
      name: FUNCTION,
      k: 30,
      query: { $case: 'payload', value: MANY[0]!.payload },
      filter: { functionVersions: [1] },
    }),
  );
  assert.ok(filtered.neighbours!.every(({ functionVersion, label }) => functionVersion === 1 && label === 0));
  assert.ok(
    filtered.neighbours!.every(({ tailProbability }) => tailProbability! > 0 && tailProbability! < 1),
  );

  await moveCodes(context, ADDRESS);
  const moved = (await context.functions.load(ADDRESS)).current!;
  assert.deepEqual(
    [moved.version, moved.reencoding?.step, moved.reencoding?.codesLeft],
    [2, 1, 4_200n - 4_096n],
  );
  await assert.rejects(
    promoteHashVersion(context, { name: FUNCTION, root: '', mode: MODE_FORCE, requestId: '' }),
    coded('LETHE-4216'),
  );
  // A process that is killed when all is stored but the fact.
  const killed = world.context();
  killed.functions.aggregates.propose = () => Promise.reject(new Error('killed'));
  await assert.rejects(moveCodes(killed, ADDRESS), /killed/);
  assert.deepEqual((await context.functions.load(ADDRESS)).current, moved);

  const { api, close } = await world.service();
  const done = await eventually(async () => {
    const now = await api.get();
    return now.reencoding ? undefined : now;
  });
  assert.deepEqual([done.version, done.learnedRoot], [2, `${before.learnedRoot.slice(0, -1)}2`]);
  assert.deepEqual(
    done.liveVersions.map(({ version, codeCount }) => [version, codeCount]),
    [[2, 10_500n]],
  );
  const fresh = world.context();
  const { learned } = await fresh.functions.serving(ADDRESS);
  assert.equal(learned.head.previous, undefined);
  const expected = learned.encode(0, [learned.decode(MANY[5]!.payload)]);
  const [fifth] = learned.index.itemsOf('m5').map((id) => learned.index.entry(id));
  assert.equal(fifth?.kind === 'live' && hex(fifth.code), hex(expected));
  assert.equal((await atRestOf(world, fresh)).includes(oldWeights), false);
  assert.equal(done.weightsDigest, trainedDigests([...MANY, ...MANY_SABOTAGED]).weights);
  await close();
});

test('a process that is killed right after the fact of the last step: the next start destroys the old weights', async () => {
  const { world, close } = await updated(FIRST, SABOTAGE);
  await close();
  const killed = world.context();
  const { learned } = await killed.functions.serving(ADDRESS);
  const oldWeights = Buffer.from(bytesOf(learned.head.parts[0]!.fn.weights)).subarray(0, 256);
  await promoteBy(killed, MODE_FAN_OUT);
  const settle = killed.functions.settle.bind(killed.functions);
  let calls = 0;
  // The first call belongs to what was before.
  killed.functions.settle = async (...of) =>
    calls++ === 0 ? await settle(...of) : await Promise.reject(new Error('killed'));
  await assert.rejects(moveCodes(killed, ADDRESS), /killed/);
  const { current } = await killed.functions.load(ADDRESS);
  assert.deepEqual([current?.reencoding?.step, current?.reencoding?.codesLeft], [1, 0n]);
  await assert.rejects(atRestOf(world, world.context()), /AssertionError|Expected values/);
  const { api, close: end } = await world.service();
  assert.equal((await atRestOf(world, world.context())).includes(oldWeights), false);
  assert.equal((await api.get()).reencoding, undefined);
  await end();
});

test('an erasure while codes are moved: exact, no old weights are left, and the codes that are left are moved all the same', async () => {
  const { world, context, oldWeights } = await heldMany();
  await promoteBy(context, MODE_FAN_OUT);
  await moveCodes(context, ADDRESS);
  world.suppressed.add('m7');
  const { claims } = await erase(context, TENANT, world.started('m7'));
  const others = [...MANY, ...MANY_SABOTAGED].filter(({ alias }) => alias !== 'm7');
  const { current } = await context.functions.load(ADDRESS);
  assert.equal(current?.weightsDigest, trainedDigests(others).weights);
  assert.equal(claims[0]?.details.previousWeightsDropped, '1');
  assert.deepEqual(current?.reencoding, { fromVersion: 0, toVersion: 2, step: 1, codesLeft: 104n });
  assert.equal((await context.functions.serving(ADDRESS)).learned.head.previous, undefined);
  assert.equal((await atRestOf(world, context)).includes(oldWeights), false);
  const { api, close } = await world.service();
  const done = await eventually(async () => {
    const now = await api.get();
    return now.reencoding ? undefined : now;
  });
  assert.deepEqual(
    done.liveVersions.map(({ version, codeCount }) => [version, codeCount]),
    [
      [2, 6_300n + 4_095n],
      [3, 104n],
    ],
  );
  assert.equal(done.weightsDigest, trainedDigests(others).weights);
  assert.equal((await atRestOf(world, world.context())).includes(oldWeights), false);
  await close();
});
