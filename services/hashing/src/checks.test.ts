import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { EVENT, hashing } from '@lethe/contracts';
import { aggregateFilter, readEnvelope, STREAMS } from '@lethe/events';
import { expectedOccurrences, hubCode } from '@lethe/hashing';
import { concatBytes, hex, LetheError, seededRandom } from '@lethe/std';
import { beatsControl, judgeNewer } from './check-kinds.ts';
import { closeAll, makeRecords, World } from './fixture.ts';

afterEach(closeAll);

const { KIND_HUBS, KIND_TARGETED, KIND_UNIQUENESS } = hashing.HashCheckSpec_Kind;
const { STATE_COMPLETED, STATE_FAILED } = hashing.HashCheck_State;
const coded = (code: string) => (error: unknown) => error instanceof LetheError && error.code === code;

async function served(...updates: readonly ReturnType<typeof makeRecords>[]) {
  const world = await World.with(...makeRecords('a', 60, [0, 1]));
  const { api, close } = await world.service({ probesMin: 5 });
  await api.create();
  await api.settled();
  for (const records of updates) {
    await api.update(world.commitRoot(records));
    await api.settled();
  }
  return { world, api, close };
}

const outcome = <Case extends string>(check: hashing.HashCheck, wanted: Case) => {
  const found = check.result?.outcome;
  assert.equal(found?.$case, wanted, check.conditions[0]?.message);
  return found as Extract<NonNullable<hashing.HashCheckResult['outcome']>, { $case: Case }>;
};

test('HUBS judges new items by older ones; flagged ids are for the asker alone and go with an erasure', async () => {
  // The old class spreads over few codes; a second class's handful of new items is what its probes find.
  const { world, api, close } = await served(makeRecords('b', 3, [2]));
  const check = await api.check('hubs', { kind: KIND_HUBS, falseAlarms: 0.05 });
  assert.equal(check.state, STATE_COMPLETED, check.conditions[0]?.message);
  const { value } = outcome(check, 'hubs');
  assert.equal(value.judgedItems, 6n);
  assert.equal(value.referenceItems, 120n);
  assert.equal(value.probes, 63);
  assert.equal(value.k, 10);
  assert.equal(BigInt(check.flaggedItemIds.length), value.flaggedItems);
  const codes = await api.codes();
  for (const id of check.flaggedItemIds)
    assert.equal(codes.find(({ itemId }) => hex(itemId) === hex(id))?.functionVersion, 2);
  for await (const message of world.bus.read(STREAMS.events, aggregateFilter({ type: 'hash-check' })))
    for (const id of check.flaggedItemIds) {
      assert.ok(!Buffer.from(message.data).includes(Buffer.from(id)), readEnvelope(message).type);
      assert.ok(!Buffer.from(message.data).includes(hex(id)));
    }
  await world.startErasure('b1');
  await world.erased();
  assert.deepEqual((await api.getCheck('hubs')).flaggedItemIds, []);
  assert.deepEqual(outcome(await api.getCheck('hubs'), 'hubs').value, value, 'aggregates stay');
  assert.ok(!world.liveKinds.includes('check'));
  await close();
});

/** Codes of four concepts with a twentieth of the bits flipped, one after the other. */
function noisyCodes(count: number, codeBits: number): Uint8Array[] {
  const random = seededRandom('checks.test');
  const concepts = Array.from({ length: 4 }, () => random.bytes(codeBits / 8));
  return Array.from({ length: count }, (_, i) => {
    const code = concepts[i % 4]!.slice();
    for (let bit = 0; bit < codeBits; bit++) if (random.below(20) === 0) code[bit >> 3]! ^= 1 << (bit & 7);
    return code;
  });
}

test('a planted hub is flagged among new items, and honest ones are not', async () => {
  const codes = noisyCodes(2_100, 128);
  const [older, newer] = [codes.slice(0, 2_000), codes.slice(2_000)];
  const probes = older.slice(0, 200).map((code, row) => ({ code: code.slice(), row }));
  const ofOneConcept = probes.filter((_, i) => i % 4 === 1).map(({ code }) => code);
  const gallery = concatBytes(...older, ...newer, hubCode(concatBytes(...ofOneConcept), 128));
  let breaths = 0;
  const judge = async () =>
    (await judgeNewer(
      { probes, gallery, isNewer: (row) => row >= 2_000, codeBits: 128, falseAlarms: 0.001 },
      async () => {
        breaths++;
      },
    ))!;
  const { flagged, judgedItems, judgedMost } = await judge();
  assert.deepEqual(flagged, [2_100]);
  assert.equal(judgedItems, 101n);
  assert.ok(judgedMost > 45, `in the top ten of ${judgedMost} of 50 probes`);
  assert.equal(breaths, probes.length);
});

test('a probe is no neighbour of its own', async () => {
  const near = Array.from({ length: 11 }, () => Uint8Array.of(1));
  const judged = await judgeNewer(
    {
      probes: [{ code: Uint8Array.of(0), row: 0 }],
      gallery: concatBytes(Uint8Array.of(0), ...near),
      isNewer: (row) => row === 0,
      codeBits: 8,
      falseAlarms: 0.5,
    },
    async () => undefined,
  );
  assert.equal(judged!.judgedMost, 0);
  assert.equal(judged!.referenceMost, 10 / 11);
});

