/** What surrounds the platform and can be wrong: ports, folders, nats-server, credentials, TLS, stores that are full. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type Lethe, lethe } from '@lethe/client';
import { erasure, resourceName } from '@lethe/contracts';
import { STREAMS, tail } from '@lethe/events';
import { LetheError } from '@lethe/std';
import {
  asRole,
  environmentOf,
  type Running,
  startPlatform,
  TENANT,
  temporaryDirectory,
  tokenOf,
  withDirectory,
} from './support-small/platform.ts';
import {
  HASH_OPTIONS,
  ingest,
  payloadOf,
  questionOf,
  READINGS,
  SPEC_BYTES,
  sent,
} from './support-small/sensors.ts';
import { certified, servedFunction } from './support-small/work.ts';

const parent = resourceName('tenant', TENANT);
const dataset = resourceName('dataset', TENANT, 'sensors');
const fn = resourceName('hashFunction', TENANT, 'sensors');
const MiB = 1024 * 1024;

async function refused(call: Promise<unknown>, ...codes: readonly string[]): Promise<LetheError> {
  try {
    await call;
  } catch (error) {
    assert.ok(error instanceof LetheError, String(error));
    assert.ok(codes.includes(error.code), error.message);
    assert.ok(error.remedy.length > 0);
    return error;
  }
  assert.fail(`${codes.join(' or ')} was expected`);
}

const createDataset = ({ client }: Running) =>
  client.vault.createDataset({ parent, datasetId: 'sensors', spec: SPEC_BYTES, requestId: 'c' });

const countOf = async ({ client }: Running): Promise<bigint> =>
  (await client.vault.getDataset({ name: dataset })).recordCount;

/** Starts again on a folder: whatever was refused before, the platform comes up and has what it had. */
async function restarted<T>(
  directory: string,
  use: (running: Running) => Promise<T>,
  more: Record<string, string> = {},
): Promise<T> {
  const running = await startPlatform(directory, more);
  try {
    return await use(running);
  } finally {
    await running.close();
  }
}

test('a port in use', async () => {
  await withDirectory(async (directory) => {
    const holder = createServer();
    await new Promise<void>((done) => holder.listen(0, '127.0.0.1', done));
    const address = holder.address();
    assert.ok(typeof address === 'object' && address);
    try {
      const more = { LETHE_PORT: String(address.port) };
      const { details } = await refused(startPlatform(directory, more), 'LETHE-2106');
      assert.equal(details.port, address.port);
    } finally {
      await new Promise((done) => holder.close(done));
    }
    // Nothing is left running: the same folder and the same port work now.
    await restarted(
      directory,
      async (running) => {
        await createDataset(running);
      },
      { LETHE_PORT: String(address.port) },
    );
  });
});

test('a second platform on the same data folder', async () => {
  await withDirectory((directory) =>
    restarted(directory, async (running) => {
      await createDataset(running);
      await refused(startPlatform(directory), 'LETHE-2024');
      assert.equal((await ingest(running.client, dataset, READINGS.map(sent))).stored, 400n);
    }),
  );
});

test('nats-server missing, too old, or not answering: said on the command line with a remedy', async () => {
  await withDirectory(async (directory) => {
    const old = join(directory, 'old');
    mkdirSync(old);
    writeFileSync(join(old, 'nats-server'), '#!/bin/sh\necho "nats-server: v2.8.4"\n');
    chmodSync(join(old, 'nats-server'), 0o755);
    const data = join(directory, 'data');
    const silent = createServer((socket) => socket.on('error', () => undefined));
    const cases: readonly [string, Record<string, string>][] = [
      ['LETHE-2020', { PATH: join(directory, 'empty'), LETHE_NO_INSTALL: '1' }],
      ['LETHE-2021', { PATH: old }],
      ['LETHE-2005', { LETHE_NATS_URL: 'nats://127.0.0.1:1' }],
    ];
    for (const [code, more] of cases) {
      await refused(startPlatform(data, more), code);
      assert.ok(!existsSync(join(data, 'platform.json')));
    }
    silent.close();
    // The process that `npm start` runs says the same, and no stack trace of ours.
    const main = new URL('../../services/platform/src/main.ts', import.meta.url).pathname;
    const environment = environmentOf(data, { PATH: old });
    const { status, stderr } = spawnSync(process.execPath, [main], {
      env: { ...environment },
      encoding: 'utf8',
      timeout: 30_000,
    });
    assert.equal(status, 1);
    assert.match(stderr, /\[LETHE-2021\]/);
    assert.match(stderr, /Use nats-server 2\.9\.0 or newer/);
    assert.doesNotMatch(stderr, /\n\s+at /);
    await restarted(data, createDataset);
  });
});

