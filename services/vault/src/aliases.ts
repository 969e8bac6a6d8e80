/**
 * Names for people that are no names: everything outside the vault knows a subject as an alias, and the record log knows
 * a record by a keyed digest. Both keys belong to the tenant; without them nothing can be traced back to an id.
 */
import { createHmac, hkdfSync } from 'node:crypto';
import { base32, sha256, utf8 } from '@lethe/std';

/** 16 bytes: no collisions among 2^32 subjects worth worrying about, 26 characters. */
const ALIAS_BYTES = 16;

const hmac = (key: Uint8Array, ...parts: readonly (string | Uint8Array)[]): Uint8Array => {
  const mac = createHmac('sha256', key);
  for (const part of parts) mac.update(part);
  return new Uint8Array(mac.digest());
};

/** @param tenantKey 32 bytes   @returns 26 characters, legal in a NATS subject and in a resource name */
export function aliasOf(tenantKey: Uint8Array, subjectId: string): string {
  return base32(hmac(tenantKey, 'lethe-alias-v1|', subjectId).subarray(0, ALIAS_BYTES));
}

/** Keyed digest of a record's identity within its dataset: finds duplicates without opening anything. */
export function recordKeyOf(tenantKey: Uint8Array, dataset: string, recordId: string): Uint8Array {
  return hmac(tenantKey, 'lethe-record-v1|', dataset, '|', recordId);
}

/**
 * The record's blinded leaf in the dataset's Merkle tree. The salt derives from the subject's key and dies with it: afterwards
 * nobody can tell, not even by guessing the record, whom or what a leaf stood for.
 */
export function leafOf(
  subjectKey: Uint8Array,
  dataset: string,
  recordId: string,
  payload: Uint8Array,
): Uint8Array {
  const salt = new Uint8Array(
    hkdfSync('sha256', subjectKey, new Uint8Array(0), utf8('lethe-leaf-salt-v1'), 32),
  );
  return hmac(salt, sha256(dataset, '|', recordId, '|', payload));
}
