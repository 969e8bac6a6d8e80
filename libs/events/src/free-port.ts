import { randomInt } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
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
    if (claimed(port) && (await canListen(host, port))) return port;
  }
  throw EVENTS.NO_FREE_PORT(`no free port on ${host}`, { details: { from: FIRST, to: LAST, tries: TRIES } });
}

/**
 * Whether no other living process was given this port by us: it may not listen on it yet, or not again yet. A note in the temporary directory says whose it is;
 * where none can be written (a read-only file system) only the probe decides.
 */
function claimed(port: number): boolean {
  const directory = join(tmpdir(), 'lethe-ports');
  const file = join(directory, String(port));
  try {
    mkdirSync(directory, { recursive: true });
    if (isTaken(file)) return false;
    rmSync(file, { force: true });
    writeFileSync(file, String(process.pid), { flag: 'wx' });
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'EEXIST';
  }
}

function isTaken(file: string): boolean {
  try {
    return process.kill(Number(readFileSync(file, 'utf8')), 0);
  } catch {
    return false;
  }
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
