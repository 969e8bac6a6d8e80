import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { seededRandom, shuffle } from '@lethe/std';
import type { KeyName } from './key-store.ts';
import { type Needle, scan } from './scan.ts';
import { openKeyStore } from './sqlite-key-store.ts';

function inDirectory(body: (directory: string) => Promise<void> | void) {
  return async () => {
    const directory = mkdtempSync(join(tmpdir(), 'lethe-keys-'));
    try {
      await body(directory);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  };
}

const names = (count: number): KeyName[] =>
  Array.from({ length: count }, (_, i) => ({ tenant: 'acme', kind: 'subject', id: `alias-${i}` }));

/** The wrapped keys as they lie in the file, in the order of their making. */
function wrappedKeys(directory: string): Needle[] {
  const database = new DatabaseSync(join(directory, 'keys.sqlite'), { readOnly: true });
  try {
    const rows = database.prepare('select wrapped from keys order by number').all();
    // Without the epoch number in front: that is no secret and the same in all.
    return rows.map((row, i) => ({ kind: `key-${i}`, bytes: (row.wrapped as Uint8Array).slice(4) }));
  } finally {
    database.close();
  }
}

const countFound = (found: Readonly<Record<string, number>>) =>
  Object.values(found).filter((n) => n > 0).length;

test(
  'of 300 destroyed keys among 2,000 no file holds a byte; before, each was there; the others stay',
  inDirectory(async (directory) => {
    const store = openKeyStore({ directory });
    const all = names(2_000);
    // In several transactions and with deletions between, as in life.
    for (let at = 0; at < all.length; at += 250) store.ensure(all.slice(at, at + 250));
    const order = shuffle(
      all.map((_, i) => i),
      seededRandom('order'),
    );
    const destroyed = order.slice(0, 300);
    const kept = order.slice(300);
    const wrapped = wrappedKeys(directory);
    const needles = destroyed.map((i) => wrapped[i] as Needle);
    assert.equal(countFound((await scan([directory], needles)).found), 300);
    for (let at = 0; at < destroyed.length; at += 100) {
      store.destroy(destroyed.slice(at, at + 100).map((i) => all[i] as KeyName));
    }
    const after = await scan([directory], needles);
    assert.equal(countFound(after.found), 0);
    assert.deepEqual(readdirSync(directory).sort(), [
      'epoch-1.key',
      'keys.sqlite',
      'keys.sqlite-shm',
      'keys.sqlite-wal',
    ]);
    assert.equal(statSync(join(directory, 'keys.sqlite-wal')).size, 0);
    assert.equal(
      countFound(
        (
          await scan(
            [directory],
            kept.map((i) => wrapped[i] as Needle),
          )
        ).found,
      ),
      1_700,
      'the scan would have seen them',
    );
    for (const i of kept) assert.equal(store.get(all[i] as KeyName).length, 32);
    store.close();
    assert.equal(countFound((await scan([directory], needles)).found), 0);
  }),
);

test(
  'the control: an ordinary delete leaves keys in the file, and this test would see it',
  inDirectory(async (directory) => {
    const store = openKeyStore({ directory });
    store.ensure(names(300));
    store.close();
    const needles = wrappedKeys(directory);
    const database = new DatabaseSync(join(directory, 'keys.sqlite'));
    database.exec('pragma secure_delete = off; delete from keys; pragma wal_checkpoint(truncate)');
    database.close();
    assert.ok(countFound((await scan([directory], needles)).found) > 250);
  }),
);

test(
  'destroying is idempotent, gives receipts, and no key is ever made again under that name',
  inDirectory((directory) => {
    let nowMs = 1_000;
    const clock = { nowMs: () => nowMs++ };
    const store = openKeyStore({ directory, clock });
    const [a, b, never] = names(3) as [KeyName, KeyName, KeyName];
    const [keyA, keyB] = store.ensure([a, b]);
    assert.notDeepEqual(keyA, keyB);
    assert.deepEqual(store.ensure([b, a]), [keyB, keyA]);
    const [first] = store.destroy([a]);
    assert.equal(first?.destroyedAtMs, 1_000);
    assert.match(first?.keyIdDigest ?? '', /^[0-9a-f]{64}$/);
    assert.match(first?.settings ?? '', /secure_delete=on/);
    assert.deepEqual(store.destroy([a]), [first]);
    assert.throws(() => store.get(a), /LETHE-2202/);
    assert.throws(() => store.ensure([never, a]), /LETHE-2202/);
    assert.equal(store.has(never), false, 'none was made beside the refused one');
    assert.throws(() => store.get(never), /LETHE-2201/);
    store.destroy([never]);
    assert.throws(() => store.ensure([never]), /LETHE-2202/);
    store.close();
    const again = openKeyStore({ directory, clock });
    assert.deepEqual(again.receipt(a), first);
    assert.deepEqual(again.get(b), keyB);
    again.close();
  }),
);

test(
  'names that differ only where their parts meet have keys of their own',
  inDirectory((directory) => {
    const store = openKeyStore({ directory });
    const [one, two] = store.ensure([
      { tenant: 'ab', kind: 'subject', id: 'c' },
      { tenant: 'a', kind: 'subject', id: 'bc' },
    ]);
    assert.notDeepEqual(one, two);
    store.close();
  }),
);

test(
  'after a rotation the survivors open, an older copy of the store opens nothing, and old epoch keys are gone',
  inDirectory(async (directory) => {
    const live = join(directory, 'live');
    const backup = join(directory, 'backup');
    const store = openKeyStore({ directory: live });
    const [a, b] = names(2) as [KeyName, KeyName];
    const [keyA] = store.ensure([a, b]);
    const oldWrapped = wrappedKeys(live);
    cpSync(join(live, 'keys.sqlite'), join(backup, 'keys.sqlite'), { recursive: true });
    cpSync(join(live, 'keys.sqlite-wal'), join(backup, 'keys.sqlite-wal'));
    store.destroy([b]);
    assert.deepEqual(store.rotate(), { epoch: 2, rewrapped: 1, destroyedEpochs: [1] });
    assert.deepEqual(store.get(a), keyA);
    assert.equal(countFound((await scan([live], oldWrapped)).found), 0);
    store.close();
    assert.deepEqual(readdirSync(live).sort(), ['epoch-2.key', 'keys.sqlite']);
    cpSync(join(live, 'epoch-2.key'), join(backup, 'epoch-2.key'));
    assert.throws(() => openKeyStore({ directory: backup }), /LETHE-2203/);
  }),
);

test(
  'a rotation that a crash cut short is finished or taken back at the next start',
  inDirectory((directory) => {
    const store = openKeyStore({ directory });
    const [a] = names(1) as [KeyName];
    const [keyA] = store.ensure([a]);
    store.close();
    // Crash after the new epoch key was written, before anything was wrapped under it; and one half written.
    writeFileSync(join(directory, 'epoch-2.key'), Buffer.alloc(32, 7));
    writeFileSync(join(directory, 'epoch-3.key'), Buffer.alloc(5));
    const again = openKeyStore({ directory });
    assert.deepEqual(again.get(a), keyA);
    assert.deepEqual(
      readdirSync(directory).filter((name) => name.startsWith('epoch')),
      ['epoch-1.key'],
    );
    again.close();
    rmSync(join(directory, 'epoch-1.key'));
    assert.throws(() => openKeyStore({ directory }), /LETHE-2203/);
  }),
);

test(
  'files are for their owner only',
  inDirectory((directory) => {
    const store = openKeyStore({ directory });
    store.ensure(names(1));
    for (const name of readdirSync(directory)) {
      assert.equal(statSync(join(directory, name)).mode & 0o077, 0, name);
    }
    assert.equal(statSync(directory).mode & 0o777, 0o700);
    store.close();
  }),
);

test(
  'a process killed between commit and checkpoint: destroying again at the next start removes the bytes',
  inDirectory(async (directory) => {
    const script = `
      import { openKeyStore } from ${JSON.stringify(join(import.meta.dirname, 'sqlite-key-store.ts'))};
      import { DatabaseSync } from 'node:sqlite';
      const store = openKeyStore({ directory: ${JSON.stringify(directory)} });
      store.ensure([{ tenant: 'acme', kind: 'subject', id: 'a' }]);
      const prepare = DatabaseSync.prototype.prepare;
      DatabaseSync.prototype.prepare = function (sql) {
        if (sql.includes('wal_checkpoint')) process.kill(process.pid, 'SIGKILL');
        return prepare.call(this, sql);
      };
      store.destroy([{ tenant: 'acme', kind: 'subject', id: 'a' }]);
    `;
    assert.throws(() =>
      execFileSync(process.execPath, ['--input-type=module', '-e', script], { stdio: 'ignore' }),
    );
    const store = openKeyStore({ directory });
    const a: KeyName = { tenant: 'acme', kind: 'subject', id: 'a' };
    assert.ok(statSync(join(directory, 'keys.sqlite-wal')).size > 0, 'the log still has the page');
    assert.ok(store.receipt(a), 'the destruction was committed');
    store.destroy([a]);
    assert.equal(statSync(join(directory, 'keys.sqlite-wal')).size, 0);
    store.close();
  }),
);
