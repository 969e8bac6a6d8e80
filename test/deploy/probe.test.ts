/** The pod's probe and the development certificates, against a real server of libs/rpc. */
import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { health } from '@lethe/contracts';
import { certificateAuthenticator, connect, createServer, readPrivateFile } from '@lethe/rpc';
import { silentLogger } from '@lethe/std';
import { objectsOf } from './kubectl.ts';

const ROOT = new URL('../..', import.meta.url).pathname;
const home = mkdtempSync(join(tmpdir(), 'lethe-probe-'));
after(() => rmSync(home, { recursive: true }));

interface Secret {
  readonly metadata: { readonly name: string };
  readonly data?: Readonly<Record<string, string>>;
}

const secrets = objectsOf(
  execFileSync('deploy/overlays/dev/make-secrets.sh', { cwd: ROOT, encoding: 'utf8' }),
) as Secret[];

/** As the init container does it: a Secret's files where only their owner reads them. */
function filesOf(name: string) {
  const directory = join(home, name);
  mkdirSync(directory, { recursive: true });
  const secret = secrets.find((one) => one.metadata.name === name);
  assert.ok(secret?.data, `make-secrets.sh prints ${name}`);
  for (const [file, content] of Object.entries(secret.data)) {
    writeFileSync(join(directory, file), Buffer.from(content, 'base64'), { mode: 0o400 });
  }
  return {
    certificate: join(directory, 'tls.crt'),
    key: join(directory, 'tls.key'),
    authority: join(directory, 'ca.crt'),
  };
}

function probe(environment: Readonly<Record<string, string>>): Promise<{ code: number; said: string }> {
  return new Promise((done) => {
    const child = execFile(
      process.execPath,
      [join(ROOT, 'deploy/images/probe.mjs')],
      { env: environment },
      (_error, _out, said) => done({ code: child.exitCode ?? -1, said }),
    );
  });
}

const vault = filesOf('vault-tls');
const tls = {
  certificate: readPrivateFile(vault.certificate),
  key: readPrivateFile(vault.key),
  clientAuthority: readPrivateFile(vault.authority),
};
const serve = (options: object) =>
  createServer({ services: [], authenticate: certificateAuthenticator, logger: silentLogger, ...options });

test('over TLS: 0 while serving, 1 when not, 1 without the certificate, 1 when nobody is there', async () => {
  const server = await serve({ tls, host: '0.0.0.0' });
  const environment = {
    LETHE_PORT: String(server.port),
    LETHE_TLS_CERT: vault.certificate,
    LETHE_TLS_KEY: vault.key,
    LETHE_TLS_CLIENT_CA: vault.authority,
  };
  try {
    assert.deepEqual(await probe(environment), { code: 0, said: '' });
    server.health.setAll(false);
    assert.deepEqual(await probe(environment), { code: 1, said: 'probe: health is 2, not SERVING\n' });
    server.health.setAll(true);
    assert.equal((await probe({ LETHE_PORT: environment.LETHE_PORT })).code, 1, 'plain text');
  } finally {
    await server.close();
  }
  const gone = await probe(environment);
  assert.equal(gone.code, 1);
  assert.match(gone.said, /ECONNREFUSED/);
});

test('on loopback without TLS it asks in plain text', async () => {
  const server = await serve({});
  try {
    assert.deepEqual(await probe({ LETHE_PORT: String(server.port) }), { code: 0, said: '' });
  } finally {
    await server.close();
  }
});

test('the development certificates name their holder: a service is of the platform, the developer a client', async () => {
  const server = await serve({ tls });
  const developer = filesOf('developer-tls');
  const connection = connect({
    address: `localhost:${server.port}`,
    tls: {
      authority: readPrivateFile(developer.authority),
      key: readPrivateFile(developer.key),
      certificate: readPrivateFile(developer.certificate),
    },
  });
  try {
    assert.equal((await connection.client(health.HealthDefinition).check({})).status, 1);
  } finally {
    connection.close();
    await server.close();
  }
  const der = (path: string): Buffer => {
    const body = readPrivateFile(path)
      .toString('utf8')
      .replaceAll(/-----[^-]+-----|\s/g, '');
    return Buffer.from(body, 'base64');
  };
  const identity = (path: string) =>
    certificateAuthenticator({ authorization: undefined, certificate: der(path) });
  assert.deepEqual(identity(vault.certificate), { id: 'vault', role: 'platform', tenants: ['*'] });
  assert.deepEqual(identity(developer.certificate), {
    id: 'developer',
    role: 'client',
    tenants: ['default'],
  });
});
