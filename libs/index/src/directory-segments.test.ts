import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import * as fs from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { fromHex, isError, seededRandom, sleep } from '@lethe/std';
import { codeIn, idIn, madeUpBatch, madeUpIndex, optionsOf } from './fixture.ts';
import { CodeIndex, DirectorySegments, type Files, INDEX, sweep } from './index.ts';

async function newDirectory(context: TestContext): Promise<string> {
  const directory = await fs.mkdtemp(join(tmpdir(), 'lethe-index-'));
  context.after(() => fs.rm(directory, { recursive: true, force: true }));
  return directory;
}

/** Every byte of every file. */
async function contents(directory: string): Promise<Buffer> {
  const names = await fs.readdir(directory);
  return Buffer.concat(await Promise.all(names.map((name) => fs.readFile(join(directory, name)))));
}

async function reopened(directory: string): Promise<CodeIndex> {
  const store = await DirectorySegments.open(directory);
  const manifest = await store.loadManifest();
  assert.ok(manifest);
  return await CodeIndex.open(manifest, optionsOf(store));
}

test('an index comes back from its directory; an erased code and salt are in no file of it, a kept one is', async (context) => {
  const directory = await newDirectory(context);
  const store = await DirectorySegments.open(directory);
  const { index, batch } = await madeUpIndex(500, store);
  await store.saveManifest(index.manifest());
  const [gone, kept] = [index.entry(idIn(batch, 7)), index.entry(idIn(batch, 8))];
  assert.ok(gone.kind === 'live' && kept.kind === 'live');
  const before = await contents(directory);
  for (const needle of [gone.code, gone.salt, kept.code, kept.salt])
    assert.notEqual(before.indexOf(needle), -1);
  const change = await index.erase([gone.itemId], 3n);
  await store.saveManifest(change.manifest);
  await change.commit();
  const after = await contents(directory);
  for (const needle of [gone.code, gone.salt]) assert.equal(after.indexOf(needle), -1);
  for (const needle of [kept.code, kept.salt]) assert.notEqual(after.indexOf(needle), -1);
  const again = await reopened(directory);
  assert.deepEqual([...again.entries()], [...index.entries()]);
  for (const name of await fs.readdir(directory)) {
    assert.equal((await fs.stat(join(directory, name))).mode & 0o777, 0o600, name);
  }
  assert.equal((await fs.stat(directory)).mode & 0o777, 0o700);
  assert.equal((await fs.readdir(directory)).length, 2);
});

test('bytes are overwritten before their name goes: another name of the file reads zeros', async (context) => {
  const directory = await newDirectory(context);
  const store = await DirectorySegments.open(directory);
  const reference = await store.put(new Uint8Array(3_000_000).fill(9));
  const other = join(directory, 'other');
  await fs.link(join(directory, reference), other);
  await store.delete(reference);
  await store.delete(reference);
  const bytes = await fs.readFile(other);
  assert.equal(bytes.length, 3_000_000);
  assert.ok(bytes.every((byte) => byte === 0));
});

test('missing, cut short and strange references are coded errors', async (context) => {
  const directory = await newDirectory(context);
  const store = await DirectorySegments.open(directory);
  const { index } = await madeUpIndex(50, store);
  const manifest = index.manifest();
  const path = join(directory, manifest.segments[0]!.reference);
  await fs.truncate(path, 700);
  await assert.rejects(CodeIndex.open(manifest, optionsOf(store)), (error) =>
    isError(error, INDEX.SEGMENT_DAMAGED),
  );
  await fs.rm(path);
  for (const reference of [manifest.segments[0]!.reference, '../manifest.json', 'manifest.json', '']) {
    await assert.rejects(store.get(reference), (error) => isError(error, INDEX.SEGMENT_MISSING));
  }
  const repaired = await index.repair((await index.scrub()).damagedInStore);
  await repaired.commit();
  assert.deepEqual((await index.scrub()).damagedInStore, []);
});

/** The file system, of which the operation with that number fails; a write that fails has taken half of its bytes. */
function failing(at: number, code: string): { files: Files; operations: () => number } {
  let count = 0;
  const error = Object.assign(new Error('made up'), { code });
  const step = async (): Promise<void> => {
    if (++count === at) throw error;
  };
  const files: Files = {
    rename: async (from, to) => {
      await step();
      await fs.rename(from, to);
    },
    unlink: async (path) => {
      await step();
      await fs.unlink(path);
    },
    open: async (...path) => {
      await step();
      const file = await fs.open(...path);
      return {
        stat: () => file.stat(),
        close: () => file.close(),
        read: (into, offset, length, position) => file.read(into, offset, length, position),
        sync: async () => {
          await step();
          await file.sync();
        },
        // Half of the bytes, as a disk may take them; the rest is offered again.
        write: async (from, offset, length, position) => {
          const result = await file.write(from, offset, Math.ceil(length / 2), position);
          await step();
          return result;
        },
      };
    },
  };
  return { files, operations: () => count };
}

