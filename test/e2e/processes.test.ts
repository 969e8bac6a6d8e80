/**
 * Every service as a process of its own against one NATS server: a whole erasure, to a certificate that verifies; then one in
 * which services are killed.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type CertificateBody, refuseInclusion, refuseLedgerProof } from '@lethe/certificate';
import type { Part } from '@lethe/client';
import { common, EVENT } from '@lethe/contracts';
import { findNatsServer, freePort, type NatsServer, startNatsServer } from '@lethe/events';
import { loadOrCreateCredentials } from '@lethe/rpc';
import { hex, sha256 } from '@lethe/std';
import { type Needle, piecesOf } from '@lethe/store';
import { outcome, requestErasure, verifiedBody } from './support/erasures.ts';
import { Facts, logStatements, sealedRecords } from './support/facts.ts';
import { startParties, writeParties } from './support/parties.ts';
import { type Clients, clientsOf, served, TENANT } from './support/platform.ts';
import { endAll, type Running, startScript } from './support/processes.ts';
import {
  commitRoot,
  createDataset,
  ingest,
  learnEverything,
  NAME,
  PARENT,
  readings,
  registerAudit,
} from './support/sensors.ts';
import { found } from './support/stores.ts';

const PARTS: readonly Part[] = ['vault', 'erasure', 'audit', 'hashing', 'learning', 'federation'];
const [FIRST, SECOND] = [readings[0]!.subjectId, readings[4]!.subjectId];

const folder = mkdtempSync(join(tmpdir(), 'lethe-processes-'));
const credentialsFile = join(folder, 'credentials.json');
const services = new Map<Part, Running>();
const ports = new Map<Part, number>();
let nats: NatsServer;
let clients: Clients;
let parties: Running[] = [];

const addressOf = (part: Part): string => `127.0.0.1:${ports.get(part)}`;
const directoryOf = (part: Part): string => join(folder, part);

async function start(part: Part): Promise<void> {
  rmSync(join(directoryOf(part), 'platform.json'), { force: true });
  const child = startScript(`services/${part}/src/main.ts`, [], {
    LETHE_DATA_DIR: directoryOf(part),
    LETHE_CREDENTIALS: credentialsFile,
    LETHE_TENANT: TENANT,
    LETHE_PORT: String(ports.get(part)),
    LETHE_NATS_URL: nats.url,
    LETHE_LOG: 'warn',
    ...Object.fromEntries(PARTS.map((peer) => [`LETHE_${peer.toUpperCase()}_ADDRESS`, addressOf(peer)])),
    // Only the vault scans; it has to be told where the server that is not its own keeps its files.
    ...(part === 'vault' ? { LETHE_SCAN_PATHS: nats.storeDirectory } : {}),
  });
  services.set(part, child);
  const { natsUrl } = await served(directoryOf(part), child);
  assert.equal(natsUrl, nats.url);
}

async function killAndRestart(part: Part): Promise<void> {
  const child = services.get(part)!;
  child.signal('SIGKILL');
  await child.gone;
  await start(part);
}

before(async () => {
  for (const part of PARTS) ports.set(part, await freePort());
  loadOrCreateCredentials(credentialsFile, TENANT);
  const binary = findNatsServer({ environment: process.env, announce: (line) => console.error(line) });
  nats = await startNatsServer({ binary, directory: join(folder, 'nats') });
  await Promise.all(PARTS.map(start));
  const addresses = Object.fromEntries(PARTS.map((part) => [part, addressOf(part)]));
  clients = clientsOf(addressOf('vault'), credentialsFile, addresses);
});

after(async () => {
  clients?.close();
  endAll();
  await Promise.all([...services.values(), ...parties].map(({ gone }) => gone));
  await nats?.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function needlesOf(subjectId: string): Promise<Needle[]> {
  const { alias } = await clients.auditor.vault.resolveSubject({ parent: PARENT, subjectId });
  const sealed = await sealedRecords(nats.url, 'sensors', alias);
  assert.equal(sealed.length, 4);
  return sealed.flatMap((record) => piecesOf('record', record.sealed));
}

/** What an auditor gets from the service agrees with what the certificate carries, and with no other root. */
async function provenLedger(erasure: string, { claims }: CertificateBody): Promise<void> {
  const claim = claims.find(({ kind }) => kind === 'HASH_INDEX')!;
  const { erasureProof } = claim.details;
  assert.ok(Number(claim.details.erasedItems) > 0 && refuseLedgerProof(claim) === undefined);
  const forged = String(erasureProof).replace(/"index":(\d+)/, (_, index) => `"index":${Number(index) + 1}`);
  const details = { ...claim.details, erasureProof: forged, erasureProofDigest: hex(sha256(forged)) };
  assert.match(refuseLedgerProof({ ...claim, details })!, /the ledger proof/);
  const fn = claim.artefact.replace(/\/index$/, '');
  const { hashing } = clients.auditor;
  const { proof } = await hashing.getErasureProof({ name: fn, erasure });
  assert.equal(Buffer.from(proof).toString(), erasureProof);
  for await (const { itemId, leafHash } of hashing.listCodes({ name: fn })) {
    const leaf = await hashing.getInclusionProof({ name: fn, itemId });
    const answer = {
      leafIndex: Number(leaf.leafIndex),
      leafHash: hex(leafHash),
      ledgerSize: Number(leaf.ledgerSize),
      ledgerRoot: hex(leaf.ledgerRoot),
      path: leaf.path.map(hex),
    };
    assert.equal(refuseInclusion(answer, claim.digestAfter!), undefined);
    assert.notEqual(refuseInclusion(answer, claim.digestBefore), undefined);
    return;
  }
  assert.fail('the index has items');
}

