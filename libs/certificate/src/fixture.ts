import { type MerkleLog as Log, MerkleLog, SortedTree } from '@lethe/merkle';
import { evaluate, normalQuantile, roundScores, ruleDigest, THREE_ARM_RULE } from '@lethe/statistics';
import { base64, hex, seededRandom, sha256 } from '@lethe/std';
import {
  type CertificateBody,
  type CertificateLog,
  type DatasetRootStatement,
  generateSigner,
  issueCertificate,
  type KeyFile,
  type LogStatement,
  logPosition,
  makeKeyFile,
  type PartyAttestation,
  type PreparedCertificate,
  prepareCertificate,
  removedLeaf,
  requestDigest,
  type Signer,
  signCheckpoint,
  signPartyAttestation,
  statementBytes,
  subjectCommitment,
} from './index.ts';
import { ledgerEvidence } from './ledger.fixture.ts';

/**
 * A complete, valid certificate for tests: two parties, a data set with real proofs, an audit of small arms, a log that others use
 * too. Seeded: the same bytes on every run.
 */
export interface World {
  readonly issuer: Signer;
  readonly logSigner: Signer;
  readonly stranger: Signer;
  readonly parties: readonly Signer[];
  readonly body: CertificateBody;
}

const ORIGIN = 'lethe.example/tenants/acme/log';
const DATASET = 'tenants/acme/datasets/records';
const FEDERATION = 'tenants/acme/federations/halves';
const REQUEST = 'tenants/acme/erasureRequests/r-1';
const AUDIT = 'tenants/acme/audits/a-1';

const digest = (text: string): string => hex(sha256(text));
const at = (minute: number): string => new Date(Date.UTC(2026, 0, 31, 12, minute)).toISOString();
const normals = (count: number, shift: number): number[] =>
  Array.from({ length: count }, (_, i) => normalQuantile((i + 0.5) / count) + shift);

export function makeWorld(): World {
  const random = seededRandom('certificate fixture');
  const signer = (name: string): Signer => generateSigner(name, random).signer;
  const [issuer, logSigner, stranger] = [signer('issuer'), signer(ORIGIN), signer('stranger')];
  const parties = [signer('left'), signer('right')];

  const leaves = Array.from({ length: 60 }, (_, i) => sha256(`blinded record ${i}`));
  const before = new SortedTree(leaves);
  const after = new SortedTree(leaves.filter((_, i) => i >= 9));
  const [rootBefore, rootAfter] = [hex(before.root()), hex(after.root())];
  const root = (value: string, count: number, minute: number): DatasetRootStatement => ({
    type: 'dataset-root',
    version: 1,
    dataset: DATASET,
    root: value,
    count,
    at: at(minute),
  });

  const scores = roundScores({ out: normals(600, 0), keep: normals(80, 2.5), delete: normals(600, 0.01) });
  const statements: LogStatement[] = [
    root(rootBefore, 60, 0),
    {
      type: 'audit-registered',
      version: 1,
      audit: AUDIT,
      coinKeyHash: digest('coin key'),
      ruleDigest: ruleDigest(THREE_ARM_RULE),
      at: at(0),
    },
    ...parties.map((party) => ({
      type: 'party-joined' as const,
      version: 1 as const,
      federation: FEDERATION,
      party: party.name,
      publicKey: base64(party.publicKey),
      at: at(1),
    })),
    root(rootAfter, 51, 7),
  ];

  const claim = (artefact: string, kind: CertificateBody['claims'][number]['kind'], owner: string) => ({
    artefact,
    kind,
    owner,
    claim: 'ERASED_EXACT' as const,
    guarantee: null,
    digestBefore: digest(`${artefact} before`),
    digestAfter: digest(`${artefact} after`),
    method: 'resume/1',
    details: { steps: 120 },
  });
  const claims: CertificateBody['claims'] = [
    { ...claim('records', 'RECORDS', 'vault'), digestBefore: rootBefore, digestAfter: rootAfter },
    { ...claim('index', 'HASH_INDEX', 'hashing'), ...ledgerEvidence('KEEP') },
    { ...claim('checkpoint-3', 'CHECKPOINT', 'learning'), digestAfter: null, method: 'destroy/1' },
    {
      ...claim('dp-model', 'MODEL_DP', 'learning'),
      claim: 'ERASED_CERTIFIED',
      guarantee: {
        epsilon: 2.9,
        delta: 1e-5,
        unit: 'SUBJECT',
        neighboringRelation: 'ADD_OR_REMOVE_ONE_SUBJECT',
      },
      digestAfter: digest('dp-model before'),
      method: 'dp-sgd/1',
    },
    ...parties.map((party) => claim(`bottom-${party.name}`, 'VERTICAL_MODEL', `parties/${party.name}`)),
  ];

  const body: CertificateBody = {
    version: 1,
    certificate: 'tenants/acme/certificates/c-1',
    request: REQUEST,
    status: 'CERTIFIED',
    times: { requested: at(5), contained: at(6), erased: at(8), audited: at(9), issued: at(10) },
    policy: { name: 'erasure/1', dueAt: at(50), details: { survivors: 'KEEP', survivorsChanged: 3 } },
    subject: subjectCommitment(sha256('secret'), 'alias-1', REQUEST),
    overall: 'ERASED_CERTIFIED',
    lineage: claims.map((c) => c.artefact).sort(),
    claims,
    datasets: [
      {
        dataset: DATASET,
        rootBefore,
        rootAfter,
        countBefore: 60,
        countAfter: 51,
        removedWithIt: 5,
        added: 0,
        removed: leaves.slice(0, 4).map((leaf) => removedLeaf(before, after, hex(leaf))),
      },
    ],
    keyReceipt: {
      keyIdDigest: digest('key id'),
      destroyedAt: at(7),
      method: 'sqlite-secure-delete/1',
      settings: { secure_delete: 'ON', journal_mode: 'truncate' },
    },
    scan: {
      stores: [
        { store: 'jetstream', bytesScanned: 5000, planted: 3, plantedFoundBefore: 3, plantedFoundAfter: 0 },
        { store: 'keys', bytesScanned: 700, planted: 1, plantedFoundBefore: 1, plantedFoundAfter: 0 },
      ],
      bytesScanned: 5700,
      needles: [
        { kind: 'CIPHERTEXT', needles: 4, found: 0 },
        { kind: 'CODE_LANES', needles: 4, found: 0 },
      ],
    },
    parties: parties.map((party) =>
      signPartyAttestation(
        {
          type: 'party-erased',
          version: 1,
          federation: FEDERATION,
          party: party.name,
          requestDigest: requestDigest(REQUEST),
          artefact: `bottom-${party.name}`,
          digestBefore: digest(`bottom-${party.name} before`),
          digestAfter: digest(`bottom-${party.name} after`),
          method: 'retrain/1',
          at: at(8),
        } satisfies PartyAttestation,
        party,
      ),
    ),
    audit: {
      audit: AUDIT,
      rule: THREE_ARM_RULE,
      ruleDigest: ruleDigest(THREE_ARM_RULE),
      coinKeyHash: digest('coin key'),
      unitsDigest: digest('units'),
      scores,
      result: evaluate(THREE_ARM_RULE, scores),
    },
    statements,
    outOfScope: ['Backups outside the platform.'],
    limits: 'A passed audit bounds what this attack can see, not what any attack could.',
  };
  return { issuer, logSigner, stranger, parties, body };
}