test('a credentials file that others can read, and one that is none', async () => {
  await withDirectory(async (directory) => {
    await restarted(directory, createDataset);
    const file = join(directory, 'credentials.json');
    const token = tokenOf(directory, 'client');
    chmodSync(file, 0o644);
    const { message } = await refused(startPlatform(directory), 'LETHE-2107');
    assert.ok(!message.includes(token));
    chmodSync(file, 0o600);
    await restarted(directory, async (running) => {
      assert.equal(await countOf(running), 0n);
    });
    writeFileSync(file, 'not json');
    await refused(startPlatform(directory), 'LETHE-2108');
  });
});

test('an address that others can reach, without TLS', async () => {
  await withDirectory(async (directory) => {
    await refused(startPlatform(directory, { LETHE_HOST: '0.0.0.0' }), 'LETHE-2105');
    await refused(
      startPlatform(directory, { LETHE_HOST: '0.0.0.0', LETHE_TLS_CERT: 'cert.pem' }),
      'LETHE-2105',
      'LETHE-5001',
    );
    await restarted(directory, createDataset);
  });
});

test('a variable that is none', async () => {
  await withDirectory(async (directory) => {
    for (const more of [
      { LETHE_PORT: 'http' },
      { LETHE_PORT: '70000' },
      { LETHE_RECORDS_MAX_BYTES: '5' },
      { LETHE_LOG: 'loud' },
      { LETHE_TENANT: 'Not A Tenant' },
    ]) {
      await assert.rejects(
        startPlatform(directory, more),
        (error) => error instanceof LetheError && error.status === 'INVALID_ARGUMENT',
        JSON.stringify(more),
      );
    }
  });
});

test('a full record stream: the count stored, nothing lost, the rest exactly once after raising the limit', async () => {
  await withDirectory(async (directory) => {
    // Rows of 200 bytes would take long to fill a megabyte: many more subjects with the same rows.
    const rows = Array.from({ length: 10 }, (_, copy) =>
      READINGS.map((reading) => ({
        subjectId: `${reading.subjectId}-${copy}`,
        recordId: `${reading.recordId}-${copy}`,
        payload: payloadOf(reading),
      })),
    ).flat();
    const small = { LETHE_RECORDS_MAX_BYTES: String(MiB) };
    const stored = await restarted(
      directory,
      async (running) => {
        await createDataset(running);
        const { details, status } = await refused(ingest(running.client, dataset, rows), 'LETHE-2002');
        assert.equal(status, 'RESOURCE_EXHAUSTED');
        const count = Number(details.stored);
        assert.ok(count > 100 && count < rows.length, `${count} stored`);
        assert.equal(await countOf(running), BigInt(count), 'the error says exactly how many are stored');
        // Everything that writes elsewhere goes on: a root, a function, an erasure, which even frees some room.
        const { name: root } = await running.client.vault.commitDatasetRoot({ dataset, requestId: 'r' });
        const spec = { root, ...HASH_OPTIONS };
        await running.client.hashing.createHashFunction({
          parent,
          functionId: 'sensors',
          spec,
          requestId: '',
        });
        await servedFunction(running.client, fn, 1);
        return count;
      },
      small,
    );
    await restarted(directory, async (running) => {
      assert.equal(await countOf(running), BigInt(stored));
      const rest = await ingest(running.client, dataset, rows);
      assert.deepEqual([Number(rest.stored), Number(rest.duplicates)], [rows.length - stored, stored]);
      const root = await running.client.vault.commitDatasetRoot({ dataset, requestId: 'r2' });
      const seen = new Map<string, number>();
      for await (const { recordId } of running.operator.vault.readRecords({ root: root.name }))
        seen.set(recordId, (seen.get(recordId) ?? 0) + 1);
      assert.equal(seen.size, rows.length);
      assert.ok([...seen.values()].every((times) => times === 1));
    });
  });
});