for (const [code, what] of [
  ['ENOSPC', 'append'],
  ['ENOSPC', 'erasure'],
  ['EIO', 'append'],
  ['EIO', 'erasure'],
] as const) {
  test(`whichever operation fails with ${code} in an ${what}: a coded error, and nothing is lost or half there`, async (context) => {
    let unknowns = 0;
    for (let at = 1; ; at++) {
      const directory = await newDirectory(context);
      const sound = await DirectorySegments.open(directory);
      const { index: first, batch } = await madeUpIndex(60, sound);
      const manifest = first.manifest();
      await sound.saveManifest(manifest);
      const { files, operations } = failing(at, code);
      const store = await DirectorySegments.open(directory, files);
      // What is read does not count as an operation of the change.
      const index = await CodeIndex.open(manifest, {
        ...optionsOf(store),
        store: {
          put: (bytes) => store.put(bytes),
          get: (reference) => sound.get(reference),
          delete: (reference) => store.delete(reference),
        },
      });
      const run = async (): Promise<void> => {
        const change =
          what === 'append'
            ? await index.append(madeUpBatch(10, seededRandom('more')))
            : await index.erase([idIn(batch, 3)], 1n);
        try {
          await store.saveManifest(change.manifest);
        } catch (error) {
          if (!isError(error, INDEX.COMMIT_UNKNOWN)) await change.abort();
          throw error;
        }
        await change.commit();
      };
      const ended = await run().then(
        () => undefined,
        (error: unknown) => error,
      );
      if (operations() < at) {
        assert.equal(ended, undefined);
        break;
      }
      const unknown = isError(ended, INDEX.COMMIT_UNKNOWN);
      const kind = code === 'ENOSPC' ? INDEX.STORE_FULL : INDEX.STORE_FAILED;
      const left = isError(ended, INDEX.SUPERSEDED_LEFT);
      assert.ok(ended === undefined || unknown || left || isError(ended, kind), String(ended));
      const again = await reopened(directory);
      // Where the answer was lost the new state stands here, for the power did not fail; else memory and directory agree.
      if (!unknown) assert.deepEqual([...again.entries()], [...index.entries()], `operation ${at}`);
      else assert.notEqual(again.manifest().root, manifest.root);
      unknowns += unknown ? 1 : 0;
      await sweep(sound, again.manifest());
      assert.equal((await fs.readdir(directory)).length, 2, `operation ${at}`);
      if (again.live === 59) assert.equal((await contents(directory)).indexOf(codeIn(batch, 3)), -1);
    }
    assert.ok(unknowns > 0);
  });
}

test('killed at any moment: what was acknowledged is there, nothing is half there, and no orphan outlives the next start', async (context) => {
  const directory = await newDirectory(context);
  const random = seededRandom('kill');
  const appended = new Set<string>();
  const erased = new Set<string>();
  for (let life = 0; life < 8; life++) {
    const script = fileURLToPath(new URL('./append-until-killed.ts', import.meta.url));
    const child = spawn(process.execPath, [script, directory, String(life)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let said = '';
    const ready = new Promise<void>((done) => {
      child.stdout.on('data', (chunk: Buffer) => {
        said += chunk.toString();
        if (said.includes('ready')) done();
      });
    });
    const gone = new Promise<void>((done) => child.on('close', () => done()));
    await ready;
    await sleep(20 + random.below(120));
    child.kill('SIGKILL');
    await gone;
    // The last line may be cut: it was not acknowledged then.
    for (const line of said.split('\n').slice(0, -1)) {
      const [what, ids = ''] = line.split(' ');
      for (const id of ids.match(/.{32}/g) ?? []) (what === 'appended' ? appended : erased).add(id);
    }
  }
  const index = await reopened(directory);
  assert.ok(appended.size >= 400, `${appended.size} items were acknowledged`);
  for (const id of appended) assert.equal(index.entry(fromHex(id)).itemId.length, 16);
  for (const id of erased) assert.equal(index.entry(fromHex(id)).kind, 'erased');
  assert.equal(index.size % 200, 0, 'batches are there as a whole');
  const { damagedInStore, damagedInMemory } = await index.scrub();
  assert.deepEqual([damagedInStore, damagedInMemory], [[], []]);
  const store = await DirectorySegments.open(directory);
  await sweep(store, index.manifest());
  assert.deepEqual((await fs.readdir(directory)).length, 1 + index.manifest().segments.length);
});

test('a directory that is gone is told by code, and a partial file that failed is overwritten', async (context) => {
  const directory = await newDirectory(context);
  const store = await DirectorySegments.open(directory, {
    ...failing(0, 'EIO').files,
    rename: async (partial) => {
      await fs.link(partial, join(directory, 'other'));
      throw Object.assign(new Error('made up'), { code: 'EIO' });
    },
  });
  await assert.rejects(store.put(new Uint8Array(64).fill(9)), (error) => isError(error, INDEX.STORE_FAILED));
  assert.ok((await fs.readFile(join(directory, 'other'))).every((byte) => byte === 0));
  await fs.rm(directory, { recursive: true });
  await assert.rejects(store.references().next(), (error) => isError(error, INDEX.STORE_FAILED));
});
