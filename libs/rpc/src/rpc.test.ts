import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { Client, credentials, Metadata } from '@grpc/grpc-js';
import { ACCESS, erasure, federation, health, vault } from '@lethe/contracts';
import { LetheError, silentLogger } from '@lethe/std';
import {
  bind,
  type Connection,
  type Credential,
  connect,
  createServer,
  type Handlers,
  loadOrCreateCredentials,
  RPC,
  type RpcServer,
  tokenAuthenticator,
} from './index.ts';

const unused = async (): Promise<never> => {
  throw new Error('a secret that must not cross the socket');
};

const vaultHandlers: Handlers<typeof vault.VaultServiceDefinition> = {
  createDataset: unused,
  getDataset: async ({ name }) => ({ name, recordCount: 2n ** 63n + 5n }),
  async ingest(requests) {
    let stored = 0n;
    for await (const request of requests) {
      if (request.message?.$case === 'record') {
        stored++;
        if (request.message.value.sequence === 7n)
          throw RPC.MALFORMED_MESSAGE('stop at seven', { details: { stored: 6 } });
      }
    }
    return { stored };
  },
  commitDatasetRoot: unused,
  getDatasetRoot: unused,
  async *readRecords() {
    for (let i = 1n; i <= 5000n; i++) yield { position: i, payload: new Uint8Array(1024) };
  },
  resolveSubject: unused,
  createArtefactKey: unused,
  getArtefactKey: unused,
  destroyArtefactKeys: unused,
};

const federationHandlers: Handlers<typeof federation.FederationServiceDefinition> = {
  createFederation: unused,
  getFederation: unused,
  async *watchFederation() {},
  async *join(messages) {
    for await (const message of messages) {
      if (message.message?.$case === 'codes') {
        yield {
          message: {
            $case: 'gradients',
            value: { stepId: message.message.value.stepId, gradients: new Uint8Array(3) },
          },
        };
      }
    }
  },
  predict: unused,
};

let server: RpcServer;
let people: Credential[];
const open: Connection[] = [];
const dial = (role?: string, of = people): Connection => {
  const token = of.find((credential) => credential.role === role)?.token;
  const connection = connect({ address: server.address, ...(token ? { token } : {}) });
  open.push(connection);
  return connection;
};
const home = mkdtempSync(join(tmpdir(), 'lethe-rpc-'));

before(async () => {
  people = loadOrCreateCredentials(join(home, 'acme.json'), 'acme');
  server = await createServer({
    services: [
      bind(vault.VaultServiceDefinition, vaultHandlers),
      bind(federation.FederationServiceDefinition, federationHandlers),
    ],
    authenticate: tokenAuthenticator(people),
    logger: silentLogger,
  });
});
after(async () => {
  for (const connection of open) connection.close();
  await server.close();
});

const coded = (code: string) => (error: unknown) => error instanceof LetheError && error.code === code;

test('credentials are kept, private and equal at the second start', () => {
  assert.equal(statSync(join(home, 'acme.json')).mode & 0o777, 0o600);
  assert.deepEqual(loadOrCreateCredentials(join(home, 'acme.json'), 'acme'), people);
});

test('every method × role is allowed or denied as the table says', async () => {
  const all = { ...vault.VaultServiceDefinition.methods, ...federation.FederationServiceDefinition.methods };
  for (const role of ['platform', 'client', 'party', 'auditor'] as const) {
    const connection = dial(role);
    const vaults = connection.client(vault.VaultServiceDefinition);
    const unary = {
      GetDataset: () => vaults.getDataset({ name: 'tenants/acme/datasets/d' }),
      CreateDataset: () => vaults.createDataset({ parent: 'tenants/acme' }),
      ResolveSubject: () => vaults.resolveSubject({ parent: 'tenants/acme', subjectId: 's' }),
      GetArtefactKey: () => vaults.getArtefactKey({ parent: 'tenants/acme', keyId: 'k' }),
      ReadRecords: async () => {
        for await (const _ of vaults.readRecords({ root: 'tenants/acme/datasets/d/roots/1' })) break;
      },
    };
    for (const [name, call] of Object.entries(unary)) {
      assert.ok(Object.values(all).some((method) => method.name === name));
      const allowed = ACCESS[`/lethe.vault.v1.VaultService/${name}`]!.includes(role);
      const outcome = await call().then(
        () => 'ok',
        (error: LetheError) => error.code,
      );
      assert.equal(outcome === 'LETHE-2102', !allowed, `${role} ${name}: ${outcome}`);
    }
  }
});