/** Appends events that concern nobody, ever smaller ones, until not even an empty one fits. */
async function brim({ host: { bus } }: Running, from: string): Promise<void> {
  let size = 512 * 1024;
  for (let i = 0; ; i++) {
    try {
      const message = { id: `filler-${from}-${i}`, data: new Uint8Array(size) };
      await bus.append(STREAMS.events, `lethe.v1.${TENANT}.filler.0.${from}-${i}`, message);
    } catch (error) {
      assert.ok(error instanceof LetheError && error.reason === 'STREAM_FULL', String(error));
      if (size === 0) return;
      size >>= 1;
    }
  }
}

/** Fills the event stream but for about `gap` bytes. */
async function fill(running: Running, gap: number): Promise<void> {
  const { bus } = running.host;
  const placeholder = { id: 'placeholder', data: new Uint8Array(gap) };
  const subject = `lethe.v1.${TENANT}.filler.0.placeholder`;
  const { sequence } = await bus.append(STREAMS.events, subject, placeholder);
  await brim(running, 'before');
  await bus.deleteMessageSecurely(STREAMS.events, sequence);
}

for (const gap of [2_000, 5_000]) {
  test(`the event stream is full ${gap} bytes into an erasure: it goes on after raising the limit`, async (t) => {
    await withDirectory(async (directory) => {
      const person = READINGS[40]!;
      const name = await restarted(
        directory,
        async (running) => {
          await createDataset(running);
          await ingest(running.client, dataset, READINGS.map(sent));
          const { name: root } = await running.client.vault.commitDatasetRoot({ dataset, requestId: 'r' });
          const spec = { root, ...HASH_OPTIONS };
          await running.client.hashing.createHashFunction({
            parent,
            functionId: 'sensors',
            spec,
            requestId: '',
          });
          await servedFunction(running.client, fn, 1);
          await fill(running, gap);
          const requested = await running.auditor.erasure.createErasureRequest({
            parent,
            subjectId: person.subjectId,
            requestId: 'forget-me',
            policy: 'gdpr-art-17',
          });
          await brim(running, 'within');
          const id = requested.erasureRequest!.name;
          const { state } = await running.auditor.erasure.getErasureRequest({ name: id });
          assert.ok(state < erasure.ErasureRequest_State.STATE_CERTIFIED, `state ${state}`);
          // A new request finds no room, and says so; nothing of it stays.
          const again = running.auditor.erasure.createErasureRequest({
            parent,
            subjectId: READINGS[80]!.subjectId,
            requestId: 'no-room',
            policy: 'gdpr-art-17',
          });
          await refused(again, 'LETHE-2002');
          // Records have a stream of their own.
          const more = { ...sent(READINGS[0]!), recordId: 'one-more', subjectId: 'somebody' };
          assert.equal((await ingest(running.client, dataset, [more])).stored, 1n);
          t.diagnostic(`full in state ${state}`);
          return id;
        },
        { LETHE_EVENTS_MAX_BYTES: String(MiB) },
      );
      await restarted(directory, async (running) => {
        const ended = await certified(running.auditor, name);
        assert.equal(ended.residualBytes, 0n);
        const query = { $case: 'payload' as const, value: questionOf(person) };
        const found = await running.client.hashing.search({ name: fn, query, k: 400 });
        assert.equal(found.neighbours.length, 396);
        assert.equal(await countOf(running), 397n);
        const types: string[] = [];
        for await (const event of tail(running.host.bus, { tenant: TENANT, type: 'erasure' }))
          types.push(event.type);
        assert.equal(new Set(types).size, types.length, 'each fact once');
        assert.equal(
          (await running.auditor.erasure.listErasureRequests({ parent })).erasureRequests.length,
          1,
        );
      });
    });
  });
}

