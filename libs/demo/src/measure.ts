/** Figures over answers of the platform. */
import type { Row } from '@lethe/datasets';
import { averagePrecisions, meanAveragePrecision } from '@lethe/hashing';
import { concatBytes } from '@lethe/std';

/** Fraction of rows whose largest logit is at their label. @param logits [rows, classes] little-endian float32 bytes */
export function accuracy(logits: readonly Uint8Array[], classes: number, rows: readonly Row[]): number {
  const values = new Float32Array(concatBytes(...logits).buffer);
  let right = 0;
  for (const [i, row] of rows.entries()) {
    const own = values.subarray(i * classes, (i + 1) * classes);
    if (own.indexOf(Math.max(...own)) === row.label) right++;
  }
  return right / rows.length;
}

export interface Codes {
  /** [n, codeBytes], row-major. */
  readonly codes: Uint8Array;
  readonly labels: Int32Array;
}

/** Tie-aware mAP over all ranks. @param classes restrict to queries of these labels */
export function meanPrecision(queries: Codes, items: Codes, codeBits: number, classes: readonly number[]) {
  const precisions = averagePrecisions(queries, items, codeBits);
  return {
    all: meanAveragePrecision(precisions, queries.labels),
    of: meanAveragePrecision(precisions, queries.labels, classes),
  };
}

/** Runs `work` over the items, some at a time, answers in order. */
export async function inFlight<Item, Result>(
  items: readonly Item[],
  width: number,
  work: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const results = new Array<Result>(items.length);
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < items.length) {
      const i = next++;
      results[i] = await work(items[i]!);
    }
  };
  await Promise.all(Array.from({ length: width }, lane));
  return results;
}

export function chunks<Item>(items: readonly Item[], size: number): Item[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, i) =>
    items.slice(i * size, (i + 1) * size),
  );
}
