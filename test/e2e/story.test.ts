/**
 * The whole story on a small table instead of pictures: every step through gRPC sockets and JetStream although one process
 * hosts the services, both counted; every equality with a control that changes one record.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { runVerify } from '@lethe/certificate';
import type { Lethe } from '@lethe/client';
import { ACCESS, resourceName } from '@lethe/contracts';
import { type TailedEvent, tail } from '@lethe/events';
import { base64, equalBytes, hex, LetheError, seededRandom, shuffle } from '@lethe/std';
import { type Running, startPlatform, TENANT, withDirectory } from './support-small/platform.ts';
import {
  changed,
  HASH_OPTIONS,
  ingest,
  learnedAtOnce,
  payloadOf,
  questionOf,
  READINGS,
  type Reading,
  SPEC_BYTES,
  sent,
} from './support-small/sensors.ts';
import { certified, registeredAudit, servedFunction, trained } from './support-small/work.ts';

const parent = resourceName('tenant', TENANT);
const dataset = resourceName('dataset', TENANT, 'sensors');
const auditName = resourceName('audit', TENANT, 'canaries');
const fn = resourceName('hashFunction', TENANT, 'states');
const ensemble = resourceName('model', TENANT, 'ensemble');
const dp = resourceName('model', TENANT, 'private');

/** Operators 1 to 70 come first, the others later. */
const FIRST = READINGS.slice(0, 280);
const SECOND = READINGS.slice(280);
const PERSON = READINGS[40]!.subjectId;
const OWN = READINGS.filter((reading) => reading.subjectId === PERSON);
const OTHERS = READINGS.filter((reading) => reading.subjectId !== PERSON);

async function search(client: Lethe, of: readonly Reading[]) {
  const answers = [];
  for (const reading of of) {
    const query = { $case: 'payload' as const, value: questionOf(reading) };
    answers.push(await client.hashing.search({ name: fn, query, k: 400 }));
  }
  return answers;
}

/** Digest that another process arrives at which trains the shard from nothing on these records. */
function replay(
  directory: string,
  plan: Uint8Array,
  records: readonly { recordId: string; payload: string }[],
) {
  const files = [join(directory, 'replay-plan.json'), join(directory, 'replay-records.json')] as const;
  writeFileSync(files[0], plan, { mode: 0o600 });
  writeFileSync(files[1], JSON.stringify(records), { mode: 0o600 });
  const script = new URL('../../services/learning/src/replay-main.ts', import.meta.url).pathname;
  return execFileSync(process.execPath, [script, ...files], { encoding: 'utf8' }).trim();
}

async function replayControl({ auditor, operator, directory }: Running): Promise<void> {
  const { shardDigests } = await auditor.learning.getModel({ name: ensemble });
  const { latestRoot: root } = await operator.vault.getDataset({ name: dataset });
  const records: { recordId: string; payload: Uint8Array }[] = [];
  for await (const record of operator.vault.readRecords({ root })) records.push(record);
  const asText = records.map(({ recordId, payload }) => ({ recordId, payload: base64(payload) }));
  for (const [shard, expected] of shardDigests.entries()) {
    const { plan } = await auditor.learning.getReplay({ name: ensemble, shard });
    assert.equal(
      replay(directory, plan, asText),
      expected,
      `shard ${shard} is one that never saw the person`,
    );
    const named = new Set(
      (JSON.parse(new TextDecoder().decode(plan)) as { slices: string[][] }).slices.flat(),
    );
    for (const { recordId } of OWN) assert.ok(!named.has(recordId), 'the plan names a record of the person');
    const victim = OTHERS.find(({ recordId }) => named.has(recordId))!;
    const other = asText.map((record) =>
      record.recordId === victim.recordId
        ? { ...record, payload: base64(payloadOf(changed(victim))) }
        : record,
    );
    assert.notEqual(replay(directory, plan, other), expected, 'one changed record must give another shard');
  }
}

