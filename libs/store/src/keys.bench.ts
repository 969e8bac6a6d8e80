/** `node libs/store/src/keys.bench.ts`: making 4,500 keys, destroying 800 in one call, rotating the epoch. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { KeyName } from './key-store.ts';
import { openKeyStore } from './sqlite-key-store.ts';

const directory = mkdtempSync(join(tmpdir(), 'lethe-keys-bench-'));
const store = openKeyStore({ directory });

function timed(what: string, work: () => void): void {
  const started = performance.now();
  work();
  console.log(`${what}: ${(performance.now() - started).toFixed(0)} ms`);
}

try {
  const names = Array.from(
    { length: 4_500 },
    (_, i): KeyName => ({ tenant: 't', kind: 'subject', id: `alias-${i}` }),
  );
  timed('make 4,500 keys', () => void store.ensure(names));
  timed('get 4,500 keys one by one', () => {
    for (const name of names) store.get(name);
  });
  timed('destroy 800 keys', () => void store.destroy(names.slice(0, 800)));
  timed('rotate 3,700 keys', () => void store.rotate());
} finally {
  store.close();
  rmSync(directory, { recursive: true, force: true });
}
