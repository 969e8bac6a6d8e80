/** What happens to the codes of those who stay, by policy, after an update and an erasure have changed the function. */
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { type Claim, refuseLedgerProof } from '@lethe/certificate';
import { type common, hashing } from '@lethe/contracts';
import { encodePayload } from '@lethe/datasets';
import { hex, seededRandom } from '@lethe/std';
import { claims as claimsOf, proofDetails, withinEvent } from './domain/evidence.ts';
import { closeAll, FUNCTION, FUNCTION_SPEC, SPEC, type TestRecord, World } from './fixture.ts';
import { getErasureProof } from './rpc/get-erasure-proof.ts';

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

/** The verifier of certificates accepts what the claim carries, and an auditor gets the same documents. @returns the claim's details */
async function provenLedger(world: World, made: common.ArtefactClaim): Promise<Record<string, string>> {
  const { details, artefact, owner, digestBefore, digestAfter, method } = made;
  const claim: Claim = {
    ...{ artefact, owner, digestBefore, digestAfter, method, details },
    ...{ kind: 'HASH_INDEX', claim: 'ERASED_EXACT', guarantee: null },
  };
  assert.equal(refuseLedgerProof(claim), undefined);
  assert.match(refuseLedgerProof({ ...claim, digestBefore: digestAfter })!, /starts from another root/);
  assert.match(refuseLedgerProof({ ...claim, digestAfter: digestBefore })!, /another root|not digestAfter/);
  const { erasure } = world.started(GONE);
  const { proof } = await getErasureProof(world.context(), { name: FUNCTION, erasure });
  const { erasureProof, reencodeProof } = details;
  const carried = [erasureProof, reencodeProof].filter((document) => document !== undefined);
  assert.equal(new TextDecoder().decode(proof), carried.join('\n'));
  assert.equal(carried.length, details.survivorCodes === 'KEEP' ? 1 : 2);
  return details;
}

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
  const details = await provenLedger(world, claims[1]!);
  return { before, after, version, codes, details };
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

test('a proof that is too long for a certificate is named by its digest, and claims fit into one event', () => {
  const long = proofDetails('erasureProof', new Uint8Array(65_537).fill(32));
  assert.deepEqual(Object.keys(long), ['erasureProofDigest']);
  const short = proofDetails('erasureProof', new Uint8Array(65_536).fill(32));
  assert.deepEqual(Object.keys(short), ['erasureProof', 'erasureProofDigest']);
  const digests = { weights: '', sums: '', ledgerRoot: '' };
  const [claim] = claimsOf('f', digests, digests, {});
  const claims = withinEvent(Array.from({ length: 10 }, () => ({ ...claim!, details: { ...short } })));
  assert.equal(claims.filter(({ details }) => details.erasureProof !== undefined).length, 8);
  assert.ok(claims.every(({ details }) => details.erasureProofDigest === short.erasureProofDigest));
});
