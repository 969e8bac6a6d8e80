import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { issueFixture } from '@lethe/certificate/fixture';
import { common, erasure, vault } from '@lethe/contracts';
import { decodePayload, decodeSpec } from '@lethe/datasets';
import {
  bind,
  createServer,
  type Handlers,
  loadOrCreateCredentials,
  type RpcServer,
  tokenAuthenticator,
  writePrivateFile,
} from '@lethe/rpc';
import { silentLogger } from '@lethe/std';
import { up } from './commands/up.ts';
import type { CliIo } from './io.ts';
import type { GlobalOptions } from './platform.ts';
import { run } from './program.ts';

const MAIN = fileURLToPath(new URL('./main.ts', import.meta.url));
const home = mkdtempSync(join(tmpdir(), 'lethe-cli-'));
const dataDirectory = join(home, 'data');
const SPEC = JSON.stringify({
  format: 'lethe-dataset-v1',
  name: 'visits',
  provenance: 'SYNTHETIC',
  subjectField: 'person',
  fields: [{ kind: 'numeric', name: 'age', min: 0, max: 120 }],
  label: { name: 'outcome', classes: ['well', 'ill'] },
});

const unused = async (): Promise<never> => {
  throw new Error('not part of this test');
};

const kept: { spec: Uint8Array; records: vault.IngestRecord[] } = { spec: new Uint8Array(), records: [] };
const vaultHandlers: Handlers<typeof vault.VaultServiceDefinition> = {
  createDataset: async ({ parent, datasetId, spec }) => {
    kept.spec = spec;
    return { name: `${parent}/datasets/${datasetId}`, spec };
  },
  getDataset: async ({ name }) => ({ name, spec: kept.spec, recordCount: BigInt(kept.records.length) }),
  async ingest(messages) {
    let stored = 0n;
    for await (const { message } of messages) {
      if (message?.$case !== 'record') continue;
      kept.records.push(message.value);
      stored++;
    }
    return { stored, duplicates: 0n, suppressed: 1n };
  },
  commitDatasetRoot: async ({ dataset }) => ({
    name: `${dataset}/roots/1`,
    root: new Uint8Array(32).fill(7),
  }),
  getDatasetRoot: unused,
  async *readRecords() {},
  resolveSubject: unused,
  createArtefactKey: unused,
  getArtefactKey: unused,
  destroyArtefactKeys: unused,
};

const issued = issueFixture();
const { ErasureRequest_State: State } = erasure;
const asked: erasure.CreateErasureRequestRequest[] = [];
let ending: erasure.ErasureRequest_State = State.STATE_CERTIFIED;
let watches = 0;
const named = (name: string, state: erasure.ErasureRequest_State) => ({
  name,
  state,
  certificateDigest: state === State.STATE_FAILED ? '' : 'ab',
  claims: [
    { artefact: 'tenants/acme/models/m', kind: 'MODEL_ENSEMBLE', claim: common.Claim.CLAIM_ERASED_EXACT },
  ],
  progress: { done: 1n, total: 9n, phase: 'owners erase' },
});
const erasureHandlers: Handlers<typeof erasure.ErasureServiceDefinition> = {
  createErasureRequest: async (request) => {
    asked.push(request);
    return {
      erasureRequest: named(`${request.parent}/erasureRequests/e1`, State.STATE_REQUESTED),
      opening: new Uint8Array(32).fill(0xab),
    };
  },
  getErasureRequest: async ({ name }) => named(name, State.STATE_CERTIFIED),
  listErasureRequests: async ({ parent, pageToken }) => ({
    erasureRequests: [named(`${parent}/erasureRequests/e${pageToken || '0'}`, State.STATE_CERTIFIED)],
    nextPageToken: pageToken === '' ? '1' : '',
  }),
  async *watchErasureRequest({ name }) {
    yield named(name, State.STATE_ERASING);
    // The first stream ends early, as it does when a platform stops.
    if (watches++ > 0) yield named(name, ending);
  },
  getCertificate: async () => ({ content: issued.bytes, digest: 'ab' }),
  getVerifyKey: async () => ({ content: Buffer.from(JSON.stringify(issued.keyFile)) }),
  getLogStatement: unused,
};

