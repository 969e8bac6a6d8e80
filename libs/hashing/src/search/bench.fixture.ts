/** What the benches of searches share: times, ids, and the form of a report. */
import { cpus, loadavg } from 'node:os';

export const round = (value: number): number => Number(value.toFixed(4));

/** @returns milliseconds */
export function timed(work: () => void): number {
  const from = performance.now();
  work();
  return performance.now() - from;
}

export const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1]!;

export interface Times {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly meanMs: number;
}

export function timesOf(ms: readonly number[]): Times {
  const sorted = ms.toSorted((a, b) => a - b);
  const at = (share: number) => round(sorted[Math.floor(share * (sorted.length - 1))]!);
  return {
    p50Ms: at(0.5),
    p99Ms: at(0.99),
    meanMs: round(ms.reduce((sum, one) => sum + one, 0) / ms.length),
  };
}

/** Ids that ascend with the lanes, so that ties stand in the order of lanes. @returns [count, 16] */
export function ascendingIds(count: number): Uint8Array {
  const ids = new Uint8Array(16 * count);
  const view = new DataView(ids.buffer);
  for (let i = 0; i < count; i++) view.setUint32(16 * i + 12, i);
  return ids;
}

export interface Bar {
  readonly what: string;
  readonly bar: number;
  readonly value: unknown;
  readonly met: boolean;
}

const loadBefore = loadavg()[0];

/** Writes the report to standard output, on one line with `--json`; the load is that at the start of the process and now. */
export function report(bench: string, figures: object, bars: readonly Bar[]): void {
  const machine = {
    processor: cpus()[0]?.model,
    cores: cpus().length,
    node: process.version,
    loadBefore,
    loadAfter: loadavg()[0],
  };
  const space = process.argv.includes('--json') ? undefined : 1;
  console.log(JSON.stringify({ bench, machine, ...figures, bars }, undefined, space));
}
