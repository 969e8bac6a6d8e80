import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { common, hashing, vault } from '@lethe/contracts';
import { type DatasetSpec, decodePayload, encodeSpec } from '@lethe/datasets';
import {
  bind,
  createServer,
  type Handlers,
  loadOrCreateCredentials,
  type RpcServer,
  tokenAuthenticator,
} from '@lethe/rpc';
import { silentLogger } from '@lethe/std';
import { run } from '../program.ts';

const home = mkdtempSync(join(tmpdir(), 'lethe-cli-hash-'));
const FUNCTION = 'tenants/acme/hashFunctions/emoji';
const SPEC: DatasetSpec = {
  format: 'lethe-dataset-v1',
  name: 'emoji',
  provenance: 'invented for this test',
  subjectField: 'artist',
  fields: [
    {
      kind: 'numeric-vector',
      name: 'pixels',
      element: 'uint8',
      shape: [2],
      min: 0,
      max: 255,
      optional: true,
    },
    {
      kind: 'numeric-vector',
      name: 'embedding',
      element: 'float32',
      shape: [2],
      min: -1,
      max: 1,
      optional: true,
    },
  ],
  label: { name: 'groups', classes: ['animal', 'food', 'sea'], multiple: true },
};

const seen = {
  created: [] as hashing.CreateHashFunctionRequest[],
  promoted: [] as hashing.PromoteHashVersionRequest[],
  searched: [] as hashing.SearchRequest[],
  checked: [] as hashing.CreateHashCheckRequest[],
  listed: [] as hashing.ListQuarantineRequest[],
  resolved: [] as hashing.ResolveQuarantineRequest[],
};
/** What a watch of the function ends with. */
let watched: Partial<hashing.HashFunction> = {};
const emoji = hashing.HashFunction.fromPartial({
  name: FUNCTION,
  spec: {
    root: 'tenants/acme/datasets/emoji/roots/1',
    codeBits: 16,
    modalities: [
      { name: 'image', fields: ['pixels'] },
      { name: 'text', fields: ['embedding'] },
    ],
    survivorCodes: hashing.HashFunctionSpec_SurvivorCodes.SURVIVOR_CODES_RETIRE,
  },
  state: hashing.HashFunction_State.STATE_SERVING,
  version: 3,
  itemCount: 5n,
  ledgerSize: 6n,
  segmentCount: 1,
  liveVersions: [
    { version: 1, codeCount: 2n, fingerprint: 'aa' },
    { version: 3, codeCount: 3n, fingerprint: 'bb', behaviourDigest: 'cc' },
  ],
  gate: { version: 3, verdict: hashing.GateReport_Verdict.VERDICT_PASSED },
  modalities: [
    { name: 'image', itemCount: 3n },
    { name: 'text', itemCount: 2n },
  ],
  conditions: [
    { type: 'Learning', status: common.ConditionStatus.CONDITION_STATUS_FALSE, reason: 'UpToDate' },
  ],
});

/** One that has learned nothing. */
const failed = hashing.HashFunction.fromPartial({
  name: 'tenants/acme/hashFunctions/first',
  spec: emoji.spec!,
  state: hashing.HashFunction_State.STATE_FAILED,
  conditions: [{ type: 'Learning', reason: 'Failed', message: 'LETHE-4208: there is no labelled record' }],
});

/** Handlers of a service of which this test calls some methods. */
const withUnused = <H extends object>(methods: object, used: Partial<H>): H => {
  const unused = async (): Promise<never> => {
    throw new Error('not part of this test');
  };
  return { ...Object.fromEntries(Object.keys(methods).map((method) => [method, unused])), ...used } as H;
};

