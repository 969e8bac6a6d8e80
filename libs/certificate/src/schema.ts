import type { ArmScores, AuditResult, AuditRule } from '@lethe/statistics';
import { AUDIT_REASONS } from '@lethe/statistics';
import * as body from './body.ts';
import type { LogStatement } from './log-statement.ts';
import { list, map, nullable, number, one, pair, record, type Shape, tagged, text } from './shape.ts';

/** The form of a certificate file, version 1: the types of `body.ts` as checks. What the values must say is in `semantics.ts`. */
const hex32 = text(/^[0-9a-f]{64}$/u, 'must be 64 lower-case hex digits');
const keyBytes = text(/^[A-Za-z0-9+/]{43}=$/u, 'must be base64 of 32 bytes');
const signatureBytes = text(/^[A-Za-z0-9+/]{86}==$/u, 'must be base64 of 64 bytes');
const name = text();
const time: Shape<string> = (value, path) =>
  typeof value === 'string' &&
  /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/u.test(value) &&
  !Number.isNaN(Date.parse(value)) &&
  new Date(value).toISOString() === value
    ? undefined
    : `${path} must be a time like 2026-01-31T12:00:00.000Z`;
const count = number((value) => Number.isSafeInteger(value) && value >= 0, 'must be a count');
const real = number(Number.isFinite, 'must be a finite number');
const share = number((value) => value >= 0 && value <= 1, 'must be within [0, 1]');
const scalar: Shape<string | number | boolean> = (value, path) =>
  ['string', 'number', 'boolean'].includes(typeof value)
    ? undefined
    : `${path} must be a text, number or boolean`;
const details: Shape<body.Details> = map(scalar);
const path = list(hex32);
const note = text(/^[\s\S]+$/u, 'must be a signed note');

const neighbour = record<body.NeighbourLeaf>({ leaf: hex32, index: count, inclusionProof: path });

const statement = tagged<LogStatement>({
  'dataset-root': record({
    type: one('dataset-root'),
    version: one(1),
    dataset: name,
    root: hex32,
    count,
    at: time,
  }),
  'audit-registered': record({
    type: one('audit-registered'),
    version: one(1),
    audit: name,
    coinKeyHash: hex32,
    ruleDigest: hex32,
    at: time,
  }),
  'party-joined': record({
    type: one('party-joined'),
    version: one(1),
    federation: name,
    party: name,
    publicKey: keyBytes,
    at: time,
  }),
});

const claim = record<body.Claim>({
  artefact: name,
  kind: one(...body.ARTEFACT_KINDS),
  owner: name,
  claim: one(...body.CLAIM_NAMES),
  guarantee: nullable(
    record<body.CertifiedGuarantee>({
      epsilon: number((value) => value > 0 && Number.isFinite(value), 'must be above 0'),
      delta: number((value) => value >= 0 && value < 1, 'must be within [0, 1)'),
      unit: one('SUBJECT', 'RECORD'),
      neighboringRelation: name,
    }),
  ),
  digestBefore: hex32,
  digestAfter: nullable(hex32),
  method: name,
  details,
});

const dataset = record<body.DatasetEvidence>({
  dataset: name,
  rootBefore: hex32,
  rootAfter: hex32,
  countBefore: count,
  countAfter: count,
  removedWithIt: count,
  added: count,
  removed: list(
    record<body.RemovedLeaf>({
      leaf: hex32,
      index: count,
      inclusionProof: path,
      left: nullable(neighbour),
      right: nullable(neighbour),
    }),
    1,
  ),
});

const party = record<body.PartyEvidence>({
  attestation: record<body.PartyAttestation>({
    type: one('party-erased'),
    version: one(1),
    federation: name,
    party: name,
    requestDigest: hex32,
    artefact: name,
    digestBefore: hex32,
    digestAfter: nullable(hex32),
    method: name,
    at: time,
  }),
  publicKey: keyBytes,
  signature: signatureBytes,
});

const rule = record<AuditRule>({
  rule: one('three-arm'),
  version: one(1),
  score: one('LOGIT_MARGIN'),
  controlAlpha: share,
  leakAlpha: share,
  intervalLevel: share,
  equivalence: pair(share),
  ratioLevel: share,
  ratioLimit: share,
  powerFraction: share,
});

const audit = record<body.AuditEvidence>({
  audit: name,
  rule,
  ruleDigest: hex32,
  coinKeyHash: hex32,
  unitsDigest: hex32,
  scores: record<ArmScores>({ out: list(real, 2), keep: list(real, 2), delete: list(real, 2) }),
  result: record<AuditResult>({
    verdict: one('PASS', 'FAIL', 'INCONCLUSIVE'),
    reasons: list(one(...AUDIT_REASONS)),
    counts: record<AuditResult['counts']>({ out: count, keep: count, delete: count }),
    keepAuc: share,
    keepInterval: pair(share),
    keepPValue: share,
    deleteAuc: share,
    deleteInterval: pair(share),
    deletePValue: share,
    ratio: nullable(real),
    ratioUpper: nullable(real),
    power: share,
    passIfErased: share,
  }),
});

export const bodyShape: Shape<body.CertificateBody> = record<body.CertificateBody>({
  version: one(1),
  certificate: name,
  request: name,
  status: one('CERTIFIED', 'PARTIAL'),
  times: record<body.CertificateTimes>({
    requested: time,
    contained: time,
    erased: time,
    audited: nullable(time),
    issued: time,
  }),
  policy: record<body.CertificatePolicy>({ name, dueAt: time, details }),
  subject: hex32,
  overall: one(...body.CLAIM_NAMES),
  lineage: list(name, 1),
  claims: list(claim),
  datasets: list(dataset, 1),
  keyReceipt: nullable(
    record<body.KeyReceipt>({ keyIdDigest: hex32, destroyedAt: time, method: name, settings: details }),
  ),
  scan: nullable(
    record<body.ScanReport>({
      stores: list(
        record<body.ScannedStore>({
          store: name,
          bytesScanned: count,
          planted: count,
          plantedFoundBefore: count,
          plantedFoundAfter: count,
        }),
        1,
      ),
      bytesScanned: count,
      needles: list(record<body.NeedleKind>({ kind: name, needles: count, found: count }), 1),
    }),
  ),
  parties: list(party),
  audit: nullable(audit),
  statements: list(statement),
  outOfScope: list(name),
  limits: text(/^[\s\S]*$/u, 'must be a text'),
});

const position = record<body.LogPosition>({ index: count, inclusionProof: path });

export const fileShape: Shape<body.CertificateFile> = record<body.CertificateFile>({
  body: bodyShape,
  log: record<body.CertificateLog>({
    certificate: position,
    statements: list(position),
    checkpoint: note,
    previous: nullable(
      record<NonNullable<body.CertificateLog['previous']>>({
        checkpoint: note,
        consistencyProof: path,
      }),
    ),
  }),
  signature: record<body.CertificateSignature>({ keyDigest: hex32, value: signatureBytes }),
});