export interface Issued {
  readonly bytes: Uint8Array;
  readonly keyFile: KeyFile;
  readonly log: CertificateLog;
  readonly prepared: PreparedCertificate;
  /** The key file of somebody who saw the log when it had 4 entries. */
  readonly olderKeyFile: KeyFile;
}

/** Puts a body's statements and the certificate into a log, among entries of others, and gives the file's parts. */
export function placeInLog(
  world: World,
  prepared: PreparedCertificate,
  order: readonly number[] = world.body.statements.map((_, i) => i),
): { log: CertificateLog; keyFile: KeyFile; olderKeyFile: KeyFile } {
  const log: Log = new MerkleLog();
  const { body } = prepared;
  const places: number[] = [];
  log.append(sha256('an earlier entry'));
  for (const i of order) {
    const statement = body.statements[i];
    if (statement) places[i] = log.append(statementBytes(statement));
  }
  const index = log.append(statementBytes(prepared.statement));
  log.append(sha256('a later entry'));
  const note = (size: number) =>
    signCheckpoint({ origin: ORIGIN, size, root: log.root(size) }, world.logSigner);
  const keyFileFor = (checkpoint: string) =>
    makeKeyFile({ issuers: [world.issuer], origin: ORIGIN, logs: [world.logSigner], checkpoint });
  return {
    log: {
      certificate: logPosition(log, index),
      statements: places.map((place) => logPosition(log, place)),
      checkpoint: note(log.size),
      previous: { checkpoint: note(4), consistencyProof: log.consistencyProof(4).map(hex) },
    },
    keyFile: keyFileFor(note(log.size)),
    olderKeyFile: keyFileFor(note(4)),
  };
}

export function issueFixture(world: World = makeWorld()): Issued {
  const prepared = prepareCertificate(world.body, world.issuer);
  const placed = placeInLog(world, prepared);
  return { ...placed, prepared, bytes: issueCertificate(prepared, placed.log, placed.keyFile) };
}
