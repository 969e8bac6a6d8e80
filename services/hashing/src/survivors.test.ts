/** What happens to the codes of those who stay, by policy, after an update and an erasure have changed the function. */
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { hashing } from '@lethe/contracts';
import { encodePayload } from '@lethe/datasets';
import { hex, seededRandom } from '@lethe/std';
import { closeAll, FUNCTION_SPEC, SPEC, type TestRecord, World } from './fixture.ts';

afterEach(closeAll);

/** Persons with two records each whose classes overlap: codes near a threshold, which one person more or less can turn. */
function vague(prefix: string, persons: number, labels: readonly number[]): TestRecord[] {
  const random = seededRandom('survivors', prefix);
  return Array.from({ length: 2 * persons }, (_, i) => {
    const label = labels[i % labels.length]!;
    const pixels = Uint8Array.from({ length: 8 }, (__, p) => random.below(200) + (p % 3 === label ? 50 : 0));
    return { alias: `${prefix}${i >> 1}`, payload: encodePayload(SPEC, { values: [pixels], label }) };
  });
}

const FIRST = vague('a', 30, [0, 1]);
const SECOND = vague('b', 30, [2]);
const GONE = 'a4';
const { SURVIVOR_CODES_KEEP, SURVIVOR_CODES_REENCODE_CHANGED, SURVIVOR_CODES_RETIRE } =
  hashing.HashFunctionSpec_SurvivorCodes;

/** Learns, updates, erases a person. @returns codes before and after by item, and what the newest version gives each */
async function erased(survivorCodes: hashing.HashFunctionSpec_SurvivorCodes) {
  const world = await World.with(...FIRST);
  const { api, close } = await world.service();
  await api.create({ ...FUNCTION_SPEC, survivorCodes });
  await api.settled();
  await api.update(world.commitRoot(SECOND));
  await api.settled();
  const before = await api.codes();
  world.suppressed.add(GONE);
  await world.request(GONE);
  await world.startErasure(GONE);
  const { claims } = await world.erased();
  const after = await api.codes();
  const { version } = await api.get();
  const codes = await Promise.all(
    [...FIRST, ...SECOND]
      .filter(({ alias }) => alias !== GONE)
      .map(async ({ payload }) => hex((await api.encode(payload)).code)),
  );
  await close();
  return { before, after, version, codes, details: claims[1]!.details };
}

const codeOf = ({ code }: hashing.CodeEntry): string => hex(code);

test('KEEP: every code stays, and the claim counts those that would be different', async () => {
  const { before, after, codes, details } = await erased(SURVIVOR_CODES_KEEP);
  const kept = before.filter(({ itemId }) => after.some((entry) => hex(entry.itemId) === hex(itemId)));
  assert.equal(before.length - kept.length, 2);
  assert.deepEqual(after.map(codeOf), kept.map(codeOf));
  const differ = after.filter((entry, i) => codeOf(entry) !== codes[i]).length;
  assert.ok(differ > 0);
  assert.equal(details.survivorCodes, 'KEEP');
  assert.equal(Number(details.storedCodesThatDiffer), differ);
});

test('REENCODE_CHANGED: codes that would be different are codes of the newest version, the others stay as they are', async () => {
  const { before, after, version, codes, details } = await erased(SURVIVOR_CODES_REENCODE_CHANGED);
  assert.deepEqual(after.map(codeOf), codes);
  const old = new Map(before.map((entry) => [hex(entry.itemId), entry]));
  let changed = 0;
  for (const entry of after) {
    const was = old.get(hex(entry.itemId))!;
    const isSame = codeOf(entry) === codeOf(was);
    assert.equal(entry.functionVersion, isSame ? was.functionVersion : version);
    if (!isSame) changed++;
  }
  assert.ok(changed > 0 && changed < after.length);
  assert.equal(Number(details.reencodedCodes), changed);
});

test('RETIRE: every code is one of the newest version', async () => {
  const { after, version, codes, details } = await erased(SURVIVOR_CODES_RETIRE);
  assert.deepEqual(after.map(codeOf), codes);
  assert.ok(after.every(({ functionVersion }) => functionVersion === version));
  assert.equal(Number(details.reencodedCodes), after.length);
  assert.equal(details.survivorCodes, 'RETIRE');
});