const mount = (directory: string, size: string) =>
  spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', directory], { encoding: 'utf8' });

/** Why no file system can be mounted here; undefined where one can. */
function mountingRefused(): string | undefined {
  if (process.platform !== 'linux') return 'not Linux';
  if (process.getuid?.() !== 0) return 'not root';
  const directory = temporaryDirectory();
  const { status, stderr } = mount(directory, '1m');
  if (status !== 0) return `mount: ${stderr?.trim() ?? 'not there'}`;
  spawnSync('umount', [directory]);
  return undefined;
}

/** Registers a test only where the machine allows it, and prints why not elsewhere. */
function testUnless(reason: string | undefined, name: string, body: (t: TestContext) => Promise<void>): void {
  if (reason === undefined) test(name, body);
  else console.log(`${name}: skipped, ${reason}`);
}

testUnless(
  mountingRefused(),
  'a file system that is really full: refused with a code, nothing lost, the rest once there is room',
  async (t) => {
    await withDirectory(async (directory) => {
      const store = join(directory, 'nats');
      mkdirSync(store);
      assert.equal(mount(store, '24m').status, 0);
      const limits = {
        LETHE_RECORDS_MAX_BYTES: String(8 * MiB),
        LETHE_ARTEFACTS_MAX_BYTES: String(4 * MiB),
        LETHE_EVENTS_MAX_BYTES: String(4 * MiB),
        LETHE_DEAD_LETTERS_MAX_BYTES: String(MiB),
      };
      const ballast = join(store, 'ballast');
      try {
        const stored = await restarted(
          directory,
          async (running) => {
            await createDataset(running);
            assert.equal(
              (await ingest(running.client, dataset, READINGS.slice(0, 100).map(sent))).stored,
              100n,
            );
            // Something else takes the disk, but for what the server needs for itself …
            const { bavail, bsize } = statfsSync(store);
            writeFileSync(ballast, new Uint8Array(bavail * bsize - MiB));
            const rows = Array.from({ length: 10 }, (_, copy) =>
              READINGS.slice(100).map((reading) => ({
                ...sent(reading),
                recordId: `${reading.recordId}-${copy}`,
              })),
            ).flat();
            const error = await refused(ingest(running.client, dataset, rows), 'LETHE-2002');
            assert.match(error.message, /the disk is full/);
            // … and then to the last page: what is there can be read, nothing more is taken, nothing hangs.
            const last = statfsSync(store);
            appendFileSync(ballast, new Uint8Array(last.bavail * last.bsize));
            assert.equal(statfsSync(store).bavail, 0);
            assert.equal(Number(await countOf(running)), 100 + Number(error.details.stored));
            const { details } = await refused(ingest(running.client, dataset, rows.slice(-10)), 'LETHE-2002');
            assert.equal(details.stored, '0');
            t.diagnostic(`${error.message} ${JSON.stringify(error.details)}`);
            return Number(error.details.stored);
          },
          limits,
        );
        rmSync(ballast);
        await restarted(
          directory,
          async (running) => {
            const present = Number(await countOf(running));
            assert.ok(present >= 100 + stored, `${present} present, ${100 + stored} acknowledged`);
            const all = await ingest(running.client, dataset, READINGS.map(sent));
            assert.equal(all.duplicates >= 100n, true, 'what was there first is still there');
            const root = await running.client.vault.commitDatasetRoot({ dataset, requestId: 'r' });
            const seen: string[] = [];
            for await (const { recordId } of running.operator.vault.readRecords({ root: root.name }))
              seen.push(recordId);
            assert.equal(new Set(seen).size, seen.length, 'each once');
            for (const { recordId } of READINGS) assert.ok(seen.includes(recordId));
          },
          limits,
        );
      } finally {
        rmSync(ballast, { force: true });
        spawnSync('umount', [store]);
      }
    });
  },
);

const opensslMissing =
  spawnSync('openssl', ['version']).status === 0
    ? undefined
    : 'no openssl command to issue certificates with';

