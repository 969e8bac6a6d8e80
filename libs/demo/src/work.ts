/** What every demonstration does with a platform over gRPC: ingest, wait, list codes, wait for an erasure, check its certificate. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CertificateFile } from '@lethe/certificate';
import { erasure, hashing, resourceName } from '@lethe/contracts';
import { type DataRecord, type DatasetSpec, encodePayload } from '@lethe/datasets';
import { hex, type LetheError } from '@lethe/std';
import { DEMO } from './errors.ts';
import { type Platform, runToEnd } from './platform.ts';
import type { Verified } from './summary.ts';

/** A platform and a way to show what is going on. */
export interface Scene {
  readonly platform: Platform;
  readonly note: (text: string) => void;
}

export interface NamedRecord extends DataRecord {
  readonly recordId: string;
}

interface Conditions {
  readonly conditions: readonly { readonly message: string }[];
}

export const failed = (what: string, conditions: Conditions['conditions']): LetheError =>
  DEMO.WORK_FAILED(
    `${what}: ${conditions.map((condition) => condition.message).join('; ') || 'no reason given'}`,
  );

/** Sends records in their order, in one stream. */
export function ingestRecords(
  { client }: Platform,
  dataset: string,
  spec: DatasetSpec,
  { requestId, records }: { readonly requestId: string; readonly records: readonly NamedRecord[] },
) {
  return client.vault.ingest(
    (async function* () {
      yield { message: { $case: 'header' as const, value: { dataset, requestId } } };
      for (const [i, record] of records.entries()) {
        const { subjectId, recordId } = record;
        const value = {
          sequence: BigInt(i + 1),
          subjectId,
          recordId,
          payload: encodePayload(spec, record),
        };
        yield { message: { $case: 'record' as const, value } };
      }
    })(),
  );
}

/** Waits until the function serves the version or a later one. @throws LETHE-5203 */
export async function untilServing(
  { platform, note }: Scene,
  fn: string,
  version: number,
): Promise<hashing.HashFunction> {
  for await (const state of platform.client.hashing.watchHashFunction({ name: fn })) {
    if (state.state === hashing.HashFunction_State.STATE_FAILED)
      throw failed('the hash function failed', state.conditions);
    if (state.held) throw failed('the promotion gate holds the update', reasonsOf(state.held));
    if (state.state === hashing.HashFunction_State.STATE_SERVING && state.version >= version) {
      note(
        `hash function version ${state.version}: ${state.itemCount} items, ledger ${hex(state.ledgerRoot).slice(0, 16)}…`,
      );
      return state;
    }
  }
  throw DEMO.WORK_FAILED('the hash function is not served');
}

const reasonsOf = ({ report }: hashing.HeldVersion): Conditions['conditions'] =>
  (report?.reasons ?? []).map((message) => ({ message }));

/** Every live code, in the order of the ledger. */
export async function listCodes({ auditor }: Platform, fn: string): Promise<hashing.CodeEntry[]> {
  const entries: hashing.CodeEntry[] = [];
  for await (const entry of auditor.hashing.listCodes({ name: fn })) entries.push(entry);
  return entries;
}

/** How many codes that were there before have other bytes now, or are gone. */
export function changedCodes(
  before: readonly hashing.CodeEntry[],
  now: readonly hashing.CodeEntry[],
): number {
  const codeOf = new Map(now.map((entry) => [hex(entry.itemId), hex(entry.code)]));
  return before.filter((entry) => codeOf.get(hex(entry.itemId)) !== hex(entry.code)).length;
}

export function stateName(state: number): string {
  const entry = Object.entries(erasure.ErasureRequest_State).find(([, value]) => value === state);
  return entry ? entry[0].replace('STATE_', '') : String(state);
}

const FINAL: ReadonlySet<number> = new Set([
  erasure.ErasureRequest_State.STATE_CERTIFIED,
  erasure.ErasureRequest_State.STATE_PARTIAL,
  erasure.ErasureRequest_State.STATE_REFUSED,
  erasure.ErasureRequest_State.STATE_FAILED,
]);

/** Waits until the request has its last state, whichever it is. */
export async function untilFinal({ platform, note }: Scene, name: string): Promise<erasure.ErasureRequest> {
  let shown = '';
  for await (const request of platform.auditor.erasure.watchErasureRequest({ name })) {
    const phase = request.progress?.phase ?? '';
    if (phase !== shown) note(phase);
    shown = phase;
    if (FINAL.has(request.state)) {
      if (request.state !== erasure.ErasureRequest_State.STATE_CERTIFIED) {
        for (const condition of request.conditions) note(`${condition.type}: ${condition.message}`);
      }
      return request;
    }
  }
  throw DEMO.WORK_FAILED('the erasure did not end');
}

/** The files that an outsider gets. */
export interface Issued {
  readonly certificate: Uint8Array;
  readonly keyFile: Uint8Array;
}

/** The certificate of an erasure request, with the key that it is checked with. */
export async function issued(
  { auditor, tenant }: Platform,
  name: string,
): Promise<Issued & { readonly body: CertificateFile['body'] }> {
  const certificate = await auditor.erasure.getCertificate({ name });
  const key = await auditor.erasure.getVerifyKey({ parent: resourceName('tenant', tenant) });
  const { body } = JSON.parse(new TextDecoder().decode(certificate.content)) as CertificateFile;
  return { certificate: certificate.content, keyFile: key.content, body };
}

/** Planted copies that the scan found before it was believed. */
export const plantedFound = ({ scan }: CertificateFile['body']): number =>
  scan?.stores.reduce((sum, store) => sum + store.plantedFoundBefore, 0) ?? 0;

export interface CertificateFiles {
  readonly certificate: string;
  readonly key: string;
}

/** Writes both files into a folder. */
export function writeIssued(folder: string, { certificate, keyFile }: Issued): CertificateFiles {
  const files = { certificate: join(folder, 'certificate.json'), key: join(folder, 'verify-key.json') };
  writeFileSync(files.certificate, certificate);
  writeFileSync(files.key, keyFile);
  return files;
}

/** The stand-alone verifier, a process of its own, on the certificate and on a changed copy of it. @param folder for the copy */
export async function verifyFiles(folder: string, files: CertificateFiles): Promise<Verified> {
  const check = (certificate: string) =>
    runToEnd('libs/certificate/src/verify-cli.ts', [certificate, '--key', files.key, '--json']);
  const good = await check(files.certificate);
  const text = readFileSync(files.certificate, 'utf8');
  const changed = join(folder, 'changed-certificate.json');
  writeFileSync(changed, text.replace(/"found":0/, '"found":1'));
  const bad = await check(changed);
  const answer = JSON.parse(bad.output) as { failedCheck?: string };
  return {
    verified: good.code === 0,
    tamperedRejected: bad.code === 1,
    tamperedFailedCheck: answer.failedCheck ?? '',
  };
}