/** What a user would see. Equal before and after a restart. */
async function observable({ client, auditor }: Running, erasureName: string) {
  const payloads = READINGS.slice(0, 50).map(questionOf);
  const { content } = await auditor.erasure.getCertificate({ name: erasureName });
  return {
    search: await search(client, [...OWN, ...READINGS.slice(100, 110)]),
    labels: (await client.hashing.predict({ name: fn, payloads })).labels,
    logits: {
      ensemble: hex((await client.learning.predict({ name: ensemble, payloads })).logits),
      dp: hex((await client.learning.predict({ name: dp, payloads })).logits),
    },
    models: [
      await client.learning.getModel({ name: ensemble }),
      await client.learning.getModel({ name: dp }),
    ],
    fn: await client.hashing.getHashFunction({ name: fn }),
    audit: await auditor.audit.getAudit({ name: auditName }),
    erasure: await auditor.erasure.getErasureRequest({ name: erasureName }),
    certificate: hex(content),
    publicKey: JSON.parse(new TextDecoder().decode((await auditor.erasure.getVerifyKey({ parent })).content)),
  };
}

function verifyOffline(certificate: Uint8Array, key: Uint8Array): { code: number; said: string } {
  let said = '';
  const note = (text: string): void => {
    said += text;
  };
  const code = runVerify(['certificate.json', '--key', 'key.json'], {
    readFile: (path) => (path === 'key.json' ? key : certificate),
    out: note,
    err: note,
  });
  return { code, said };
}

/** Facts of an erasure, by aggregate type, in the order of the stream. */
const FACTS: Readonly<Record<string, readonly string[]>> = {
  erasure: [
    'erasure.requested',
    'erasure.contained',
    'erasure.started',
    'erasure.owners.confirmed',
    'erasure.erased',
    'erasure.certified',
  ],
  'vault-erasure': ['vault.contained', 'subject.erasure.planned', 'subject.key.destroyed'],
  'hash-erasure': ['hash.contained', 'hash.erased'],
  'learning-erasure': ['learning.contained', 'model.unlearned'],
  'audit-erasure': ['audit.contained'],
  'federation-erasure': ['federation.contained', 'federation.erased'],
};