/** Certificates made with the openssl command: Node has no X.509 issuing of its own. */
function authority(directory: string) {
  const openssl = (...args: readonly string[]) =>
    execFileSync('openssl', args, { cwd: directory, stdio: ['ignore', 'pipe', 'pipe'] });
  const KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'] as const;
  openssl(
    'req',
    '-x509',
    ...KEY,
    '-keyout',
    'ca.key',
    '-out',
    'ca.pem',
    '-subj',
    '/CN=test authority',
    '-days',
    '2',
  );
  return {
    file: (name: string) => join(directory, name),
    issue(name: string, alternative: string): void {
      openssl('req', ...KEY, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${name}`);
      writeFileSync(join(directory, `${name}.ext`), `subjectAltName=${alternative}\n`);
      openssl(
        'x509',
        '-req',
        '-in',
        `${name}.csr`,
        '-CA',
        'ca.pem',
        '-CAkey',
        'ca.key',
        '-CAcreateserial',
        '-out',
        `${name}.pem`,
        '-days',
        '1',
        '-extfile',
        `${name}.ext`,
      );
      chmodSync(join(directory, `${name}.pem`), 0o600);
    },
  };
}

testUnless(
  opensslMissing,
  'with TLS: SPIFFE identities, the role table and tenants apply; without a certificate nobody gets in',
  async () => {
    await withDirectory(async (directory) => {
      const ca = authority(directory);
      const spiffe = (tenant: string, role: string) =>
        `URI:spiffe://lethe/tenants/${tenant}/roles/${role}/test`;
      ca.issue('server', `IP:127.0.0.1,DNS:localhost,${spiffe('*', 'platform')}`);
      ca.issue('client', spiffe(TENANT, 'client'));
      ca.issue('auditor', spiffe(TENANT, 'auditor'));
      ca.issue('foreign', spiffe('globex', 'client'));
      ca.issue('nobody', 'URI:spiffe://elsewhere/client');
      chmodSync(ca.file('ca.pem'), 0o600);
      const more = {
        LETHE_TLS_CERT: ca.file('server.pem'),
        LETHE_TLS_KEY: ca.file('server.key'),
        LETHE_TLS_CLIENT_CA: ca.file('ca.pem'),
      };
      const running = await startPlatform(join(directory, 'data'), more);
      try {
        const read = (name: string) => readFileSync(ca.file(name));
        const as = (name: string) =>
          lethe({
            address: running.host.address,
            tls: { authority: read('ca.pem'), key: read(`${name}.key`), certificate: read(`${name}.pem`) },
          });
        const create = (to: Lethe) =>
          to.vault.createDataset({ parent, datasetId: 'sensors', spec: SPEC_BYTES, requestId: 'c' });
        const [client, auditor, foreign, nobody] = ['client', 'auditor', 'foreign', 'nobody'].map(as) as [
          Lethe,
          Lethe,
          Lethe,
          Lethe,
        ];
        await create(client);
        assert.equal((await ingest(client, dataset, READINGS.map(sent))).stored, 400n);
        // Services reach one another the same way: a root is logged, a function learned, a person erased.
        const { name: root } = await client.vault.commitDatasetRoot({ dataset, requestId: 'r' });
        await client.hashing.createHashFunction({
          parent,
          functionId: 'sensors',
          spec: { root, ...HASH_OPTIONS },
          requestId: '',
        });
        await servedFunction(client, fn, 1);
        const { erasureRequest } = await auditor.erasure.createErasureRequest({
          parent,
          subjectId: READINGS[0]!.subjectId,
          requestId: 'forget-me',
          policy: 'gdpr-art-17',
        });
        await certified(auditor, erasureRequest!.name);
        await refused(create(auditor), 'LETHE-2102');
        await refused(create(foreign), 'LETHE-2102');
        await refused(create(nobody), 'LETHE-2101');
        const plain = asRole(running.host.address, running.directory, 'client');
        await assert.rejects(
          create(plain),
          (error) => error instanceof LetheError && error.status === 'UNAVAILABLE',
        );
        for (const connection of [client, auditor, foreign, nobody, plain]) connection.close();
      } finally {
        await running.close();
      }
    });
  },
);
