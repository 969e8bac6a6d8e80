import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { attestationMessage, type PartyEvidence, verifyEd25519 } from '@lethe/certificate';
import { federation as wire } from '@lethe/contracts';
import { bottomPlan, partySeed, RowStore } from '@lethe/party';
import { Session } from '@lethe/runtime';
import { fromBase64, hex, LetheError, Mailbox, parseCanonicalJson, sha256 } from '@lethe/std';
import { epochBatches, learningRateAt, PartyTrainer, planOf, TopTrainer } from '@lethe/vertical';
import { erase } from './consumers/erasure.ts';
import { Coordinator } from './coordinator.ts';
import { modelDigest, orderKey, topSeed } from './domain/plan.ts';
import { COLUMNS, eventually, makeRows, NAME, PARTIES, SPEC, type TestRow, World } from './fixture.ts';

const { STATE_WAITING_FOR_PARTIES, STATE_FAILED } = wire.Federation_State;
const coded = (code: string) => (error: unknown) => error instanceof LetheError && error.code === code;

async function world(t: TestContext, rows?: TestRow[]): Promise<World> {
  const made = await World.start(rows);
  t.after(() => made.close());
  return made;
}

async function trained(t: TestContext): Promise<World> {
  const made = await world(t);
  await made.create();
  for (const party of PARTIES) made.party(party);
  await made.ready();
  return made;
}

/** The digest of a federation that trains on these rows, computed by the library alone in this process. */
async function digestOf(rows: readonly TestRow[], orderSeed: string): Promise<string> {
  const load = (model: Parameters<typeof Session.create>[0]) => Session.create(model);
  const plan = planOf(SPEC, 3);
  const secret = sha256('federation-targets-columns');
  const top = await TopTrainer.create(plan, load, topSeed(SPEC, NAME), secret);
  const halves = await Promise.all(
    PARTIES.map(async (party, p) => ({
      trainer: await PartyTrainer.create(bottomPlan(SPEC), COLUMNS, load, partySeed(SPEC, NAME, party)),
      store: new RowStore({
        element: 'uint8',
        columns: COLUMNS,
        rows: new Map(rows.map(({ recordId, columns }) => [recordId, columns[p]!])),
      }),
    })),
  );
  const labels = new Map(rows.map(({ recordId, label }) => [recordId, label]));
  const alignment = { version: 1, rows: [...labels.keys()], tombstones: new Set<string>() };
  for (let epoch = 0; epoch < plan.epochs; epoch++) {
    for (const batch of epochBatches(alignment, orderKey(orderSeed, NAME), epoch, plan)) {
      const rate = learningRateAt(plan, epoch);
      const codes = [];
      for (const { trainer, store } of halves) codes.push(await trainer.forward(store.matrix(batch)));
      const { gradients } = await top.train(
        codes,
        batch.map((id) => labels.get(id)!),
        rate,
      );
      for (const [p, { trainer }] of halves.entries()) await trainer.backward(gradients[p]!, rate);
      for (const trainer of [top, ...halves.map((half) => half.trainer)]) trainer.commit();
    }
  }
  const digests = Object.fromEntries(PARTIES.map((party, p) => [party, hex(halves[p]!.trainer.digest())]));
  for (const trainer of [top, ...halves.map((half) => half.trainer)]) await trainer.close();
  return modelDigest(hex(top.digest()), digests);
}

test('two parties and the label holder train what the library trains, and answer for rows', async (t) => {
  const made = await world(t);
  made.canaries.add('person3');
  const created = await made.create();
  assert.equal(created.state, STATE_WAITING_FOR_PARTIES);
  made.party('left');
  const alone = await made.until(({ parties }) => parties[0]!.present);
  assert.equal(alone.state, STATE_WAITING_FOR_PARTIES);
  assert.match(alone.conditions[0]!.message, /not present: right/);
  made.party('right');
  const ready = await made.ready();
  const used = made.rows.filter(({ alias }) => alias !== 'person3');
  assert.equal(ready.digest, await digestOf(used, SPEC.seed));
  assert.notEqual(ready.digest, await digestOf(made.rows, SPEC.seed), 'a canary more must show');
  assert.equal(ready.bytesPerSampleUp, 1);
  assert.equal(ready.bytesPerSampleDown, 3);
  assert.ok((await made.accuracy(made.rows)) > 0.95);
  assert.deepEqual(made.liveKeys, ['federation-state-columns-v1', 'federation-targets-columns']);
  await assert.rejects(made.create({ ...SPEC, seed: 'other' }), coded('LETHE-4102'));
  assert.equal((await made.create()).version, 1);
});