const { HashingServiceDefinition } = hashing;
const { VaultServiceDefinition } = vault;
const handlers = withUnused<Handlers<typeof HashingServiceDefinition>>(HashingServiceDefinition.methods, {
  createHashFunction: async (request) => {
    seen.created.push(request);
    return emoji;
  },
  getHashFunction: async () => emoji,
  promoteHashVersion: async (request) => {
    seen.promoted.push(request);
    return emoji;
  },
  getInclusionProof: async ({ itemId }) => ({
    leafIndex: 0n,
    leafHash: Buffer.concat([itemId, itemId]),
    ledgerSize: 1n,
    ledgerRoot: Buffer.concat([itemId, itemId]),
    appliedSequence: 9n,
  }),
  getErasureProof: async ({ erasure }) => ({ proof: Buffer.from(erasure), digest: 'cd' }),
  listHashFunctions: async ({ pageToken }) => ({
    hashFunctions: [pageToken === '' ? failed : emoji],
    nextPageToken: pageToken === '' ? '7' : '',
  }),
  async *watchHashFunction() {
    yield { ...emoji, ...watched };
  },
  getHashMetrics: async ({ name }) => ({
    name,
    rows: [{ version: 1, root: 'r', tasks: [{ classes: [0, 1], sinceVersion: 1, probes: 30, score: 0.5 }] }],
    average: 0.5,
    drift: [{ modality: 'image', state: hashing.DriftWatch_State.STATE_COLLECTING_REFERENCE }],
  }),
  createHashCheck: async (request) => {
    seen.checked.push(request);
    return { name: `tenants/acme/hashChecks/${request.checkId}`, spec: request.spec! };
  },
  async *watchHashCheck({ name }) {
    const failed = name.endsWith('bad');
    const { STATE_RUNNING, STATE_COMPLETED, STATE_FAILED } = hashing.HashCheck_State;
    yield { name, state: STATE_RUNNING };
    yield {
      name,
      state: failed ? STATE_FAILED : STATE_COMPLETED,
      result: { alarm: true, outcome: { $case: 'hubs' as const, value: { flaggedItems: 1n } } },
      flaggedItemIds: [new Uint8Array(16).fill(7)],
    };
  },
  async *listNearDuplicates({ name }) {
    yield { position: 7n, modality: name, originalItemId: new Uint8Array(16).fill(2), distance: 3 };
  },
  async *listQuarantine(request) {
    seen.listed.push(request);
    const { REASON_HUB } = hashing.QuarantinedItem_Reason;
    yield { itemId: new Uint8Array(16).fill(3), modality: 'image', labels: [1], reason: REASON_HUB };
  },
  resolveQuarantine: async (request) => {
    seen.resolved.push(request);
    return { ...emoji, quarantinedItems: 4n, retiredItems: 1n };
  },
  search: async (request) => {
    seen.searched.push(request);
    return {
      functionVersion: 3,
      truncated: request.radius === 2,
      neighbours: [
        {
          itemId: new Uint8Array(16).fill(1),
          distance: 4,
          modality: 'image',
          labels: [0, 2],
          functionVersion: 1,
          subjectAlias: 'someone',
        },
      ],
    };
  },
});
const datasets = withUnused<Handlers<typeof VaultServiceDefinition>>(VaultServiceDefinition.methods, {
  getDataset: async ({ name }) => ({ name, spec: encodeSpec(SPEC), latestRoot: `${name}/roots/1` }),
});

let server: RpcServer;
before(async () => {
  const credentials = loadOrCreateCredentials(join(home, 'credentials.json'), 'acme');
  server = await createServer({
    services: [bind(HashingServiceDefinition, handlers), bind(VaultServiceDefinition, datasets)],
    authenticate: tokenAuthenticator(credentials),
    logger: silentLogger,
  });
});
after(async () => {
  await server.close();
  rmSync(home, { recursive: true });
});

const SILENT = {
  out: () => undefined,
  err: () => undefined,
  errIsTerminal: false,
  environment: {},
  readStdin: async () => '',
  interruption: () => new AbortController().signal,
};

async function lethe(...argv: readonly string[]): Promise<{ status: number; out: string; err: string }> {
  let [out, err] = ['', ''];
  const status = await run([...argv, '--tenant', 'acme', '--address', server.address], {
    out: (text) => {
      out += text;
    },
    err: (text) => {
      err += text;
    },
    errIsTerminal: false,
    environment: { LETHE_DATA_DIR: home },
    readStdin: async () => '',
    interruption: () => new AbortController().signal,
  });
  return { status, out, err };
}

