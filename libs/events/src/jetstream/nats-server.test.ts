import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { sleep, utf8 } from '@lethe/std';
import { connectJetStream } from './jetstream-bus.ts';
import { findNatsServer, type NatsServer, openNats, startNatsServer } from './nats-server.ts';
import { assertServerVersion } from './version.ts';

const binary = findNatsServer({ environment: process.env, announce: (line) => console.error(line) });

function inDirectory(body: (directory: string, started: NatsServer[]) => Promise<void>) {
  return async () => {
    const directory = mkdtempSync(join(tmpdir(), 'lethe-server-'));
    const started: NatsServer[] = [];
    try {
      await body(directory, started);
    } finally {
      await Promise.all(started.map((server) => server.stop()));
      rmSync(directory, { recursive: true, force: true });
    }
  };
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    // A process that has ended but was not waited for still has a number.
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

async function until(what: string, condition: () => boolean): Promise<void> {
  for (let i = 0; !condition(); i++) {
    if (i === 1_000) assert.fail(`not within 10 s: ${what}`);
    await sleep(10);
  }
}

const stream = { name: 'KEPT', subjects: ['kept'], maxBytes: 1_000_000 };
const message = (id: string) => ({ id, data: utf8(id) });

test(
  'a server starts on a free port of loopback, keeps what it acknowledged over a restart, and stops',
  inDirectory(async (directory, started) => {
    for (const round of [1, 2]) {
      const server = await startNatsServer({ binary, directory });
      started.push(server);
      const bus = await connectJetStream({ url: server.url, name: 'test' });
      await bus.ensureStream(stream);
      assert.equal((await bus.append('KEPT', 'kept', message(`m${round}`))).sequence, round);
      await bus.close();
      assert.ok(isRunning(server.pid));
      await server.stop();
      assert.ok(!isRunning(server.pid));
      await server.stop();
    }
  }),
);

test(
  'a platform killed with -9 takes its server along, and the next one goes on',
  inDirectory(async (directory, started) => {
    const script = `
      import { startNatsServer } from ${JSON.stringify(join(import.meta.dirname, 'nats-server.ts'))};
      const server = await startNatsServer({ binary: ${JSON.stringify(binary)}, directory: ${JSON.stringify(directory)} });
      console.log(server.pid);
      setInterval(() => {}, 1000);
    `;
    const platform = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const pid = Number(
      await new Promise<string>((done) => platform.stdout.once('data', (data) => done(String(data)))),
    );
    assert.ok(isRunning(pid));
    await assert.rejects(startNatsServer({ binary, directory }), /LETHE-2024/);
    platform.kill('SIGKILL');
    await until('the server ended with its platform', () => !isRunning(pid));
    started.push(await startNatsServer({ binary, directory }));
  }),
);

test(
  'a server left over on the directory is ended; a process that only has the recorded number is not',
  inDirectory(async (directory, started) => {
    const first = await startNatsServer({ binary, directory });
    await first.stop();
    const files = { conf: join(directory, 'nats-server.conf'), pid: join(directory, 'nats-server.pid') };
    const leftover = spawn(binary, ['-c', files.conf, '-P', files.pid], { stdio: 'ignore' });
    await until('the leftover runs', () => {
      try {
        return Number(readFileSync(files.pid, 'utf8')) === leftover.pid;
      } catch {
        return false;
      }
    });
    const second = await startNatsServer({ binary, directory });
    assert.ok(!isRunning(leftover.pid ?? 0));
    await second.stop();

    const stranger = spawn('sleep', ['60'], { stdio: 'ignore' });
    try {
      writeFileSync(files.pid, String(stranger.pid));
      started.push(await startNatsServer({ binary, directory }));
      assert.ok(isRunning(stranger.pid ?? 0));
    } finally {
      stranger.kill();
    }
  }),
);

test(
  'an append outlives the death of the server; what was acknowledged is there once',
  inDirectory(async (directory, started) => {
    const first = await startNatsServer({ binary, directory, password: 'kept' });
    const bus = await connectJetStream({ url: first.url, name: 'test' });
    try {
      await bus.ensureStream(stream);
      const seen: string[] = [];
      await bus.consume({
        stream: 'KEPT',
        durable: 'reader',
        filterSubject: 'kept',
        handler: async (delivery) => {
          seen.push(new TextDecoder().decode(delivery.data));
          delivery.ack();
        },
      });
      await bus.append('KEPT', 'kept', message('before'));
      process.kill(first.pid, 'SIGKILL');
      const during = bus.append('KEPT', 'kept', message('during'));
      await first.stop();
      started.push(await startNatsServer({ binary, directory, port: first.port, password: 'kept' }));
      assert.equal((await during).sequence, 2);
      assert.deepEqual(await bus.append('KEPT', 'kept', message('during')), { sequence: 2, duplicate: true });
      await bus.append('KEPT', 'kept', message('after'));
      await until('the consumer goes on', () => seen.includes('after'));
      assert.deepEqual([...new Set(seen)], ['before', 'during', 'after']);
    } finally {
      await bus.close();
    }
  }),
);

test(
  'a port in use, a directory that is a file, and a server that is not there are coded errors',
  inDirectory(async (directory) => {
    const occupant = createServer();
    await new Promise<void>((done) => occupant.listen(0, '127.0.0.1', done));
    const address = occupant.address();
    assert.ok(address && typeof address !== 'string');
    await assert.rejects(
      startNatsServer({ binary, directory, port: address.port }),
      /LETHE-2022.*address already in use/,
    );
    await new Promise((done) => occupant.close(done));
    await assert.rejects(
      connectJetStream({ url: `nats://127.0.0.1:${address.port}`, name: 'test' }),
      /LETHE-2005/,
    );
  }),
);

test(
  'a missing or an old nats-server is refused, a URL is taken as it is',
  inDirectory(async (directory) => {
    const empty = join(directory, 'empty');
    mkdirSync(empty);
    const said: string[] = [];
    const announce = (line: string) => void said.push(line);
    const environment = { PATH: empty, LETHE_NO_INSTALL: '1' };
    assert.throws(() => findNatsServer({ environment, announce }), /LETHE-2020.*LETHE_NO_INSTALL/);
    assert.deepEqual(said, []);
    const old = join(empty, 'nats-server');
    writeFileSync(old, '#!/bin/sh\necho "nats-server: v2.8.4"\n');
    chmodSync(old, 0o755);
    assert.throws(() => findNatsServer({ environment, announce }), /LETHE-2021/);
    const url = 'nats://example.invalid:4222';
    assert.deepEqual(await openNats({ environment: { LETHE_NATS_URL: url }, announce, directory }), { url });
  }),
);

test('versions: single from 2.9.0, clusters from 2.9.21', () => {
  for (const version of ['2.9.0', 'v2.9.10', '2.10.0', '2.15.1-RC.1', '3.0.0'])
    assertServerVersion(version, false);
  for (const version of ['2.9.21', '2.9.25', '2.10.27']) assertServerVersion(version, true);
  for (const version of ['2.8.4', '1.4.1', 'unknown']) {
    assert.throws(() => assertServerVersion(version, false), /LETHE-2021/);
  }
  for (const version of ['2.9.10', '2.9.20'])
    assert.throws(() => assertServerVersion(version, true), /LETHE-2021/);
});