test('a dataset of several labels, or with fields that may be absent, is refused before parties are asked', async (t) => {
  const made = await world(t);
  const { data } = made;
  made.data = { ...data, label: { ...data.label, multiple: true } };
  await assert.rejects(made.create(), coded('LETHE-2317'));
  made.data = { ...data, fields: data.fields.map((field) => ({ ...field, optional: true })) };
  await assert.rejects(made.create(), coded('LETHE-2317'));
  await assert.rejects(made.get(), coded('LETHE-4101'));
});

test('a wrong party, a second process of a party and another key are refused', async (t) => {
  const made = await world(t);
  await made.create();
  await assert.rejects(made.party('middle').running.finished, coded('LETHE-4104'));
  const left = made.party('left');
  await made.until(({ parties }) => parties[0]!.present);
  const messages = new Mailbox<{ message: { $case: 'hello'; value: Partial<wire.Hello> } }>();
  const value = { federation: NAME, party: 'left', publicKey: new Uint8Array(32), columns: 1, rows: 1n };
  messages.push({ message: { $case: 'hello', value } });
  await assert.rejects(made.partyClient.federation.join(messages).next(), coded('LETHE-4105'));
  await left.running.stop();
  await made.until(({ parties }) => !parties[0]!.present);
  await assert.rejects(made.party('left', { keyFile: 'other.key' }).running.finished, coded('LETHE-4106'));
});

test('a party that lacks a row refuses; with the row it trains', async (t) => {
  const made = await world(t);
  await made.create();
  made.party('left');
  const poor = made.party('right', { without: ['row-17'] });
  const failed = await made.until(({ state }) => state === STATE_FAILED);
  assert.match(failed.conditions[1]!.message, /LETHE-4109.*right refused with LETHE-5101/);
  assert.equal(failed.version, 0);
  await poor.running.stop();
  made.party('right');
  assert.equal((await made.ready()).digest, await digestOf(made.rows, SPEC.seed));
});

test('a party that is lost in the middle is waited for, and the same model comes out', async (t) => {
  const made = await world(t);
  await made.create();
  made.party('left');
  let halfway = (): void => undefined;
  const reached = new Promise<void>((done) => {
    halfway = done;
  });
  const lost = made.party('right', {
    onProgress: ({ phase, done }) => {
      if (phase === 'training' && done! >= 10) halfway();
    },
  });
  await reached;
  await lost.running.stop();
  const waiting = await made.until(({ state }) => state === STATE_WAITING_FOR_PARTIES);
  assert.match(waiting.conditions[0]!.message, /not present: right; the round was abandoned: .*right left/);
  assert.equal(waiting.version, 0);
  await assert.rejects(made.accuracy(made.rows), coded('LETHE-4110'));
  made.party('right');
  assert.equal((await made.ready()).digest, await digestOf(made.rows, SPEC.seed));
});

test('after a restart of the service, and of a party, the same model answers', async (t) => {
  const made = await trained(t);
  const before = await made.get();
  const accuracy = await made.accuracy(made.rows);
  await made.stopService();
  await made.startService();
  const back = await made.ready();
  assert.equal(back.digest, before.digest);
  assert.equal(await made.accuracy(made.rows), accuracy);
  // The party's model is in its memory alone: the same steps bring it back, without a new version.
  const again = await world(t);
  await again.create();
  again.party('left');
  const right = again.party('right');
  await again.ready();
  await right.running.stop();
  await assert.rejects(again.accuracy(again.rows), coded('LETHE-4110'));
  const replaced = again.party('right');
  const replayed = await again.ready();
  assert.equal(replayed.digest, before.digest);
  assert.ok(replaced.progress.some(({ phase }) => phase === 'trained'));
  assert.equal(await again.accuracy(again.rows), accuracy);
});