test('the story on a small table', { timeout: 180_000 }, async (t) => {
  await withDirectory(async (directory) => {
    let running = await startPlatform(directory);
    try {
      const { client, auditor, host } = running;
      const counters = host.bus.counters();

      await t.test('ingest: people, then canary subjects that are nobody', async () => {
        await client.vault.createDataset({
          parent,
          datasetId: 'sensors',
          spec: SPEC_BYTES,
          requestId: 'create',
        });
        const answer = await ingest(client, dataset, FIRST.map(sent));
        assert.equal(answer.stored, 280n);
        await auditor.audit.createAudit({
          parent,
          auditId: 'canaries',
          spec: { dataset, canaryCount: 200, model: ensemble },
          requestId: 'audit',
        });
        const registered = await registeredAudit(auditor, auditName);
        assert.match(registered.coinKeyHash, /^[0-9a-f]{64}$/);
        const { subjectCount } = await client.vault.getDataset({ name: dataset });
        assert.equal(subjectCount, 70n + 200n);
      });

      await t.test('lifelong hashing: learn, then update with the second wave alone', async () => {
        const first = await client.vault.commitDatasetRoot({ dataset, requestId: 'root-1' });
        await client.hashing.createHashFunction({
          parent,
          functionId: 'states',
          spec: { root: first.name, ...HASH_OPTIONS },
          requestId: 'learn',
        });
        const learned = await servedFunction(client, fn, 1);
        assert.equal(learned.weightsDigest, learnedAtOnce(FIRST));
        assert.equal(learned.itemCount, 280n, 'canaries are not indexed');

        await ingest(client, dataset, SECOND.map(sent));
        const second = await client.vault.commitDatasetRoot({ dataset, requestId: 'root-2' });
        await client.hashing.createUpdate({ name: fn, root: second.name, requestId: 'update' });
        const updated = await servedFunction(client, fn, 2);
        assert.ok(equalBytes(updated.oldCodesRootBefore, updated.oldCodesRootAfter), 'old codes stay');
        const shuffled = shuffle([...READINGS], seededRandom('any order'));
        assert.equal(updated.weightsDigest, learnedAtOnce(shuffled), 'as if all had been learned at once');
        const control = READINGS.with(17, changed(READINGS[17]!));
        assert.notEqual(updated.weightsDigest, learnedAtOnce(control), 'one changed record, other weights');
      });

      await t.test('search and predict', async () => {
        const [answer] = await search(client, OWN.slice(0, 1));
        assert.equal(answer!.neighbours.length, 400);
        const payloads = READINGS.map(questionOf);
        const { labels } = await client.hashing.predict({ name: fn, payloads, k: 15 });
        const right = labels.filter((label, i) => label === READINGS[i]!.label).length;
        assert.ok(right / READINGS.length > 0.8, `${right} of ${READINGS.length} labels are right`);
      });

      await t.test(
        'training: one model under differential privacy, one ensemble that can forget',
        async () => {
          const root = resourceName('datasetRoot', TENANT, 'sensors', '2');
          const dpSgd = {
            epsilon: 8,
            delta: 1e-3,
            samplingProbability: 0.25,
            steps: 20,
            l2ClipNorm: 1,
            learningRate: 1,
            momentum: 0.9,
            rowsPerSubjectMax: 4,
          };
          const privately = await trained(client, 'private', {
            root,
            method: { $case: 'dpSgd', value: dpSgd },
          });
          assert.ok(privately.privacy!.epsilonUpper <= 8);
          assert.equal(privately.privacy!.randomSource, 'secure');
          const shardedEnsemble = {
            shardCount: 3,
            sliceCount: 2,
            hiddenUnits: 8,
            epochs: 4,
            batchSize: 16,
            learningRate: 0.1,
            audit: auditName,
          };
          const model = await trained(client, 'ensemble', {
            root,
            method: { $case: 'shardedEnsemble', value: shardedEnsemble },
          });
          assert.equal(model.shardDigests.length, 3);
        },
      );

      let erasureName = '';
      let key = new Uint8Array();
      await t.test('erasure: one person, certified, and verified offline', async () => {
        const before = await auditor.learning.getModel({ name: ensemble });
        const { alias } = await auditor.vault.resolveSubject({ parent, subjectId: PERSON });
        const found = async (): Promise<number> =>
          (await search(client, OWN)).flatMap((answer) =>
            answer.neighbours.filter(({ subjectAlias }) => subjectAlias === alias),
          ).length;
        assert.equal(await found(), OWN.length ** 2, 'each own query finds each own item');
        const requested = await auditor.erasure.createErasureRequest({
          parent,
          subjectId: PERSON,
          requestId: 'forget-me',
          policy: 'gdpr-art-17',
        });
        erasureName = requested.erasureRequest!.name;
        assert.equal(requested.opening.length, 32);
        const ended = await certified(auditor, erasureName);
        assert.equal(ended.residualBytes, 0n);
        assert.ok(['PASS', 'FAIL', 'INCONCLUSIVE'].includes(ended.auditVerdict), ended.auditVerdict);
        assert.equal(await found(), 0);
        const claimed = new Map(ended.claims.map((claim) => [claim.artefact, claim]));
        assert.equal(claimed.get(ensemble)!.digestBefore, before.digest);
        assert.equal(
          claimed.get(ensemble)!.digestAfter,
          (await auditor.learning.getModel({ name: ensemble })).digest,
        );
        for (const artefact of [dataset, fn, ensemble, dp])
          assert.ok(claimed.has(artefact), `no claim on ${artefact}: ${[...claimed.keys()].join(', ')}`);
        const { content } = await auditor.erasure.getCertificate({ name: erasureName });
        key = new Uint8Array((await auditor.erasure.getVerifyKey({ parent })).content);
        const verified = verifyOffline(content, key);
        assert.equal(verified.code, 0, verified.said);
        const text = new TextDecoder().decode(content);
        assert.ok(!text.includes(PERSON) && !text.includes(alias), 'a certificate names no one');
        const flipped = Uint8Array.from(content);
        flipped[flipped.length >> 1]! ^= 1;
        assert.equal(verifyOffline(flipped, key).code, 1);
      });

      await t.test('the weights are those of a function that never saw the person', async () => {
        const { weightsDigest } = await client.hashing.getHashFunction({ name: fn });
        assert.equal(weightsDigest, learnedAtOnce(OTHERS));
        assert.notEqual(weightsDigest, learnedAtOnce(READINGS), 'the control: with the person');
        assert.notEqual(weightsDigest, learnedAtOnce(OTHERS.with(5, changed(OTHERS[5]!))), 'the control');
      });

      await t.test('each shard is one that another process trains on the survivors', () =>
        replayControl(running),
      );

      await t.test('the person stays away', async () => {
        await assert.rejects(
          ingest(client, dataset, OWN.map(sent)),
          (error) => error instanceof LetheError && error.reason === 'SUBJECT_ERASED',
        );
      });

      await t.test('each service was reached through its socket, each fact is on the stream', async () => {
        await assert.rejects(
          client.federation.getFederation({ name: resourceName('federation', TENANT, 'none') }),
          (error) => error instanceof LetheError && error.status === 'NOT_FOUND',
        );
        const calls = host.server.callCounts();
        const services = new Set(Object.keys(calls).map((path) => path.split('/')[1]));
        const wanted = Object.keys(ACCESS)
          .map((path) => path.split('/')[1]!)
          .filter((service) => service.startsWith('lethe.'));
        assert.deepEqual(
          [...new Set(wanted)].filter((service) => !services.has(service)),
          [],
        );
        // Services reach one another over the same socket: only a service calls these.
        for (const method of [
          'vault.v1.VaultService/CreateArtefactKey',
          'vault.v1.VaultService/ReadRecords',
          'audit.v1.AuditService/ListExclusions',
          'erasure.v1.ErasureService/GetLogStatement',
        ])
          assert.ok((calls[`/lethe.${method}`] ?? 0) > 0, `${method} was called`);

        const events: TailedEvent[] = [];
        for await (const event of tail(host.bus, { tenant: TENANT })) events.push(event);
        const id = erasureName.split('/').at(-1)!;
        for (const [type, facts] of Object.entries(FACTS)) {
          const seen = events.filter(({ aggregate }) => aggregate.type === type && aggregate.id === id);
          assert.deepEqual(
            seen.map((event) => event.type),
            facts,
            `facts on ${type}`,
          );
        }
        assert.ok(events.some(({ type }) => type === 'audit.completed'));
        const now = host.bus.counters();
        assert.ok(now.appended - counters.appended >= READINGS.length + 200 + events.length / 2);
        assert.ok(now.delivered - counters.delivered >= events.length, 'consumers heard of the facts');
        t.diagnostic(
          `${Object.values(calls).reduce((a, b) => a + b)} gRPC calls; ${events.length} events; ${JSON.stringify(now)}`,
        );
      });

      await t.test('state survives a restart', async () => {
        const before = await observable(running, erasureName);
        await running.close();
        running = await startPlatform(directory);
        const after = await observable(running, erasureName);
        assert.deepEqual(after, before);
        await assert.rejects(
          ingest(running.client, dataset, OWN.map(sent)),
          (error) => error instanceof LetheError && error.reason === 'SUBJECT_ERASED',
        );
        const content = (await running.auditor.erasure.getCertificate({ name: erasureName })).content;
        assert.equal(verifyOffline(content, key).code, 0, 'by the key file from before the restart');
      });
    } finally {
      await running.close();
    }
  });
});