test('strangers as probes count as in the library', async () => {
  const [codes, asked] = [noisyCodes(300, 64), noisyCodes(40, 64)];
  const isNewer = (row: number): boolean => row >= 150;
  const probes = asked.map((code) => ({ code, row: undefined }));
  const gallery = concatBytes(...codes);
  const judged = await judgeNewer(
    { probes, gallery, isNewer, codeBits: 64, falseAlarms: 0.5 },
    async () => undefined,
  );
  const expected = expectedOccurrences(concatBytes(...asked), gallery, 64, 10);
  const most = (values: Float64Array) => values.reduce((best, value) => Math.max(best, value), 0);
  assert.equal(judged!.referenceMost, most(expected.subarray(0, 150)));
  assert.equal(judged!.judgedMost, most(expected.subarray(150)));
});

test('a check that the records do not allow is refused by name', async () => {
  const { api, close } = await served();
  const hubs = await api.check('alone', { kind: KIND_HUBS });
  assert.equal(hubs.state, STATE_FAILED);
  assert.match(hubs.conditions[0]!.message, /no older items to judge newer ones by/);
  const strangers = await api.check('nobody', { kind: KIND_UNIQUENESS });
  assert.equal(strangers.state, STATE_FAILED);
  assert.match(strangers.conditions[0]!.message, /20 under a later root/);
  await assert.rejects(api.check('none', {}), coded('LETHE-4207'));
  await assert.rejects(api.check('other', { kind: KIND_HUBS, modality: 'sound' }), coded('LETHE-4207'));
  await assert.rejects(api.check('alone', { kind: KIND_UNIQUENESS }), coded('LETHE-4230'));
  await assert.rejects(api.getCheck('never'), coded('LETHE-4231'));
  await close();
});

test('UNIQUENESS holds learned persons against those under a later root, with an interval', async () => {
  const { world, api, close } = await served();
  const later = [...makeRecords('s', 25, [0, 1]), ...makeRecords('a', 3, [0])];
  world.commitRoot(later);
  world.suppressed.add('s24');
  const { value } = outcome(await api.check('members', { kind: KIND_UNIQUENESS }), 'uniqueness');
  assert.equal(value.members, 60);
  assert.equal(value.strangers, 24, 'who was learned is no stranger with another record');
  assert.ok(value.aucLow <= value.auc && value.auc <= value.aucHigh);
  assert.ok(value.auc > 0 && value.auc < 1);
  await close();
});

test('TARGETED: within more change of the input the attacker finds more of his class; none finds none', async () => {
  const { api, close } = await served(makeRecords('b', 10, [2]));
  const at = async (id: string, epsilon: number) =>
    outcome(await api.check(id, { kind: KIND_TARGETED, epsilon }), 'targeted').value;
  const [little, much] = [await at('little', 1), await at('much', 120)];
  assert.equal(little.tMapBefore, much.tMapBefore);
  assert.ok(much.tMapAfter! > little.tMapAfter!, `${much.tMapAfter} ${little.tMapAfter}`);
  assert.ok(much.tMapAfter! > much.tMapBefore! + 0.2);
  assert.equal(little.queries, 64);
  assert.ok((await api.getCheck('much')).result?.alarm);
  await close();
});

test('TARGETED alarms on what noise does not do, not on a gain by chance', () => {
  const random = seededRandom('targeted alarm');
  const noise = Array.from({ length: 64 }, () => 0.3 + 0.1 * random.uniform());
  let alarms = 0;
  for (let round = 0; round < 40; round++)
    if (
      beatsControl(
        noise.map(() => 0.3 + 0.1 * random.uniform()),
        noise,
      )
    )
      alarms++;
  assert.equal(alarms, 0);
  const aimed = noise.map((value) => value + 0.4 * random.uniform());
  assert.ok(beatsControl(aimed, noise));
  assert.ok(beatsControl([...aimed, Number.NaN], [...noise, Number.NaN]));
  assert.ok(!beatsControl([1], [0]), 'one query shows nothing');
  assert.ok(!beatsControl([], []));
});

test('an erasure interrupts a check, which then runs without the person', async () => {
  const { world, api, close } = await served(makeRecords('b', 10, [2]));
  const running = api.check('meanwhile', { kind: KIND_HUBS, falseAlarms: 0.05 });
  await world.startErasure('b2');
  await world.erased();
  const { value } = outcome(await running, 'hubs');
  const { result } = await api.getCheck('meanwhile');
  assert.ok(result!.functionVersion === 3 || value.judgedItems === 20n);
  if (result!.functionVersion === 3) assert.equal(value.judgedItems, 18n);
  await close();
});

test('asked again, a check answers with its result', async () => {
  const { world, api, close } = await served(makeRecords('b', 10, [2]));
  const once = await api.check('again', { kind: KIND_HUBS, falseAlarms: 0.05 });
  assert.deepEqual(await api.check('again', { kind: KIND_HUBS, falseAlarms: 0.05 }), once);
  let completed = 0;
  for await (const message of world.bus.read(STREAMS.events, aggregateFilter({ type: 'hash-check' })))
    if (readEnvelope(message).type === EVENT.hashCheckCompleted.type) completed++;
  assert.equal(completed, 1);
  await close();
});
