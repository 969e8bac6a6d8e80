/** Traffic from real digits: draws with replacement from digits that the function was not fitted on. */
import type { RandomSource } from '@lethe/std';
import type { HashFunction } from '../function.ts';
import type { Digits } from '../versions/digits.fixture.ts';
import { observeItems } from './observe.ts';
import type { DriftItems } from './profile.ts';

/** @returns items `order` of a pool */
export function pickItems(pool: DriftItems, order: readonly number[]): DriftItems {
  const bytes = pool.codes.length / pool.margins.length;
  const codes = new Uint8Array(order.length * bytes);
  order.forEach((from, to) => {
    codes.set(pool.codes.subarray(from * bytes, (from + 1) * bytes), to * bytes);
  });
  return { codes, margins: Float64Array.from(order, (from) => pool.margins[from]!) };
}

export interface Traffic {
  readonly fn: HashFunction;
  /** Digits of the classes that the function knows. */
  readonly pool: DriftItems;
  readonly poolLabels: Int32Array;
  draw(count: number, random: RandomSource): DriftItems;
  /** With probability `share` a draw is of the class that the function does not know. */
  drawMixed(count: number, share: number, random: RandomSource): DriftItems;
}

/** A function fitted on 4,000 digits without those of one class, and the rest as its traffic. */
export function trafficWithout(data: Digits, heldOut: number): Traffic {
  const all = [...data.labels.keys()];
  const known = all.filter((item) => data.labels[item] !== heldOut);
  const classes = data.names.map((_, c) => c).filter((c) => c !== heldOut);
  const fn = data.fit(known.slice(0, 4_000), 1, classes);
  const rest = known.slice(4_000);
  const pool = observeItems(fn, data.rows(rest));
  const fresh = observeItems(fn, data.rows(all.filter((item) => data.labels[item] === heldOut)));
  const size = pool.margins.length;
  const both = {
    codes: Uint8Array.from([...pool.codes, ...fresh.codes]),
    margins: Float64Array.from([...pool.margins, ...fresh.margins]),
  };
  const order = (count: number, next: () => number) => Array.from({ length: count }, next);
  return {
    fn,
    pool,
    poolLabels: Int32Array.from(rest, (item) => data.labels[item]!),
    draw: (count, random) =>
      pickItems(
        pool,
        order(count, () => random.below(size)),
      ),
    drawMixed: (count, share, random) => {
      const next = () =>
        random.uniform() < share ? size + random.below(fresh.margins.length) : random.below(size);
      return pickItems(both, order(count, next));
    },
  };
}