test('a function of two modalities is created as it was typed, and shown with its policy by name', async () => {
  const typed = ['--modality', 'image=pixels', '--modality', 'text=embedding', '--survivors', 'retire'];
  const { status, out } = await lethe('hash', 'create', 'emoji', '--dataset', 'emoji', ...typed, '--json');
  assert.equal(status, 0);
  const { spec } = seen.created.at(-1)!;
  assert.deepEqual(spec?.modalities, emoji.spec?.modalities);
  assert.equal(spec?.survivorCodes, hashing.HashFunctionSpec_SurvivorCodes.SURVIVOR_CODES_RETIRE);
  assert.equal(spec?.root, 'tenants/acme/datasets/emoji/roots/1');
  assert.equal((JSON.parse(out) as { spec: { survivorCodes: string } }).spec.survivorCodes, 'RETIRE');
  await lethe('hash', 'create', 'plain', '--dataset', 'emoji');
  assert.deepEqual(seen.created.at(-1)!.spec?.modalities, []);
  assert.equal(seen.created.at(-1)!.spec?.survivorCodes, undefined);
  const wrong = await lethe('hash', 'create', 'emoji', '--dataset', 'emoji', '--modality', 'image');
  assert.equal(wrong.status, 2);
  assert.match(wrong.err, /NAME=FIELD/u);
});

test('proofs about the ledger become files that the offline checks read', async () => {
  const [leaf, ledger] = [join(home, 'leaf.json'), join(home, 'ledger.json')];
  const item = '0a'.repeat(16);
  assert.equal((await lethe('hash', 'inclusion', 'emoji', item, '--proof', leaf)).status, 0);
  const check = (root: string) => run(['certificate', 'inclusion', leaf, '--root', root], SILENT);
  assert.equal(await check('0a'.repeat(32)), 0);
  assert.equal(await check('0b'.repeat(32)), 1);
  assert.equal(await check('0b'), 2);
  const again = await lethe('hash', 'inclusion', 'emoji', item, '--proof', leaf);
  assert.match(again.err, /LETHE-5015/u);
  const { out } = await lethe('hash', 'erasure-proof', 'emoji', 'e-1', '--proof', ledger);
  assert.match(out, /digest: cd/u);
  assert.equal(readFileSync(ledger, 'utf8'), 'tenants/acme/erasureRequests/e-1');
});

