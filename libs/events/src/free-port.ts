import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';
import { EVENTS } from './errors.ts';

/** Below the ports that Linux gives to outgoing connections (32768 to 60999 unless configured), above those of known services. */
const FIRST = 20_000;
const LAST = 32_767;
const TRIES = 100;

/**
 * A port of `host` that nobody listens on. Whoever must know a port before it is bound, or bind it again after a crash, takes one
 * of these and not one the kernel picked: that one may be given to any outgoing connection between the two.
 * @throws LETHE-2025 none was found
 */
export async function freePort(host = '127.0.0.1'): Promise<number> {
  for (let attempt = 0; attempt < TRIES; attempt++) {
    const port = randomInt(FIRST, LAST + 1);
    if (await canListen(host, port)) return port;
  }
  throw EVENTS.NO_FREE_PORT(`no free port on ${host}`, { details: { from: FIRST, to: LAST, tries: TRIES } });
}

async function canListen(host: string, port: number): Promise<boolean> {
  const probe = createServer();
  const bound = await new Promise<boolean>((done) => {
    probe.once('error', () => done(false));
    probe.listen(port, host, () => done(true));
  });
  if (bound) await new Promise<void>((done) => probe.close(() => done()));
  return bound;
}
