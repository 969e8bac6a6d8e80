import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { freePort } from './free-port.ts';

test('the port is none that the kernel gives to outgoing connections, and can be listened on', async () => {
  const [first] = readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8')
    .trim()
    .split(/\s+/)
    .map(Number);
  const ports = await Promise.all(Array.from({ length: 50 }, () => freePort()));
  assert.ok(Math.max(...ports) < Math.max(first!, 32_768), `${Math.max(...ports)} and ${first}`);
  const server = createServer();
  await new Promise<void>((done, fail) => server.once('error', fail).listen(ports[0]!, '127.0.0.1', done));
  await new Promise((done) => server.close(done));
});

test('an address that is not this machine’s has no free port: LETHE-2025', async () => {
  await assert.rejects(freePort('192.0.2.1'), { code: 'LETHE-2025' });
});

test('a port is given once, to this process and to others, also while nobody listens on it', async () => {
  const ports = await Promise.all(Array.from({ length: 400 }, () => freePort()));
  assert.equal(new Set(ports).size, ports.length);
});