let server: RpcServer;

before(async () => {
  mkdirSync(dataDirectory);
  server = await createServer({
    services: [
      bind(vault.VaultServiceDefinition, vaultHandlers),
      bind(erasure.ErasureServiceDefinition, erasureHandlers),
    ],
    authenticate: tokenAuthenticator(
      loadOrCreateCredentials(join(dataDirectory, 'credentials.json'), 'acme'),
    ),
    logger: silentLogger,
  });
  writePlatformFile(process.pid);
  writeFileSync(join(home, 'visits.json'), SPEC);
});

after(async () => {
  await server.close();
  rmSync(home, { recursive: true });
});

function writePlatformFile(pid: number): void {
  // Port 9 answers nobody: what asks NATS has to say so.
  const file = { address: server.address, natsUrl: 'nats://127.0.0.1:9', pid, tenant: 'acme' };
  writePrivateFile(join(dataDirectory, 'platform.json'), JSON.stringify(file));
}

interface Ran {
  readonly status: number;
  readonly out: string;
  readonly err: string;
}

async function lethe(
  argv: readonly string[],
  environment: CliIo['environment'] = { LETHE_DATA_DIR: dataDirectory },
  stdin = '',
): Promise<Ran> {
  let [out, err] = ['', ''];
  const status = await run(argv, {
    out: (text) => {
      out += text;
    },
    err: (text) => {
      err += text;
    },
    errIsTerminal: false,
    environment,
    readStdin: async () => stdin,
    interruption: () => new AbortController().signal,
  });
  return { status, out, err };
}

const file = (name: string, content: string): string => {
  writeFileSync(join(home, name), content);
  return join(home, name);
};

test('the defaults of private training are shown with their reasons, without a platform', async () => {
  const { status, out } = await lethe(['train', 'defaults', '--records', '8192', '--json']);
  assert.equal(status, 0);
  const shown = JSON.parse(out) as Record<string, { value: number; why: string }>;
  assert.equal(shown.samplingProbability?.value, 1 / 8);
  assert.ok(shown.delta!.value < 1 / 8192);
  assert.match(shown.learningRate!.why, /2 \/ l2ClipNorm/u);
});

test('every command has help with status 0; wrong usage is 2 and says what is wrong', async () => {
  const commands = [
    ...['up', 'status', 'ingest', 'erase', 'dataset create', 'dataset commit', 'hash create', 'hash update'],
    ...[
      'hash search',
      'hash get',
      'hash show',
      'hash list',
      'hash versions',
      'hash inclusion',
      'hash erasure-proof',
      'certificate inclusion',
      'train dp',
      'train ensemble',
      'train get',
      'erasure get',
      'erasure list',
    ],
    ...['erasure watch', 'certificate get', 'certificate verify', 'events tail', 'events replay'],
    ...['data list', 'data fetch', 'model show'],
    ...['train list', 'train cancel', 'train resume', 'train models', 'train promote', 'train defaults'],
    ...['train budget get', 'train budget set', 'train budget subject'],
  ];
  for (const command of [...commands, 'events dead-letters']) {
    const { status, out } = await lethe([...command.split(' '), '--help']);
    assert.equal(status, 0, command);
    assert.match(out, /^Usage: lethe /u);
  }
  const wrong: readonly [string, RegExp][] = [
    ['ingst', /Did you mean ingest/u],
    ['data fetch cifar', /Allowed choices are fashion-mnist, sotu/u],
    ['ingest x.csv', /required option '--dataset <name>'/u],
    ['ingest x.csv --dataset d --create', /LETHE-5013.*--create needs --spec/u],
    ['ingest none.csv --dataset d', /LETHE-5014.*none\.csv.*ENOENT/u],
    ['train dp r --dataset d --steps 0', /whole number from 1/u],
    ['train budget set d', /required option '--epsilon <x>'/u],
    ['train dp r', /LETHE-5013.*--dataset NAME or --root/u],
    ['hash create h --dataset a --root b', /cannot be used with/u],
    ['hash search h --code xyz', /LETHE-5013.*hex/u],
    ['hash inclusion h xyz --proof f', /LETHE-5013.*hex/u],
    ['certificate inclusion f', /required option '--root <hex>'/u],
    ['erase p --no-wait --certificate c', /LETHE-5013.*--wait/u],
    ['erase p --key k', /LETHE-5013.*--certificate/u],
    ['events replay first', /whole number/u],
    ['status --role nobody', /Allowed choices are/u],
  ];
  for (const [line, message] of wrong) {
    const { status, out, err } = await lethe(line.split(' '));
    assert.equal(status, 2, line);
    assert.match(err, message);
    assert.equal(out, '', line);
    assert.doesNotMatch(err, /\n +at /u, 'no stack');
  }
});

