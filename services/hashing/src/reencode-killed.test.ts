/** `kill -9` inside the steps of a re-encoding, on a bus of its own process: the step is done again, no code is lost and none is there twice. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { EVENT, hashing } from '@lethe/contracts';
import { encodePayload } from '@lethe/datasets';
import { connectJetStream, ensurePlatformStreams, newEvent, openNats } from '@lethe/events';
import { encodeFeatures } from '@lethe/hashing';
import { hex, secureRandom, seededRandom } from '@lethe/std';
import { onRootRequested } from './consumers/learn.ts';
import { BLOCK_ROWS } from './domain/blocks.ts';
import { openBlock } from './erase.ts';
import { eventually, FUNCTION, SPEC, TENANT, type TestRecord, World } from './fixture.ts';
import { addressOf } from './functions.ts';
import { contextOf } from './index.ts';
import { keepKeysIn } from './kept-keys.fixture.ts';
import type { Learned } from './learned.ts';

const ADDRESS = addressOf(TENANT, 'shapes');
/** More than a feature block (4,096 rows): two steps. */
const OLD = 4_200;
const NEW = 1_000;
const CHILD = fileURLToPath(new URL('./move-codes-until-killed.ts', import.meta.url));

const directory = mkdtempSync(join(tmpdir(), 'reencode-killed-'));
const keyFile = join(directory, 'keys');
const { url, server } = await openNats({
  environment: { PATH: process.env.PATH },
  announce: () => {},
  directory: join(directory, 'nats'),
  storeBytesMax: 2 ** 30,
});
const bus = await connectJetStream({ url, name: 'reencode-killed' });
after(async () => {
  await bus.close();
  await server?.stop();
  rmSync(directory, { recursive: true });
});

function people(prefix: string, count: number, label: (i: number) => number): TestRecord[] {
  const random = seededRandom('reencode-killed', prefix);
  return Array.from({ length: count }, (_, i) => {
    const pixels = Uint8Array.from({ length: 8 }, (__, p) => (p % 3 === i % 2 ? 150 : 60) + random.below(60));
    return { alias: `${prefix}${i}`, payload: encodePayload(SPEC, { values: [pixels], label: label(i) }) };
  });
}

/** A process that has seen nothing yet, with the keys that the others have left. */
function fresh() {
  const world = new World(bus);
  keepKeysIn(world, keyFile);
  const context = { ...contextOf({ ...world.deps, random: secureRandom() }), ready: true };
  return { world, context };
}

/** @returns whether it was killed */
async function step(killAt: number): Promise<boolean> {
  const child = spawn(process.execPath, [CHILD, url, keyFile, String(killAt)], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const [code, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null];
  assert.ok(code === 0 || signal === 'SIGKILL', `${code} ${signal}`);
  return signal === 'SIGKILL';
}

/** What has to be there at any time: every item once, at its place, with the code of the version that it names. */
async function checked(learned: Learned, ids: readonly string[]): Promise<number> {
  const entries = [...learned.index.entries()];
  assert.deepEqual(
    entries.map(({ itemId }) => hex(itemId)),
    ids,
  );
  const { fn, blocks } = learned.head.parts[0]!;
  const before = learned.head.previous?.functions[0];
  const bytes = learned.codeBits / 8;
  let moved = 0;
  for (const ref of blocks) {
    const { positions, features } = await openBlock(learned, ref);
    const now = encodeFeatures(fn, features);
    const then = before && encodeFeatures(before, features);
    for (const [row, position] of positions.entries()) {
      const { code, fnVersion } = learned.liveAt(position);
      const own = fnVersion === 2 ? now : then;
      assert.ok(own, 'the version before is there as long as codes are of it');
      assert.equal(hex(code), hex(own.subarray(row * bytes, (row + 1) * bytes)));
      if (position < OLD && fnVersion === 2) moved++;
    }
  }
  // The table finds what the ledger has.
  for (const position of [0, 100, OLD - 1]) {
    const item = learned.liveAt(position);
    const [hit] = learned.search(item.code, 1, {});
    assert.equal(hit?.distance, 0);
  }
  return moved;
}

test('kill -9 between the writes of a step: the next process does the step, no code is lost, none is there twice', async () => {
  await ensurePlatformStreams(bus, { limits: { artefactsBytesMax: 2 ** 28 } });
  const { world, context } = fresh();
  world.commitRoot(people('m', OLD, (i) => i % 2));
  const { api, close } = await world.service();
  await api.create();
  await api.settled();
  await close();
  const root = world.commitRoot(people('n', NEW, (i) => 1 - (i % 2)));
  const promotion = hashing.PromoteHashVersionRequest_Mode.MODE_FAN_OUT;
  const { functions } = context;
  // What an operator asks for when the gate holds a candidate.
  const requested = newEvent(EVENT.hashUpdateRequested, { function: FUNCTION, root, promotion });
  await functions.aggregates.propose(TENANT, ADDRESS.id, () => [requested]);
  const { pending } = await functions.load(ADDRESS);
  await onRootRequested(context, ADDRESS, pending!.eventId);
  const { learned } = await functions.serving(ADDRESS);
  const ids = [...learned.index.entries()].map(({ itemId }) => hex(itemId));
  assert.equal(new Set(ids).size, OLD + NEW);
  assert.equal(await checked(learned, ids), 0);

  const seen: number[] = [];
  for (let killAt = 1; await step(killAt); killAt += 2) {
    const now = await fresh().context.functions.serving(ADDRESS);
    seen.push(await checked(now.learned, ids));
  }
  // Kills before the fact leave the step to be done, kills after it leave it done.
  assert.equal(seen[0], 0);
  assert.ok(seen.filter((moved) => moved === 0).length >= 2, seen.join());
  assert.ok(seen.includes(BLOCK_ROWS), seen.join());
  const { world: last } = fresh();
  const { api: finished, close: end } = await last.service();
  const done = await eventually(async () => {
    const state = await finished.get();
    return state.reencoding ? undefined : state;
  });
  assert.deepEqual(
    done.liveVersions.map(({ version, codeCount }) => [version, codeCount]),
    [[2, BigInt(OLD + NEW)]],
  );
  await end();
  const { context: after } = fresh();
  const { learned: moved } = await after.functions.serving(ADDRESS);
  assert.equal(await checked(moved, ids), OLD);
  // Keys of killed attempts open nothing any more.
  const { world: left } = fresh();
  assert.equal(moved.references.length, left.liveKeys.length);
});