test('no credential, a wrong one, a foreign tenant and no resource are refused', async () => {
  await assert.rejects(
    dial().client(vault.VaultServiceDefinition).getDataset({ name: 'tenants/acme/datasets/d' }),
    coded('LETHE-2101'),
  );
  const stranger = loadOrCreateCredentials(join(home, 'other.json'), 'other');
  await assert.rejects(
    dial('client', stranger)
      .client(vault.VaultServiceDefinition)
      .getDataset({ name: 'tenants/acme/datasets/d' }),
    coded('LETHE-2101'),
  );
  const client = dial('client').client(vault.VaultServiceDefinition);
  await assert.rejects(client.getDataset({ name: 'tenants/other/datasets/d' }), coded('LETHE-2102'));
  await assert.rejects(client.getDataset({ name: '' }), coded('LETHE-2104'));
  // Reaches its handler, which throws: a person's id is no resource.
  const vaults = dial('platform').client(vault.VaultServiceDefinition);
  const subjectId = 'tenants/other/x';
  await assert.rejects(vaults.resolveSubject({ parent: 'tenants/acme', subjectId }), coded('LETHE-1002'));
});

test('a defect of a handler shows nothing of its text', async () => {
  await assert.rejects(
    dial('client').client(vault.VaultServiceDefinition).createDataset({ parent: 'tenants/acme' }),
    (error: LetheError) => {
      assert.equal(error.code, 'LETHE-1002');
      assert.doesNotMatch(error.message, /secret/);
      return true;
    },
  );
});

test('64-bit numbers survive, streams of all four kinds flow', async () => {
  const client = dial('platform').client(vault.VaultServiceDefinition);
  assert.equal((await client.getDataset({ name: 'tenants/acme/datasets/d' })).recordCount, 2n ** 63n + 5n);
  let last = 0n;
  for await (const record of client.readRecords({ root: 'tenants/acme/datasets/d/roots/1' }))
    last = record.position;
  assert.equal(last, 5000n);
  const records = async function* (count: bigint) {
    yield { message: { $case: 'header' as const, value: { dataset: 'tenants/acme/datasets/d' } } };
    for (let sequence = 1n; sequence <= count; sequence++)
      yield { message: { $case: 'record' as const, value: { sequence } } };
  };
  assert.equal((await client.ingest(records(6n))).stored, 6n);
  await assert.rejects(
    client.ingest(records(100_000n)),
    (error: LetheError) => coded('LETHE-2103')(error) && error.details.stored === '6',
  );
  const join = dial('party')
    .client(federation.FederationServiceDefinition)
    .join(
      (async function* () {
        yield {
          message: {
            $case: 'hello' as const,
            value: { federation: 'tenants/acme/federations/f', party: 'left' },
          },
        };
        yield { message: { $case: 'codes' as const, value: { stepId: 'a' } } };
      })(),
    );
  const first = await join.next();
  assert.equal(first.value?.message?.$case, 'gradients');
  await join.return(undefined);
});

test('bytes that are no message get INVALID_ARGUMENT', async () => {
  const token = people.find(({ role }) => role === 'client')!.token;
  const raw = new Client(server.address, credentials.createInsecure());
  const metadata = new Metadata();
  metadata.set('authorization', `Bearer ${token}`);
  const code = await new Promise((done) => {
    const same = (bytes: Buffer): Buffer => bytes;
    raw.makeUnaryRequest(
      '/lethe.vault.v1.VaultService/GetDataset',
      same,
      same,
      Buffer.from([0x0a, 0xff]),
      metadata,
      (error) => done(error?.code),
    );
  });
  raw.close();
  assert.equal(code, 3);
});

test('an address that others can reach is refused without TLS, a taken port is named', async () => {
  const options = { services: [], authenticate: () => undefined, logger: silentLogger };
  await assert.rejects(createServer({ ...options, host: '0.0.0.0' }), coded('LETHE-2105'));
  await assert.rejects(createServer({ ...options, port: server.port }), coded('LETHE-2106'));
});

test('health says what is served; an independent client reads the reflection', async () => {
  const client = dial().client(health.HealthDefinition);
  assert.equal((await client.check({ service: '' })).status, 1);
  assert.equal((await client.check({ service: 'lethe.vault.v1.VaultService' })).status, 1);
  assert.equal((await client.check({ service: 'nobody' })).status, 3);
  const run = promisify(execFile);
  const { stdout } = await run('buf', [
    'curl',
    '--protocol',
    'grpc',
    '--http2-prior-knowledge',
    '--header',
    `authorization: Bearer ${people.find(({ role }) => role === 'client')!.token}`,
    '--data',
    '{"name":"tenants/acme/datasets/d"}',
    `http://${server.address}/lethe.vault.v1.VaultService/GetDataset`,
  ]);
  assert.equal(JSON.parse(stdout).name, 'tenants/acme/datasets/d');
  assert.ok(erasure.ErasureServiceDefinition.fullName);
});

test('calls are counted by method', () => {
  assert.ok((server.callCounts()['/lethe.vault.v1.VaultService/GetDataset'] ?? 0) > 3);
});
