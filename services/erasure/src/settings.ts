import type { Deadlines } from './domain/decide.ts';

export interface ErasureSettings extends Partial<Deadlines> {
  /** Directory of the issuer's and the log's Ed25519 keys; files of mode 0600, made at the first start. */
  readonly keyDir: string;
  /** First part of key names and of the log's origin, without spaces and `+`. Default `lethe`. */
  readonly issuer?: string;
  /** Until when an erasure is due after its request. Default 30 days. */
  readonly dueDays?: number;
}

/** See `Deadlines`. The second is the 60 s after which a key dies in any case. */
export const DEFAULT_DEADLINES: Deadlines = {
  containMs: 60_000,
  confirmMs: 60_000,
  eraseMs: 72 * 3_600_000,
  auditMs: 600_000,
};
