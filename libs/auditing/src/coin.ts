import { createHmac } from 'node:crypto';
import { canonicalDigest, compareBytes, equalBytes, fromHex, hex, sha256, utf8 } from '@lethe/std';
import { AUDITING } from './errors.ts';

/**
 * Membership is a coin: which arm a canary belongs to is decided by a key that was committed before anything trained, so
 * the null distribution of every audit is known and nobody can choose the arms after seeing the scores.
 *
 * HMAC-SHA256(key, "lethe/audit/v1" 0x00 dataset 0x00 unit); the first 48 bits as a fraction of 2^48 decide by thresholds.
 * The unit is a data subject (here a canary's alias), never a record, so re-ingestion meets the same coin.
 */
export type Arm = 'OUT' | 'KEEP' | 'DELETE';

/** Shares of the arms; the rest is DELETE. */
export interface ArmShares {
  readonly out: number;
  readonly keep: number;
}

/** 60 / 10 / 30: many controls, because OUT stands in both comparisons. */
export const DEFAULT_SHARES: ArmShares = Object.freeze({ out: 0.6, keep: 0.1 });

const KEY_BYTES = 32;

/** The commitment that is logged: SHA-256 of the key, hex. @throws LETHE-3701 */
export function coinKeyHash(key: Uint8Array): string {
  if (key.length !== KEY_BYTES)
    throw AUDITING.BAD_COIN_KEY(`a coin key has ${KEY_BYTES} bytes, not ${key.length}`);
  return hex(sha256(key));
}

/** The arm of one unit. @param dataset resource name @param unit the canary's alias @throws LETHE-3701 */
export function tossCoin(
  key: Uint8Array,
  dataset: string,
  unit: string,
  shares: ArmShares = DEFAULT_SHARES,
): Arm {
  if (key.length !== KEY_BYTES)
    throw AUDITING.BAD_COIN_KEY(`a coin key has ${KEY_BYTES} bytes, not ${key.length}`);
  const mac = createHmac('sha256', key).update(`lethe/audit/v1\0${dataset}\0${unit}`).digest();
  const fraction = mac.readUIntBE(0, 6) / 2 ** 48;
  if (fraction < shares.out) return 'OUT';
  return fraction < shares.out + shares.keep ? 'KEEP' : 'DELETE';
}

/** Units per arm, in the order of their scores. */
export interface ArmUnits {
  readonly out: readonly string[];
  readonly keep: readonly string[];
  readonly delete: readonly string[];
}

/** Sorts units into arms; within an arm bytewise, so that the order says nothing. */
export function assignArms(
  key: Uint8Array,
  dataset: string,
  units: Iterable<string>,
  shares: ArmShares = DEFAULT_SHARES,
): ArmUnits {
  const arms: Record<'out' | 'keep' | 'delete', string[]> = { out: [], keep: [], delete: [] };
  const names = { OUT: 'out', KEEP: 'keep', DELETE: 'delete' } as const;
  for (const unit of units) arms[names[tossCoin(key, dataset, unit, shares)]].push(unit);
  for (const list of Object.values(arms)) list.sort((a, b) => compareBytes(utf8(a), utf8(b)));
  return arms;
}

/** Digest of the units per arm, for the certificate: canonical JSON of `{delete, keep, out}`, SHA-256, hex. */
export const unitsDigest = (units: ArmUnits): string =>
  canonicalDigest({ out: units.out, keep: units.keep, delete: units.delete });

/**
 * What an auditor does after the key is revealed: the key is the committed one, every unit is in the arm of its coin, and no
 * unit occurs twice.
 *
 * @throws LETHE-3701 another key   @throws LETHE-3702 the first unit that is in a wrong arm or occurs twice
 */
export function checkCoins(
  key: Uint8Array,
  committedHash: string,
  dataset: string,
  units: ArmUnits,
  shares: ArmShares = DEFAULT_SHARES,
): void {
  if (!equalBytes(fromHex(coinKeyHash(key)), fromHex(committedHash))) {
    throw AUDITING.BAD_COIN_KEY('the key is not the one that was committed');
  }
  const seen = new Set<string>();
  const arms = [
    ['OUT', units.out],
    ['KEEP', units.keep],
    ['DELETE', units.delete],
  ] as const;
  for (const [arm, list] of arms) {
    for (const unit of list) {
      if (seen.has(unit)) throw AUDITING.COIN_MISMATCH(`canary ${unit} stands twice in the audit`);
      seen.add(unit);
      const coin = tossCoin(key, dataset, unit, shares);
      if (coin !== arm)
        throw AUDITING.COIN_MISMATCH(`canary ${unit} stands in ${arm}, its coin says ${coin}`);
    }
  }
}
