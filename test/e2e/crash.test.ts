/**
 * `kill -9` at any moment, then a start on the same directory: work goes on, and an erasure ends with the same claims and
 * digests as one that nobody disturbed.
 *
 * LETHE_CRASH_POINTS=N   number of kills at random moments of the erasure (default 8)
 * LETHE_CRASH_SEED=S     seed of these moments (default: fresh, and printed)
 */
import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { EVENT, resourceName } from '@lethe/contracts';
import { freePort } from '@lethe/events';
import { base64, hex, type RandomSource, secureRandom, seededRandom, sleep } from '@lethe/std';
import { type Needle, piecesOf } from '@lethe/store';
import { type Outcome, outcome, requestErasure } from './support/erasures.ts';
import { charges, Facts, isStored, logStatements, sealedRecords } from './support/facts.ts';
import { startParties, writeParties } from './support/parties.ts';
import { killPlatform, natsPidOf, served, spawnPlatform, startPlatform, TENANT } from './support/platform.ts';
import { endAll, isAlive, type Running, runScript, until } from './support/processes.ts';
import {
  commitRoot,
  createDataset,
  createHashFunction,
  createRun,
  dpSgd,
  ensemble,
  ingest,
  learnEverything,
  NAME,
  PARENT,
  readings,
  registerAudit,
  untilServing,
  untilTrained,
} from './support/sensors.ts';
import { found, livingKeys } from './support/stores.ts';

const PERSON = readings[0]!.subjectId;
const RANDOM_KILLS = Number(process.env.LETHE_CRASH_POINTS ?? 8);
const RANDOM_KILLS_PER_CHAIN = 4;
const FACT_CHAINS = 4;
/** Copies that are played at once: most of the time they wait until NATS delivers again what died with a process (10 s). */
const LANES = 5;
const SEED = process.env.LETHE_CRASH_SEED ?? hex(secureRandom().bytes(4));

/** One kill: after a fact has passed, or so many milliseconds after the start of the process. */
type Kill = { readonly after: string; readonly withNats?: boolean; readonly withParties?: boolean } | number;

/** In the order in which an erasure commits them. */
const FACTS: readonly Kill[] = [
  { after: EVENT.hashContained.type },
  { after: EVENT.auditContained.type },
  { after: EVENT.erasureStarted.type, withParties: true },
  { after: EVENT.hashErased.type },
  { after: EVENT.modelUnlearned.type, withNats: true },
  { after: EVENT.federationErased.type, withParties: true },
  { after: EVENT.erasureOwnersConfirmed.type },
  { after: EVENT.subjectErasurePlanned.type },
  { after: EVENT.subjectKeyDestroyed.type, withNats: true },
  { after: EVENT.erasureErased.type },
  { after: EVENT.auditCompleted.type },
  { after: EVENT.erasureCertified.type },
];

const folder = mkdtempSync(join(tmpdir(), 'lethe-crash-'));
after(() => {
  endAll();
  rmSync(folder, { recursive: true, force: true });
});

const at = (name: string): string => join(folder, name);

/** A platform with the data set, its canaries and a logged root; nothing has been learned from it. */
let root = '';
before(async () => {
  const platform = await startPlatform(at('records'), { port: await freePort() });
  await createDataset(platform);
  await ingest(platform, readings, 'all');
  await registerAudit(platform);
  root = await commitRoot(platform, 'root-1');
  await platform.stop();
});

async function onCopy(name: string, from = 'records'): Promise<{ directory: string; port: number }> {
  cpSync(at(from), at(name), { recursive: true });
  return { directory: at(name), port: await freePort() };
}