test('where no platform runs, where credentials are missing, and where a token would leave the machine', async () => {
  const nowhere = { LETHE_DATA_DIR: join(home, 'nothing') };
  const none = await lethe(['dataset', 'get', 'visits'], nowhere);
  assert.equal(none.status, 1);
  assert.match(
    none.err,
    /^\[LETHE-5011\] no platform has been started in .*nothing\n {2}Start one with "lethe up"/u,
  );
  const noToken = await lethe(['dataset', 'get', 'visits', '--address', server.address], nowhere);
  assert.match(noToken.err, /LETHE-5012/u);
  const far = await lethe(['dataset', 'get', 'visits', '--address', '10.0.0.1:7420']);
  assert.match(far.err, /LETHE-5021/u);
  const wrongToken = await lethe(['dataset', 'get', 'visits', '--token', 'a'.repeat(52)]);
  assert.match(wrongToken.err, /LETHE-2101/u);
  assert.equal(wrongToken.status, 1);
  const otherTenant = await lethe(['dataset', 'get', 'visits', '--tenant', 'other']);
  assert.match(otherTenant.err, /LETHE-5012.*role client in tenant other/u);
  // A process id beyond what Linux gives out.
  writePlatformFile(2 ** 30);
  const stopped = await lethe(['dataset', 'get', 'visits']);
  writePlatformFile(process.pid);
  assert.match(stopped.err, /LETHE-5011.*does not run any more/u);
  const noNats = await lethe(['events', 'tail']);
  assert.equal(noNats.status, 1);
  assert.match(noNats.err, /LETHE-2005/u);
});

test('ingest sends what the file holds, with ids from its rows or from a column', async () => {
  const csv = file('july.csv', 'person,age,outcome\np-1,30,ill\np-2,41,\n');
  const json = ['--json', '--spec', join(home, 'visits.json'), '--create'];
  const { status, out, err } = await lethe(['ingest', csv, '--dataset', 'visits', ...json]);
  assert.deepEqual([status, err], [0, '']);
  assert.deepEqual(JSON.parse(out), { stored: 2, duplicates: 0, suppressed: 1 });
  assert.deepEqual(
    kept.records.map(({ sequence, subjectId, recordId }) => [sequence, subjectId, recordId]),
    [
      [1n, 'p-1', 'july-2'],
      [2n, 'p-2', 'july-3'],
    ],
  );
  const spec = decodeSpec(kept.spec);
  assert.deepEqual(decodePayload(spec, kept.records[0]!.payload), { values: [30], label: 1 });

  kept.records = [];
  const visits = file('ids.csv', 'visit,person,age,outcome\n"a,1",p-1,30,ill\nb,p-2,41,well\n');
  const byColumn = await lethe(['ingest', visits, '--dataset', 'visits', '--id-column', 'visit']);
  assert.equal(byColumn.out, 'stored: 2\nduplicates: 0\nsuppressed: 1\n');
  assert.deepEqual(
    kept.records.map(({ recordId }) => recordId),
    ['a,1', 'b'],
  );
  kept.records = [];
  await lethe(['ingest', csv, '--dataset', 'visits', '--id-column', 'person']);
  assert.deepEqual(
    kept.records.map(({ recordId }) => recordId),
    ['p-1', 'p-2'],
  );
});