const inStores = async (needles: readonly Needle[]): Promise<number> =>
  (await found([nats.storeDirectory, ...PARTS.map(directoryOf)], needles)).record!;

test('six processes and two parties: a person is learned from, forgotten, and the certificate verifies', async () => {
  assert.equal(new Set([...services.values()].map(({ pid }) => pid)).size, PARTS.length);
  await createDataset(clients);
  await ingest(clients, readings, 'all');
  await registerAudit(clients);
  const root = await commitRoot(clients, 'root-1');
  writeParties(join(folder, 'parties'));
  parties = startParties(join(folder, 'parties'), { address: addressOf('federation'), credentialsFile });
  await learnEverything(clients, root);
  const needles = await needlesOf(FIRST);
  assert.ok((await inStores(needles)) >= needles.length);

  const name = await requestErasure(clients, FIRST);
  const { claims } = await outcome(clients, name);
  assert.deepEqual(
    claims.map(({ artefact, owner }) => `${owner} ${artefact.split('/').slice(2).join('/')}`),
    [
      'vault datasets/sensors',
      'federation federations/columns',
      'parties/left federations/columns/parties/left',
      'parties/right federations/columns/parties/right',
      'hash hashFunctions/sensors',
      'hash hashFunctions/sensors/index',
      'learning models/sensors-dp',
      'learning models/sensors-ensemble',
    ],
  );
  const body = await verifiedBody(clients, name);
  assert.equal(body.audit?.audit, NAME.audit);
  await provenLedger(name, body);
  assert.ok(body.scan && body.scan.stores.length >= 2, 'the key store and the NATS server were scanned');
  for (const { store, bytesScanned, planted, plantedFoundBefore, plantedFoundAfter } of body.scan.stores) {
    assert.ok(bytesScanned > 0 && planted > 0, `${store} was read, and the scan of it proven`);
    assert.deepEqual([plantedFoundBefore, plantedFoundAfter], [planted, 0], store);
  }
  assert.equal(await inStores(needles), 0);
});

test('services killed in the middle of an erasure come back, and it ends', async () => {
  const needles = await needlesOf(SECOND);
  const facts = await Facts.watch(nats.url);
  const again = (type: string): Promise<void> => facts.until(type, facts.count(type) + 1);
  const steps: readonly (readonly [Promise<void>, Part])[] = [
    [again(EVENT.erasureContained.type), 'erasure'],
    [again(EVENT.erasureStarted.type), 'learning'],
    [again(EVENT.federationErased.type), 'federation'],
    [again(EVENT.subjectErasurePlanned.type), 'vault'],
  ];
  const killed = steps.map(async ([fact, part]) => {
    await fact;
    await killAndRestart(part);
  });
  const name = await requestErasure(clients, SECOND, 'forget-me-too');
  await Promise.all(killed);
  await facts.close();
  const { claims } = await outcome(clients, name);
  assert.equal(claims.length, 8);
  assert.ok(claims.every(({ claim }) => claim <= common.Claim.CLAIM_ERASED_CERTIFIED));
  const statements = await logStatements(nats.url);
  assert.equal(statements.filter(({ type }) => type === 'certificate').length, 2);
  assert.equal(new Set(statements.map(({ digest }) => digest)).size, statements.length);
  assert.equal(await inStores(needles), 0);
});