/** At once: most of the time each waits until NATS delivers again what died with a process (10 s). */
describe('killed and started again', { concurrency: 5 }, () => {
  test('killed while records are ingested: a repeat of the stream stores the rest, each once', async () => {
    const many = Array.from({ length: 24 }, (_, i) =>
      readings.map((reading) => ({ ...reading, subjectId: `${reading.subjectId}-${i}` })),
    ).flat();
    const options = { port: await freePort() };
    const directory = at('ingestion');
    let platform = await startPlatform(directory, options);
    await createDataset(platform);
    for (const share of [0.15, 0.4, 0.75]) {
      const facts = await Facts.watch(platform.natsUrl, 'lethe.records.>');
      const cut = ingest(platform, many, 'all').then(
        () => false,
        () => true,
      );
      const present = (await sealedRecords(platform.natsUrl, 'sensors')).length;
      await facts.until('', Math.floor(share * many.length) - present);
      await platform.kill();
      assert.ok(await cut, 'the kill came after the end of the stream');
      platform = await startPlatform(directory, options);
    }
    const before = (await sealedRecords(platform.natsUrl, 'sensors')).length;
    assert.ok(before > 0 && before < many.length, `${before} records before the last repeat`);
    const answer = await ingest(platform, many, 'all');
    const all = await sealedRecords(platform.natsUrl, 'sensors');
    assert.deepEqual(answer, {
      stored: BigInt(many.length - before),
      duplicates: BigInt(before),
      suppressed: 0n,
    });
    assert.equal(all.length, many.length);
    assert.equal(new Set(all.map(({ recordKey }) => recordKey)).size, many.length);
    const { recordCount } = await platform.client.vault.getDataset({ name: NAME.dataset });
    assert.equal(recordCount, BigInt(many.length));
    await platform.stop();
  });

  test('killed while a hash function learns: it learns on, to the same weights', async () => {
    const learn = async (name: string, kills: number): Promise<string> => {
      const { directory, port } = await onCopy(name);
      let platform = await startPlatform(directory, { port });
      for (let kill = 0; kill < kills; kill++) {
        const facts = await Facts.watch(platform.natsUrl);
        await createHashFunction(platform, root, 256);
        await facts.until(EVENT.hashFunctionCreated.type);
        assert.equal(facts.count(EVENT.hashFunctionPromoted.type), 0);
        await platform.kill();
        platform = await startPlatform(directory, { port });
      }
      await createHashFunction(platform, root, 256);
      const { weightsDigest, version, itemCount } = await untilServing(platform);
      await platform.stop();
      assert.deepEqual({ version, itemCount }, { version: 1, itemCount: BigInt(readings.length) });
      return weightsDigest;
    };
    assert.equal(await learn('hash-killed', 1), await learn('hash-undisturbed', 0));
  });

  test('killed in the middle of an ensemble: it is trained, to the digests that a replay arrives at', async () => {
    const { directory, port } = await onCopy('ensemble');
    let platform = await startPlatform(directory, { port });
    const name = resourceName('trainingRun', TENANT, 'long');
    for (let kill = 0; kill < 2; kill++) {
      await createRun(platform, 'long', root, ensemble({ shardCount: 2, epochs: 100 }));
      await until(
        async () => {
          const { progress, model } = await platform.client.learning.getTrainingRun({ name });
          assert.equal(model, '', 'the training ended before the kill');
          return (progress?.done ?? 0n) > 0n;
        },
        'progress of the training',
        { explain: platform.process.said },
      );
      await platform.kill();
      platform = await startPlatform(directory, { port });
    }
    const model = await untilTrained(platform, 'long');
    const records: { recordId: string; payload: string }[] = [];
    for await (const { recordId, payload } of platform.operator.vault.readRecords({ root })) {
      records.push({ recordId, payload: base64(payload) });
    }
    const files = [join(directory, 'plan.json'), join(directory, 'records.json')] as const;
    writeFileSync(files[1], JSON.stringify(records));
    for (const [shard, digest] of model.shardDigests.entries()) {
      const { plan } = await platform.auditor.learning.getReplay({ name: model.name, shard });
      writeFileSync(files[0], plan);
      const { code, said } = await runScript('services/learning/src/replay-main.ts', files);
      assert.deepEqual({ code, digest: said.trim() }, { code: 0, digest });
    }
    await platform.stop();
  });

  test('killed in the middle of DP-SGD: every step that counts was charged before it ran', async () => {
    const steps = 600;
    const { directory, port } = await onCopy('dp');
    let platform = await startPlatform(directory, { port });
    for (const block of [2, 4]) {
      const facts = await Facts.watch(platform.natsUrl);
      await createRun(platform, 'long', root, dpSgd(steps));
      await facts.until(EVENT.privacySpent.type, block);
      assert.equal(facts.count(EVENT.modelTrained.type), 0);
      await platform.kill();
      platform = await startPlatform(directory, { port });
    }
    const model = await untilTrained(platform, 'long');
    const spent = await charges(platform.natsUrl, 'long');
    await platform.stop();
    let next = 0;
    for (const { firstStep, steps: charged } of spent) {
      assert.equal(firstStep, next, 'steps are charged once each, in order');
      next += charged;
    }
    assert.equal(next, steps);
    assert.equal(model.privacy?.steps, steps);
    assert.ok(model.privacy.epsilonUpper <= 3);
    // Each kill has lost at most the block that was running; what was lost stays charged.
    const trained = Number(model.optimizerSteps);
    assert.ok(trained > 0 && trained <= steps, `${trained} steps of ${steps} are in the model`);
    assert.equal((steps - trained) % (steps / 4), 0);
  });

  test('killed at any moment of an erasure: it ends with the same claims and digests', async (t) => {
    const needles = await requested();
    assert.ok((await found([at('requested')], needles)).record! > 0, 'the scan sees what is there');
    const { ms, ...undisturbed } = await play('undisturbed', [], { needles });
    t.diagnostic(`undisturbed: ${Math.round(ms)} ms from the start to the certificate; seed ${SEED}`);
    assert.equal(undisturbed.needles.record, 0);
    assert.deepEqual(
      undisturbed.statements.filter((type) => type === 'certificate'),
      ['certificate'],
    );
    const waiting = plays(seededRandom('lethe-crash', SEED), ms).entries();
    const failures: unknown[] = [];
    const lane = async (): Promise<void> => {
      // Lanes share the iterator: each takes what is next.
      for (const [number, kills] of waiting) {
        const name = `killed-${number}`;
        try {
          const { ms: _, ...ended } = await play(name, kills, { needles, keys: undisturbed.keys });
          assert.deepEqual(ended, undisturbed, `after ${JSON.stringify(kills)}`);
          rmSync(at(name), { recursive: true, force: true });
        } catch (error) {
          failures.push(error);
        }
      }
    };
    await Promise.all(Array.from({ length: LANES }, lane));
    if (failures.length > 0) throw new AggregateError(failures, `${failures.length} copies ended otherwise`);
  });
});

