/** How a record lies in the log: its id and payload together under the subject's key, bound to where it lies. */
import type { vault } from '@lethe/contracts';
import { type RandomSource, utf8 } from '@lethe/std';
import { open, seal } from '@lethe/store';

const context = (tenant: string, dataset: string, alias: string): string =>
  `lethe-record-v1|${tenant}|${dataset}|${alias}`;

/** Plain text: uint16 length of the record id, the id in UTF-8, the payload. */
export function sealRecord(
  key: Uint8Array,
  tenant: string,
  dataset: string,
  alias: string,
  record: Pick<vault.IngestRecord, 'recordId' | 'payload'>,
  random: RandomSource,
): Uint8Array {
  const id = utf8(record.recordId);
  const plain = new Uint8Array(2 + id.length + record.payload.length);
  new DataView(plain.buffer).setUint16(0, id.length);
  plain.set(id, 2);
  plain.set(record.payload, 2 + id.length);
  return seal(key, plain, context(tenant, dataset, alias), random);
}

export function openRecord(
  key: Uint8Array,
  tenant: string,
  dataset: string,
  alias: string,
  sealed: Uint8Array,
): { readonly recordId: string; readonly payload: Uint8Array } {
  const plain = open(key, sealed, context(tenant, dataset, alias));
  const length = new DataView(plain.buffer, plain.byteOffset).getUint16(0);
  return {
    recordId: new TextDecoder().decode(plain.subarray(2, 2 + length)),
    payload: plain.slice(2 + length),
  };
}