test('ingest refuses before anything is sent, and repeats no cell', async () => {
  kept.records = [];
  const twice = file('twice.csv', 'visit,person,age,outcome\nsecret,p,30,ill\nsecret,p,3,ill\n');
  const wrong: readonly [string[], string, RegExp, number][] = [
    [[twice, '--id-column', 'visit'], 'LETHE-5013', /row 3: it has the record id of row 2/u, 2],
    [[twice, '--id-column', 'none'], 'LETHE-5013', /no column none/u, 2],
    [[file('age.csv', 'person,age,outcome\nsecret,999,ill\n')], 'LETHE-2306', /row 2, column 2/u, 1],
    [[file('text.csv', '')], 'LETHE-2305', /empty/u, 1],
    [
      [twice, '--spec', file('other.json', SPEC.replace('120', '99'))],
      'LETHE-5016',
      /another specification/u,
      1,
    ],
  ];
  for (const [argv, code, message, expected] of wrong) {
    const { status, err } = await lethe(['ingest', '--dataset', 'visits', ...argv]);
    assert.equal(status, expected, err);
    assert.ok(err.startsWith(`[${code}]`), err);
    assert.match(err, message);
    assert.doesNotMatch(err, /secret|999/u);
  }
  assert.equal(kept.records.length, 0);
});

test('roots are shown in hex; a dataset without one cannot be learned from', async () => {
  const { out } = await lethe(['dataset', 'commit', 'visits', '--json']);
  assert.equal(JSON.parse(out).root, '07'.repeat(32));
  const { status, err } = await lethe(['train', 'dp', 'r', '--dataset', 'visits']);
  assert.equal(status, 1);
  assert.match(err, /LETHE-5017.*\n.*lethe dataset commit/u);
});

test('erase tells the opening once, survives a broken watch, and writes what the verifier accepts', async () => {
  const [certificate, key] = [join(home, 'certificate.json'), join(home, 'key.json')];
  const files = ['--certificate', certificate, '--key', key];
  const { status, out, err } = await lethe(['erase', '-', '--policy', 'asked', ...files], undefined, 'p-1\n');
  assert.equal(status, 0, err);
  assert.deepEqual(
    asked.map(({ parent, subjectId, policy }) => [parent, subjectId, policy]),
    [['tenants/acme', 'p-1', 'asked']],
  );
  assert.equal(`${out}${err}`.split('ab'.repeat(32)).length, 2, 'the opening stands there exactly once');
  assert.ok(watches >= 2);
  assert.match(err, /owners erase 1\/9/u);
  assert.match(out, /state: CERTIFIED\n/u);
  assert.match(out, /claim: ERASED_EXACT\n/u);
  assert.doesNotMatch(out, /epsilon/u);
  assert.deepEqual(new Uint8Array(readFileSync(certificate)), new Uint8Array(issued.bytes));
  const verified = await lethe(['certificate', 'verify', certificate, '--key', key, '--json'], {});
  assert.equal(verified.status, 0);
  assert.equal(JSON.parse(verified.out).verified, true);

  // The same two options fetch the same bytes again.
  const fetched = [join(home, 'fetched.json'), join(home, 'fetched-key.json')] as const;
  const got = await lethe(['certificate', 'get', 'e-1', '--certificate', fetched[0], '--key', fetched[1]]);
  assert.equal(got.status, 0, got.err);
  assert.deepEqual(readFileSync(fetched[0]), readFileSync(certificate));
  assert.deepEqual(readFileSync(fetched[1]), readFileSync(key));

  const again = await lethe(['erase', 'p-2', ...files]);
  assert.equal(again.status, 2);
  assert.match(again.err, /LETHE-5015/u);
  assert.equal(asked.length, 1, 'nothing is asked for when the certificate has no place');
});