test('an erasure ends in the model of a federation that never had the rows, and every party signs', async (t) => {
  const made = await world(t);
  made.canaries.add('person9');
  await made.create();
  const parties = PARTIES.map((party) => made.party(party));
  const before = await made.ready();
  const contained = await made.request('person4');
  const artefacts = [NAME, `${NAME}/parties/left`, `${NAME}/parties/right`];
  assert.deepEqual(contained.artefacts, artefacts);
  const own = made.rows.filter(({ alias }) => alias === 'person4');
  await assert.rejects(made.accuracy(own), coded('LETHE-4112'));
  await made.startErasure(['person4'], ['person9', 'person10']);
  const erased = await made.erased();
  const after = await made.ready(2);
  const gone = ['person4', 'person9', 'person10'];
  const survivors = made.rows.filter(({ alias }) => !gone.includes(alias));
  assert.equal(after.digest, await digestOf(survivors, 'ab'.repeat(32)));
  assert.deepEqual(
    erased.claims.map((claim) => [claim.artefact, claim.owner, claim.digestBefore, claim.digestAfter]),
    [
      [NAME, 'federation', before.digest, after.digest],
      ...PARTIES.map((party, p) => [
        `${NAME}/parties/${party}`,
        `parties/${party}`,
        before.parties[p]!.modelDigest,
        after.parties[p]!.modelDigest,
      ]),
    ],
  );
  assert.equal(erased.claims[0]!.details.rowsErased, '6');
  assert.equal(erased.claims[0]!.details.rowsErasedThatTrained, '4');
  for (const [p, bytes] of erased.attestations.entries()) {
    const evidence = parseCanonicalJson(bytes) as PartyEvidence;
    const key = fromBase64(evidence.publicKey);
    assert.equal(hex(key), hex(after.parties[p]!.publicKey));
    const message = attestationMessage(evidence.attestation);
    assert.ok(verifyEd25519(key, message, fromBase64(evidence.signature)));
  }
  for (const { rows } of parties) {
    assert.equal(rows.size, survivors.length);
    assert.equal(rows.missing(own.map(({ recordId }) => recordId)), own.length);
  }
  assert.deepEqual(made.liveKeys, ['federation-state-columns-v2', 'federation-targets-columns']);
  assert.ok((await made.accuracy(survivors)) > 0.95);
  await assert.rejects(made.accuracy(own), coded('LETHE-4109'));
  // Asked again, as after a crash before the answer was a fact: the same claims, nothing is trained.
  const again = await erase(
    new Coordinator(made.deps, {}),
    'acme',
    made.started(['person4'], ['person9', 'person10']),
  );
  assert.deepEqual(again.claims, erased.claims);
  assert.deepEqual(again.attestations, erased.attestations);
  assert.equal((await made.get()).version, 2);
});

test('an erasure waits for a party that is away, and what nobody trained on is left as it is', async (t) => {
  const made = await world(t, makeRows(200));
  await made.create();
  made.party('left');
  const right = made.party('right');
  await made.ready();
  await made.request('person4');
  await right.running.stop();
  await made.startErasure(['person4']);
  const erasing = await made.until(({ state }) => state === wire.Federation_State.STATE_ERASING);
  assert.equal(erasing.version, 1);
  made.party('right');
  const { claims } = await made.erased();
  assert.notEqual(claims[0]!.digestBefore, claims[0]!.digestAfter);
  const coordinator = new Coordinator(made.deps, {});
  const stranger = { ...made.started(['nobody'], []), erasure: 'tenants/acme/erasureRequests/e2' };
  const untouched = await erase(coordinator, 'acme', stranger);
  assert.ok(untouched.claims.every(({ digestBefore, digestAfter }) => digestBefore === digestAfter));
  assert.deepEqual(untouched.attestations, []);
  assert.match(untouched.claims[0]!.details.reason!, /rows that a party holds of records .* not reached/);
});

for (const when of ['after the training', 'before it'] as const) {
  test(`rows of a person who came under a later root, committed ${when}, are deleted at the parties`, async (t) => {
    const all = makeRows(208);
    const made = await world(t, all.slice(0, 200));
    made.laterRows.push(...all.slice(200));
    if (when === 'before it') await made.commitSecondRoot();
    await made.create();
    const parties = PARTIES.map((party) => made.party(party));
    const before = await made.ready();
    assert.equal(before.digest, await digestOf(made.rows, SPEC.seed), 'later rows are not trained on');
    if (when === 'after the training') {
      await made.commitSecondRoot();
      const state = 'federation-state-columns-v1-root-2';
      await eventually(async () => (made.liveKeys[0] === state ? true : undefined));
      assert.deepEqual(made.liveKeys, [state, 'federation-targets-columns']);
      const { version, digest } = await made.get();
      assert.deepEqual([version, digest], [1, before.digest]);
      await made.stopService();
      await made.startService();
      await made.ready();
    }
    const later = all[202]!.alias;
    await made.request(later);
    await made.startErasure([later]);
    const { claims, attestations } = await made.erased();
    const own = all.filter(({ alias }) => alias === later).map(({ recordId }) => recordId);
    assert.equal(own.length, 2);
    for (const { rows } of parties) assert.equal(rows.missing(own), own.length);
    assert.deepEqual([claims[0]!.details.rowsErased, claims[0]!.details.rowsErasedThatTrained], ['2', '0']);
    assert.equal(claims[0]!.details.reason, undefined, 'it is not said to be untouched');
    assert.equal(attestations.length, PARTIES.length);
    assert.deepEqual(made.liveKeys, ['federation-state-columns-v2', 'federation-targets-columns']);
  });
}
