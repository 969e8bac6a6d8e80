/** Keys of a `World` in a file, for tests whose processes are killed: the vault, which is another process, would still have them. */
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { fromHex, hex } from '@lethe/std';
import type { World } from './fixture.ts';

/** Takes in what other processes have written to the file, and writes what comes from here before anybody uses it. */
export function keepKeysIn({ keys, destroyed }: World, file: string): void {
  const note = (line: string): void => appendFileSync(file, `${line}\n`);
  const { set } = keys;
  const { add } = destroyed;
  for (const line of existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : []) {
    const [keyId = '', key] = line.split(' ');
    if (key) keys.set(keyId, fromHex(key));
    else destroyed.add(keyId);
  }
  keys.set = (keyId, key) => {
    note(`${keyId} ${hex(key)}`);
    return set.call(keys, keyId, key);
  };
  destroyed.add = (keyId) => {
    note(keyId);
    return add.call(destroyed, keyId);
  };
}
