/** How an erasure ended, in a form in which two that were interrupted at different moments can be compared. */
import assert from 'node:assert/strict';
import { type CertificateBody, parseKeyFile, verifyCertificate } from '@lethe/certificate';
import { type common, erasure } from '@lethe/contracts';
import type { Clients } from './platform.ts';
import { PARENT } from './sensors.ts';

/** Repeating it is what a client does that got no answer. */
export async function requestErasure(
  { auditor }: Clients,
  subjectId: string,
  requestId = 'forget-me',
): Promise<string> {
  const answer = await auditor.erasure.createErasureRequest({
    parent: PARENT,
    subjectId,
    requestId,
    policy: 'gdpr-art-17',
  });
  return answer.erasureRequest!.name;
}

const FINAL: ReadonlySet<number> = new Set([
  erasure.ErasureRequest_State.STATE_CERTIFIED,
  erasure.ErasureRequest_State.STATE_PARTIAL,
  erasure.ErasureRequest_State.STATE_REFUSED,
  erasure.ErasureRequest_State.STATE_FAILED,
]);

export async function untilEnded({ auditor }: Clients, name: string): Promise<erasure.ErasureRequest> {
  for await (const request of auditor.erasure.watchErasureRequest({ name })) {
    if (FINAL.has(request.state)) return request;
  }
  throw new Error('the erasure did not end');
}

export interface Outcome {
  /** By artefact. */
  readonly claims: readonly common.ArtefactClaim[];
  /** The certificate's body without what is a time or follows from one. */
  readonly body: unknown;
  readonly residualBytes: bigint;
}

const TIME = /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z/g;

/** Looks at an erasure that has ended: certified, verified offline, nothing of the person left. */
export async function outcome(clients: Clients, name: string): Promise<Outcome> {
  const request = await untilEnded(clients, name);
  assert.equal(
    request.state,
    erasure.ErasureRequest_State.STATE_CERTIFIED,
    request.conditions.map(({ type, message }) => `${type}: ${message}`).join('\n'),
  );
  assert.equal(request.residualBytes, 0n);
  const body = await verifiedBody(clients, name);
  const claims = [...request.claims].sort((a, b) => (key(a) < key(b) ? -1 : 1));
  return { claims, body: comparable(body), residualBytes: request.residualBytes };
}

const key = ({ artefact, kind }: common.ArtefactClaim): string => `${artefact} ${kind}`;

export async function verifiedBody({ auditor }: Clients, name: string): Promise<CertificateBody> {
  const { content } = await auditor.erasure.getCertificate({ name });
  const keyFile = await auditor.erasure.getVerifyKey({ parent: PARENT });
  const verified = verifyCertificate(content, parseKeyFile(keyFile.content));
  assert.ok(verified.ok, JSON.stringify(verified));
  const ledgers = verified.notChecked.filter((line) => line.includes('ledger proof'));
  assert.deepEqual(ledgers, [], 'the proof of each code ledger is in the certificate');
  return verified.body;
}

/** Signatures are over times, and how many bytes the stores have follows from what a crash left in them. */
const FOLLOWS_FROM_TIME: ReadonlySet<string> = new Set(['signature', 'bytesScanned']);

const comparable = (body: CertificateBody): unknown =>
  JSON.parse(JSON.stringify(body).replace(TIME, 'TIME'), (name, value: unknown) =>
    FOLLOWS_FROM_TIME.has(name) ? undefined : value,
  );
