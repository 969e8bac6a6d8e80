/**
 * A process that does one step of a re-encoding and ends itself with SIGKILL before its n-th write to the bus, if it gets so far; for
 * `reencode-killed.test.ts`, which starts it as `node move-codes-until-killed.ts <url> <key file> <n>`. Without a kill it exits with 0.
 */
import { type Bus, connectJetStream } from '@lethe/events';
import { assert, secureRandom } from '@lethe/std';
import { moveCodes } from './consumers/reencode.ts';
import { TENANT, World } from './fixture.ts';
import { addressOf } from './functions.ts';
import { contextOf } from './index.ts';
import { keepKeysIn } from './kept-keys.fixture.ts';

const [url, keyFile, killAt] = process.argv.slice(2);
assert(url && keyFile && killAt, 'three arguments');
const bus = await connectJetStream({ url, name: 'move-codes-until-killed' });
let writes = 0;
const WRITES: readonly (string | symbol)[] = ['append', 'appendMany', 'deleteMessageSecurely'];
const mortal = new Proxy<Bus>(bus, {
  get: (target, name) => {
    const value: unknown = Reflect.get(target, name, target);
    if (typeof value !== 'function') return value;
    return (...given: unknown[]): unknown => {
      if (WRITES.includes(name) && ++writes === Number(killAt)) process.kill(process.pid, 'SIGKILL');
      return value.apply(target, given) as unknown;
    };
  },
});
const world = new World(mortal);
keepKeysIn(world, keyFile);
// Names are drawn anew by every process.
const context = contextOf({ ...world.deps, random: secureRandom() });
await moveCodes(context, addressOf(TENANT, 'shapes'));
await bus.close();