interface Ended extends Outcome {
  /** Types of the log's statements, in order of type. */
  readonly statements: readonly string[];
  /** How many keys live on. */
  readonly keys: number;
  /** Bytes of the person's sealed records, looked for by us. */
  readonly needles: Readonly<Record<string, number>>;
  /** Milliseconds from the start of the last process to the certificate. */
  readonly ms: number;
}

/** Plays one copy of a platform and its parties: kill, start again, kill …, and in the end let it end. */
async function play(
  name: string,
  kills: readonly Kill[],
  expected: { readonly needles: readonly Needle[]; readonly keys?: number },
): Promise<Ended> {
  const { directory, port } = await onCopy(name, 'requested');
  const parties = at(`${name}-parties`);
  cpSync(at('requested-parties'), parties, { recursive: true });
  const credentialsFile = join(directory, 'credentials.json');
  const where = { address: `127.0.0.1:${port}`, credentialsFile };
  let running = startParties(parties, where);
  try {
    for (const kill of kills) {
      const child = spawnPlatform(directory, { port });
      if (typeof kill === 'number') {
        await sleep(kill);
      } else {
        const { natsUrl } = await served(directory, child);
        const facts = await Facts.watch(natsUrl);
        await facts.until(kill.after);
        const natsPid = natsPidOf(directory);
        child.signal('SIGKILL');
        if (kill.withNats && natsPid) process.kill(natsPid, 'SIGKILL');
        if (kill.withParties) await end(running.splice(0));
        await facts.close();
      }
      // Nobody waits for what the dead process has left behind: the next start has to cope with it.
      child.signal('SIGKILL');
      await child.gone;
      if (running.length === 0) running = startParties(parties, where);
    }
    const startedMs = performance.now();
    const platform = await startPlatform(directory, { port });
    try {
      const ended = await outcome(platform, await requestErasure(platform, PERSON));
      const ms = performance.now() - startedMs;
      const statements = await logStatements(platform.natsUrl);
      assert.equal(new Set(statements.map(({ digest }) => digest)).size, statements.length);
      if (expected.keys !== undefined) {
        // What died between a fact and its last clean-up is delivered again after 10 s, while the certificate is out already.
        await until(() => livingKeys(directory) === expected.keys, `${expected.keys} living keys`, {
          withinMs: 25_000,
          explain: () => `${livingKeys(directory)} are living`,
        });
      }
      await platform.stop();
      return {
        ...ended,
        statements: statements.map(({ type }) => type).sort(),
        keys: livingKeys(directory),
        needles: await found([directory, parties], expected.needles),
        ms,
      };
    } catch (error) {
      throw new Error(`${name}: ${platform.process.said()}${running.map((party) => party.said()).join('')}`, {
        cause: error,
      });
    } finally {
      platform.process.signal('SIGKILL');
      await platform.process.gone;
    }
  } finally {
    await end(running);
  }
}