test('an erasure that is not certified ends with 1; its opening is in the JSON', async () => {
  ending = State.STATE_PARTIAL;
  const { status, out, err } = await lethe(['erase', 'p-3', '--json']);
  assert.equal(status, 1);
  assert.match(err, /\[LETHE-5019\] .* ended PARTIAL/u);
  const answer = JSON.parse(out);
  assert.deepEqual([answer.erasure.state, answer.opening], ['PARTIAL', 'ab'.repeat(32)]);
  const list = await lethe(['erasure', 'list', '--json']);
  assert.deepEqual(
    JSON.parse(list.out).map(({ name }: { name: string }) => name.split('/').at(-1)),
    ['e0', 'e1'],
  );
});

test('certificate verify loads no network module and passes the verdict on', () => {
  const certificate = file('c.json', Buffer.from(issued.bytes).toString());
  const changed = file('changed.json', Buffer.from(issued.bytes).toString().replace('"PASS"', '"FAIL"'));
  const key = file('k.json', JSON.stringify(issued.keyFile));
  const hook = file(
    'hook.mjs',
    `import { registerHooks } from 'node:module';
     registerHooks({ load(url, context, next) {
       if (/@grpc|@nats-io|opentelemetry|libs\\/(rpc|client|events|contracts)\\//.test(url)) throw new Error('loads ' + url);
       return next(url, context);
     } });`,
  );
  const verify = (path: string): string =>
    execFileSync(process.execPath, ['--import', hook, MAIN, 'certificate', 'verify', path, '--key', key], {
      encoding: 'utf8',
      env: {},
      stdio: 'pipe',
    });
  assert.match(verify(certificate), /^VERIFIED/u);
  assert.throws(() => verify(changed), { status: 1 });
  assert.throws(() => verify(join(home, 'none.json')), { status: 2 });
  // The hook works: a command that connects does trip over it.
  const connecting = ['--import', hook, MAIN, 'erasure', 'list', '--data-dir', dataDirectory];
  assert.throws(() => execFileSync(process.execPath, connecting, { stdio: 'pipe' }), /loads /u);
});

test('up hands settings to its child, says where it serves, and passes its status on', async () => {
  const own = join(home, 'own');
  const entry = file(
    'platform.mjs',
    `import { mkdirSync, writeFileSync } from 'node:fs';
     const { LETHE_DATA_DIR: dir, LETHE_PORT: port, LETHE_TENANT: tenant } = process.env;
     mkdirSync(dir, { recursive: true });
     const file = { address: '127.0.0.1:' + port, natsUrl: 'nats://127.0.0.1:9', pid: process.pid, tenant };
     writeFileSync(dir + '/platform.json', JSON.stringify(file));
     setTimeout(() => process.exit(3), 800);`,
  );
  let err = '';
  const start = (globals: GlobalOptions): Promise<number> =>
    up({
      io: {
        out: () => undefined,
        err: (text) => {
          err += text;
        },
        errIsTerminal: false,
        environment: {},
        readStdin: async () => '',
        interruption: () => new AbortController().signal,
      },
      globals,
      port: 1234,
      entry,
    });
  const status = await start({ dataDir: own, tenant: 'acme' });
  assert.equal(status, 3);
  assert.match(err, /serves on 127\.0\.0\.1:1234 \(tenant acme\)/u);
  assert.ok(err.includes(join(own, 'credentials.json')));

  err = '';
  await start({ dataDir: own });
  assert.match(err, /tenant acme/u, 'a later start keeps the tenant of the first');
});
