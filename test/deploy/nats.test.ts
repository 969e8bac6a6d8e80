/** NATS as deploy/base/nats.conf configures it: TLS and a password, and a Lethe process gets in by URL and authority alone. */
import assert from 'node:assert/strict';
import { execFile, execFileSync, spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { findNatsServer, freePort } from '@lethe/events';
import { sleep } from '@lethe/std';
import { objectsOf } from './kubectl.ts';

const ROOT = new URL('../..', import.meta.url).pathname;

/** Connects in a process of its own, because Node reads NODE_EXTRA_CA_CERTS at its start. */
function connects(url: string, authority: string | undefined): Promise<string> {
  const program = `
    import { connectJetStream } from ${JSON.stringify(new URL('../../libs/events/src/index.ts', import.meta.url).href)};
    try {
      const bus = await connectJetStream({ url: ${JSON.stringify(url)}, name: 'test' });
      await bus.close();
      console.log('connected');
    } catch (error) {
      console.log(error.code);
      process.exit(0);
    }`;
  return new Promise((done) => {
    execFile(
      process.execPath,
      ['--input-type=module', '-e', program],
      { env: { PATH: process.env.PATH, ...(authority ? { NODE_EXTRA_CA_CERTS: authority } : {}) } },
      (_error, out, said) => done(out.trim() || said),
    );
  });
}

test('the password and the authority open it; either one missing does not', async () => {
  const home = mkdtempSync(join(tmpdir(), 'lethe-nats-tls-'));
  const binary = findNatsServer({ environment: process.env, announce: (line) => console.error(line) });
  const secrets = objectsOf(
    execFileSync('deploy/overlays/dev/make-secrets.sh', { cwd: ROOT, encoding: 'utf8' }),
  ) as { metadata: { name: string }; data?: Record<string, string>; stringData?: Record<string, string> }[];
  const named = (name: string) => secrets.find((secret) => secret.metadata.name === name);
  for (const [file, content] of Object.entries(named('nats-tls')?.data ?? {})) {
    writeFileSync(join(home, file), Buffer.from(content, 'base64'), { mode: 0o600 });
  }
  const { password, url } = named('lethe-nats')?.stringData ?? {};
  assert.ok(password && url);
  const port = await freePort();
  const monitor = await freePort();
  const before2_10 = / v?2\.9\./.test(execFileSync(binary, ['--version'], { encoding: 'utf8' }));
  const configuration = readFileSync(join(ROOT, 'deploy/base/nats.conf'), 'utf8')
    .replaceAll('/etc/nats-tls', home)
    .replace('store_dir: /data', `store_dir: ${home}/store`)
    .replace('0.0.0.0:4222', `127.0.0.1:${port}`)
    .replace('0.0.0.0:8222', `127.0.0.1:${monitor}`)
    .replace('18G', '64M')
    .replace(before2_10 ? /^ *sync_interval.*$/m : /$^/, '');
  writeFileSync(join(home, 'nats.conf'), configuration);
  const log = openSync(join(home, 'nats.log'), 'w');
  const server = spawn(binary, ['--config', join(home, 'nats.conf')], {
    env: { PATH: process.env.PATH, POD_NAME: 'nats-0', NATS_PASSWORD: password },
    stdio: ['ignore', log, log],
  });
  closeSync(log);
  // From the beginning: a server that ends on its own would never be seen to end after that.
  const ended = new Promise((done) => server.once('exit', done));
  try {
    // The three paths that the probes ask, all of them there before the pod is ready.
    for (const path of ['/healthz', '/healthz?js-server-only=true', '/']) {
      const answers = (): Promise<boolean> =>
        fetch(`http://127.0.0.1:${monitor}${path}`).then(
          (response) => response.ok,
          () => false,
        );
      for (let attempt = 0; attempt < 400 && server.exitCode === null && !(await answers()); attempt++) {
        await sleep(50);
      }
      assert.ok(
        await answers(),
        `${path} answers; the server said: ${readFileSync(join(home, 'nats.log'), 'utf8')}`,
      );
    }
    const here = url.replace('nats.lethe.svc:4222', `localhost:${port}`);
    const authority = join(home, 'ca.crt');
    assert.equal(await connects(here, authority), 'connected');
    assert.match(await connects(here, undefined), /^LETHE-20/, 'an unknown authority');
    assert.match(await connects(here.replace(password, 'guess'), authority), /^LETHE-20/, 'another password');
  } finally {
    server.kill('SIGTERM');
    await ended;
    rmSync(home, { recursive: true });
  }
});
