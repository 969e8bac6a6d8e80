import { EVENTS } from '../errors.ts';

/** Pull consumers, `next_by_subj` and everything else the adapter uses are there from 2.9.0. */
const SINGLE_MIN = [2, 9, 0] as const;
/** Before 2.9.21 three replicas acknowledged both of two racing appends (2.9.10: in 379 of 500 races). */
const CLUSTER_MIN = [2, 9, 21] as const;

/** @throws LetheError LETHE-2021 */
export function assertServerVersion(version: string, clustered: boolean): void {
  const minimum = clustered ? CLUSTER_MIN : SINGLE_MIN;
  const parts = /^v?(\d+)\.(\d+)\.(\d+)/.exec(version)?.slice(1).map(Number);
  const order = parts
    ? minimum.map((wanted, i) => (parts[i] ?? 0) - wanted).find((difference) => difference !== 0)
    : -1;
  if ((order ?? 0) < 0) {
    throw EVENTS.SERVER_TOO_OLD(
      `nats-server ${version} is older than ${minimum.join('.')}, the oldest ${clustered ? 'cluster' : 'server'} accepted`,
      { details: { version, minimum: minimum.join('.'), clustered } },
    );
  }
}