async function end(processes: readonly Running[]): Promise<void> {
  for (const one of processes) one.signal('SIGKILL');
  await Promise.all(processes.map((one) => one.gone));
}

/** Everything is learned, the erasure has been requested, and the platform was killed at that moment. */
async function requested(): Promise<Needle[]> {
  const { directory, port } = await onCopy('requested');
  const platform = await startPlatform(directory, { port });
  writeParties(at('requested-parties'));
  const credentialsFile = join(directory, 'credentials.json');
  const parties = startParties(at('requested-parties'), { address: platform.address, credentialsFile });
  try {
    await learnEverything(platform, root);
    const { alias } = await platform.auditor.vault.resolveSubject({ parent: PARENT, subjectId: PERSON });
    const sealed = await sealedRecords(platform.natsUrl, 'sensors', alias);
    assert.equal(sealed.length, 4);
    const facts = await Facts.watch(platform.natsUrl);
    const answer = requestErasure(platform, PERSON).catch(() => undefined);
    await facts.until(EVENT.erasureRequested.type);
    await until(() => isStored(platform.natsUrl, EVENT.erasureRequested.type), 'the request on the stream');
    const natsPid = natsPidOf(directory);
    assert.ok(natsPid && isAlive(natsPid));
    await killPlatform(directory, platform.process);
    assert.ok(!isAlive(natsPid), 'the NATS server ends with a platform that is killed');
    await answer;
    platform.close();
    await facts.close();
    return sealed.flatMap((record) => piecesOf('record', record.sealed));
  } finally {
    await end([platform.process, ...parties]);
  }
}

/** Every fact once, four interleaved chains of kills; and as many kills at random moments as were asked for. */
function plays(random: RandomSource, spanMs: number): Kill[][] {
  const out: Kill[][] = Array.from({ length: FACT_CHAINS }, (_, chain) =>
    FACTS.filter((_, i) => i % FACT_CHAINS === chain),
  );
  const moments = Array.from({ length: RANDOM_KILLS }, () => Math.round(random.uniform() * spanMs));
  while (moments.length > 0) out.push(moments.splice(0, RANDOM_KILLS_PER_CHAIN));
  return out;
}