test('list follows the pages; versions shows what the index holds', async () => {
  const { out } = await lethe('hash', 'list', '--json');
  const names = (JSON.parse(out) as { name: string }[]).map(({ name }) => name.split('/').at(-1));
  assert.deepEqual(names, ['first', 'emoji']);
  const short = await lethe('hash', 'list');
  assert.match(short.out, /modalities: image, text/u);
  assert.doesNotMatch(short.out, /conditions/u);
  assert.match(short.out, /failure: "?LETHE-4208: there is no labelled record/u);
  const versions = JSON.parse((await lethe('hash', 'versions', 'emoji', '--json')).out) as Record<
    string,
    unknown
  >;
  assert.deepEqual(versions.liveVersions, [
    { version: 1, codeCount: 2, fingerprint: 'aa', behaviourDigest: '' },
    { version: 3, codeCount: 3, fingerprint: 'bb', behaviourDigest: 'cc' },
  ]);
  assert.equal((versions.gate as { verdict: string }).verdict, 'PASSED');
  assert.deepEqual(versions.index, { itemCount: 5, ledgerSize: 6, segmentCount: 1, ledgerRoot: '' });
  assert.match((await lethe('hash', 'show', 'emoji')).out, /version: 3/u);
});

test('a version that the gate holds: the command says so and fails; promoting it takes a decision', async () => {
  const { VERDICT_FAILED } = hashing.GateReport_Verdict;
  const report = hashing.GateReport.fromPartial({
    version: 4,
    verdict: VERDICT_FAILED,
    reasons: ['Lost 0.3.'],
  });
  watched = { held: hashing.HeldVersion.fromPartial({ version: 4, root: 'r', report }) };
  const { status, out, err } = await lethe('hash', 'promote', 'emoji', '--fan-out', '--json').finally(() => {
    watched = {};
  });
  assert.equal(status, 1);
  assert.match(err, /holds the version/u);
  const shown = JSON.parse(out) as { held: { report: { verdict: string; reasons: string[] } } };
  assert.deepEqual([shown.held.report.verdict, shown.held.report.reasons], ['FAILED', ['Lost 0.3.']]);
  const { MODE_FAN_OUT, MODE_FORCE } = hashing.PromoteHashVersionRequest_Mode;
  assert.equal(seen.promoted.at(-1)?.mode, MODE_FAN_OUT);
  assert.equal((await lethe('hash', 'promote', 'emoji', '--force')).status, 0);
  assert.equal(seen.promoted.at(-1)?.mode, MODE_FORCE);
  const count = seen.promoted.length;
  assert.equal((await lethe('hash', 'promote', 'emoji')).status, 2);
  assert.equal((await lethe('hash', 'promote', 'emoji', '--force', '--fan-out')).status, 2);
  assert.equal(seen.promoted.length, count);
  await lethe('hash', 'create', 'strict', '--dataset', 'emoji', '--gate', 'require', '--gate-epsilon', '0.1');
  assert.deepEqual(seen.created.at(-1)!.spec?.gate, { epsilon: 0.1, require: true, reportOnly: false });
});

test('a filter and a quarantine are asked for when the function is created', async () => {
  const create = (...typed: readonly string[]) =>
    lethe('hash', 'create', 'careful', '--dataset', 'emoji', ...typed);
  await create();
  const { nearDuplicates, quarantine } = seen.created.at(-1)!.spec!;
  assert.deepEqual([nearDuplicates, quarantine], [undefined, undefined]);
  await create('--near-duplicates', '0', '--quarantine-hubs');
  const careful = seen.created.at(-1)!.spec!;
  assert.deepEqual(careful.nearDuplicates, { radius: 0, contentBits: 0 });
  assert.deepEqual(careful.quarantine, { marginShare: 0, flaggedHubs: true });
  await create('--near-duplicates', '6', '--content-bits', '128', '--quarantine-margin', '0.01');
  const other = seen.created.at(-1)!.spec!;
  assert.deepEqual(other.nearDuplicates, { radius: 6, contentBits: 128 });
  assert.deepEqual(other.quarantine, { marginShare: 0.01, flaggedHubs: false });
  const asked = seen.created.length;
  assert.equal((await create('--content-bits', '64')).status, 2);
  assert.equal((await create('--quarantine-margin', '0.6')).status, 2);
  assert.equal(seen.created.length, asked);
});

test('quarantine and near-duplicates are listed, and items are released and retired by their ids', async () => {
  const item = '03'.repeat(16);
  const list = await lethe('hash', 'quarantine', 'list', 'emoji', '--json');
  assert.deepEqual(JSON.parse(list.out), [
    { itemId: item, modality: 'image', labels: [1], reason: 'HUB', retired: false },
  ]);
  assert.deepEqual(seen.listed.at(-1), { name: FUNCTION, retired: false });
  await lethe('hash', 'quarantine', 'list', 'emoji', '--retired');
  assert.equal(seen.listed.at(-1)!.retired, true);
  const { RESOLUTION_RELEASE, RESOLUTION_RETIRE } = hashing.ResolveQuarantineRequest_Resolution;
  const released = await lethe('hash', 'quarantine', 'release', 'emoji', item, '04'.repeat(16));
  assert.match(released.out, /quarantinedItems: 4\nretiredItems: 1/u);
  assert.deepEqual(
    seen.resolved.at(-1)!.itemIds.map((id) => Buffer.from(id).toString('hex')),
    [item, '04'.repeat(16)],
  );
  assert.equal(seen.resolved.at(-1)!.resolution, RESOLUTION_RELEASE);
  await lethe('hash', 'quarantine', 'retire', 'emoji', item);
  assert.equal(seen.resolved.at(-1)!.resolution, RESOLUTION_RETIRE);
  const asked = seen.resolved.length;
  assert.equal((await lethe('hash', 'quarantine', 'release', 'emoji', item, 'zz')).status, 2);
  assert.equal((await lethe('hash', 'quarantine', 'release', 'emoji')).status, 2);
  assert.equal(seen.resolved.length, asked);
  const rows = JSON.parse((await lethe('hash', 'near-duplicates', 'emoji', '--json')).out) as object[];
  const originalItemId = '02'.repeat(16);
  assert.deepEqual(rows, [{ position: 7, modality: FUNCTION, originalItemId, distance: 3 }]);
});

test('numbers that no search has are refused as arguments, in words', async () => {
  const asked = seen.searched.length;
  for (const [option, value] of [
    ['--radius', '-1'],
    ['--radius', '257'],
    ['--function-version', '0'],
    ['--function-version', '4294967296'],
  ] as const) {
    const { status, err } = await lethe('hash', 'search', 'emoji', '--code', '00ff', option, value);
    assert.equal(status, 2, `${option} ${value}`);
    assert.match(err, new RegExp(`${option}.*whole number from`, 'su'));
  }
  assert.equal(seen.searched.length, asked);
});

test('a file with texts alone asks for pictures', async () => {
  const file = join(home, 'texts.csv');
  writeFileSync(file, 'artist,embedding_0,embedding_1,groups\nme,0.5,-1,\nme,1,1,\n');
  const { status, out } = await lethe(
    'hash',
    'search',
    'emoji',
    '--rows',
    file,
    '--find',
    'image',
    '-k',
    '3',
  );
  assert.equal(status, 0);
  const [first, second] = seen.searched.slice(-2);
  assert.deepEqual(first?.filter?.modalities, ['image']);
  assert.equal(first?.k, 3);
  assert.equal(first?.query?.$case, 'payload');
  const payload = second!.query!.$case === 'payload' ? second!.query!.value : new Uint8Array(0);
  assert.deepEqual(decodePayload(SPEC, payload), { values: [undefined, Float32Array.of(1, 1)] });
  assert.match(
    out,
    /^row 2: 1 neighbours by version 3\n {4}4 {2}image {2}animal\|sea {2}(01){16} {2}v1 {2}someone\n/u,
  );
  const json = await lethe('hash', 'search', 'emoji', '--rows', file, '--json');
  assert.deepEqual(
    (JSON.parse(json.out) as { row: number }[]).map(({ row }) => row),
    [2, 3],
  );
  assert.equal(seen.searched.at(-1)!.k, 10);
});

test('conditions of a search are sent as they are typed; classes by their names', async () => {
  const { out } = await lethe(
    ...['hash', 'search', 'emoji', '--code', '00ff', '--radius', '2', '--label', 'sea', '--label', 'food'],
    ...['--all-labels', 'animal', '--function-version', '1', '--min-sequence', '9'],
  );
  const asked = seen.searched.at(-1)!;
  assert.deepEqual(asked.query, { $case: 'code', value: Buffer.from('00ff', 'hex') });
  assert.equal(asked.radius, 2);
  assert.equal(asked.k, 0);
  assert.equal(asked.minAppliedSequence, 9n);
  assert.deepEqual(asked.filter, {
    modalities: [],
    labelsAny: [2, 1],
    labelsAll: [0],
    functionVersions: [1],
  });
  assert.match(out, /there are more within the radius/u);
  const wrong = await lethe('hash', 'search', 'emoji', '--code', '00ff', '--label', 'ocean');
  assert.equal(wrong.status, 2);
  assert.match(wrong.err, /LETHE-5013.*no class ocean/u);
});

test('metrics shows figures and the watch; a check is awaited, and one without a result is an error', async () => {
  const metrics = await lethe('hash', 'metrics', 'emoji');
  assert.match(metrics.out, /average: 0.5/u);
  assert.match(metrics.out, /COLLECTING_REFERENCE/u);
  assert.doesNotMatch(metrics.out, /forgetting/u);
  const typed = ['--id', 'good', '--newer-than', '2', '--false-alarms', '0.01', '--json'];
  const { status, out } = await lethe('hash', 'check', 'emoji', 'hubs', ...typed);
  assert.equal(status, 0);
  const { spec, checkId } = seen.checked.at(-1)!;
  assert.equal(checkId, 'good');
  assert.equal(spec?.function, FUNCTION);
  assert.equal(spec?.kind, hashing.HashCheckSpec_Kind.KIND_HUBS);
  assert.deepEqual([spec?.newerThanVersion, spec?.falseAlarms], [2, 0.01]);
  const shown = JSON.parse(out) as { state: string; flaggedItemIds: string[] };
  assert.equal(shown.state, 'COMPLETED');
  assert.deepEqual(shown.flaggedItemIds, ['07'.repeat(16)]);
  assert.notEqual((await lethe('hash', 'check', 'emoji', 'uniqueness', '--id', 'bad')).status, 0);
  assert.equal((await lethe('hash', 'check', 'emoji', 'nonsense')).status, 2);
});
